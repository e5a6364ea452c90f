from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tfrec.interest.fitting import calibrators
from tfrec.interest.fitting.calibrators import (
    Isotonic,
    Platt,
    Temperature,
    blockwise_nll,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)

LOGITS = st.floats(-60, 60)
EVENTS = st.lists(st.tuples(LOGITS, st.booleans()), min_size=1, max_size=80)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(slope, offset, n=20_000, seed=0):
    """Logits and outcomes whose true P is sigmoid(slope · s + offset)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(1.0, 2.0, n)
    return logits, rng.random(n) < sigmoid(slope * logits + offset)


# --- Temperature ---


def test_temperature_equals_a_plain_softmax():
    logits = np.random.default_rng(0).normal(size=(5, 7))
    weights = np.exp(logits / 1.7)
    expected = np.log(weights / weights.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(Temperature(1.7).apply(logits), expected, rtol=1e-12)
    single = Temperature(1.7).apply(logits.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-5)


def test_temperature_bears_large_and_blocked_logits():
    found = Temperature(0.5).apply(np.array([[1e4, 1e4, -np.inf, -1e4]], np.float32))
    assert found[0, :3].tolist() == [
        pytest.approx(math.log(0.5)),
        pytest.approx(math.log(0.5)),
        -np.inf,
    ]
    assert found[0, 3] == pytest.approx(-4e4 - math.log(2))


@pytest.mark.parametrize("planted", [0.4, 1.0, 3.0])
def test_temperature_is_recovered_from_blocks(planted):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(6000, 8)) * 2 * planted
    # argmax of logits / T plus Gumbel noise is a draw from softmax(logits / T)
    targets = (logits / planted + rng.gumbel(size=logits.shape)).argmax(axis=1)
    passes = []

    def blocks():
        passes.append(1)
        for low in range(0, 6000, 1700):
            yield logits[low : low + 1700], targets[low : low + 1700]

    found = fit_temperature(blockwise_nll(blocks)).temperature
    assert found == pytest.approx(planted, rel=0.05)
    assert len(passes) < 60

    # A fine grid, computed in one piece, finds no better temperature.
    def nll(t):
        rows = np.log(np.exp(logits / t).sum(axis=1)) - logits[np.arange(6000), targets] / t
        return rows.mean()

    grid = found * np.exp(np.linspace(-0.1, 0.1, 41))
    assert blockwise_nll(blocks)(found) == pytest.approx(nll(found), rel=1e-9)
    assert nll(found) <= min(nll(t) for t in grid) + 1e-9


def test_temperature_errors():
    with pytest.raises(ValueError, match="temperature"):
        Temperature(0.0)
    with pytest.raises(ValueError, match="nan"):
        fit_temperature(lambda t: math.nan)
    with pytest.raises(ValueError, match="no targets"):
        fit_temperature(blockwise_nll(list))


# --- Platt ---


def newton(logits, targets, steps=100):
    """Textbook Newton iterations for the same regression, on raw logits."""
    design = np.stack([logits, np.ones(len(logits))], axis=1)
    line = np.zeros(2)
    for _ in range(steps):
        p = sigmoid(design @ line)
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        line -= np.linalg.solve(hessian, design.T @ (p - targets))
    return line


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.3, -3.0), (2.0, 1.5)])
def test_platt_equals_newton_on_smoothed_targets(slope, offset):
    logits, outcomes = drawn(slope, offset, n=3000)
    positives, negatives = outcomes.sum(), (~outcomes).sum()
    targets = np.where(outcomes, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    found = fit_platt(logits, outcomes)
    assert [found.slope, found.offset] == pytest.approx(newton(logits, targets), rel=1e-5, abs=1e-6)


def test_platt_fits_separable_and_one_sided_outcomes():
    separable = fit_platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1]))
    # Smoothed targets are 1/4 and 3/4: symmetric, finite.
    assert separable.offset == pytest.approx(0, abs=1e-6)
    assert 0 < separable.slope < 2
    always = fit_platt(np.arange(8.0), np.ones(8))
    assert always.apply(np.arange(8.0)) == pytest.approx(np.full(8, 9 / 10), abs=2e-3)
    alike = fit_platt(np.full(6, 0.1), np.array([1, 0, 1, 0, 1, 0]))
    assert alike.apply(np.array([0.1])) == pytest.approx([0.5])
    assert alike.slope < 1


def test_platt_slope_stays_positive_where_logits_point_the_wrong_way():
    logits, outcomes = drawn(-1.0, 0.0, n=2000)
    found = fit_platt(logits, outcomes)
    assert found.slope == calibrators.LEAST_SLOPE
    # With the slope held, the offset alone makes the mean probability the mean smoothed target.
    positives, negatives = outcomes.sum(), (~outcomes).sum()
    target = (positives * (positives + 1) / (positives + 2) + negatives / (negatives + 2)) / 2000
    assert found.apply(logits).mean() == pytest.approx(target, abs=1e-7)


@given(EVENTS)
@settings(deadline=None, max_examples=25)
def test_platt_never_changes_an_order(events):
    logits, outcomes = (np.array(column) for column in zip(*events, strict=True))
    found = fit_platt(logits, outcomes)
    z = found.slope * np.sort(logits) + found.offset
    assert (np.diff(found.apply(np.sort(logits))) >= 0).all()
    distinct = (np.diff(np.sort(logits)) > 1e-3) & (np.abs(z[1:]) < 30) & (np.abs(z[:-1]) < 30)
    assert (np.diff(found.apply(np.sort(logits)))[distinct] > 0).all()


# --- Isotonic ---


def pooled(logits, outcomes):
    """Pool adjacent violators by repeated merging: [(mean logit, rate, events)]."""
    blocks = []
    for x in sorted(set(logits)):
        here = [y for other, y in zip(logits, outcomes, strict=True) if other == x]
        blocks.append([x * len(here), sum(here), len(here)])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] >= blocks[-1][1] * blocks[-2][2]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return [(x / n, y / n, n) for x, y, n in blocks]


@given(st.lists(st.tuples(st.integers(-8, 8), st.booleans()), min_size=1, max_size=40))
@settings(deadline=None, max_examples=50)
def test_isotonic_equals_pooling_by_hand_up_to_ramp_and_bounds(events):
    logits, outcomes = (list(column) for column in zip(*events, strict=True))
    # With more knots than events no blocks share one (each has a share above 1 / max_knots).
    found = fit_isotonic(np.array(logits, float), np.array(outcomes), max_knots=1000)
    blocks = pooled(logits, outcomes)
    positives = sum(outcomes)
    low, high = 1 / (len(logits) - positives + 2), (positives + 1) / (positives + 2)
    expected = [min(max(rate, low), high) for _, rate, _ in blocks]
    assert found.knots_x == pytest.approx([x for x, _, _ in blocks])
    np.testing.assert_allclose(found.knots_y, expected, atol=1e-3)
    assert low - 1e-12 <= found.knots_y[0]
    assert found.knots_y[-1] <= high + 1e-12


@given(EVENTS, st.lists(LOGITS, min_size=2, max_size=30), st.integers(1, 64))
@example([(0.0, False), (5e-324, True)], [-1.0, 0.0, 1.0], 64)  # one rounding error apart
@example([(0.1, False)] * 3 + [(math.nextafter(0.1, 1), True)], [0.1, 0.2], 64)
@example([(0.0, True), (1.0, False)], [0.0, 0.5, 1.0], 64)  # pools to a single knot
@settings(deadline=None, max_examples=50)
def test_isotonic_never_changes_an_order(events, queries, max_knots):
    logits, outcomes = (np.array(column) for column in zip(*events, strict=True))
    curve = fit_isotonic(logits, outcomes, max_knots)
    assert len(curve.knots_x) <= max_knots
    asked = np.sort(np.concatenate([queries, logits, curve.knots_x]))
    found = curve.apply(asked)
    assert ((found > 0) & (found < 1)).all()
    apart = asked[None, :] - asked[:, None] > 1e-3  # every pair
    assert (found[None, :] > found[:, None])[apart].all()


def test_isotonic_rises_visibly_where_rates_are_all_but_equal():
    # Rates of 1/2 that differ by 1e-12, ten logits apart: without help a step of .001 is lost.
    sizes, positives = np.array([1_000_001, 1_000_003]), np.array([500_000, 500_001])
    outcomes = np.concatenate([np.arange(n) < k for n, k in zip(sizes, positives, strict=True)])
    curve = fit_isotonic(np.repeat([0.0, 10.0], sizes), outcomes)
    asked = np.arange(0, 10, 1.1e-3)
    assert (np.diff(curve.apply(asked)) > 1e-9).all()
    np.testing.assert_allclose(curve.apply(asked), 0.5, atol=1e-3)


def test_isotonic_joins_its_tails_and_approaches_the_ends():
    curve = Isotonic(np.array([-1.0, 2.0]), np.array([0.1, 0.7]))
    assert curve.apply(np.array([-1.0, 0.5, 2.0])) == pytest.approx([0.1, 0.4, 0.7])
    # At a distance of 1000 half the way to 0 or 1 is done, as the docstring says.
    assert curve.apply(np.array([-1001.0, 1002.0])) == pytest.approx([0.05, 0.85])


@pytest.mark.parametrize("offset", [0.0, -5.0])
def test_isotonic_calibrates_a_bent_score(offset):
    rng = np.random.default_rng(3)
    true = sigmoid(rng.normal(offset, 1.5, 60_000))
    outcomes = rng.random(60_000) < true
    score = np.cbrt(true) * 9 - 4  # any rising function of the truth
    curve = fit_isotonic(score[:30_000], outcomes[:30_000])
    assert 8 <= len(curve.knots_x) <= 64
    fresh = curve.apply(score[30_000:])
    error = np.abs(fresh - true[30_000:])
    assert error.mean() < 0.1 * true.mean()
    assert fresh.mean() == pytest.approx(true[30_000:].mean(), rel=0.05)


def test_isotonic_has_its_knots_where_the_rare_positives_are():
    rng = np.random.default_rng(4)
    true = sigmoid(rng.normal(-6.0, 2.0, 100_000))
    curve = fit_isotonic(np.log(true), rng.random(100_000) < true)
    # Half of the positives come from the fewest events; knots follow positives as well.
    order = np.sort(true)
    middle = order[np.searchsorted(np.cumsum(order), order.sum() / 2)]
    assert (np.exp(curve.knots_x) > middle).sum() >= len(curve.knots_x) / 5


def test_isotonic_errors():
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        Isotonic(np.array([0.0, 1.0]), np.array([0.5]))
    for x, y in [([0.0, 0.0], [0.1, 0.2]), ([0.0, 1.0], [0.2, 0.2]), ([0.0, 1.0], [0.2, 1.0])]:
        with pytest.raises(ValueError, match="strictly"):
            Isotonic(np.array(x), np.array(y))
    with pytest.raises(ValueError, match="max_knots"):
        fit_isotonic(np.zeros(1), np.zeros(1), 0)


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
def test_fits_name_what_is_wrong(fit):
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        fit(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match=r"\(0,\)"):
        fit(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="nan"):
        fit(np.array([0.0, np.nan]), np.zeros(2))
    with pytest.raises(ValueError, match="0 or 1, got 2"):
        fit(np.zeros(2), np.array([1, 2]))


def test_all_calibrators_share_one_file(tmp_path):
    logits, outcomes = drawn(0.8, -1.0, n=500)
    temperature, platt = Temperature(1.3), fit_platt(logits, outcomes)
    isotonic = fit_isotonic(logits, outcomes)
    path = tmp_path / "calibrators.npz"
    np.savez(path, **temperature.to_arrays(), **platt.to_arrays(), **isotonic.to_arrays())
    with np.load(path) as stored:
        assert Temperature.from_arrays(stored) == temperature
        assert Platt.from_arrays(stored) == platt
        loaded = Isotonic.from_arrays(stored)
    np.testing.assert_array_equal(loaded.apply(logits), isotonic.apply(logits))
    with pytest.raises(KeyError):
        Isotonic.from_arrays(platt.to_arrays())
