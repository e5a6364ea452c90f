"""A chunk of rows on their way from a file: the good ones as columns, the bad ones with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tfrec.data.rejected import BadRow
from tfrec.data.sequences import Bool, Int64

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Chunk:
    """Rows of one file, in its order.

    Attributes:
        table: the rows that could be read; text sources give strings (lists stay lists).
        file: where they come from.
        lines: int64 [rows], line number of each (row number in Parquet files), from 1.
        bad: the rows that could not be read.
    """

    table: pyarrow.Table
    file: str
    lines: Int64
    bad: list[BadRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def keep(self, rows: Bool) -> Chunk:
        """The chosen rows; nothing else changes."""
        import pyarrow

        return Chunk(self.table.filter(pyarrow.array(rows)), self.file, self.lines[rows], self.bad)


def concatenate(chunks: Sequence[Chunk]) -> Chunk:
    """One chunk of several, of the same file and with the same columns."""
    import pyarrow

    if len(chunks) == 1:
        return chunks[0]
    return Chunk(
        pyarrow.concat_tables([chunk.table for chunk in chunks], promote_options="permissive"),
        chunks[0].file,
        np.concatenate([chunk.lines for chunk in chunks]),
        [row for chunk in chunks for row in chunk.bad],
    )
