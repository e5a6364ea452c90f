from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from tfrec.evaluation.faithfulness import (
    cdcg,
    completeness_error,
    comprehensiveness,
    deletion_changes,
    deletion_curve,
    insertion_curve,
    neg_at_k,
    newest_events,
    polarity_violations,
    pos_at_k,
    relative_gap,
    spearman,
    sufficiency,
    top_overlap,
)

SEEDS = st.integers(0, 2**31)


def world(seed: int, pairs: int = 6, length: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """True lines [N, L] and their mask, right-aligned histories of 1 to L events."""
    rng = np.random.default_rng(seed)
    mask = np.arange(length) >= length - rng.integers(1, length + 1, (pairs, 1))
    return np.where(mask, rng.normal(size=(pairs, length)), 0.0), mask


def additive(lines: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda keep: (lines * keep).sum(axis=1) + 0.7


def crowded(lines: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A scorer in which events get in each other's way, so that order matters."""
    return lambda keep: np.tanh((lines * keep).sum(axis=1)) / (1 + keep.sum(axis=1))


def ranks_of(score: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    rivals = np.linspace(-2, 2, 21)
    return lambda keep: 1 + (rivals > score(keep)[:, None]).sum(axis=1)


# The reference below works on one pair at a time, with Python lists of slots.


def slots_of(mask: np.ndarray, pair: int) -> list[int]:
    return [slot for slot in range(mask.shape[1]) if mask[pair, slot]]


def by_support(said: np.ndarray, mask: np.ndarray, pair: int) -> list[int]:
    return sorted(slots_of(mask, pair), key=lambda slot: -said[pair, slot])


def scored(score: Callable[[np.ndarray], np.ndarray], mask, pair: int, kept: list[int]) -> float:
    keep = np.zeros(mask.shape, bool)
    keep[pair, kept] = True
    return float(score(keep)[pair])


# --- real changes ---


def test_an_additive_scorer_changes_by_its_lines():
    lines, mask = world(0)
    np.testing.assert_allclose(deletion_changes(additive(lines), mask), lines, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.none() | st.integers(1, 12))
def test_changes_agree_with_deleting_one_by_one(seed, newest):
    lines, mask = world(seed)
    score = crowded(lines)
    found = deletion_changes(score, mask, newest)
    expected = np.zeros(mask.shape)
    for pair in range(len(mask)):
        slots = slots_of(mask, pair)
        for slot in slots if newest is None else slots[-newest:]:
            rest = [other for other in slots if other != slot]
            expected[pair, slot] = scored(score, mask, pair, slots) - scored(
                score, mask, pair, rest
            )
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_changes_cost_one_call_for_each_place_and_one_more():
    lines, mask = world(1)
    calls = []

    def counted(keep: np.ndarray) -> np.ndarray:
        calls.append(keep.copy())
        return additive(lines)(keep)

    deletion_changes(counted, mask)
    assert len(calls) == 1 + mask.sum(axis=1).max()
    calls.clear()
    deletion_changes(counted, mask, newest=2)
    assert len(calls) == 3
    assert all((keep <= mask).all() for keep in calls)  # padding is never kept


def test_newest_events_are_the_last_real_ones():
    mask = np.array([[False, True, True, True], [True, True, False, False], [False] * 4])
    np.testing.assert_array_equal(
        newest_events(mask, 2),
        [[False, False, True, True], [True, True, False, False], [False] * 4],
    )


# --- contributions beside changes ---


def test_true_lines_agree_with_an_additive_scorer():
    lines, mask = world(2)
    changes = deletion_changes(additive(lines), mask)
    assert polarity_violations(lines, changes, mask) == 0
    assert relative_gap(lines, changes, mask) == pytest.approx(0, abs=1e-12)
    agreement = spearman(lines, changes, mask)
    assert agreement.mean == pytest.approx(1)
    assert agreement.left_out == (mask.sum(axis=1) < 3).sum()


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_agreement_agrees_with_its_definitions(seed):
    said, mask = world(seed)
    real = said + world(seed + 1)[0] * mask
    # Round, so that equal values are common.
    said, real = np.round(said, 0), np.round(real, 0)
    large = wrong = 0
    gap = size = 0.0
    correlations = []
    for pair in range(len(mask)):
        slots = slots_of(mask, pair)
        c, d = said[pair, slots], real[pair, slots]
        mean = sum(abs(c)) / len(slots)
        for x, y in zip(c, d, strict=True):
            gap, size = gap + abs(x - y), size + abs(y)
            if abs(x) > mean + 1e-9:
                large += 1
                wrong += x * y < 0
        if len(slots) >= 3 and len(set(c)) > 1 and len(set(d)) > 1:
            correlations.append(spearmanr(c, d).statistic)
    found = spearman(said, real, mask)
    assert found.left_out == len(mask) - len(correlations)
    assert np.isnan(found.per_pair).sum() == found.left_out
    assert found.mean == pytest.approx(np.mean(correlations or [math.nan]), nan_ok=True)
    expected = wrong / large if large else math.nan
    assert polarity_violations(said, real, mask) == pytest.approx(expected, nan_ok=True)
    assert relative_gap(said, real, mask) == pytest.approx(
        gap / size if size else math.nan, nan_ok=True
    )


@pytest.mark.parametrize("planted", [0, 3, 10])
def test_planted_sign_errors_are_all_found(planted):
    # Each pair has one large line, of four; ten pairs.
    real = np.tile([5.0, 0.1, -0.2, 0.3], (10, 1))
    said = real.copy()
    said[:planted, 0] *= -1
    said[:, 1:] *= -1  # small lines do not count
    assert polarity_violations(said, real, np.ones((10, 4), bool)) == planted / 10


@pytest.mark.parametrize("events", range(1, 60))
def test_lines_of_one_size_are_not_large(events):
    # The mean of `events` times .1 rounds to below .1 for some of them, 6 and 41 to 59 for a start.
    said, mask = np.full((1, events), 0.1), np.ones((1, events), bool)
    assert math.isnan(polarity_violations(said, -said, mask))


def test_an_unreal_change_of_nothing_has_no_relative_gap():
    assert math.isnan(relative_gap(np.ones((1, 2)), np.zeros((1, 2)), np.ones((1, 2), bool)))


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_what_stands_at_padding_does_not_matter(seed):
    said, mask = world(seed)
    real = world(seed + 1)[0] * mask
    rubbish = np.where(mask, said, np.nan)
    assert spearman(rubbish, real, mask).per_pair == pytest.approx(
        spearman(said, real, mask).per_pair, nan_ok=True
    )
    assert relative_gap(rubbish, real, mask) == relative_gap(said, real, mask)
    assert polarity_violations(rubbish, real, mask) == pytest.approx(
        polarity_violations(said, real, mask), nan_ok=True
    )
    np.testing.assert_array_equal(
        deletion_curve(rubbish, mask, crowded(real)).scores,
        deletion_curve(said, mask, crowded(real)).scores,
    )


# --- deletion, insertion ---


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 12))
def test_curves_agree_with_removing_and_adding_in_turn(seed, steps):
    lines, mask = world(seed)
    said = world(seed + 1)[0]
    score = crowded(lines)
    deletion = deletion_curve(said, mask, score, steps)
    insertion = insertion_curve(said, mask, score, steps)
    for pair in range(len(mask)):
        order = by_support(said, mask, pair)
        counts = [math.ceil(step * len(order) / steps) for step in range(steps + 1)]
        removed = [scored(score, mask, pair, order[count:]) for count in counts]
        added = [scored(score, mask, pair, order[:count]) for count in counts]
        assert deletion.scores[pair] == pytest.approx(removed)
        assert insertion.scores[pair] == pytest.approx(added)
        full, empty = scored(score, mask, pair, order), scored(score, mask, pair, [])
        assert (deletion.full[pair], deletion.empty[pair]) == pytest.approx((full, empty))
        assert (insertion.full[pair], insertion.empty[pair]) == pytest.approx((full, empty))
        for curve, points in ((deletion, removed), (insertion, added)):
            area = sum((x + y) / 2 - empty for x, y in itertools.pairwise(points))
            assert curve.auc[pair] == pytest.approx(area / steps / abs(full - empty))


def test_a_straight_fall_has_an_area_of_one_half():
    curve = deletion_curve(np.ones((1, 4)), np.ones((1, 4), bool), additive(np.ones((1, 4))), 4)
    assert curve.scores[0] == pytest.approx([4.7, 3.7, 2.7, 1.7, 0.7])
    assert curve.auc == pytest.approx([0.5])


def test_a_history_that_changes_nothing_has_no_auc():
    curve = insertion_curve(np.ones((2, 3)), np.ones((2, 3), bool), lambda keep: np.ones(2))
    assert np.isnan(curve.auc).all()
    assert curve.area == pytest.approx([0, 0])


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_no_order_beats_true_lines_on_an_additive_scorer(seed):
    lines, mask = world(seed, pairs=40)
    said = world(seed + 1, pairs=40)[0]
    score = additive(lines)
    slack = 1e-9
    best, other = deletion_curve(lines, mask, score), deletion_curve(said, mask, score)
    assert (best.area <= other.area + slack).all()
    assert best.area.mean() < other.area.mean()
    best, other = insertion_curve(lines, mask, score), insertion_curve(said, mask, score)
    assert (best.area >= other.area - slack).all()
    assert (
        comprehensiveness(lines, mask, score) >= comprehensiveness(said, mask, score) - slack
    ).all()
    assert (sufficiency(lines, mask, score) <= sufficiency(said, mask, score) + slack).all()


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_eraser_agrees_with_its_definition(seed):
    lines, mask = world(seed, length=30)
    said = world(seed + 1, length=30)[0]
    score, percents = crowded(lines), [1, 7, 10, 20, 50, 100]
    shares = [percent / 100 for percent in percents]
    without = comprehensiveness(said, mask, score, shares)
    only = sufficiency(said, mask, score, shares)
    for pair in range(len(mask)):
        order = by_support(said, mask, pair)
        full = scored(score, mask, pair, order)
        for column, percent in enumerate(percents):
            top = -(-percent * len(order) // 100)  # whole numbers: no rounding
            assert without[pair, column] == pytest.approx(
                full - scored(score, mask, pair, order[top:])
            )
            assert only[pair, column] == pytest.approx(
                full - scored(score, mask, pair, order[:top])
            )


def test_shares_are_whole_events_in_spite_of_rounding():
    # .07 · 100 is a little more than 7 in float64.
    lines, mask = np.ones((1, 100)), np.ones((1, 100), bool)
    lost = comprehensiveness(lines, mask, additive(lines), [0.07, 0.071])
    assert lost == pytest.approx(np.array([[7, 8]]))


# --- ranks ---


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 21), st.integers(1, 12))
def test_rank_metrics_agree_with_deleting_by_hand(seed, k, length):
    lines, mask = world(seed)
    said = world(seed + 1)[0]
    ranks = ranks_of(additive(lines))
    pos, neg = (metric(said, mask, ranks, k, length) for metric in (pos_at_k, neg_at_k))
    gain = cdcg(said, mask, ranks, length)
    for pair in range(len(mask)):
        order = by_support(said, mask, pair)
        after_pos = scored(ranks, mask, pair, order[length:])
        after_neg = scored(ranks, mask, pair, order[: max(0, len(order) - length)])
        assert pos[pair] == (after_pos <= k)
        assert neg[pair] == (after_neg <= k)
        assert gain[pair] == pytest.approx(1 / math.log2(1 + after_pos))


def test_true_lines_push_the_item_down_fastest():
    lines, mask = world(3, pairs=400)
    said, ranks = world(4, pairs=400)[0], ranks_of(additive(lines))
    assert pos_at_k(lines, mask, ranks, 5, 2).mean() < pos_at_k(said, mask, ranks, 5, 2).mean()
    assert neg_at_k(lines, mask, ranks, 5, 2).mean() > neg_at_k(said, mask, ranks, 5, 2).mean()
    assert cdcg(lines, mask, ranks, 2).mean() < cdcg(said, mask, ranks, 2).mean()


# --- the rest ---


def test_completeness_error_is_the_worst_pair():
    totals = np.array([1.0, 2.0, 3.0], np.float32)
    assert completeness_error(totals, totals) == 0
    assert completeness_error(totals, totals + np.array([0, -0.5, 0.25])) == 0.5
    with pytest.raises(ValueError, match=r"\(3,\) and scores \(2,\)"):
        completeness_error(totals, totals[:2])


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 12))
def test_overlap_agrees_with_sets(seed, k):
    (a, mask), (b, _) = world(seed), world(seed + 1)
    for pair, found in enumerate(top_overlap(a, b, mask, k)):
        top_a, top_b = (set(by_support(side, mask, pair)[:k]) for side in (a, b))
        assert found == pytest.approx(len(top_a & top_b) / len(top_a | top_b))


