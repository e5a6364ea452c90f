"""Whether an explanation says what the model does: contributions beside re-encoded deletions.

N pairs of a user and an item, each with up to L history events, oldest first. `contributions`,
float [N, L], is what an explanation says that each event added to the pair's score. `mask`,
bool [N, L], is True at a real event. What the model does is asked of the caller:

    rescore(keep) -> float [N], the score of each pair's item when its history is only the events
        with keep, bool [N, L], True; encoded afresh, as if the others had never been. A row of
        keep may be False throughout: an empty history.
    ranks(keep) -> int [N], the item's rank in the same way, 1 = best.

Most supportive means the largest signed contribution, of equal ones the older event; least
supportive is the other end of the same order.
All answers are per pair where a mean over pairs is meant, so that they can be resampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Bool, Int64

Float64 = npt.NDArray[np.float64]
Real = npt.NDArray[np.floating]
Rescore = Callable[[Bool], Real]
Ranks = Callable[[Bool], npt.NDArray[np.integer]]

SHARES = (0.01, 0.03, 0.05, 0.1, 0.2)


def newest_events(mask: Bool, count: int) -> Bool:
    """The mask cut to the newest `count` events of each pair.

    Example:
        >>> newest_events(np.array([[True, True, True, False]]), 2).tolist()
        [[False, True, True, False]]
    """
    return mask & (_ages(mask) <= count)


def deletion_changes(rescore: Rescore, mask: Bool, newest: int | None = None) -> Float64:
    """What each event really adds: score of the whole history - score without that event.

    Calls `rescore` once, and once more per event of the longest history, or `newest` times.

    Returns:
        float64 [N, L]; 0 at padding, and at events beyond the `newest`, which are not measured:
        compare them under `newest_events(mask, newest)`.

    Example:
        >>> lines = np.array([[0.5, 2.0, -1.0]])
        >>> deletion_changes(lambda keep: (lines * keep).sum(axis=1), lines != 0).tolist()
        [[0.5, 2.0, -1.0]]
    """
    _check(mask)
    measured = mask if newest is None else newest_events(mask, newest)
    ages = np.where(measured, _ages(measured), 0)
    full = _scores(rescore, mask)
    changes = np.zeros(mask.shape)
    for age in range(1, int(ages.max(initial=0)) + 1):
        deleted = ages == age  # one event of each pair that is long enough
        difference = full - _scores(rescore, mask & ~deleted)
        changes[deleted] = difference[deleted.any(axis=1)]
    return changes


def polarity_violations(contributions: Real, changes: Real, mask: Bool) -> float:
    """Share of large lines whose real change has the other sign.

    Large: |c| above the mean |c| of the pair's events, summed over pairs. After the polarity test
    of Liu et al., "Rethinking attention-model explainability through faithfulness violation test",
    ICML 2022, arXiv 2201.12114. A change of exactly 0 has no sign and violates nothing.

    Returns:
        0 to 1; nan when no line is large.

    Example:
        >>> said, real = np.array([[3.0, -3.0, 0.1]]), np.array([[2.0, 1.0, -1.0]])
        >>> polarity_violations(said, real, np.ones((1, 3), bool))
        0.5
    """
    _check(mask, contributions=contributions, changes=changes)
    size = np.where(mask, np.abs(contributions), 0.0).astype(np.float64)
    mean = size.sum(axis=1, keepdims=True) / _events(mask)[:, None].clip(1)
    large = size > mean * (1 + 1e-9)  # the mean of equal sizes may round to below them
    wrong = large & (np.sign(contributions) * np.sign(changes) < 0)
    return float(wrong.sum() / large.sum()) if large.any() else float("nan")


@dataclass(frozen=True)
class RankAgreement:
    """What `spearman` finds.

    Attributes:
        mean: over the pairs that have a correlation; nan when none has.
        per_pair: float64 [N]; nan for a pair left out.
        left_out: pairs with fewer than three events, or where either side does not vary.
    """

    mean: float
    per_pair: Float64
    left_out: int


def spearman(contributions: Real, changes: Real, mask: Bool) -> RankAgreement:
    """Rank correlation of contributions with real changes over each pair's events.

    Pearson's correlation of the ranks, equal values sharing their mean rank (Spearman 1904).
    """
    _check(mask, contributions=contributions, changes=changes)
    count = _events(mask)[:, None].clip(1)
    x, y = _mean_ranks(contributions, mask), _mean_ranks(changes, mask)
    x, y = (np.where(mask, ranks - (count + 1) / 2, 0.0) for ranks in (x, y))
    size = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    usable = (_events(mask) >= 3) & (size > 0)
    per_pair = np.full(len(mask), np.nan)
    per_pair[usable] = (x * y).sum(axis=1)[usable] / size[usable]
    mean = float(per_pair[usable].mean()) if usable.any() else float("nan")
    return RankAgreement(mean, per_pair, int((~usable).sum()))


def relative_gap(contributions: Real, changes: Real, mask: Bool) -> float:
    """Sum of |contribution - real change| / sum of |real change|, over all events of all pairs.

    Returns:
        0 when they agree, 1 for contributions of zero; nan when no change is other than 0.
    """
    _check(mask, contributions=contributions, changes=changes)
    gap = np.abs(contributions.astype(np.float64) - changes)[mask].sum()
    size = np.abs(changes.astype(np.float64))[mask].sum()
    return float(gap / size) if size > 0 else float("nan")


@dataclass(frozen=True)
class Curve:
    """Scores along a deletion or an insertion.

    Attributes:
        scores: float64 [N, steps + 1], at the shares 0, 1/steps, … 1 of the history.
        full: float64 [N], the score with the whole history.
        empty: float64 [N], the score with none of it.
    """

    scores: Float64
    full: Float64
    empty: Float64

    @property
    def area(self) -> Float64:
        """[N]: area between the curve and the empty history's score, trapezoids, width 1."""
        above = self.scores - self.empty[:, None]
        return np.asarray((above[:, 1:] + above[:, :-1]).mean(axis=1) / 2, np.float64)

    @property
    def score_range(self) -> Float64:
        """[N]: |full - empty|, which no explanation has a say in."""
        return np.abs(self.full - self.empty)

    @property
    def auc(self) -> Float64:
        """[N]: area / range; nan where the range is 0.

        Pairs with a small range weigh as much as any other here. The ratio of the summed areas to
        the summed ranges does without that.
        """
        usable = self.score_range > 0
        divided = self.area / np.where(usable, self.score_range, 1.0)
        return np.where(usable, divided, np.nan)


