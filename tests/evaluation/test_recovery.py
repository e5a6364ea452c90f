from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.evaluation.recovery import (
    dci,
    importance,
    informativeness,
    matched_r2,
    mutual_information_gap,
    sap,
)


def planted(seed: int = 0, rows: int = 2000, factors: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, factors))


def disguised(factors: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The factors in another order, with other signs and scales; and the order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(factors.shape[1])
    scale = rng.choice([-1, 1], len(order)) * rng.uniform(0.1, 10, len(order))
    return factors[:, order] * scale + 3, order


def rotated(factors: np.ndarray) -> np.ndarray:
    """The first two factors turned by 45 degrees: each code now holds half of both."""
    codes = factors.copy()
    codes[:, 0] = (factors[:, 0] + factors[:, 1]) / math.sqrt(2)
    codes[:, 1] = (factors[:, 0] - factors[:, 1]) / math.sqrt(2)
    return codes


def test_factors_in_disguise_are_recovered():
    factors = planted()
    codes, order = disguised(factors)
    found = dci(importance(codes, factors, ridge=0.0))
    assert (found.disentanglement, found.completeness) == pytest.approx((1, 1))
    assert informativeness(codes, factors, seed=0) == pytest.approx(np.ones(4), abs=1e-4)
    matched = matched_r2(codes, factors)
    np.testing.assert_array_equal(order[matched.codes], np.arange(4))
    assert matched.r2 == pytest.approx(np.ones(4))
    # Independent samples still share a little by chance; a full grid shares nothing at all.
    assert sap(codes, factors) > 0.98
    grid = np.array(list(itertools.product([0.0, 1.0, 2.0], repeat=4)))
    codes, _ = disguised(grid)
    assert sap(codes, grid) == pytest.approx(1)
    assert mutual_information_gap(codes, grid) == pytest.approx(1)


def test_random_codes_recover_nothing():
    factors, codes = planted(0, 20_000), planted(1, 20_000)
    assert mutual_information_gap(codes, factors) < 0.01
    assert sap(codes, factors) < 0.01
    assert matched_r2(codes, factors).r2.max() < 0.01
    assert informativeness(codes, factors, seed=0) == pytest.approx(np.zeros(4), abs=0.01)


def test_mixing_every_factor_into_every_code_is_not_disentangled():
    # The Hadamard matrix: every coefficient of the reading has the same size.
    two = np.array([[1.0, 1.0], [1.0, -1.0]])
    codes = planted() @ np.kron(two, two)
    found = dci(importance(codes, planted(), ridge=0.0))
    assert found.disentanglement < 0.01
    assert found.completeness < 0.01
    assert informativeness(codes, planted(), seed=0).min() > 0.99  # but nothing is lost


def test_a_rotation_of_two_factors_lowers_every_gap():
    factors = planted()
    codes = rotated(factors)
    found = dci(importance(codes, factors, ridge=0.0))
    # Two of four codes serve two factors alike: 1 - log_4 2 = 1/2; the other two serve one.
    assert found.per_code == pytest.approx([0.5, 0.5, 1, 1], abs=0.01)
    assert found.disentanglement < 0.8
    assert mutual_information_gap(codes, factors) < mutual_information_gap(factors, factors) - 0.3
    assert sap(codes, factors) == pytest.approx(sap(factors, factors) / 2, abs=0.05)
    assert matched_r2(codes, factors).r2[:2] == pytest.approx([0.5, 0.5], abs=0.05)


def looped_dci(matrix: np.ndarray) -> tuple[float, float]:
    def half(rows: list[list[float]]) -> float:
        total = sum(map(sum, rows))
        answer = 0.0
        for row in rows:
            shares = [value / sum(row) for value in row if value > 0]
            entropy = -sum(share * math.log(share, len(row)) for share in shares)
            answer += sum(row) / total * (1 - entropy)
        return answer

    return half(matrix.tolist()), half(matrix.T.tolist())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(2, 6))
