from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from tfrec.interest.distribution_summary import category_mass, entropy, tail_mass
from tfrec.interest.fitting.calibrators import Temperature

ROWS = st.integers(0, 10_000).map(
    lambda seed: np.random.default_rng(seed).dirichlet(np.full(9, 0.2), 4)
)


def logarithms(p):
    with np.errstate(divide="ignore"):
        return np.log(p)


@given(ROWS)
@settings(deadline=None, max_examples=40)
def test_entropy_equals_scipy(p):
    p[:, 0] = 0  # an item that cannot come
    p /= p.sum(axis=1, keepdims=True)
    found = entropy(logarithms(p))
    np.testing.assert_allclose(found, scipy_entropy(p, axis=1), atol=1e-12)
    assert (found >= 0).all()


@given(ROWS, st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_tail_mass_equals_sorting(p, k):
    expected = [sum(sorted(row)[: 9 - k]) for row in p.tolist()]
    np.testing.assert_allclose(tail_mass(logarithms(p), k), expected, rtol=1e-9, atol=1e-300)


def test_a_tiny_tail_keeps_its_digits():
    logs = np.array([[-3e-20, math.log(2e-20), math.log(1e-20)]])
    assert tail_mass(logs, 1) == pytest.approx([3e-20], rel=1e-9, abs=0)


@given(ROWS)
@settings(deadline=None, max_examples=20)
def test_category_mass_equals_a_loop(p):
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 9)
    shares[4] = 0  # an item without a category
    found = category_mass(logarithms(p), shares)
    for n, c in np.ndindex(4, 3):
        assert found[n, c] == pytest.approx(sum(p[n, i] * shares[i, c] for i in range(9)))
    np.testing.assert_allclose(found.sum(axis=1), 1 - p[:, 4])


def test_large_logits_stay_finite():
    logs = Temperature(1.0).apply(np.array([[3e4, 3e4, -3e4, -np.inf]], np.float32))
    assert entropy(logs) == pytest.approx([math.log(2)])
    assert tail_mass(logs, 1) == pytest.approx([0.5])
    assert category_mass(logs, np.eye(4))[0] == pytest.approx([0.5, 0.5, 0, 0])


def test_ends():
    certain = np.array([[0.0, -np.inf]])
    assert entropy(certain).tolist() == [0]
    assert tail_mass(certain, 1).tolist() == [0]
    assert tail_mass(np.log(np.full((1, 4), 0.25)), 0) == pytest.approx([1])
    assert entropy(np.log(np.full((2, 64), 1 / 64))) == pytest.approx([math.log(64)] * 2)


def test_mistakes_are_named():
    logs = np.log(np.full((2, 4), 0.25))
    with pytest.raises(ValueError, match=r"\[N, I\], got \(4,\)"):
        entropy(logs[0])
    with pytest.raises(ValueError, match=r"at most 0, got 0\.25"):
        entropy(np.full((2, 4), 0.25))  # probabilities, not their logarithms
    with pytest.raises(ValueError, match="nan"):
        entropy(np.full((1, 2), np.nan))
    with pytest.raises(ValueError, match="k must be 0 … 4"):
        tail_mass(logs, 5)
    with pytest.raises(ValueError, match=r"\[4, C\], got \(3, 2\)"):
        category_mass(logs, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="at least 0"):
        category_mass(logs, np.full((4, 1), -1.0))