def deletion_curve(contributions: Real, mask: Bool, rescore: Rescore, steps: int = 10) -> Curve:
    """Scores as the most supportive events go first; a lower area is a better explanation.

    At step j of S, ceil(j n / S) of the pair's n events are gone. Petsiuk, Das & Saenko, "RISE",
    BMVC 2018, section 4.1, with the score in units of the pair's own range instead of a
    probability.
    """
    place = _places(contributions, mask)
    keeps = [mask & (place >= gone[:, None]) for gone in _step_counts(mask, steps)]
    scores = np.stack([_scores(rescore, keep) for keep in keeps], axis=1)
    return Curve(scores, full=scores[:, 0], empty=scores[:, -1])


def insertion_curve(contributions: Real, mask: Bool, rescore: Rescore, steps: int = 10) -> Curve:
    """Scores as an empty history gets the most supportive events first; higher is better.

    Steps and source as in `deletion_curve`.
    """
    place = _places(contributions, mask)
    keeps = [mask & (place < there[:, None]) for there in _step_counts(mask, steps)]
    scores = np.stack([_scores(rescore, keep) for keep in keeps], axis=1)
    return Curve(scores, full=scores[:, -1], empty=scores[:, 0])


def comprehensiveness(
    contributions: Real, mask: Bool, rescore: Rescore, shares: Sequence[float] = SHARES
) -> Float64:
    """Score lost without the most supportive share of the history; higher is better.

    s(all) - s(all but the top share), the share rounded up to whole events. DeYoung et al.,
    "ERASER", ACL 2020, eq. 1; the mean over shares is its AOPC. On the scale of `rescore`.

    Returns:
        float64 [N, shares].
    """
    place, full = _places(contributions, mask), _scores(rescore, mask)
    keeps = [mask & (place >= count[:, None]) for count in _share_counts(mask, shares)]
    return np.stack([full - _scores(rescore, keep) for keep in keeps], axis=1)


def sufficiency(
    contributions: Real, mask: Bool, rescore: Rescore, shares: Sequence[float] = SHARES
) -> Float64:
    """Score lost when only the most supportive share is left; lower is better.

    s(all) - s(top share). DeYoung et al. 2020, eq. 2; otherwise as `comprehensiveness`.
    """
    place, full = _places(contributions, mask), _scores(rescore, mask)
    keeps = [mask & (place < count[:, None]) for count in _share_counts(mask, shares)]
    return np.stack([full - _scores(rescore, keep) for keep in keeps], axis=1)


def pos_at_k(contributions: Real, mask: Bool, ranks: Ranks, k: int, length: int) -> Float64:
    """1 where the item is still in the top k without its `length` most supportive events.

    Lower is better. POS@k of Barkan et al., "A counterfactual framework for learning and
    evaluating explanations for recommender systems" (LXR), WWW 2024, at a fixed length of
    explanation as in Barkan et al. (SPINRec), arXiv 2511.18047.

    Returns:
        float64 [N] of 0 and 1.
    """
    keep = mask & (_places(contributions, mask) >= length)
    return (_ranks(ranks, keep) <= k).astype(np.float64)


