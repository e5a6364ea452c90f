"""TextKNN: what reads like the things in the history. The only baseline that knows a new item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Sequences
from tfrec.evaluation.baselines.baseline import Memo
from tfrec.evaluation.baselines.interactions import aged_matrix

_WINDOW = 200  # newest events of a history that are read


@dataclass(eq=False)
class TextKNN:
    """Score of i: Σ_s 2^(-age_s / half_life) · max(0, cos(s, i))^sharpness over past events s.

    A content-based nearest-neighbour recommender (Lops, de Gemmis & Semeraro, "Content-based
    recommender systems", Recommender Systems Handbook 2011, section 3.3.1), with the decay that
    makes sequences strong.

    Arguments:
        name: as printed in the results table.
        vectors: gives one row per item, dense or sparse [I, d]; of any length, zero for an item
            without a text. Called when the baseline is fitted.
        sharpness: above 1 near neighbours count more and the many far ones less.
        half_life: newer events of the user after which an event counts half.
    """

    GRID: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "half_life": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 200.0),
        "sharpness": (1.0, 2.0, 4.0, 8.0, 16.0),
    }

    name: str = field(repr=False)
    vectors: Callable[[], Any] = field(repr=False)
    half_life: float = 10.0
    sharpness: float = 2.0

    def fit(self, train: Sequences, num_items: int, memo: Memo | None = None) -> None:
        cosines = (memo or Memo()).once(
            f"cosines {self.name}", (), lambda: _cosines(self.vectors())
        )
        self._similarity = cosines if self.sharpness == 1 else cosines**self.sharpness

    def score(self, cases: Cases) -> Float32:
        weights = 0.5 ** (np.arange(_WINDOW) / self.half_life)
        history = aged_matrix(cases.histories, len(self._similarity), weights)
        return np.asarray(history @ self._similarity, np.float32)

    def needed_bytes(self, train: Sequences, num_items: int) -> int:
        return 3 * 4 * num_items**2


def _cosines(vectors: Any) -> Float32:
    """max(0, cosine) of all pairs of rows, float32 [I, I]; 0 for a row of zeros."""
    if isinstance(vectors, np.ndarray):
        rows: npt.NDArray[np.float32] = np.asarray(vectors, np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
        products = rows @ rows.T
    else:
        lengths = np.sqrt(vectors.multiply(vectors).sum(axis=1)).A1
        scale = 1 / np.maximum(lengths, np.finfo(np.float32).tiny)
        unit = vectors.multiply(scale[:, None]).tocsr()
        products = (unit @ unit.T).toarray()
    return np.asarray(np.maximum(products, 0, out=products), np.float32)
