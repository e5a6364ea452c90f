from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from tfrec.evaluation import calibration as metrics

# Few distinct probabilities, so that ties are common.
EVENTS = st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=60)


def columns(events):
    tenths, outcomes = (np.array(column) for column in zip(*events, strict=True))
    return tenths / 10, outcomes


def plain_auc(scores, outcomes):
    """Every pair of a positive and a negative, one after another."""
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, positive in zip(scores, outcomes, strict=True)
        if positive
        for b, other in zip(scores, outcomes, strict=True)
        if not other
    ]
    return sum(pairs) / len(pairs) if pairs else math.nan


# --- reliability and ECE ---


def test_hand_worked_reliability():
    # Six distinct probabilities in three bins: pairs, in order of probability.
    p = np.array([0.9, 0.1, 0.5, 0.2, 0.6, 0.8])
    y = np.array([1, 0, 1, 1, 0, 1])
    table = metrics.reliability(p, y, bins=3)
    assert table.count.tolist() == [2, 2, 2]
    assert table.probability == pytest.approx([0.15, 0.55, 0.85])
    assert table.rate == pytest.approx([0.5, 0.5, 1.0])
    # (.35 + .05 + .15) / 3
    assert metrics.expected_calibration_error(p, y, bins=3) == pytest.approx(0.55 / 3)


def test_ties_go_where_their_middle_falls():
    # Ranks 1 to 3 share the mean rank 2, in the lower half of four; rank 4 is in the upper.
    table = metrics.reliability(np.array([0.1, 0.9, 0.1, 0.1]), np.array([0, 1, 1, 0]), bins=2)
    assert table.count.tolist() == [3, 1]
    assert table.rate == pytest.approx([1 / 3, 1])


def test_bins_have_equal_mass_without_ties():
    rng = np.random.default_rng(0)
    p = rng.permutation(np.linspace(0, 1, 1003) ** 3)
    table = metrics.reliability(p, rng.random(1003) < p)
    assert len(table.count) == 15
    assert set(table.count.tolist()) == {66, 67}
    # The bins are runs of the sorted probabilities.
    runs = np.split(np.sort(p), np.cumsum(table.count)[:-1])
    assert table.probability == pytest.approx([run.mean() for run in runs])


@given(EVENTS, st.integers(1, 20), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_ties_share_a_bin_in_every_order(events, bins, random):
    p, y = columns(events)
    table = metrics.reliability(p, y, bins)
    assert table.count.sum() == len(p)
    assert (table.count * table.rate).sum() == pytest.approx(y.sum())
    assert (np.diff(table.probability) > 0).all()
    assert len(table.count) <= bins

    # Whole groups of equal probability make up each bin.
    sizes = np.unique(p, return_counts=True)[1]
    assert set(np.cumsum(table.count)) <= set(np.cumsum(sizes))

    shuffled = list(events)
    random.shuffle(shuffled)
    again = metrics.reliability(*columns(shuffled), bins)
    np.testing.assert_array_equal(table.count, again.count)
    np.testing.assert_allclose(table.rate, again.rate)


def test_ece_of_constant_predictions_is_the_gap_of_the_means():
    p = np.full(10, 0.3)
    assert metrics.expected_calibration_error(p, np.arange(10) < 7) == pytest.approx(0.4)
    assert metrics.expected_calibration_error(p, np.arange(10) < 3) == pytest.approx(0)


def test_ece_tells_calibrated_from_overconfident():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, 60_000)
    p = 1 / (1 + np.exp(-logits))
    y = rng.random(60_000) < p
    # Mean |noise| of a bin of 4000 is at most sqrt(2/pi) · .5 / sqrt(4000) = .0063.
    assert metrics.expected_calibration_error(p, y) < 0.0064
    extreme = 1 / (1 + np.exp(-3 * logits))
    # With this many events ECE is E|p - p'|, which the sample itself estimates.
    expected = np.abs(extreme - p).mean()
    found = metrics.expected_calibration_error(extreme, y)
    assert found == pytest.approx(expected, abs=0.01)


