"""Lists of a user's distribution whose categories are in the proportions of the user's history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Int32
from tfrec.interest.distribution import Distribution
from tfrec.interest.reranking import ALPHA, NO_ITEM, rerank

if TYPE_CHECKING:
    from tfrec.interest.reading import Readings

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

DAY = 86_400_000  # milliseconds
_CELLS_PER_BLOCK = 2**21  # candidates × categories held at once


def calibrated_list(
    candidates: Distribution,
    history: Float64,
    item_categories: Floats,
    k: int,
    lam: float,
    alpha: float = ALPHA,
) -> Int32:
    """The k items per user that weigh probability against the categories of the history.

    Steck, RecSys 2018, see `rerank`: (1 - λ) Σ log p(i) - λ C_KL, with the mean over the list's
    items for its category distribution. Candidates are the items of `candidates`; a hundred are
    enough for lists of ten (more candidates can only lower C_KL).

    Arguments:
        candidates: a `distribution` with top_k = M items, whose restrictions hold here as well.
        history: p(c | user), [N, C], see `history_categories`.
        item_categories: [I, C].
        k: 1 … M. lam: λ, 0 (most probable first) to 1 (calibration alone). alpha: see `rerank`.

    Returns:
        int32 [N, k] items; -1 where fewer than k may come.

    Raises:
        ValueError: as `rerank`.
    """
    shares = np.asarray(item_categories, np.float64)
    chosen = []
    count, depth = candidates.items.shape
    step = max(1, _CELLS_PER_BLOCK // (depth * max(shares.shape[1], 1)))
    for start in range(0, max(count, 1), step):
        rows = slice(start, start + step)
        items = candidates.items[rows]
        places = rerank(
            candidates.log_probabilities[rows],
            shares[np.maximum(items, 0)],
            history[rows],
            k,
            lam,
            alpha,
        )
        found = np.take_along_axis(items, np.maximum(places, 0), axis=1)
        chosen.append(np.where(places < 0, NO_ITEM, found).astype(np.int32))
    return np.concatenate(chosen)


def history_categories(
    readings: Readings, item_categories: Floats, half_life_days: float | None = None
) -> Float64:
    """p(c | user): the mean category distribution of each history, float64 [N, C].

    Steck, "Calibrated recommendations", RecSys 2018, eq. 2. An event whose item has no category
    is left out; a history without any category has a row of zeros.

    Arguments:
        readings: the histories, as far as the model reads them.
        item_categories: [I, C], rows sum to 1, or to 0 for an item without a category.
        half_life_days: None counts every event alike, as the paper does by default. Otherwise an
            event counts half as much as one that happened so many days later. The time of the
            request does not matter: it would weaken all events of a history by one factor.

    Raises:
        ValueError: a half-life is not above 0.
    """
    if half_life_days is not None and not half_life_days > 0:
        raise ValueError(f"half_life_days must be above 0, got {half_life_days}")
    shares = np.asarray(item_categories, np.float64)
    weights = readings.real.astype(np.float64)  # [N, L]
    if half_life_days is not None:
        ages = (readings.times[:, -1:] - readings.times) / DAY  # padding has weight 0 anyway
        weights *= 0.5 ** (np.where(readings.real, ages, 0.0) / half_life_days)
    # One column after another: [N, L, C] would be too large for many users.
    place = np.maximum(readings.items, 0)
    sums = np.stack([(weights * column[place]).sum(axis=1) for column in shares.T], axis=1)
    total = sums.sum(axis=1, keepdims=True)
    mean: Float64 = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    return mean
