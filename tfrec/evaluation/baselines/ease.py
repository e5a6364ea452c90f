"""EASE: the best linear map from what a user took to what the user took, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Sequences
from tfrec.evaluation.baselines.baseline import Memo
from tfrec.evaluation.baselines.interactions import binary_matrix, gram

_BLOCK = 1024


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
        "regularization": (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
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
    """Replaces a symmetric positive definite matrix by its inverse, in place, by Cholesky.

    Raises:
        numpy.linalg.LinAlgError: the matrix is not positive definite in its precision.
    """
    from scipy.linalg.lapack import get_lapack_funcs

    factorise: Any
    invert_factor: Any
    factorise, invert_factor = get_lapack_funcs(("potrf", "potri"), (matrix,))  # type: ignore[misc]
    # LAPACK counts columns first: it sees the transpose, which is the same matrix, without a copy.
    columns_first = matrix.T
    _, failed = factorise(columns_first, lower=1, clean=0, overwrite_a=1)
    if not failed:
        _, failed = invert_factor(columns_first, lower=1, overwrite_c=1)
    if failed:
        raise np.linalg.LinAlgError(
            "the item matrix is not positive definite in single precision; "
            "a larger regularization makes it so"
        )
    # Only one triangle came back (for us the upper one): copy it to the other, block by block.
    for start in range(0, len(matrix), _BLOCK):
        stop = start + _BLOCK
        corner = matrix[start:stop, start:stop]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T
