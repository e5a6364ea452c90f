"""Scores over the whole catalogue -> the rank of every target and the top of every list, exactly.

No candidate sampling and no optimistic ties. Sampled metrics order models differently from full
ones (Krichene & Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020), and an
evaluator that lets the target win its ties rewards a model for saying nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.sequences import Bool, Float32, Int32, Int64

# Scores held at once by default (64 MiB of float32). Their keys are made in slices that stay in
# the processor's cache, which is twice as fast as one pass over the whole batch.
_CELLS_PER_BATCH = 2**24
_CELLS_PER_SLICE = 2**17
# A key at or above this belongs to an item that may not be recommended: its upper half is larger
# than that of any number, infinities included.
_REMOVED = np.int64(0x7FFFFFFF << 32)
_TIE_STREAM = 0x7469_6573


@dataclass(frozen=True)
class Ranking:
    """Where the targets of N cases came, and what was recommended instead.

    Attributes:
        target_ranks: int32 [T], 1-based rank of each target of `Cases.targets` among the items
            that may be recommended.
        top_items: int32 [N, K], item indices, best first; -1 where a case has fewer than K items.
    """

    target_ranks: Int32
    top_items: Int32


class Scorer(Protocol):
    """Anything that scores every item of the catalogue for a batch of cases."""

    def score(self, cases: Cases) -> Float32:
        """Logits, float32 [len(cases), num_items]; larger is better, -inf is last."""


def tie_order(num_items: int, seed: int) -> Int32:
    """Place of each item among items of equal score: the smaller one is ranked better.

    One seeded random permutation for the whole catalogue: catalogue order and popularity order
    (they often agree) cannot leak into a metric, and every model breaks its ties the same way.

    Example:
        >>> sorted(tie_order(4, seed=0).tolist())
        [0, 1, 2, 3]
    """
    # A stream of its own, so that no permutation drawn elsewhere from the seed equals this one.
    return np.random.default_rng([seed, _TIE_STREAM]).permutation(num_items).astype(np.int32)


def rank(
    scorer: Scorer,
    cases: Cases,
    num_items: int,
    top_k: int,
    remove_seen: bool = True,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
    candidates: Bool | None = None,
) -> Ranking:
    """Ranks the full catalogue, or a part of it, for every case.

    Arguments:
        scorer: gives float32 [batch, num_items].
        cases: N cases with T targets.
        num_items: size of the catalogue.
        top_k: how many recommended items to keep, K.
        remove_seen: an item in a case's history may not be recommended again.
        seed: of the order of ties, see `tie_order`.
        batch_size: cases per call of `scorer`; by default as many as 16 million scores allow.
        progress: called after each batch with the number of cases in it.
        candidates: True at the items that may be recommended, [num_items]; by default all.

    Raises:
        ValueError: scores of the wrong shape or type, a NaN score, or a target that its own
            history removes or that is no candidate.

    Example:
        >>> from tfrec.data.sequences import Columns, Sequences
        >>> log = Columns(item=np.array([2], np.int32), timestamp=np.zeros(1, np.int64))
        >>> one = Sequences(np.zeros(1, np.int32), np.array([0]), np.array([1]), log)
        >>> cases = Cases(one, np.array([0], np.int32), np.array([0, 1]), np.zeros(1, np.int64))
        >>> class Fixed:
        ...     def score(self, cases):
        ...         return np.array([[0.5, 0.1, 0.9, 0.7]], np.float32)
        >>> ranking = rank(Fixed(), cases, num_items=4, top_k=2)
        >>> ranking.target_ranks.tolist(), ranking.top_items.tolist()
        ([2], [[3, 0]])
    """
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    positions = tie_order(num_items, seed).astype(np.int64)
    item_at = np.argsort(positions).astype(np.int32)
    batch_size = batch_size or max(32, _CELLS_PER_BATCH // num_items)
    slice_size = max(1, _CELLS_PER_SLICE // num_items)

    target_ranks = np.empty(len(cases.targets), np.int32)
    top_items = np.full((len(cases), top_k), -1, np.int32)
    for start in range(0, len(cases), batch_size):
        batch = cases.take(slice(start, start + batch_size))
        scores = _checked_scores(scorer, batch, num_items)
        for low in range(0, len(batch), slice_size):
            part = batch.take(slice(low, low + slice_size))
            keys = _keys(scores[low : low + slice_size], positions)
            first = start + low
            _refuse_nan(keys, scorer, part, first)
            if remove_seen:
                _remove_seen(keys, part, positions)
            if candidates is not None:
                keys[:, ~candidates] = _REMOVED | positions[~candidates]
            targets = slice(cases.target_offsets[first], cases.target_offsets[first + len(part)])
            target_ranks[targets] = _target_ranks(keys, part, first)
            best = _smallest(keys, min(top_k, num_items))  # [slice, min(K, num_items)]
            items = np.where(best < _REMOVED, item_at[best & 0xFFFFFFFF], -1)
            top_items[first : first + len(part), : best.shape[1]] = items
        if progress is not None:
            progress(len(batch))
    return Ranking(target_ranks, top_items)


def _checked_scores(scorer: Scorer, batch: Cases, num_items: int) -> Float32:
    scores = np.asarray(scorer.score(batch))
    if scores.shape != (len(batch), num_items) or scores.dtype != np.float32:
        raise ValueError(
            f"{_name(scorer)}: expected scores float32 {(len(batch), num_items)}, "
            f"got {scores.dtype} {scores.shape}"
        )
    return scores


def _name(scorer: Scorer) -> str:
    return str(getattr(scorer, "name", type(scorer).__name__))


def _keys(scores: Float32, positions: Int64) -> Int64:
    """One distinct int64 per item that sorts as (score descending, place in the tie order).

    The bits of a float32, read as an integer, already sort like the number when it is positive
    and backwards when it is negative; flipping the other 31 bits of negative ones repairs that.
    """
    # 0 - s also turns -0.0 into 0.0, so that the two zeros tie.
    bits = np.subtract(np.float32(0), scores, order="C").view(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    keys = bits.astype(np.int64)
    keys <<= 32
    keys |= positions
    return keys


def _refuse_nan(keys: Int64, scorer: Scorer, part: Cases, first: int) -> None:
    # -NaN and NaN lie outside the infinities at either end of the order of keys.
    lowest, highest = np.int64(-0x7F800001) << 32, np.int64(0x7F800001) << 32
    if keys.min() < lowest or keys.max() >= highest:
        row = int(np.flatnonzero(((keys < lowest) | (keys >= highest)).any(axis=1))[0])
        raise ValueError(
            f"{_name(scorer)} gave NaN scores for case {first + row} "
            f"(user {part.histories.users[row]})"
        )


def _remove_seen(keys: Int64, part: Cases, positions: Int64) -> None:
    rows = np.repeat(np.arange(len(part)), part.histories.lengths)
    seen = part.histories.items()
    keys[rows, seen] = _REMOVED | positions[seen]


def _target_ranks(keys: Int64, part: Cases, first: int) -> Int64:
    """1 + how many keys of the case are smaller, for each target, int64 [targets of part]."""
    target_keys = keys[part.target_cases(), part.targets]
    if len(target_keys) and target_keys.max() >= _REMOVED:
        target = int(np.argmax(target_keys))
        case = int(part.target_cases()[target])
        raise ValueError(
            f"case {first + case} (user {part.histories.users[case]}): target item "
            f"{part.targets[target]} is in the history or no candidate, so it may not be "
            "recommended; leave it out of the targets or rank with remove_seen=False"
        )
    ranks = np.empty(len(target_keys), np.int64)
    starts, lengths = part.target_offsets[:-1], np.diff(part.target_offsets)
    # One round for the first target of every case, one for the second, …: whole-matrix work,
    # and a case with a thousand targets does not make a thousand copies of the others.
    for slot in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(lengths > slot)
        targets = starts[rows] + slot
        rows_keys = keys if len(rows) == len(keys) else keys[rows]
        ranks[targets] = 1 + np.count_nonzero(rows_keys < target_keys[targets, None], axis=1)
    return ranks


def _smallest(keys: Int64, k: int) -> Int64:
    """The k smallest keys of each row in order, [N, k], without sorting or partitioning the row.

    Columns are dealt into groups. The k smallest keys lie in the k groups with the smallest
    minima: a key outside them has k smaller ones, those minima. Taking minima runs at the speed
    of memory, and with about sqrt(k · num_items) groups little is left to partition.
    """
    rows, num_items = keys.shape
    group_size = max(1, math.isqrt(num_items // k))
    groups = num_items // group_size
    grouped = keys[:, : group_size * groups].reshape(rows, group_size, groups)
    rest = keys[:, group_size * groups :]  # fewer than group_size columns
    chosen = np.argpartition(grouped.min(axis=1), k - 1, axis=1)[:, :k]  # [N, k]
    candidates = np.take_along_axis(grouped, chosen[:, None, :], axis=2).reshape(rows, -1)
    candidates = np.concatenate([candidates, rest], axis=1)
    candidates.partition(k - 1, axis=1)
    return np.sort(candidates[:, :k], axis=1)
