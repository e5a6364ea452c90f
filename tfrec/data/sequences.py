"""Ragged views of an event log: the type that models, baselines and metrics all read.

Nothing is copied: a view is row boundaries over column arrays that stay memory-mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


def ragged_index(starts: Int64, lengths: Int64) -> Int64:
    """Row numbers of many ranges, one after another, without a Python loop.

    Arguments:
        starts: first row of each range, shape [N].
        lengths: rows in each range, shape [N].

    Returns:
        int64 [sum(lengths)].

    Example:
        >>> ragged_index(np.array([5, 0]), np.array([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    rows: Int64 = np.arange(total, dtype=np.int64)
    rows += np.repeat(starts - (ends - lengths), lengths)
    return rows


@dataclass(frozen=True, eq=False)
class Texts:
    """What users say, numbered behind the items: `first + k` is text k.

    Attributes:
        first: number of items, I.
        vectors: what the encoder makes of each, float32 [K, text_dim].
        words: the texts themselves, K.
    """

    first: int
    vectors: Float32
    words: Sequence[str]


@dataclass(frozen=True)
class Columns:
    """Event columns, all of length E, events of one user contiguous and in time order.

    Attributes:
        item: int32, index into the catalogue, 0 .. num_items - 1; from `texts.first` on a text.
        timestamp: int64, unix milliseconds.
        action: int16 index into the action vocabulary, or None when the log has no actions.
        strength: float32 (rating, dwell, count), or None.
        texts: what some events say; None where all are of items.
    """

    item: npt.NDArray[np.int32]
    timestamp: npt.NDArray[np.int64]
    action: npt.NDArray[np.int16] | None = None
    strength: npt.NDArray[np.float32] | None = None
    texts: Texts | None = None

    def take(self, rows: Int64 | Bool) -> Columns:
        """The chosen events, in the chosen order."""
        return Columns(
            item=self.item[rows],
            timestamp=self.timestamp[rows],
            action=None if self.action is None else self.action[rows],
            strength=None if self.strength is None else self.strength[rows],
            texts=self.texts,
        )


@dataclass(frozen=True)
class Sequences:
    """Row n is `columns.*[starts[n]:stops[n]]`: the events of user `users[n]`, oldest first.

    Example:
        >>> log = Columns(item=np.array([3, 1, 2], np.int32), timestamp=np.arange(3))
        >>> two = Sequences(np.array([0, 1], np.int32), np.array([0, 2]), np.array([2, 3]), log)
        >>> two.last(1).padded_items(length=2).tolist()
        [[-1, 1], [-1, 2]]
    """

    users: Int32
    starts: Int64
    stops: Int64
    columns: Columns

    def __len__(self) -> int:
        return len(self.users)

    @property
    def lengths(self) -> Int64:
        return self.stops - self.starts

    @property
    def num_events(self) -> int:
        return int(self.lengths.sum())

    def take(self, rows: slice | npt.NDArray[np.integer] | Bool) -> Sequences:
        """The chosen sequences, in the chosen order."""
        return replace(
            self, users=self.users[rows], starts=self.starts[rows], stops=self.stops[rows]
        )

    def last(self, max_length: int | Int64) -> Sequences:
        """Each sequence cut to its newest `max_length` events, one number for all or one each."""
        return replace(self, starts=np.maximum(self.starts, self.stops - max_length))

    def event_rows(self) -> Int64:
        """Row numbers in `columns` of all events, sequence after sequence, [num_events]."""
        return ragged_index(self.starts, self.lengths)

    def items(self) -> Int32:
        """Item index of all events, sequence after sequence, [num_events]."""
        return np.asarray(self.columns.item[self.event_rows()])

    def padded_items(self, length: int) -> Int32:
        """The newest `length` items of each sequence, right-aligned, [N, length]; -1 pads."""
        cut = self.last(length)
        out = np.full((len(self), length), -1, np.int32)
        rows = np.repeat(np.arange(len(cut)), cut.lengths)
        slots = ragged_index(length - cut.lengths, cut.lengths)
        out[rows, slots] = cut.items()
        return out


def count_items(sequences: Sequences, num_items: int) -> Int64:
    """Events per item, int64 [num_items], read block by block so that memory stays flat."""
    counts = np.zeros(num_items, np.int64)
    for start in range(0, len(sequences), 1 << 16):
        block = sequences.take(slice(start, start + (1 << 16)))
        counts += np.bincount(block.items(), minlength=num_items)
    return counts