def test_dci_agrees_with_its_definition(seed, codes, factors):
    matrix = np.random.default_rng(seed).exponential(size=(codes, factors))
    found = dci(matrix)
    assert (found.disentanglement, found.completeness) == pytest.approx(looped_dci(matrix))
    assert 0 <= found.disentanglement <= 1


def test_an_unused_code_does_not_count():
    matrix = np.array([[3.0, 1.0], [0.0, 2.0]])
    with_unused = dci(np.vstack([matrix, np.zeros(2)]))
    assert with_unused.disentanglement == pytest.approx(dci(matrix).disentanglement)
    assert with_unused.per_code[2] == 0


def test_importance_solves_the_ridge_problem():
    rng = np.random.default_rng(5)
    codes, factors = rng.normal(size=(50, 3)) * [1, 10, 0.1] + 5, rng.normal(size=(50, 2))
    factors[:, 0] += codes[:, 0]
    z = (codes - codes.mean(0)) / codes.std(0)
    y = (factors - factors.mean(0)) / factors.std(0)
    # Ridge is least squares with extra rows, one per code.
    extra = math.sqrt(0.3 * 50) * np.eye(3)
    solved = np.linalg.lstsq(np.vstack([z, extra]), np.vstack([y, np.zeros((3, 2))]), rcond=None)[0]
    np.testing.assert_allclose(importance(codes, factors, ridge=0.3), np.abs(solved))


def test_informativeness_is_of_rows_not_seen():
    # With as many codes as training rows, noise fits itself; on the other half it fails.
    rng = np.random.default_rng(6)
    codes, factors = rng.normal(size=(60, 29)), rng.normal(size=(60, 2))
    assert informativeness(codes, factors, seed=0, ridge=1e-6).max() < 0
    assert not np.array_equal(
        informativeness(codes, factors, seed=0), informativeness(codes, factors, seed=1)
    )
    np.testing.assert_array_equal(
        informativeness(codes, factors, seed=3), informativeness(codes, factors, seed=3)
    )


def test_informativeness_of_a_noisy_copy_is_its_share_of_signal():
    rng = np.random.default_rng(7)
    factor = rng.normal(size=(20_000, 1))
    noisy = factor + rng.normal(size=(20_000, 1)) * 0.5  # R² = 1 / (1 + 0.25)
    assert informativeness(noisy, factor, seed=0) == pytest.approx([0.8], abs=0.02)


def looped_mig(codes: np.ndarray, factors: np.ndarray, bins: int) -> float:
    def histogram(column: np.ndarray) -> list[int]:
        low, high = column.min(), column.max()
        return [min(int((x - low) / (high - low) * bins), bins - 1) for x in column]

    def entropy(symbols: list) -> float:
        return -sum(
            n / len(symbols) * math.log(n / len(symbols)) for n in Counter(symbols).values()
        )

    total = 0.0
    for factor in factors.T:
        v = histogram(factor)
        shared = []
        for code in codes.T:
            z = histogram(code)
            pairs = list(zip(z, v, strict=True))
            shared.append(entropy(z) + entropy(v) - entropy(pairs))
        best, second = sorted(shared)[::-1][:2]
        total += (best - second) / entropy(v)
    return total / factors.shape[1]


@pytest.mark.parametrize("bins", [5, 20])
def test_mig_agrees_with_its_definition(bins):
    factors = planted(3, 300)
    codes = rotated(factors) + 0.2 * planted(4, 300)
    assert mutual_information_gap(codes, factors, bins) == pytest.approx(
        looped_mig(codes, factors, bins)
    )


def test_mig_counts_a_value_on_an_edge_with_the_bin_above():
    rng = np.random.default_rng(12)
    factors = rng.integers(0, 33, (300, 2)) * 1.0  # 16 bins of width 2, from 0 to 32
    factors[:2] = [[0, 0], [32, 32]]
    codes = np.stack([factors[:, 0], rng.permutation(factors[:, 1])], axis=1)
    assert mutual_information_gap(codes, factors, 16) == pytest.approx(
        looped_mig(codes, factors, 16)
    )


