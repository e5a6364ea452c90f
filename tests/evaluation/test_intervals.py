from __future__ import annotations

import math

import numpy as np
import pytest

from tfrec.evaluation import intervals as intervals_module
from tfrec.evaluation.intervals import intervals, resampled_means


def test_agrees_with_the_normal_interval_where_that_is_right():
    values = np.random.default_rng(0).random(4000)
    found = intervals({"x": values}, seed=1, resamples=4000)["x"]
    margin = 1.96 * values.std() / math.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - margin, abs=0.08 * margin)
    assert found.high == pytest.approx(values.mean() + margin, abs=0.08 * margin)


def test_follows_a_skewed_distribution():
    # Twenty cases, one hit: the exact resampled mean is Binomial(20, 1/20) / 20. Its quantile at
    # .025 is 0 hits (P = .358); P(at most 2) = .925 and P(at most 3) = .984, so at .975 it is 3.
    found = intervals({"x": np.array([1.0] + [0.0] * 19)}, seed=0, resamples=20_000)["x"]
    assert (found.low, found.high) == (0, 3 / 20)


def test_covers_the_truth_nineteen_times_in_twenty():
    rng = np.random.default_rng(5)
    inside = 0
    for sample in range(400):
        found = intervals({"x": (rng.random(150) < 0.3) * 1.0}, seed=sample)["x"]
        inside += found.low <= 0.3 <= found.high
    assert 0.90 <= inside / 400 <= 0.98  # standard deviation .011


@pytest.mark.parametrize("cells", [2**21, 2000 * 7, 1])
def test_draws_are_counts_of_cases(monkeypatch, cells):
    # With unit vectors as metrics the resampled means are the draws themselves, divided by N,
    # whether the 30 cases make one block, five (7 7 7 7 2) or thirty.
    monkeypatch.setattr(intervals_module, "_CELLS_PER_BLOCK", cells)
    draws = resampled_means(np.eye(30), seed=3, resamples=2000) * 30
    np.testing.assert_allclose(draws, np.round(draws), atol=1e-9)
    np.testing.assert_allclose(draws.sum(axis=1), 30)
    # Counts are multinomial: mean 1, variance 29/30, covariance of any two -1/30.
    assert draws.mean(axis=0) == pytest.approx(np.ones(30), abs=0.12)
    covariance = np.cov(draws.T)
    assert np.diag(covariance) == pytest.approx(np.full(30, 29 / 30), abs=0.2)
    others = covariance[~np.eye(30, dtype=bool)]
    assert others == pytest.approx(np.full(870, -1 / 30), abs=0.12)


def test_one_case_has_no_width():
    found = intervals({"x": np.array([0.3])}, seed=0)["x"]
    assert (found.low, found.high) == (pytest.approx(0.3), pytest.approx(0.3))


def test_all_metrics_meet_the_same_resamples():
    x = np.random.default_rng(0).random(50)
    found = intervals({"x": x, "twice": 2 * x, "other": 1 - x}, seed=0)
    assert found["twice"].low == pytest.approx(2 * found["x"].low)
    assert found["other"].high == pytest.approx(1 - found["x"].low)
    alone = intervals({"x": x}, seed=0)["x"]
    assert found["x"].value == alone.value
    assert (found["x"].low, found["x"].high) == pytest.approx((alone.low, alone.high))
    assert alone == intervals({"x": x}, seed=0)["x"]
    assert alone.low != intervals({"x": x}, seed=1)["x"].low


def test_a_ratio_keeps_what_its_parts_share():
    x = np.random.default_rng(0).random(80) + 0.1
    found = intervals({"x": x, "half": x / 2, "y": x}, 0, {"ratio": ("half", "x")})
    assert list(found) == ["y", "ratio"]
    ratio = found["ratio"]  # the parts move together, so nothing is left to chance
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_ratio_is_of_sums():
    above, below = np.array([1.0, 0.0, 5.0]), np.array([1.0, 0.0, 1.0])
    found = intervals({"a": above, "b": below}, 0, {"r": ("a", "b")})["r"]
    assert found.value == pytest.approx(6 / 2)
    assert 1 - 1e-9 <= found.low < found.value < found.high <= 5 + 1e-9
    with pytest.raises(ValueError, match="r is undefined: b sums to zero"):
        intervals({"a": above, "b": below * 0}, 0, {"r": ("a", "b")})


def test_no_cases_are_refused():
    with pytest.raises(ValueError, match="no cases"):
        resampled_means(np.zeros((0, 2)), seed=0)