# --- AUC and GAUC ---


@given(EVENTS)
@settings(deadline=None, max_examples=50)
def test_auc_equals_all_pairs_and_scipy(events):
    p, y = columns(events)
    found = metrics.auc(p, y)
    assert found == pytest.approx(plain_auc(p, y), nan_ok=True)
    if 0 < y.sum() < len(y):
        u = mannwhitneyu(p[y], p[~y], method="asymptotic" if len(set(p)) > 1 else "exact").statistic
        assert found == pytest.approx(u / (y.sum() * (~y).sum()))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(-2, 3)), min_size=1))
@settings(deadline=None, max_examples=50)
def test_gauc_equals_a_loop_over_users(events):
    scores, outcomes, users = (np.array(column) for column in zip(*events, strict=True))
    total = weight = 0.0
    for user in set(users.tolist()):
        mine = users == user
        one = plain_auc(scores[mine], outcomes[mine])
        if not math.isnan(one):
            total += one * mine.sum()
            weight += mine.sum()
    found = metrics.grouped_auc(scores.astype(np.float32), outcomes, users)
    assert found == pytest.approx(total / weight if weight else math.nan, nan_ok=True)


def test_a_user_offset_moves_auc_and_not_gauc():
    rng = np.random.default_rng(2)
    users = rng.integers(0, 50, 3000)
    scores = rng.normal(size=3000)
    y = rng.random(3000) < 1 / (1 + np.exp(-scores - 0.06 * (users - 25)))
    moved = scores + users
    assert metrics.grouped_auc(moved, y, users) == pytest.approx(
        metrics.grouped_auc(scores, y, users)
    )
    assert abs(metrics.auc(moved, y) - metrics.auc(scores, y)) > 0.01


def test_auc_is_fast_enough_for_a_million_events():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=1_000_000)
    y = rng.random(1_000_000) < 1 / (1 + np.exp(-scores))
    # All pairs would be 2.5e11. The probability that a positive is above a negative, by integrating
    # over the normal: E[F-(s) f+(s)].
    grid = np.linspace(-8, 8, 4001)
    density = np.exp(-(grid**2) / 2)
    positive = density / (1 + np.exp(-grid))
    negative = density - positive
    below = np.cumsum(negative) - negative / 2
    expected = (below * positive).sum() / (negative.sum() * positive.sum())
    assert metrics.auc(scores, y) == pytest.approx(expected, abs=0.002)


# --- losses ---


@given(EVENTS)
@settings(deadline=None, max_examples=50)
def test_brier_and_log_loss_equal_a_loop(events):
    p, y = columns(events)
    pairs = list(zip(p.tolist(), y.tolist(), strict=True))
    assert metrics.brier(p, y) == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / len(pairs))
    losses = [-math.log(max(a if b else 1 - a, 1e-12)) for a, b in pairs]
    assert metrics.log_loss(p, y) == pytest.approx(sum(losses) / len(losses))


def test_a_wrong_certainty_has_a_price_but_a_finite_one():
    assert metrics.log_loss(np.array([1.0]), np.array([0])) == pytest.approx(12 * math.log(10))
    assert metrics.log_loss(np.array([1.0]), np.array([1])) == 0


def test_errors_of_strengths():
    predictions, strengths = np.array([3.0, 4.0, 1.0], np.float32), np.array([5.0, 4.0, 2.0])
    assert metrics.root_mean_squared_error(predictions, strengths) == pytest.approx(
        math.sqrt(5 / 3)
    )
    assert metrics.mean_absolute_error(predictions, strengths) == pytest.approx(1)


def test_ordinal_log_loss_by_hand():
    p = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    found = metrics.ordinal_log_loss(p, np.array([1, 2]))
    assert found == pytest.approx(-(math.log(0.25) + math.log(0.7)) / 2)
    # With two grades it is the log-loss.
    q, y = np.array([0.3, 0.9, 0.5]), np.array([1, 0, 1])
    assert metrics.ordinal_log_loss(np.stack([1 - q, q], axis=1), y) == pytest.approx(
        metrics.log_loss(q, y)
    )


