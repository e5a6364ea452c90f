from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.stats import chi2

from tfrec.errors import UserError
from tfrec.interest.fitting.ordinal import OrdinalLink, fit_ordinal, loss_and_gradient


def plain_probabilities(thresholds, scale, score):
    """Differences of the cumulative probabilities, one grade after another."""
    cumulative = [1 / (1 + math.exp(-(t - scale * score))) for t in thresholds]
    return [b - a for a, b in zip([0.0, *cumulative], [*cumulative, 1.0], strict=True)]


def plain_nll(thresholds, scale, scores, grades):
    rows = zip(scores, grades, strict=True)
    return -sum(math.log(plain_probabilities(thresholds, scale, s)[g]) for s, g in rows) / len(
        scores
    )


def drawn(thresholds, scale, n, seed=0):
    """Scores, and grades drawn by the latent form: grade = thresholds below s + logistic noise."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.5, 2.0, n)
    latent = scale * scores + rng.logistic(size=n)
    return scores, (latent[:, None] > np.asarray(thresholds)).sum(axis=1)


LINKS = st.tuples(
    st.floats(-3, 3), st.lists(st.floats(0.05, 3), max_size=5), st.floats(0.1, 3)
).map(lambda t: (np.cumsum([t[0], *t[1]]), t[2]))


@given(LINKS, st.lists(st.floats(-5, 5), min_size=1, max_size=5))
@settings(deadline=None, max_examples=50)
def test_probabilities_equal_the_definition(link, scores):
    thresholds, scale = link
    built = OrdinalLink(thresholds, scale)
    expected = [plain_probabilities(thresholds, scale, score) for score in scores]
    found = built.grade_probabilities(np.array(scores))
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-14)
    mean = np.array(expected) @ np.arange(len(thresholds) + 1)
    np.testing.assert_allclose(built.expected_grade(np.array(scores)), mean, atol=1e-9)


def test_far_scores_keep_their_digits():
    found = OrdinalLink(np.array([-1.0, 1.0])).grade_probabilities(np.array([-600.0, 0.0, 600.0]))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    # Far above, P(grade) = exp(upper - s) - exp(lower - s); the plain difference would be 0.
    assert found[2, 1] == pytest.approx(math.exp(-599) - math.exp(-601), rel=1e-9)
    assert found[0, 1] == pytest.approx(math.exp(-599) - math.exp(-601), rel=1e-9)


@given(LINKS, st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_loss_and_gradient(link, seed):
    thresholds, scale = link
    rng = np.random.default_rng(seed)
    z, grades = rng.normal(size=30), rng.integers(0, len(thresholds) + 1, 30)
    parameters = np.concatenate([thresholds[:1], np.diff(thresholds), [scale]])
    loss, gradient = loss_and_gradient(parameters, z, grades)
    assert loss == pytest.approx(plain_nll(thresholds, scale, z, grades), rel=1e-8)
    numeric = approx_fprime(parameters, lambda p: loss_and_gradient(p, z, grades)[0], 1e-7)
    np.testing.assert_allclose(gradient, numeric, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("thresholds", "scale"), [([0.3], 0.7), ([-2.0, -1.0, 0.5, 2.5], 1.0), ([4.0, 4.5, 9.0], 2.0)]
)
def test_recovers_planted_links_within_sampling_error(thresholds, scale, seed):
    scores, grades = drawn(thresholds, scale, 3000, seed)
    found = fit_ordinal(scores, grades, len(thresholds) + 1)
    np.testing.assert_allclose(found.thresholds, thresholds, rtol=0.12, atol=0.15)
    assert found.scale == pytest.approx(scale, rel=0.12)
    # Wilks: twice the gain in log-likelihood over the planted link is chi-squared, one degree of
    # freedom per parameter; and no gain is no maximum.
    gain = plain_nll(thresholds, scale, scores, grades) - plain_nll(
        found.thresholds, found.scale, scores, grades
    )
    assert 0 <= 2 * len(scores) * gain < chi2.ppf(0.9999, len(thresholds) + 1)


def test_no_neighbour_is_more_likely():
    scores, grades = drawn([-1.0, 0.2, 1.0], 0.8, 400)
    found = fit_ordinal(scores, grades, 4)
    best = plain_nll(found.thresholds, found.scale, scores, grades)
    for step in np.concatenate([np.eye(4), -np.eye(4)]) * 0.01:
        other = plain_nll(found.thresholds + step[:3], found.scale + step[3], scores, grades)
        assert other > best


def test_mean_probabilities_are_the_observed_shares_without_information():
    # Equal scores: the likeliest link repeats the shares.
    grades = np.array([0] * 5 + [1] * 2 + [2] * 3)
    found = fit_ordinal(np.full(10, 4.0), grades, 3)
    assert found.grade_probabilities(np.array([4.0]))[0] == pytest.approx([0.5, 0.2, 0.3], abs=1e-5)


def test_wrong_way_scores_keep_a_positive_scale():
    scores, grades = drawn([-1.0, 1.0], 1.0, 1000)
    found = fit_ordinal(-scores, grades, 3)
    assert 0 < found.scale < 0.01
    ends = found.grade_probabilities(np.array([-3.0, 3.0]))
    np.testing.assert_allclose(ends[0], np.bincount(grades) / 1000, atol=0.01)


def test_grades_that_never_occur():
    scores, grades = drawn([-1.0, 1.0], 1.0, 2000)
    # Grades 0, 2 and 5 of 7 do not occur: 1, 3 and 4 stand for the three that do, 6 is unseen too.
    renamed = np.array([1, 3, 4])[grades]
    found = fit_ordinal(scores, renamed, 7)
    probabilities = found.grade_probabilities(scores)
    plain = fit_ordinal(scores, grades, 3).grade_probabilities(scores)
    assert (probabilities > 0).all()
    assert probabilities[:, [0, 2, 5, 6]].max() < 1e-3
    np.testing.assert_allclose(probabilities[:, [1, 3, 4]], plain, atol=2e-3)


@given(st.lists(st.tuples(st.floats(-50, 50), st.integers(0, 3)), min_size=2, max_size=25))
@example([(50.0, 0), (50.00000000000001, 1), (50.0, 2)])  # apart by rounding only
@example([(0.1, 0), (0.1, 0), (0.1, 2)])  # their standard deviation is not quite zero
@settings(deadline=None, max_examples=20)
def test_any_events_give_a_valid_link_that_keeps_the_order(events):
    scores, grades = (np.array(column) for column in zip(*events, strict=True))
    if len(set(grades.tolist())) == 1:
        with pytest.raises(UserError, match=r"all \d+ validation grades are grade"):
            fit_ordinal(scores, grades, 4)
        return
    found = fit_ordinal(scores, grades, 4)  # the constructor refuses thresholds out of order
    assert (np.diff(found.expected_grade(np.sort(scores))) >= 0).all()
    np.testing.assert_allclose(found.grade_probabilities(scores).sum(axis=1), 1)


def test_is_stored_and_loaded(tmp_path):
    link = OrdinalLink(np.array([-1.0, 2.0]), 0.3)
    np.savez(tmp_path / "link.npz", **link.to_arrays())
    with np.load(tmp_path / "link.npz") as stored:
        loaded = OrdinalLink.from_arrays(stored)
    assert (loaded.thresholds.tolist(), loaded.scale) == ([-1.0, 2.0], 0.3)


def test_mistakes_are_named():
    for thresholds in ([], [1.0, 1.0], [2.0, 1.0], [0.0, np.inf]):
        with pytest.raises(ValueError, match="thresholds"):
            OrdinalLink(np.array(thresholds))
    with pytest.raises(ValueError, match="scale"):
        OrdinalLink(np.zeros(1), 0.0)
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        fit_ordinal(np.zeros(2), np.zeros(3, int), 3)
    with pytest.raises(ValueError, match="0 … 2, got 0 … 3"):
        fit_ordinal(np.zeros(2), np.array([0, 3]), 3)
    with pytest.raises(ValueError, match="num_grades"):
        fit_ordinal(np.zeros(2), np.zeros(2, int), 1)
    with pytest.raises(ValueError, match="finite"):
        fit_ordinal(np.array([0.0, np.nan]), np.array([0, 1]), 2)