def neg_at_k(contributions: Real, mask: Bool, ranks: Ranks, k: int, length: int) -> Float64:
    """1 where the item is still in the top k without its `length` least supportive events.

    Higher is better. NEG@k; returns and source as `pos_at_k`.
    """
    keep = mask & (_places(contributions, mask) < _events(mask)[:, None] - length)
    return (_ranks(ranks, keep) <= k).astype(np.float64)


def cdcg(contributions: Real, mask: Bool, ranks: Ranks, length: int) -> Float64:
    """1 / log2(1 + rank) of the item without its `length` most supportive events, [N].

    Lower is better. The counterfactual discounted gain of the sources of `pos_at_k`.
    """
    keep = mask & (_places(contributions, mask) >= length)
    return np.asarray(1.0 / np.log2(1.0 + _ranks(ranks, keep)), np.float64)


def completeness_error(totals: Real, scores: Real) -> float:
    """Largest |sum of a pair's lines - served score|; `totals` and `scores` are [N]."""
    if totals.shape != scores.shape:
        raise ValueError(f"totals {totals.shape} and scores {scores.shape} differ in shape")
    return float(np.abs(totals.astype(np.float64) - scores).max(initial=0.0))


def top_overlap(a: Real, b: Real, mask: Bool, k: int) -> Float64:
    """Stability: Jaccard index of the k most supportive events of two explanations, [N].

    With k or fewer events both name them all, and the index is 1.

    Example:
        >>> a, b = np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]])
        >>> top_overlap(a, b, np.ones((1, 3), bool), k=2)  # one of three in common
        array([0.333...])
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    top_a, top_b = (mask & (_places(side, mask) < k) for side in (a, b))
    either = (top_a | top_b).sum(axis=1)
    return np.where(either > 0, (top_a & top_b).sum(axis=1) / either.clip(1), 1.0)


def _events(mask: Bool) -> Int64:
    return np.asarray(mask.sum(axis=1), np.int64)


def _ages(mask: Bool) -> Int64:
    """1 for the newest event, 2 for the one before …; padding has no meaningful age."""
    return np.asarray(np.cumsum(mask[:, ::-1], axis=1)[:, ::-1], np.int64)


def _places(contributions: Real, mask: Bool) -> Int64:
    """0 for the most supportive event, 1 for the next …; padding after all events."""
    _check(mask, contributions=contributions)
    order = np.argsort(np.where(mask, -contributions, np.inf), axis=1, kind="stable")
    places = np.empty(mask.shape, np.int64)
    np.put_along_axis(places, order, np.arange(mask.shape[1])[None], axis=1)
    return places


def _mean_ranks(values: Real, mask: Bool) -> Float64:
    """Ranks 1 … n of the real events of each row, equal values sharing their mean rank."""
    rows, length = mask.shape
    padded = np.where(mask, values, np.inf).astype(np.float64)
    order = np.argsort(padded, axis=1, kind="stable")
    ordered = np.take_along_axis(padded, order, axis=1)
    first = np.ones((rows, length), bool)  # starts a run of equal values
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    runs = np.cumsum(first.ravel()) - 1
    places = np.tile(np.arange(1.0, length + 1), rows)
    means = np.bincount(runs, places) / np.bincount(runs).clip(1)
    ranks = np.empty((rows, length))
    np.put_along_axis(ranks, order, means[runs].reshape(rows, length), axis=1)
    return ranks


def _step_counts(mask: Bool, steps: int) -> list[Int64]:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    return [-(-step * _events(mask) // steps) for step in range(steps + 1)]


def _share_counts(mask: Bool, shares: Sequence[float]) -> list[Int64]:
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares must lie in (0, 1], got {list(shares)}")
    # .07 · 100 is 7.000000000000001: not eight events.
    return [np.ceil(share * _events(mask) - 1e-9).astype(np.int64) for share in shares]


def _scores(rescore: Rescore | Ranks, keep: Bool) -> Float64:
    scores = np.asarray(rescore(keep), np.float64)
    if scores.shape != keep.shape[:1]:
        raise ValueError(f"rescore must return [{len(keep)}] scores, returned {scores.shape}")
    return scores


def _ranks(ranks: Ranks, keep: Bool) -> Float64:
    found = _scores(ranks, keep)
    if (found < 1).any():
        raise ValueError(f"ranks start at 1, got {int(found.min())}")
    return found


def _check(mask: Bool, **values: Real) -> None:
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise ValueError(f"mask must be bool [N, L], got {mask.dtype} {mask.shape}")
    for name, value in values.items():
        if value.shape != mask.shape:
            raise ValueError(f"{name} {value.shape} and mask {mask.shape} differ in shape")
        if not np.isfinite(value[mask]).all():
            raise ValueError(f"{name} must be finite at real events")
