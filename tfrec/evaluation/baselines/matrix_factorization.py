"""Biased matrix factorisation of implicit feedback, by alternating least squares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Sequences
from tfrec.evaluation.baselines.baseline import Memo
from tfrec.evaluation.baselines.interactions import binary_matrix

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_CELLS_PER_BLOCK = 1 << 21
# Multiplications in a product up to which OpenBLAS uses one thread.
_SERIAL_PRODUCT = 1 << 18


@dataclass(eq=False)
class BiasedMF:
    """score(u, i) = a_u + b_i + <p_u, q_i>, fitted to 1 where u took i and, weakly, to 0 elsewhere.

    Minimises, over all users and items,

        sum over taken (u, i) of (score − 1)² + w · sum over all (u, i) of score²
        + λ · [sum_u (n_u + w I) (|p_u|² + a_u²) + sum_i (n_i + w U) (|q_i|² + b_i²)],

    n_u, n_i the counts of taken pairs, U users, I items. Every half-step is exact. A case's user
    vector is the same exact half-step on the case's history, so unknown users are no exception.

    Hu, Koren & Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008;
    the loss and the frequency-scaled regulariser (its ν = 1) of Rendle, Krichene, Zhang & Koren,
    "Revisiting the performance of iALS on item recommendation benchmarks", RecSys 2022
    (arXiv 2110.14037); biases as in Koren, Bell & Volinsky, IEEE Computer 2009.

    Arguments:
        dimensions: length of p_u and q_i.
        unobserved_weight: w.
        regularization: λ.
        iterations: rounds of (users, items).
        seed: of the item vectors before the first round.
    """

    name: ClassVar[str] = "Biased MF"
    GRID: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "unobserved_weight": (0.03, 0.1, 0.3, 1.0, 3.0),
        "regularization": (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03),
        "dimensions": (16, 32, 64),
    }

    dimensions: int = 32
    unobserved_weight: float = 1.0
    regularization: float = 0.001
    iterations: int = 8
    seed: int = 0
    _items: Float32 = field(init=False, repr=False)  # [num_items, dimensions + 1], last is b_i

    def fit(self, train: Sequences, num_items: int, memo: Memo | None = None) -> None:
        taken = (memo or Memo()).once("taken", (), lambda: binary_matrix(train, num_items))
        takers = taken.T.tocsr()
        random = np.random.default_rng(self.seed).normal(size=(num_items, self.dimensions + 1))
        self._items = (0.1 / np.sqrt(self.dimensions) * random).astype(np.float32)
        self._items[:, -1] = 0.0
        for _ in range(self.iterations):
            users = self._half_step(taken, self._items)
            self._items = self._half_step(takers, users)

    def score(self, cases: Cases) -> Float32:
        history = binary_matrix(cases.histories, len(self._items))
        users = self._half_step(history, self._items)
        scores: Float32 = users[:, :-1] @ self._items[:, :-1].T
        scores += users[:, -1:]
        scores += self._items[:, -1]
        return scores

    def needed_bytes(self, train: Sequences, num_items: int) -> int:
        largest: int = max(self.GRID["dimensions"]) + 1
        vectors = 4 * largest * (len(train) + num_items)
        return 3 * vectors + 4 * 8 * train.num_events + 8 * 4 * _CELLS_PER_BLOCK

    def _half_step(self, taken: csr_matrix, others: Float32) -> Float32:
        """The vectors and biases of one side that are best for those of the other side.

        Arguments:
            taken: [rows, columns], 1 where taken.
            others: [columns, dimensions + 1], their vectors and, last, their biases.

        Returns:
            float32 [rows, dimensions + 1], likewise.
        """
        # A row's bias is the coefficient of a constant feature; a column's bias is a fixed part
        # of the prediction. One more column, all zeros, serves as padding.
        features = np.zeros((len(others) + 1, others.shape[1]), np.float32)
        features[:-1, :-1] = others[:, :-1]
        features[:-1, -1] = 1.0
        residual = np.zeros(len(features), np.float32)  # what is left of a 1
        residual[:-1] = 1.0 - others[:, -1]

        weight = np.float32(self.unobserved_weight)
        gram_all = weight * (features.T @ features)  # [d + 1, d + 1]
        target_all = weight * (features[:-1].T @ -others[:, -1])  # [d + 1]
        identity = np.eye(features.shape[1], dtype=np.float32)
        out = np.empty((taken.shape[0], features.shape[1]), np.float32)
        for rows, columns, row_starts in _segments(taken, features.shape[1]):
            inputs = features[columns]  # [segments, length, d + 1]
            system = np.add.reduceat(inputs.transpose(0, 2, 1) @ inputs, row_starts)
            system += gram_all
            counts = np.diff(taken.indptr[rows.start : rows.stop + 1])
            scale = np.float32(self.regularization) * (counts + weight * len(others))
            system += scale.astype(np.float32)[:, None, None] * identity
            target = np.add.reduceat((residual[columns][:, None] @ inputs)[:, 0], row_starts)
            target += target_all
            out[rows] = np.linalg.solve(system, target[:, :, None])[:, :, 0]
        return out


def _segments(
    taken: csr_matrix, width: int
) -> Iterator[tuple[slice, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Rows cut into segments of equal length, a block of rows at a time.

    One product per segment, added up per row: no row is padded to the length of another, and no
    product is so large that BLAS starts threads for it. (Thousands of tiny parallel products take
    ten times as long as serial ones as soon as another process uses a core.)

    Yields:
        the block's rows; the column numbers [segments, length], the last segment of a row padded
        with the number one past the last column; the first segment of each row.
    """
    length = max(8, min(64, _SERIAL_PRODUCT // width**2))
    # An empty row has one segment too, of padding alone.
    per_row = np.maximum(1, -(-np.diff(taken.indptr) // length))
    last_segment = np.cumsum(per_row, dtype=np.int64)
    per_block = max(1, _CELLS_PER_BLOCK // (max(length, width) * width))
    start = 0
    while start < len(per_row):
        first = int(last_segment[start] - per_row[start])
        stop = max(start + 1, int(np.searchsorted(last_segment, first + per_block, side="right")))
        segments = per_row[start:stop]
        row_starts = last_segment[start:stop] - segments - first
        # Position in `indices` of each segment's first column, and the end of its row.
        place = np.arange(segments.sum()) - np.repeat(row_starts, segments)
        position = np.repeat(taken.indptr[start:stop], segments) + place * length
        end = np.repeat(taken.indptr[start + 1 : stop + 1], segments)
        slots = position[:, None] + np.arange(length)
        real = slots < end[:, None]
        columns = np.full(slots.shape, taken.shape[1])
        columns[real] = taken.indices[slots[real]]
        yield slice(start, stop), columns, row_starts
        start = stop