def test_catalogue_log_loss():
    # A uniform guess over 50 items is as hard as 50 items.
    nll, perplexity = metrics.catalogue_log_loss(np.full(9, -math.log(50), np.float32))
    assert nll == pytest.approx(math.log(50))
    assert perplexity == pytest.approx(50, rel=1e-6)
    assert metrics.catalogue_log_loss(np.array([-np.inf, -1.0])) == (math.inf, math.inf)
    assert metrics.catalogue_log_loss(np.array([-1000.0])) == (1000, math.inf)


# --- calibration line ---


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -2.0), (-0.7, 0.4)])
def test_calibration_line_finds_the_planted_line(slope, intercept):
    rng = np.random.default_rng(4)
    logits = rng.normal(0.5, 1.5, 20_000)
    p = 1 / (1 + np.exp(-(slope * logits + intercept)))
    found = metrics.calibration_line(logits, rng.random(20_000) < p)
    design = np.stack([logits, np.ones(20_000)], axis=1)
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ (design * (p * (1 - p))[:, None]))))
    assert abs(found.slope - slope) < 4 * errors[0]
    assert abs(found.intercept - intercept) < 4 * errors[1]


def test_calibration_line_meets_its_equations():
    # At the optimum the residuals sum to zero, and so do they times the logits.
    rng = np.random.default_rng(5)
    logits = rng.normal(40, 25, 500)
    y = rng.random(500) < 0.3 + 0.4 * (logits > 50)
    slope, intercept = metrics.calibration_line(logits, y)
    residuals = 1 / (1 + np.exp(-(slope * logits + intercept))) - y
    assert residuals.mean() == pytest.approx(0, abs=1e-7)
    assert (residuals * (logits - 40)).mean() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("outcomes", [[0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
def test_no_finite_line_is_nan(outcomes):
    found = metrics.calibration_line(np.array([0.0, 1.0, 1.0, 2.0]), np.array(outcomes))
    assert math.isnan(found.slope)
    assert math.isnan(found.intercept)
    assert math.isnan(metrics.calibration_line(np.zeros(4), np.array([0, 1, 0, 1])).slope)


# --- mistakes ---


@pytest.mark.parametrize(
    "metric",
    [metrics.expected_calibration_error, metrics.brier, metrics.log_loss, metrics.auc],
)
def test_metrics_name_what_is_wrong(metric):
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        metric(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match=r"\(0,\)"):
        metric(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match=r"(probabilities|scores) must be finite, got nan"):
        metric(np.array([np.nan]), np.zeros(1))
    with pytest.raises(ValueError, match="0 or 1"):
        metric(np.zeros(1), np.array([0.5]))


def test_ranges_are_checked():
    with pytest.raises(ValueError, match=r"\[0, 1\], got 0.5 … 1.5"):
        metrics.brier(np.array([0.5, 1.5]), np.zeros(2))
    with pytest.raises(ValueError, match="bins"):
        metrics.reliability(np.zeros(1), np.zeros(1), 0)
    with pytest.raises(ValueError, match="groups"):
        metrics.grouped_auc(np.zeros(2), np.zeros(2), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3,\)"):
        metrics.ordinal_log_loss(np.full((2, 3), 1 / 3), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="row sum to 1"):
        metrics.ordinal_log_loss(np.full((2, 3), 0.5), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="0 … 2, got 0 … 3"):
        metrics.ordinal_log_loss(np.full((2, 3), 1 / 3), np.array([0, 3]))
    with pytest.raises(ValueError, match="predictions"):
        metrics.mean_absolute_error(np.zeros(2), np.zeros(1))
    with pytest.raises(ValueError, match=r"maximum 0\.5"):
        metrics.catalogue_log_loss(np.array([0.5]))
