"""One chunk of raw rows -> checked event columns, with a reason for every row that is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tfrec.data import timestamps
from tfrec.data.chunk import Chunk
from tfrec.data.encode import Ids, read_ids
from tfrec.data.rejected import BadRow
from tfrec.data.sequences import Bool, Float32, Int64
from tfrec.data.timestamps import TimeUnit

if TYPE_CHECKING:
    import pyarrow

USER, ITEM, TIMESTAMP = "user_id", "item_id", "timestamp"
ACTION, STRENGTH, CONTEXT = "action", "strength", "context"


@dataclass(frozen=True)
class Events:
    """The good rows of a chunk as columns, and the bad ones.

    Attributes:
        users, items: their ids.
        times: int64 unix milliseconds; None in a log without times.
        actions, strengths, contexts: None where the log has none.
        file, lines: where the rows stand.
        bad: rows that are none of these.
        read: rows in the chunk, bad ones included.
    """

    users: Ids
    items: Ids
    times: Int64 | None
    actions: Ids | None
    strengths: Float32 | None
    contexts: Ids | None
    file: str
    lines: Int64
    bad: list[BadRow]
    read: int

    def __len__(self) -> int:
        return len(self.lines)

    def keep(self, rows: Bool) -> Events:
        """The chosen rows."""
        return replace(
            self,
            users=self.users.keep(rows),
            items=self.items.keep(rows),
            times=None if self.times is None else self.times[rows],
            actions=self.actions and self.actions.keep(rows),
            strengths=None if self.strengths is None else self.strengths[rows],
            contexts=self.contexts and self.contexts.keep(rows),
            lines=self.lines[rows],
        )


@dataclass(frozen=True)
class EventReader:
    """Checks chunks against what is known about the whole log.

    Attributes:
        columns: our name -> the file's name, of the columns that this log has.
        unit: how its times are written.
    """

    columns: dict[str, str]
    unit: TimeUnit

    def __call__(self, chunk: Chunk) -> Events:
        """Bad rows: no user, item or action; no plausible time; no finite strength."""
        read = len(chunk) + len(chunk.bad)
        users, items = self._ids(chunk, USER), self._ids(chunk, ITEM)
        assert users is not None
        assert items is not None
        actions, contexts = self._ids(chunk, ACTION), self._ids(chunk, CONTEXT)
        bad = _Marks(chunk, self.columns)
        bad.mark(USER, users.known, lambda value: "missing user")
        bad.mark(ITEM, items.known, lambda value: "missing item")
        times = strengths = None
        if TIMESTAMP in self.columns:
            times, known = timestamps.parse(self._column(chunk, TIMESTAMP), self.unit)
            bad.mark(TIMESTAMP, known, lambda value: timestamps.reason(value, self.unit))
        if actions is not None:
            bad.mark(ACTION, actions.known, lambda value: "missing action")
        if STRENGTH in self.columns:
            strengths, known = _finite(self._column(chunk, STRENGTH))
            bad.mark(STRENGTH, known, _strength_reason)
        rows = [*chunk.bad, *bad.rows]
        rows.sort(key=lambda row: row.line)
        events = Events(
            users, items, times, actions, strengths, contexts, chunk.file, chunk.lines, rows, read
        )
        return events if bad.good.all() else events.keep(bad.good)

    def _column(self, chunk: Chunk, name: str) -> pyarrow.Array:
        return _one_array(chunk.table[self.columns[name]])

    def _ids(self, chunk: Chunk, name: str) -> Ids | None:
        return read_ids(self._column(chunk, name)) if name in self.columns else None


class _Marks:
    """The first reason against each row."""

    def __init__(self, chunk: Chunk, columns: dict[str, str]) -> None:
        self.good = np.ones(len(chunk), bool)
        self.rows: list[BadRow] = []
        self._chunk = chunk
        self._columns = columns

    def mark(self, name: str, known: Bool | None, reason: Callable[[str], str]) -> None:
        if known is None or known.all():
            return
        field = self._columns[name]
        rows = np.flatnonzero(self.good & ~known)
        values = self._chunk.table[field].take(rows).to_pylist()
        for row, value in zip(rows.tolist(), values, strict=True):
            text = "" if value is None else str(value)
            line = int(self._chunk.lines[row])
            self.rows.append(BadRow(self._chunk.file, line, field, text, reason(text)))
        self.good &= known


def _finite(column: pyarrow.Array) -> tuple[Float32, Bool]:
    """float32 values, and which of them are finite."""
    numbers, known = timestamps.finite_numbers(column)
    with np.errstate(over="ignore"):
        values = numbers.astype(np.float32)
    return values, known & np.isfinite(values)


def _strength_reason(value: str) -> str:
    return "strength is not a finite number" if value.strip() else "missing strength"


def _one_array(column: pyarrow.ChunkedArray) -> pyarrow.Array:
    import pyarrow

    array = column.combine_chunks()
    # A column of several chunks that Arrow cannot join comes back as it was.
    if isinstance(array, pyarrow.ChunkedArray):
        array = pyarrow.concat_arrays(array.chunks)
    return array.dictionary_decode() if pyarrow.types.is_dictionary(array.type) else array
