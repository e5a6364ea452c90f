"""JSON Lines: block of bytes -> chunk of string columns (lists stay lists).

Arrow parses a block at once with the types that the first rows show. A piece that does not fit
them, or holds a line that is not valid, is read line by line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfrec.data.blocks import Block, count_lines
from tfrec.data.chunk import Chunk, concatenate
from tfrec.data.delimited import PIECE
from tfrec.data.rejected import BadRow

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class JsonLines:
    """How the lines of one file are read.

    Attributes:
        file: its name, for reports.
        columns: the keys to keep; a row without one has no value there.
        encoding: of the file.
        types: of the columns in the first rows, from `first_types`: Arrow needs to be told.
    """

    file: str
    columns: Sequence[str]
    encoding: str
    types: dict[str, pyarrow.DataType]

    def parse(self, block: Block) -> Chunk:
        """The rows of a block. Never raises for what stands in it: bad rows are in `bad`."""
        return self._at_once(block) or concatenate(
            [self._at_once(piece) or self._line_by_line(piece) for piece in _pieces(block)]
        )

    def _at_once(self, block: Block) -> Chunk | None:
        import pyarrow
        import pyarrow.json

        if self.encoding != "utf-8" and not block.data.isascii():
            return None
        lines = count_lines(block.data) + (not block.data.endswith(b"\n"))
        try:
            table = pyarrow.json.read_json(
                pyarrow.BufferReader(block.data),
                read_options=pyarrow.json.ReadOptions(
                    use_threads=False, block_size=len(block.data) + 1
                ),
                parse_options=pyarrow.json.ParseOptions(
                    explicit_schema=pyarrow.schema([(c, self.types[c]) for c in self.columns]),
                    unexpected_field_behavior="ignore",
                ),
            )
        except pyarrow.ArrowInvalid:
            return None
        if len(table) != lines:
            return None
        # Arrow does not check what it takes for UTF-8.
        try:
            table.validate(full=True)
        except pyarrow.ArrowInvalid:
            return None
        columns = [_as_text(table[name].combine_chunks()) for name in self.columns]
        numbers = np.arange(block.first_line, block.first_line + lines, dtype=np.int64)
        return Chunk(pyarrow.table(columns, names=list(self.columns)), self.file, numbers)

    def _line_by_line(self, block: Block) -> Chunk:
        import pyarrow

        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        texts = block.data.split(b"\n")
        for number, line in enumerate(texts, block.first_line):
            cut_short = block.last and number == block.first_line + len(texts) - 1
            row = _row(self.file, number, line, self.encoding, cut_short)
            if isinstance(row, BadRow):
                bad.append(row)
            elif row is not None:
                rows.append(row)
                lines.append(number)
        columns = [
            pyarrow.array(
                [_text(row.get(name), self.types[name]) for row in rows], _kept(self.types[name])
            )
            for name in self.columns
        ]
        table = pyarrow.table(columns, names=list(self.columns))
        return Chunk(table, self.file, np.array(lines, np.int64), bad)


def first_types(start: Block, encoding: str) -> dict[str, pyarrow.DataType]:
    """The type of every key that the first rows hold, for `JsonLines.types`."""
    import pyarrow

    seen: dict[str, set[type]] = {}
    for line in start.data.split(b"\n"):
        row = _row("", 0, line, encoding, cut_short=False)
        if isinstance(row, dict):
            for name, value in row.items():
                seen.setdefault(name, set()).add(type(value))
    types = {}
    for name, kinds in seen.items():
        kinds.discard(type(None))
        if kinds == {list}:
            types[name] = pyarrow.list_(pyarrow.string())
        elif kinds == {int}:
            types[name] = pyarrow.int64()
        elif kinds and kinds <= {int, float}:
            types[name] = pyarrow.float64()
        else:
            types[name] = pyarrow.string()
    return types


def _pieces(block: Block) -> Iterator[Block]:
    at, line = 0, block.first_line
    while at < len(block.data):
        end = block.data.find(b"\n", at + PIECE) + 1 or len(block.data)
        data = block.data[at:end]
        yield Block(data, line, block.last and end == len(block.data))
        line += data.count(b"\n")
        at = end


def _row(
    file: str, number: int, line: bytes, encoding: str, cut_short: bool
) -> dict[str, Any] | BadRow | None:
    if not line.strip():
        return None
    shown = line.decode(encoding, "backslashreplace")
    try:
        row = json.loads(line.decode(encoding))
    except UnicodeDecodeError:
        return BadRow(file, number, "", shown, f"not valid {encoding}")
    except (ValueError, RecursionError):
        return BadRow(
            file, number, "", shown, "half-written last line" if cut_short else "not valid JSON"
        )
    if not isinstance(row, dict):
        return BadRow(file, number, "", shown, "not a JSON object")
    return row


def _kept(type: pyarrow.DataType) -> pyarrow.DataType:
    """The type of the column that a chunk has: text, or a list of texts."""
    import pyarrow

    return type if pyarrow.types.is_list(type) else pyarrow.string()


def _as_text(column: pyarrow.Array) -> pyarrow.Array:
    return column.cast(_kept(column.type))


def _text(value: Any, type: pyarrow.DataType) -> Any:
    import pyarrow

    if value is None:
        return None
    if pyarrow.types.is_list(type):
        values = value if isinstance(value, list) else [value]
        return [each if isinstance(each, str) else json.dumps(each) for each in values]
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
