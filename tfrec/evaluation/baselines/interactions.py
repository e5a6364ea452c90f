"""Histories as sparse matrices, and the Gram matrix of items, in pieces that fit in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Float32, Sequences

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

EVENTS_PER_CHUNK = 1 << 22
_CELLS_PER_BLOCK = 1 << 24


def chunks(sequences: Sequences, max_events: int = EVENTS_PER_CHUNK) -> Iterator[Sequences]:
    """Consecutive pieces of about `max_events` events; a sequence is never cut.

    Example:
        >>> from tfrec.data.sequences import Columns
        >>> log = Columns(np.arange(6, dtype=np.int32), np.arange(6))
        >>> users = Sequences(np.arange(3), np.array([0, 2, 4]), np.array([2, 4, 6]), log)
        >>> [len(piece) for piece in chunks(users, max_events=4)]
        [2, 1]
    """
    first_events = np.cumsum(sequences.lengths) - sequences.lengths
    piece = first_events // max_events
    bounds = np.flatnonzero(np.diff(piece, prepend=-1, append=-1))
    for start, stop in itertools.pairwise(bounds.tolist()):
        yield sequences.take(slice(start, stop))


def binary_matrix(sequences: Sequences, num_items: int) -> csr_matrix:
    """1 where the sequence holds the item, csr float32 [len(sequences), num_items]."""
    items = sequences.items()
    matrix = _csr(np.ones(len(items), np.float32), items, sequences, num_items)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def aged_matrix(sequences: Sequences, num_items: int, weights: npt.ArrayLike) -> csr_matrix:
    """Each event of a sequence weighed by its age, csr float32 [len(sequences), num_items].

    Arguments:
        weights: [window]; weights[a] is the weight of the event with a newer ones after it.
            Events older than the window are left out. An item that occurs twice counts twice.
    """
    weights = np.asarray(weights, np.float32)
    newest = sequences.last(len(weights))
    ages = np.repeat(newest.stops, newest.lengths) - 1 - newest.event_rows()
    return _csr(weights[ages], newest.items(), newest, num_items)


def gram(matrix: csr_matrix) -> Float32:
    """matrixᵀ · matrix, dense float32 [num_items, num_items]."""
    num_items = matrix.shape[1]
    by_item = matrix.T.tocsr()
    out = np.empty((num_items, num_items), np.float32)
    # The sparse product of a block needs twice the memory of the dense one.
    block = max(1, _CELLS_PER_BLOCK // num_items)
    for start in range(0, num_items, block):
        out[start : start + block] = (by_item[start : start + block] @ matrix).toarray()
    return out


def _csr(
    data: Float32, items: npt.NDArray[np.int32], rows: Sequences, num_items: int
) -> csr_matrix:
    from scipy.sparse import csr_matrix

    row_starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows.lengths)])
    return csr_matrix((data, items, row_starts), shape=(len(rows), num_items))