def test_a_pair_without_history_is_no_failure():
    mask, none = np.zeros((1, 3), bool), np.zeros((1, 3))
    score = additive(none)
    assert deletion_changes(score, mask).tolist() == [[0, 0, 0]]
    assert spearman(none, none, mask).left_out == 1
    assert math.isnan(deletion_curve(none, mask, score).auc[0])
    assert comprehensiveness(none, mask, score, [0.1]) == pytest.approx(np.zeros((1, 1)))
    assert top_overlap(none, none, mask, 5) == pytest.approx([1])


def test_wrong_arguments_are_refused():
    lines, mask = world(5)
    with pytest.raises(ValueError, match=r"\(6, 8\) and mask \(6, 9\)"):
        spearman(lines[:, 1:], lines, mask)
    with pytest.raises(ValueError, match="mask must be bool"):
        relative_gap(lines, lines, mask.astype(int))
    with pytest.raises(ValueError, match="finite"):
        polarity_violations(np.where(mask, np.nan, 0), lines, mask)
    with pytest.raises(ValueError, match=r"changes \(5, 9\) and mask"):
        relative_gap(lines, lines[1:], mask)
    with pytest.raises(ValueError, match=r"return \[6\] scores, returned \(6, 9\)"):
        deletion_changes(lambda keep: lines * keep, mask)
    with pytest.raises(ValueError, match="steps"):
        deletion_curve(lines, mask, additive(lines), 0)
    with pytest.raises(ValueError, match=r"shares must lie in \(0, 1\]"):
        sufficiency(lines, mask, additive(lines), [5])
    with pytest.raises(ValueError, match="ranks start at 1, got 0"):
        pos_at_k(lines, mask, lambda keep: np.zeros(6, int), 5, 1)
    with pytest.raises(ValueError, match="k must be"):
        top_overlap(lines, lines, mask, 0)