def test_few_values_are_kept_apart():
    # Equal widths would put 0 and 1 in one bin beside 1000. The first code knows one of the three
    # values from the other two; the second knows nothing.
    factor = np.tile([0.0, 1.0, 1000.0], 2)
    codes = np.stack([factor == 1000, np.repeat([0.0, 1.0], 3)], axis=1) * 1.0
    known = (math.log(3) + 2 * math.log(3 / 2)) / 3
    assert mutual_information_gap(codes, factor[:, None]) == pytest.approx(known / math.log(3))


def test_sap_is_a_gap_of_squared_correlations():
    factors = planted(9, 100, 2)
    codes = planted(10, 100, 3) + factors[:, [0, 0, 1]] * [1, 0.5, 2]
    r2 = np.corrcoef(codes.T, factors.T)[:3, 3:] ** 2
    ordered = np.sort(r2, axis=0)[::-1]
    assert sap(codes, factors) == pytest.approx((ordered[0] - ordered[1]).mean())


def test_matching_is_the_best_of_all():
    rng = np.random.default_rng(11)
    factors = rng.normal(size=(40, 3))
    codes = factors @ rng.normal(size=(3, 4)) + rng.normal(size=(40, 4))
    r2 = np.corrcoef(codes.T, factors.T)[:4, 4:] ** 2
    best = max(itertools.permutations(range(4), 3), key=lambda pick: sum(r2[list(pick), range(3)]))
    matched = matched_r2(codes, factors)
    assert tuple(matched.codes) == best
    assert matched.r2 == pytest.approx(r2[list(best), range(3)])


def test_a_factor_without_a_code_is_not_recovered():
    factors = planted()
    matched = matched_r2(factors[:, [2, 0]], factors)
    assert matched.codes.tolist() == [1, -1, 0, -1]
    assert matched.r2 == pytest.approx([1, 0, 1, 0])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31))
def test_order_sign_and_scale_of_codes_change_nothing(seed):
    factors = planted(seed, 200)
    codes = rotated(factors) + 0.3 * planted(seed + 1, 200)
    other, order = disguised(codes, seed)
    np.testing.assert_allclose(importance(other, factors), importance(codes, factors)[order])
    np.testing.assert_allclose(
        informativeness(other, factors, seed=0), informativeness(codes, factors, seed=0)
    )
    assert sap(other, factors) == pytest.approx(sap(codes, factors))
    assert mutual_information_gap(other, factors) == pytest.approx(
        mutual_information_gap(codes, factors)
    )
    np.testing.assert_array_equal(
        order[matched_r2(other, factors).codes], matched_r2(codes, factors).codes
    )


def test_a_constant_code_is_worth_nothing():
    factors = planted(0, 100)
    codes = np.hstack([factors, np.full((100, 1), 0.1)])
    assert importance(codes, factors)[4] == pytest.approx(np.zeros(4), abs=1e-12)
    assert informativeness(codes, factors, seed=0).min() > 0.99
    assert sap(codes, factors) == pytest.approx(sap(factors, factors))
    assert 4 not in matched_r2(codes, factors).codes


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"got \(4, 2\), \(5, 2\)"):
        importance(np.zeros((4, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="factor 1 is constant"):
        sap(planted(0, 9), np.stack([np.arange(9.0), np.ones(9)], axis=1))
    with pytest.raises(ValueError, match="at least 2 codes"):
        mutual_information_gap(planted(0, 9, 1), planted(0, 9))
    with pytest.raises(ValueError, match="N >= 4"):
        informativeness(planted(0, 3), planted(0, 3), seed=0)
    with pytest.raises(ValueError, match=r"both at least 2; got \(1, 3\)"):
        dci(np.ones((1, 3)))
    with pytest.raises(ValueError, match="not be negative"):
        dci(np.array([[1.0, -1.0], [0.0, 1.0]]))
