"""What a recommender does to the catalogue: how much of it is shown, and how popular that is.

Popularity always means training events per item (`item_counts`), so that no metric here can see
the test set. Lists are the top k of `Ranking.top_items`, int32 [N, K] with -1 for no item.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Bool, Float32, Int32, Sequences

Counts = npt.NDArray[np.integer]

HEAD_SHARE = 0.8
# History events looked up at once when their popularity is averaged.
_EVENTS_PER_CHUNK = 2**22


def exposure(top_items: Int32, k: int, num_items: int) -> npt.NDArray[np.int64]:
    """How many of the top-k lists each item is in, int64 [num_items]."""
    _check_cutoff(top_items, k)
    shown = top_items[:, :k]
    return np.bincount(shown[shown >= 0], minlength=num_items)


def coverage(exposed: Counts) -> float:
    """Share of the catalogue that is in at least one list.

    Catalogue coverage of Ge, Delgado-Battenfeld & Jannach, "Beyond accuracy", RecSys 2010.
    """
    return float(np.count_nonzero(exposed) / len(exposed))


def gini(exposed: Counts) -> float:
    """Inequality of exposure over the whole catalogue: 0 all alike, 1 one item takes everything.

    G = 1 / (n - 1) · sum_j (2 j - n - 1) p_j with p_1 <= … <= p_n the shares of exposure; Shani &
    Gunawardana, "Evaluating Recommendation Systems" (Recommender Systems Handbook, 2011), 8.3.3.

    Example:
        >>> gini(np.array([0, 0, 7])), gini(np.array([2, 2, 2]))
        (1.0, 0.0)
    """
    n, total = len(exposed), exposed.sum()
    if n < 2 or total == 0:
        return 0.0
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float((weights * (np.sort(exposed) / total)).sum() / (n - 1))


def head(item_counts: Counts, share: float = HEAD_SHARE) -> Bool:
    """The short head: the most popular items that together have `share` of training events.

    An item belongs when the items more popular than it hold less than the share. Items of equal
    popularity are in or out together, so the order of the catalogue has no say; an item without a
    training event is never in.

    Example:
        >>> head(np.array([0, 60, 10, 10, 20])).tolist()
        [False, True, False, False, True]
    """
    counts, inverse, items = np.unique(item_counts, return_inverse=True, return_counts=True)
    events = counts.astype(np.int64) * items
    more_popular = events.sum() - np.cumsum(events)  # counts are ascending
    inside: Bool = (more_popular < share * events.sum())[inverse]
    return inside


def long_tail_share(top_items: Int32, item_counts: Counts, k: int) -> Float32:
    """Share of each list outside the short head, float32 [N].

    APLT of Abdollahpouri, Burke & Mobasher, "Controlling popularity bias in learning-to-rank
    recommendation", RecSys 2017, with the short head that makes 80 % of events.
    """
    return _list_means(top_items, k, ~head(item_counts))


def novelty(top_items: Int32, item_counts: Counts, k: int) -> Float32:
    """Mean self-information -log2 p(i) of each list, in bits, float32 [N].

    p(i) is item i's share of training events after adding one event to every item: an item that
    nobody has met is as novel as the log can tell, not infinitely novel. Zhou et al., "Solving the
    apparent diversity-accuracy dilemma of recommender systems", PNAS 2010; Vargas & Castells,
    "Rank and relevance in novelty and diversity metrics", RecSys 2011.
    """
    smoothed = item_counts + 1.0
    return _list_means(top_items, k, -np.log2(smoothed / smoothed.sum()))


def average_popularity(top_items: Int32, item_counts: Counts, k: int) -> Float32:
    """Mean number of training events of the items of each list, float32 [N].

    Its mean over cases is ARP; Yin et al., "Challenging the long tail recommendation", VLDB 2012.
    """
    return _list_means(top_items, k, item_counts)


def history_popularity(histories: Sequences, item_counts: Counts) -> Float32:
    """Mean number of training events of the items of each history, float32 [N]; NaN when empty."""
    means = np.full(len(histories), np.nan, np.float32)
    ends = np.cumsum(histories.lengths)
    low = 0
    while low < len(histories):
        # As many whole histories as fit in a chunk, at least one.
        done = ends[low] - histories.lengths[low]
        high = max(low + 1, int(np.searchsorted(ends, done + _EVENTS_PER_CHUNK, side="right")))
        part = histories.take(slice(low, high))
        filled = np.flatnonzero(part.lengths)
        if len(filled):
            counts = item_counts[part.items()].astype(np.float64)
            lengths = part.lengths[filled]
            sums = np.add.reduceat(counts, np.cumsum(lengths) - lengths)
            means[low + filled] = sums / lengths
        low = high
    return means


def popularity_lift(recommended: Float32, history: Float32) -> tuple[Float32, Float32]:
    """How much more popular the recommendations are than what users chose themselves.

    (GAP_r - GAP_p) / GAP_p, with GAP_r and GAP_p the means over cases of the popularity of the
    list and of the history: 0 keeps the users' own taste for the popular, 1 doubles it.
    Abdollahpouri, Mansoury, Burke & Mobasher, "The unfairness of popularity bias in
    recommendation", RMSE workshop at RecSys 2019, section 4. Cases without a history have no
    taste to compare with and count in neither mean.

    Arguments:
        recommended: `average_popularity`, [N].
        history: `history_popularity`, [N], NaN where there is none.

    Returns:
        Numerator and denominator of each case, float32 [N] each; the lift is the ratio of their
        sums, not the mean of their ratios.
    """
    known = ~np.isnan(history)
    above = np.where(known, recommended - history, 0).astype(np.float32)
    return above, np.where(known, history, 0).astype(np.float32)


def _list_means(top_items: Int32, k: int, value: npt.NDArray[np.generic]) -> Float32:
    """Mean of `value[item]` over each top-k list; -1 is left out."""
    _check_cutoff(top_items, k)
    shown = top_items[:, :k]
    present = shown >= 0
    if not present[:, 0].all():
        raise ValueError(f"case {int(np.argmin(present[:, 0]))} has no recommended item")
    sums = np.where(present, value.astype(np.float64)[shown], 0.0).sum(axis=1)
    means: Float32 = (sums / present.sum(axis=1)).astype(np.float32)
    return means


def _check_cutoff(top_items: Int32, k: int) -> None:
    if not 1 <= k <= top_items.shape[1]:
        raise ValueError(f"cut-off {k} needs the top {k} items, got the top {top_items.shape[1]}")
