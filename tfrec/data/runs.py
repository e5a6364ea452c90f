"""External sort: events in any order -> events by user, time and order of the source.

Every chunk becomes a run: stably sorted by user and appended to one file. Afterwards the number of
events of every user is known, so the users are cut into ranges that fit in memory; a range is a
contiguous piece of every run, and runs are read side by side, each from front to back. Memory is
one range plus a small buffer per run, whatever the length of the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tfrec.data.parallel import in_order
from tfrec.data.sequences import Int32, Int64

Records = npt.NDArray[np.void]

# Events that are sorted at a time. A range is longer only where a single user has more events.
RANGE = 1 << 18
_LEAST_READ = 1 << 10


class Runs:
    """Collects events, then gives them back in order.

    Arguments:
        path: the file to spill to.
        fields: name and dtype of every column; "user" (int32) and "timestamp" (int64) among them.

    Example:
        >>> runs = Runs(Path("runs.bin"), [("user", "i4"), ("timestamp", "i8")])  # doctest: +SKIP
        >>> runs.add({"user": users, "timestamp": times})                         # doctest: +SKIP
        >>> for records in runs.sorted(): ...                                     # doctest: +SKIP
    """

    def __init__(self, path: Path, fields: list[tuple[str, str]]) -> None:
        self.dtype = np.dtype(fields)
        self._path = path
        self._file = path.open("wb")
        self._lengths: list[int] = []
        self._counts = np.zeros(0, np.int64)

    def add(self, columns: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """One run: columns of equal length, rows in the order of the source."""
        users = columns["user"].astype(np.int32, copy=False)
        if not len(users):
            return
        order = None if (users[1:] >= users[:-1]).all() else _stable_order(users)
        records = np.empty(len(users), self.dtype)
        for name in self.dtype.names or ():
            column = columns[name]
            records[name] = column if order is None else column[order]
        records.tofile(self._file)
        self._lengths.append(len(records))
        counts = np.bincount(users)
        if len(counts) > len(self._counts):
            counts[: len(self._counts)] += self._counts
            self._counts = counts
        else:
            self._counts[: len(counts)] += counts

    @property
    def user_counts(self) -> Int64:
        """Events of every user, int64 [users]."""
        return self._counts

    def sorted(self, size: int = RANGE) -> Iterator[Records]:
        """All events, in pieces of whole users, by user, time and order of the source."""
        self._file.close()
        yield from in_order(_in_order_of_time, self._ranges(size))

    def _ranges(self, size: int) -> Iterator[Records]:
        before = np.cumsum(self._counts) - self._counts
        # The first user of every range: where the running count enters another multiple of size.
        bounds = np.flatnonzero(np.diff(before // size, prepend=0)).tolist()
        bounds.append(len(self._counts))
        ahead = max(_LEAST_READ, 2 * size // max(1, len(self._lengths)))
        starts = np.cumsum([0, *self._lengths])
        with self._path.open("rb") as file:
            cursors = [
                _Cursor(file.fileno(), self.dtype, int(start), length, ahead)
                for start, length in zip(starts, self._lengths, strict=False)
            ]
            for bound in bounds:
                parts = [part for cursor in cursors for part in cursor.until(bound)]
                if parts:
                    yield np.concatenate(parts)


class _Cursor:
    """Reads one run from front to back."""

    def __init__(
        self, file: int, dtype: np.dtype[np.void], start: int, length: int, ahead: int
    ) -> None:
        self._file = file
        self._dtype = dtype
        self._next = start
        self._left = length
        self._ahead = ahead
        self._buffer = np.empty(0, dtype)

    def until(self, user: int) -> Iterator[Records]:
        """The records of users below `user` that were not given yet."""
        while True:
            cut = int(np.searchsorted(self._buffer["user"], user))
            if cut:
                yield self._buffer[:cut]
            self._buffer = self._buffer[cut:]
            if len(self._buffer) or not self._left:
                return
            count = min(self._ahead, self._left)
            size = self._dtype.itemsize
            self._buffer = np.frombuffer(
                os.pread(self._file, count * size, self._next * size), self._dtype
            )
            self._next += count
            self._left -= count


def _in_order_of_time(records: Records) -> Records:
    """Sorts by user and time; equal times keep their order."""
    users = records["user"].astype(np.int64)
    users -= users.min()
    times = records["timestamp"]
    earliest = int(times.min())
    since = (times - earliest).astype(np.uint64)
    span, rows = int(since.max()), len(records)
    unit = 1000 if span and not (since % 1000).any() else 1
    bits_time, bits_row = (span // unit).bit_length(), (rows - 1).bit_length()
    if int(users.max()).bit_length() + bits_time + bits_row > 64:
        return records[np.lexsort((times, users))]
    # User, time and row fit into one number each: sorting numbers is far faster than sorting rows.
    keys = users.astype(np.uint64) << np.uint64(bits_time + bits_row)
    keys |= (since // np.uint64(unit)) << np.uint64(bits_row)
    keys |= np.arange(rows, dtype=np.uint64)
    if (keys[1:] >= keys[:-1]).all():
        return records
    keys.sort()
    return records[(keys & np.uint64((1 << bits_row) - 1)).astype(np.int64)]


def _stable_order(users: Int32) -> Int64:
    keys = users.astype(np.int64) << 32
    keys |= np.arange(len(users))
    keys.sort()
    return keys & 0xFFFFFFFF
