"""Packs histories of unequal length into rows of equal length, so that padding costs nothing.

Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination", arXiv 2107.02027,
algorithm 1 with best fit: the work is on the histogram of lengths, not on the sequences, so
planning costs O(length²) whatever the number of users.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from tfrec.data.sequences import Int32, Int64, ragged_index


@dataclass(frozen=True)
class Packing:
    """Where each sequence lies: slot s holds `length[s]` tokens of row `row[s]` from `offset[s]`.

    Slots are ordered by row, then offset; `row_starts` [rows + 1] delimits them.
    `order` [sequences] lists the sequences by length: slot s takes `order[rank[s]]`, so shuffling
    sequences of equal length inside `order` gives another, equally tight, packing.
    """

    row_length: int
    offset: Int32
    length: Int32
    row_starts: Int64
    rank: Int64
    order: Int64

    @property
    def num_rows(self) -> int:
        return len(self.row_starts) - 1

    def sequences(self, generator: np.random.Generator | None = None) -> Int64:
        """The sequence in each slot, [slots]; a generator shuffles those of equal length."""
        if generator is None:
            return self.order[self.rank]
        lengths = np.empty(len(self.rank), self.length.dtype)
        lengths[self.rank] = self.length
        keys = generator.random(len(lengths))
        return self.order[np.lexsort((keys, lengths))][self.rank]

    def slots(self, rows: Int64) -> tuple[Int64, Int64]:
        """Slots of the chosen rows, and for each the place of its row in `rows`."""
        counts = self.row_starts[rows + 1] - self.row_starts[rows]
        return ragged_index(self.row_starts[rows], counts), np.repeat(np.arange(len(rows)), counts)


def pack(lengths: Int64, row_length: int) -> Packing:
    """Plans rows of `row_length` tokens for sequences of the given lengths.

    Arguments:
        lengths: tokens per sequence, [sequences], each between 1 and `row_length`.
        row_length: tokens per row.

    Raises:
        ValueError: a length is out of range.

    Example:
        >>> packing = pack(np.array([3, 2, 1, 4]), row_length=5)
        >>> packing.num_rows
        2
    """
    if len(lengths) and not (lengths.min() >= 1 and lengths.max() <= row_length):
        raise ValueError(
            f"lengths run from {lengths.min()} to {lengths.max()}, not 1..{row_length}"
        )
    recipes = _best_fit(np.bincount(lengths, minlength=row_length + 1), row_length)

    copies = np.array([count for count, _ in recipes], np.int64)
    per_row = np.array([len(parts) for _, parts in recipes], np.int64)
    parts = np.array([part for _, parts in recipes for part in parts], np.int32)
    starts = np.array(
        [start for _, parts in recipes for start in np.cumsum([0, *parts[:-1]])], np.int32
    )
    # Each recipe stands `copies` times, row after row.
    first = np.repeat(np.cumsum(per_row) - per_row, copies)
    row_sizes = np.repeat(per_row, copies)
    slots = ragged_index(first, row_sizes)
    length = parts[slots]
    rank = np.empty(len(length), np.int64)
    rank[np.argsort(length, kind="stable")] = np.arange(len(length))
    return Packing(
        row_length=row_length,
        offset=starts[slots],
        length=length,
        row_starts=np.concatenate([np.zeros(1, np.int64), np.cumsum(row_sizes)]),
        rank=rank,
        order=np.argsort(lengths, kind="stable"),
    )


def _best_fit(histogram: Int64, row_length: int) -> list[tuple[int, list[int]]]:
    """Rows as recipes (copies, lengths in the row): longest first, into the fullest row it fits."""
    open_rows: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)  # by space that is left
    for length in range(row_length, 0, -1):
        waiting = int(histogram[length])
        while waiting:
            space = next((s for s in range(length, row_length) if open_rows[s]), row_length)
            # A new row takes as many of this length as it holds.
            per_row = min(row_length // length, waiting) if space == row_length else 1
            copies, parts = (
                open_rows[space].pop() if space < row_length else (waiting // per_row, [])
            )
            used = min(copies, waiting // per_row)
            if copies > used:
                open_rows[space].append((copies - used, parts))
            open_rows[space - per_row * length].append((used, [*parts, *[length] * per_row]))
            waiting -= used * per_row
    return [recipe for space in sorted(open_rows) for recipe in open_rows[space]]
