from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.evaluation import independence
from tfrec.evaluation.independence import distance_correlation, hsic, linear_cka

MEASURES = [distance_correlation, linear_cka, hsic]


def gaussians(seed: int, rows: int, *widths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(rows, width)) for width in widths]


def rotation(seed: int, width: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def centred(matrix: np.ndarray) -> np.ndarray:
    """Double centring, element by element."""
    out = np.empty_like(matrix)
    for k in range(len(matrix)):
        for j in range(len(matrix)):
            out[k, j] = matrix[k, j] - matrix[k].mean() - matrix[:, j].mean() + matrix.mean()
    return out


def looped_distance_correlation(a: np.ndarray, b: np.ndarray) -> float:
    def distances(rows: np.ndarray) -> np.ndarray:
        return np.array([[math.dist(x, y) for y in rows] for x in rows])

    big_a, big_b = centred(distances(a)), centred(distances(b))
    covariance, of_a, of_b = (
        sum(x * y for x, y in zip(left.flat, right.flat, strict=True)) / len(a) ** 2
        for left, right in [(big_a, big_b), (big_a, big_a), (big_b, big_b)]
    )
    return math.sqrt(covariance / math.sqrt(of_a * of_b))


def looped_hsic(a: np.ndarray, b: np.ndarray, width_a: float, width_b: float) -> float:
    def kernel(rows: np.ndarray, width: float) -> np.ndarray:
        return np.array(
            [[math.exp(-(math.dist(x, y) ** 2) / (2 * width**2)) for y in rows] for x in rows]
        )

    rows = len(a)
    h = np.eye(rows) - 1 / rows
    return float(np.trace(kernel(a, width_a) @ h @ kernel(b, width_b) @ h)) / (rows - 1) ** 2


@pytest.mark.parametrize("cells", [2**21, 23 * 4, 1])  # one block, blocks of four rows, of one
def test_agree_with_the_definitions(monkeypatch, cells):
    monkeypatch.setattr(independence, "_CELLS_PER_BLOCK", cells)
    a, noise = gaussians(0, 23, 3, 2)
    b = a[:, :2] ** 2 + noise
    assert distance_correlation(a, b) == pytest.approx(looped_distance_correlation(a, b))
    assert hsic(a, b, (0.7, 2.0)) == pytest.approx(looped_hsic(a, b, 0.7, 2.0))


def test_cka_is_hsic_with_linear_kernels():
    a, b = gaussians(1, 17, 3, 4)
    b[:, 0] += 2 * a[:, 0]
    k, m = centred(a @ a.T), centred(b @ b.T)
    expected = (k * m).sum() / math.sqrt((k * k).sum() * (m * m).sum())
    assert linear_cka(a, b) == pytest.approx(expected)


def test_default_width_is_the_median_distance():
    a, b = gaussians(2, 20, 2, 2)
    a[1] = a[0]  # one distance of zero, which does not count
    widths = [
        np.median([d for x in range(20) for y in range(x) if (d := math.dist(c[x], c[y])) > 0])
        for c in (a, b)
    ]
    assert hsic(a, b) == pytest.approx(looped_hsic(a, b, *widths))


def test_independent_blocks_are_near_zero_and_dependent_ones_are_not():
    a, b = gaussians(3, 1000, 2, 2)
    circle = np.stack([np.cos(a[:, 0] * 3), np.sin(a[:, 0] * 3)], axis=1)  # hardly linear
    assert linear_cka(a, b) < 0.01
    assert distance_correlation(a, b) < 0.1 < 0.2 < distance_correlation(a, circle)
    assert hsic(a, circle, (1, 1)) > 10 * hsic(a, b, (1, 1))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3), st.booleans())
def test_a_line_in_one_dimension_has_distance_correlation_one(seed, slope, falling):
    (a,) = gaussians(seed, 15, 1)
    assert distance_correlation(a, 4 + a * (-slope if falling else slope)) == pytest.approx(1)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.floats(1e-2, 1e2))
def test_rotation_scale_and_place_change_nothing(seed, scale):
    a, b = gaussians(seed, 15, 3, 2)
    b += a[:, :2]
    turned = scale * a @ rotation(seed, 3) + 10
    assert linear_cka(a, turned) == pytest.approx(1)
    for measure in MEASURES:
        assert measure(turned, b) == pytest.approx(measure(a, b), rel=1e-6)
        assert measure(b, a) == pytest.approx(measure(a, b), rel=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_constant_block_knows_nothing(measure):
    (a,) = gaussians(4, 9, 2)
    assert measure(a, np.full((9, 3), 0.1)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_wrong_shapes_are_refused(measure):
    with pytest.raises(ValueError, match=r"\(4, 1\), \(5, 1\)"):
        measure(np.zeros((4, 1)), np.zeros((5, 1)))
    with pytest.raises(ValueError, match=r"\(4,\)"):
        measure(np.zeros(4), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="N >= 2"):
        measure(np.zeros((1, 1)), np.zeros((1, 1)))


def test_a_width_of_zero_is_refused():
    with pytest.raises(ValueError, match="widths must be positive"):
        hsic(np.zeros((3, 1)), np.zeros((3, 1)), (0.0, 1.0))
