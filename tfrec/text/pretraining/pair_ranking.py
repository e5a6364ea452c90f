"""How well the partners of held-out texts are found among all texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Int64, ragged_index
from tfrec.text.pretraining.item_pairs import ItemPairs

# Held-out texts that ask, at the most, and those that ask together.
_ASKING, _BLOCK = 2000, 64
_NEAREST = 10

Scores = Callable[[Int64], npt.NDArray[np.floating]]


class HeldOutPairs:
    """Ranks all texts for texts that nobody learned from: their partners should come first.

    A held-out text asks, all N others answer. Each of its partners counts by how often the two
    were taken together, and each text that asks counts the same:
        mrr        1 / rank of the partner
        recall@10  whether it is among the first ten
        accuracy   how often it stands before a text drawn by how often it is anyone's partner, so
                   that knowing what is popular is worth .5
    Equal scores share the mean of their ranks.

    Arguments:
        pairs: with held-out texts.

    Attributes:
        asking: the texts that ask, [A].
        asked: partners that are looked for.
        popularity: how often a text is a partner in a pair that trains, [N].
    """

    def __init__(self, pairs: ItemPairs) -> None:
        self.asking = np.flatnonzero(pairs.held_out)[:_ASKING]
        self._pairs = pairs
        self.asked = int(np.diff(pairs.starts)[self.asking].sum())
        count, trains = len(pairs), pairs.trains
        self.popularity = np.bincount(pairs.partners[trains], pairs.counts[trains], count)
        self._drawn = np.bincount(pairs.partners, pairs.counts, count)

    def __call__(self, scores: Scores) -> dict[str, float]:
        """Measures scores [n, N] that are given for n numbers of texts."""
        total = np.zeros(3)
        for start in range(0, len(self.asking), _BLOCK):
            texts = self.asking[start : start + _BLOCK]
            total += self._block(texts, np.array(scores(texts), np.float64))
        mrr, recall, accuracy = total / len(self.asking)
        return {"mrr": mrr, f"recall@{_NEAREST}": recall, "accuracy": accuracy}

    def _block(self, texts: Int64, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        from scipy.stats import rankdata

        pairs = self._pairs
        rows = np.arange(len(texts))
        drawn = np.tile(self._drawn, (len(texts), 1))
        scores[rows, texts], drawn[rows, texts] = -np.inf, 0  # nobody asks for oneself
        lengths = np.diff(pairs.starts)[texts]
        edges = ragged_index(pairs.starts[texts], lengths)
        row, column = np.repeat(rows, lengths), pairs.partners[edges]
        counts = pairs.counts[edges].astype(np.float64)
        counts /= np.bincount(row, counts)[row]

        least = rankdata(scores, "min", axis=1)[row, column].astype(np.int64)  # 1 is the worst
        most = rankdata(scores, "max", axis=1)[row, column].astype(np.int64)
        rank = scores.shape[1] + 1 - (least + most) / 2
        below = np.take_along_axis(drawn, scores.argsort(axis=1), axis=1).cumsum(axis=1)
        worse = np.where(least > 1, below[row, least - 2], 0) + below[row, most - 1]
        found = np.stack([1 / rank, rank <= _NEAREST, worse / (2 * below[row, -1])])
        summed: npt.NDArray[np.float64] = found @ counts
        return summed
