"""Accuracy of a ranking, one number per case; the table shows means over cases.

Notation: case n has m targets, which came at ranks r_1 < … < r_m (1 = best) among all items that
may be recommended; h = |{j : r_j <= k}| of them are in the top k. In leave-one-out m = 1: then
recall@k is the hit rate, map@k is mrr@k, and precision@k is the hit rate divided by k.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Int64
from tfrec.evaluation.ranking import Ranking

Float64 = npt.NDArray[np.float64]


def accuracy(ranking: Ranking, cases: Cases, ks: Sequence[int]) -> dict[str, Float32]:
    """Every accuracy metric of every case.

    Arguments:
        ranking: T target ranks.
        cases: the N cases that were ranked, with T targets.
        ks: cut-offs, each at least 1.

    Returns:
        float32 [N] under "hit_rate@k", "ndcg@k", "mrr@k", "map@k", "precision@k", "recall@k" and
        "f1@k" for every k, and under "mrr" without a cut-off.

    Raises:
        ValueError: ranking and cases do not belong together, or a cut-off is below 1.

    Example:
        >>> from tfrec.data.sequences import Columns, Sequences
        >>> log = Columns(item=np.array([2], np.int32), timestamp=np.zeros(1, np.int64))
        >>> one = Sequences(np.zeros(1, np.int32), np.array([0]), np.array([1]), log)
        >>> cases = Cases(one, np.array([5], np.int32), np.array([0, 1]), np.zeros(1, np.int64))
        >>> ranking = Ranking(np.array([3], np.int32), np.array([[9, 8, 5]], np.int32))
        >>> round(float(accuracy(ranking, cases, [10])["ndcg@10"][0]), 3)  # 1 / log2(3 + 1)
        0.5
    """
    sizes = np.diff(cases.target_offsets)
    if ranking.target_ranks.shape != cases.targets.shape:
        raise ValueError(
            f"the ranking has {ranking.target_ranks.shape} target ranks, "
            f"the cases have {cases.targets.shape} targets"
        )
    if (sizes < 1).any():
        raise ValueError(f"case {int(np.argmin(sizes))} has no target")
    if min(ks, default=1) < 1:
        raise ValueError(f"cut-offs must be at least 1, got {list(ks)}")

    # Ranks sorted inside each case: the formulas speak of r_1 < r_2 < ….
    order = np.lexsort((ranking.target_ranks, cases.target_cases()))
    ranks = ranking.target_ranks[order].astype(np.int64)  # [T]
    starts = cases.target_offsets[:-1]  # [N]
    per_case = {"mrr": reciprocal_rank(ranks, starts)}
    for k in ks:
        per_case[f"hit_rate@{k}"] = hit_rate(ranks, starts, k)
        per_case[f"ndcg@{k}"] = ndcg(ranks, starts, k)
        per_case[f"mrr@{k}"] = reciprocal_rank(ranks, starts, k)
        per_case[f"map@{k}"] = average_precision(ranks, starts, k)
        per_case[f"precision@{k}"] = precision(ranks, starts, k)
        per_case[f"recall@{k}"] = recall(ranks, starts, k)
        per_case[f"f1@{k}"] = f1(ranks, starts, k)
    return {name: values.astype(np.float32) for name, values in per_case.items()}


# Each function below takes `ranks`, int64 [T], ascending inside each case; `starts`, int64 [N],
# the first target of each case; and the cut-off k. Each returns float64 [N].


def hit_rate(ranks: Int64, starts: Int64, k: int) -> Float64:
    """1 if any target is in the top k, else 0.

    Deshpande & Karypis, "Item-based top-N recommendation algorithms", TOIS 2004, section 6.1.2.
    """
    return (ranks[starts] <= k).astype(np.float64)


def ndcg(ranks: Int64, starts: Int64, k: int) -> Float64:
    """DCG@k / IDCG@k with binary gains.

    DCG@k = sum over targets with r_j <= k of 1 / log2(r_j + 1);
    IDCG@k = sum for i = 1 … min(k, m) of 1 / log2(i + 1), the best that m targets allow.

    Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002, with
    the discount log2(r + 1) that Burges et al. (ICML 2005) made common.
    """
    gains = (ranks <= k) / np.log2(ranks + 1.0)
    attainable = np.minimum(_sizes(ranks, starts), k)
    ideal: Float64 = np.cumsum(1.0 / np.log2(np.arange(2, attainable.max(initial=1) + 2)))
    normalised: Float64 = _sums(gains, starts) / ideal[attainable - 1]
    return normalised


def reciprocal_rank(ranks: Int64, starts: Int64, k: int | None = None) -> Float64:
    """1 / r_1, the rank of the first target; 0 when it is beyond the cut-off.

    Voorhees, "The TREC-8 question answering track report", 1999.
    """
    first = ranks[starts]
    return np.where(first <= (np.inf if k is None else k), 1.0 / first, 0.0)


def average_precision(ranks: Int64, starts: Int64, k: int) -> Float64:
    """Mean of the precision at each target in the top k: sum of j / r_j over r_j <= k, divided by
    min(k, m), so that a perfect list scores 1 also where m > k.

    Manning, Raghavan & Schütze, "Introduction to Information Retrieval", 2008, section 8.4, cut
    at k. Its mean over cases is MAP@k.
    """
    sizes = _sizes(ranks, starts)
    place = np.arange(1, len(ranks) + 1) - np.repeat(starts, sizes)  # j, 1 … m in each case
    return _sums((ranks <= k) * place / ranks, starts) / np.minimum(sizes, k)


def precision(ranks: Int64, starts: Int64, k: int) -> Float64:
    """h / k; k also where fewer than k items may be recommended (van Rijsbergen 1979, ch. 7)."""
    return _sums(ranks <= k, starts) / k


def recall(ranks: Int64, starts: Int64, k: int) -> Float64:
    """h / m (van Rijsbergen 1979, ch. 7)."""
    return _sums(ranks <= k, starts) / _sizes(ranks, starts)


def f1(ranks: Int64, starts: Int64, k: int) -> Float64:
    """Harmonic mean of the case's precision@k and recall@k, which is 2 h / (k + m)."""
    return 2.0 * _sums(ranks <= k, starts) / (k + _sizes(ranks, starts))


def _sizes(ranks: Int64, starts: Int64) -> Int64:
    return np.diff(starts, append=len(ranks))


def _sums(values: npt.NDArray[np.generic], starts: Int64) -> Float64:
    # reduceat is right here because no case is without targets.
    sums: Float64 = np.add.reduceat(values.astype(np.float64), starts)
    return sums
