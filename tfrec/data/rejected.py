"""Rows that cannot be used: written aside with file, line, field and reason, and counted."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

REJECTED = "rejected.csv"
HIDDEN = "(hidden)"
_LONGEST_VALUE = 200
_SHOWN = 3


@dataclass(frozen=True)
class BadRow:
    """Why one row cannot be used.

    Attributes:
        file: the file that holds it.
        line: line number (row number in Parquet files), counted from 1.
        field: the column that is wrong; empty when the row as a whole is.
        value: what stands there, or the row.
        reason: what is wrong with it.
    """

    file: str
    line: int
    field: str
    value: str
    reason: str

    def __str__(self) -> str:
        field = f" {self.field}" if self.field else ""
        return f"{self.file}:{self.line}{field}: {self.reason} ({_short(self.value, 60)!r})"


class Rejected:
    """Writes bad rows to a CSV file as they are found and keeps the counts and the first few.

    Arguments:
        path: the file to write.
        user_fields: the columns of user ids; only needed with `mask`.
        mask: how a user id is shown where ids must not be stored in clear. Whole rows are then
            not shown at all, because an id stands somewhere in them.

    Example:
        >>> with Rejected(Path("rejected.csv")) as rejected:          # doctest: +SKIP
        ...     rejected.add([BadRow("log.csv", 7, "time", "x", "not a time")])
    """

    def __init__(
        self,
        path: Path,
        user_fields: Collection[str] = (),
        mask: Callable[[str], str] | None = None,
    ) -> None:
        self.path = path
        self.total = 0
        self.by_reason: Counter[str] = Counter()
        self.first: list[BadRow] = []
        self._user_fields = user_fields
        self._mask = mask
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(["file", "line", "field", "value", "reason"])

    def add(self, rows: Iterable[BadRow]) -> None:
        for row in rows:
            shown = BadRow(row.file, row.line, row.field, self._shown(row), row.reason)
            self._writer.writerow(
                [shown.file, shown.line, shown.field, _short(shown.value), shown.reason]
            )
            self.total += 1
            self.by_reason[shown.reason] += 1
            if len(self.first) < _SHOWN:
                self.first.append(shown)

    def flush(self) -> None:
        """Everything so far is in the file after this."""
        self._file.flush()

    def _shown(self, row: BadRow) -> str:
        if self._mask is None or (row.field and row.field not in self._user_fields):
            return row.value
        return self._mask(row.value) if row.field and row.value else HIDDEN

    def __enter__(self) -> Rejected:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def _short(value: str, longest: int = _LONGEST_VALUE) -> str:
    return value if len(value) <= longest else value[:longest] + "…"
