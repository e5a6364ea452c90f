"""EASE: the best linear map from what a user took to what the user took, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Sequences
from tfrec.evaluation.baselines.baseline import Memo
from tfrec.evaluation.baselines.interactions import binary_matrix, gram

# Rows eliminated together; the last size is small enough for LAPACK to use one thread.
_BLOCKS = (256, 32)
_ROWS = 1024  # rows updated together


@dataclass(eq=False)
class EASE:
    """scores = x · B with B = argmin |X − X B|² + λ |B|² over B with a zero diagonal.

    X [users, items] is 1 where the user took the item, x such a row for the case's history. With
    P = (XᵀX + λ I)⁻¹ the minimum is B_ij = −P_ij / P_jj off the diagonal.

    Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019 (arXiv 1905.03375),
    equations 2, 3 and 8.

    Arguments:
        regularization: λ, in users.
    """

    name: ClassVar[str] = "EASE"
    GRID: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "regularization": (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
    }

    regularization: float = 300.0
    _weights: Float32 = field(init=False, repr=False)  # [num_items, num_items]

    def fit(self, train: Sequences, num_items: int, memo: Memo | None = None) -> None:
        counts = (memo or Memo()).once("gram", (), lambda: gram(binary_matrix(train, num_items)))
        weights = counts.copy()
        weights[np.diag_indices(num_items)] += self.regularization
        invert(weights)
        weights /= -np.diag(weights).copy()
        np.fill_diagonal(weights, 0.0)
        self._weights = weights

    def score(self, cases: Cases) -> Float32:
        scores: Float32 = binary_matrix(cases.histories, len(self._weights)) @ self._weights
        return scores

    def needed_bytes(self, train: Sequences, num_items: int) -> int:
        # The Gram matrix, the best weights so far and those of the next trial.
        return 3 * 4 * num_items**2 + 2 * 8 * train.num_events


def invert(matrix: Float32) -> None:
    """Replaces a symmetric positive definite matrix by its inverse, in place.

    Gauss-Jordan elimination by blocks, without pivoting, which positive definite matrices do not
    need. Nearly all of it is products of large matrices. LAPACK's potrf and potri are as exact,
    but with threads they take several times as long as soon as another process uses a core.

    Raises:
        numpy.linalg.LinAlgError: the matrix is not positive definite in its precision.
    """
    _eliminate(matrix, _BLOCKS)


def _eliminate(matrix: npt.NDArray[np.floating], sizes: tuple[int, ...]) -> None:
    """`invert` in blocks of sizes[0], which are themselves inverted in blocks of sizes[1], …"""
    size, smaller = sizes[0], sizes[1:]
    for start in range(0, len(matrix), size):
        block = slice(start, min(start + size, len(matrix)))
        pivot = matrix[block, block].astype(np.float64)
        if smaller:
            _eliminate(pivot, smaller)
        else:
            pivot = _invert_small(pivot)
        rows = pivot.astype(matrix.dtype) @ matrix[block]  # [block, num_items]
        rows[:, block] = pivot
        columns = matrix[:, block].copy()  # [num_items, block]
        columns[block] = 0.0
        matrix[:, block] = 0.0
        for top in range(0, len(matrix), _ROWS):
            matrix[top : top + _ROWS] -= columns[top : top + _ROWS] @ rows
        matrix[block] = rows


def _invert_small(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    try:
        half = np.linalg.inv(np.linalg.cholesky(matrix))
    except np.linalg.LinAlgError:
        raise np.linalg.LinAlgError(
            "the item matrix is not positive definite in single precision; "
            "a larger regularization makes it so"
        ) from None
    inverse: npt.NDArray[np.float64] = half.T @ half
    return inverse
