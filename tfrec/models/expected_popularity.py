"""How popular an item will be, as far as its text and its categories tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Bool, Float32

Float64 = npt.NDArray[np.float64]

# Of the ridge regression, as multiples of the mean variance of a feature times the items.
PENALTIES = 10.0 ** np.arange(-4, 4)
# On so many items at the most, evenly chosen: more tell nothing new and cost memory.
ITEMS = 50_000


class ExpectedPopularity(NamedTuple):
    """A line through what is known of an item.

    Attributes:
        means: of each part of the description, [F_p] each.
        weights: of each part, [F_p, W] each.
        level: of an item of which nothing is known, in W periods, [W].
    """

    means: list[Float64]
    weights: list[Float64]
    level: Float64

    def of(self, parts: Sequence[npt.NDArray[np.floating] | None]) -> Float32:
        """lp of N items by period, [N, W].

        Arguments:
            parts: as they were fitted, [N, F_p] each; a row of zeros, or None for a whole part,
                says nothing.
        """
        count = next(len(part) for part in parts if part is not None)
        found = np.tile(self.level, (count, 1))
        for part, mean, weight in zip(parts, self.means, self.weights, strict=True):
            if part is not None:
                found += _centred(part, mean) @ weight
        return found.astype(np.float32)


def fit_popularity(
    logarithm: Float32, parts: Sequence[npt.NDArray[np.floating]], cold: Bool
) -> ExpectedPopularity:
    """Ridge regression of log popularity on descriptions, then the mean that it stands for.

    A softmax adds up probabilities, not logarithms. An item whose log popularity is only known to
    be m ± σ is as popular, on average, as one with m + σ²/2 (the mean of a log-normal variable).
    σ² is what the line leaves of items that it has not seen: squared errors of leaving one out,
    which ridge regression has in closed form (Golub, Heath & Wahba, Technometrics 1979, §2). The
    penalty is the one of `PENALTIES` where they are smallest.

    Arguments:
        logarithm: lp by period, [W, I].
        parts: of each item's description, [I, F_p] each; rows of zeros say nothing.
        cold: items whose popularity is not known, bool [I]. Of fewer than two others with a
            description nothing can be learned, and the level is 0.

    Example:
        Items of the second kind are e times as popular as those of the first.

        >>> kind = np.repeat(np.eye(2), 50, axis=0)
        >>> lp = np.array([[-0.5, 0.5]]).repeat(50, axis=1)
        >>> fit_popularity(lp, [kind], np.zeros(100, bool)).of([np.eye(2)]).round(2)
        array([[-0.5],
               [ 0.5]], dtype=float32)
    """
    described = np.any([(part != 0).any(axis=1) for part in parts], axis=0)
    counted = np.flatnonzero(described & ~cold)
    counted = counted[:: max(1, -(-len(counted) // ITEMS))]
    known = [part[counted] for part in parts]
    means = [_mean(part) for part in known]
    if len(counted) < 2:
        weights = [np.zeros((part.shape[1], len(logarithm))) for part in parts]
        return ExpectedPopularity(means, weights, np.zeros(len(logarithm)))
    features = np.concatenate(
        [_centred(part, mean) for part, mean in zip(known, means, strict=True)], axis=1
    )
    wanted = logarithm[:, counted].T.astype(np.float64)  # [n, W]
    level = wanted.mean(axis=0)
    wanted = wanted - level
    items = len(features)
    variances, directions = np.linalg.eigh(features.T @ features)
    variances = np.maximum(variances, 0.0)
    turned = features @ directions
    along = turned.T @ wanted
    best = np.inf
    for penalty in PENALTIES * max(variances.mean(), 1e-12):
        shrunk = 1.0 / (variances + penalty)
        leverage = (turned * turned) @ shrunk + 1.0 / items
        kept = np.maximum(1.0 - leverage, 1e-6)
        errors = (wanted - turned @ (shrunk[:, None] * along)) / kept[:, None]
        spread = (errors**2).mean(axis=0)
        if spread.sum() < best:
            best, chosen, left = spread.sum(), shrunk, spread
    line = directions @ (chosen[:, None] * along)
    bounds = np.cumsum([part.shape[1] for part in parts])[:-1]
    return ExpectedPopularity(means, np.split(line, bounds), level + left / 2)


def _mean(part: npt.NDArray[np.floating]) -> Float64:
    """Of the rows that say something."""
    said = (part != 0).any(axis=1)
    return np.asarray(part[said].sum(axis=0, dtype=np.float64) / max(said.sum(), 1))


def _centred(part: npt.NDArray[np.floating], mean: Float64) -> Float64:
    """A row that says nothing lies in the middle."""
    said = (part != 0).any(axis=1, keepdims=True)
    return np.where(said, part - mean, 0.0)
