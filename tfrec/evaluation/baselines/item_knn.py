"""ItemKNN: what is taken by the same people as the things in the history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Sequences
from tfrec.evaluation.baselines.baseline import Memo
from tfrec.evaluation.baselines.interactions import binary_matrix

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_CELLS_PER_BLOCK = 1 << 23


@dataclass(eq=False)
class ItemKNN:
    """Score of i: sum over the items j of the history of sim(j, i), for i among j's neighbours.

    sim(j, i) = <x_j, x_i> / (|x_j| |x_i| + shrinkage), x_j the users of item j. A user who took n
    items counts n^(-user_damping) in the products: somebody who took everything says little.

    Deshpande & Karypis, "Item-based top-N recommendation algorithms", TOIS 2004, sections 4.1
    and 4.2 (there, damping is the row normalisation, exponent 1/2 on either side); shrinkage as
    in Bell & Koren, "Improved neighborhood-based collaborative filtering", 2007.

    Arguments:
        neighbours: similar items kept per item.
        shrinkage: pulls similarities that rest on few users towards 0.
        user_damping: 0 counts all users alike, 1 gives each the same say in total.
    """

    name: ClassVar[str] = "ItemKNN"
    GRID: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "neighbours": (5, 10, 20, 50, 100, 200, 500),
        "shrinkage": (0.0, 3.0, 10.0, 30.0, 100.0, 300.0),
        "user_damping": (0.0, 0.5, 1.0),
    }

    neighbours: int = 100
    shrinkage: float = 10.0
    user_damping: float = 0.5
    _similarity: csr_matrix = field(init=False, repr=False)  # [num_items, num_items]

    def fit(self, train: Sequences, num_items: int, memo: Memo | None = None) -> None:
        from scipy.sparse import vstack

        matrix = binary_matrix(train, num_items)
        sizes = np.maximum(np.diff(matrix.indptr), 1)
        damping = sizes.astype(np.float32) ** (-self.user_damping / 2)
        matrix.data = np.repeat(damping, np.diff(matrix.indptr))
        by_item = matrix.T.tocsr()
        norms = np.sqrt(by_item.multiply(by_item).sum(axis=1)).A1.astype(np.float32)

        block = max(1, _CELLS_PER_BLOCK // num_items)
        kept = []
        for start in range(0, num_items, block):
            rows = slice(start, min(start + block, num_items))
            products = (by_item[rows] @ matrix).toarray()  # [block, num_items]
            scale = norms[rows, None] * norms + np.float32(self.shrinkage)
            # Where the scale is 0 one of the items has no user, and the product is 0 too.
            similarity = np.divide(products, scale, out=products, where=scale > 0)
            similarity[np.arange(similarity.shape[0]), np.arange(rows.start, rows.stop)] = 0.0
            kept.append(_largest(similarity, self.neighbours))
        self._similarity = vstack(kept, format="csr")

    def score(self, cases: Cases) -> Float32:
        history = binary_matrix(cases.histories, self._similarity.shape[0])
        scores: Float32 = (history @ self._similarity).toarray()
        return scores

    def needed_bytes(self, train: Sequences, num_items: int) -> int:
        widest: int = min(max(self.GRID["neighbours"]), num_items)
        return 2 * 8 * train.num_events + 3 * 8 * num_items * widest + 16 * _CELLS_PER_BLOCK


def _largest(similarity: Float32, count: int) -> csr_matrix:
    """The `count` largest positive entries of each row."""
    from scipy.sparse import csr_matrix

    rows, num_items = similarity.shape
    count = min(count, num_items)
    columns = np.argpartition(similarity, num_items - count, axis=1)[:, num_items - count :]
    values = np.take_along_axis(similarity, columns, axis=1)
    starts = np.arange(0, rows * count + 1, count)
    largest = csr_matrix((values.ravel(), columns.ravel(), starts), shape=similarity.shape)
    largest.eliminate_zeros()
    return largest
