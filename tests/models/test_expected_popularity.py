"""What a description tells of popularity: a planted line, and items left out one by one."""

from __future__ import annotations

import numpy as np
import pytest

from tfrec.models import expected_popularity
from tfrec.models.expected_popularity import PENALTIES, fit_popularity

ITEMS, WIDTH, PERIODS = 600, 5, 2


def planted(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Texts [I, 5] and log popularity [2, I] along their first and second number."""
    random = np.random.default_rng(seed)
    texts = random.normal(size=(ITEMS, WIDTH)).astype(np.float32)
    lp = texts[:, :PERIODS].T + noise * random.normal(size=(PERIODS, ITEMS))
    return texts, lp.astype(np.float32)


def test_a_planted_line_is_found_and_half_the_spread_added() -> None:
    texts, lp = planted(noise=0.8)
    cold = np.arange(ITEMS) >= 500
    found = fit_popularity(lp, [texts], cold).of([texts[cold]])
    expected = texts[cold][:, :PERIODS] + 0.8**2 / 2
    np.testing.assert_allclose(found, expected, atol=0.3)
    # The mean of what it stands for, which a softmax adds up.
    assert np.exp(found).mean() == pytest.approx(np.exp(lp[:, cold]).mean(), rel=0.15)


def test_penalty_is_the_one_that_predicts_left_out_items_best() -> None:
    texts, lp = planted(noise=2.0, seed=1)
    texts, lp = texts[:40], lp[:, :40]
    nothing = np.zeros(40, bool)
    found = fit_popularity(lp, [texts], nothing)
    scale = np.linalg.eigvalsh(np.cov(texts.T, bias=True) * 40).mean()

    def errors(penalty: float) -> float:
        """By really leaving out one item after another."""
        total = 0.0
        for out in range(40):
            kept = np.arange(40) != out
            mean, level = texts.mean(axis=0), lp.mean(axis=1)
            x, y = texts[kept] - mean, lp[:, kept].T - level
            # The level is free: it is fitted again without the item, as an unpenalised column.
            x = np.concatenate([x, np.ones((39, 1))], axis=1)
            ridge = np.diag([penalty] * WIDTH + [0.0])
            line = np.linalg.solve(x.T @ x + ridge, x.T @ y)
            guess = np.append(texts[out] - mean, 1.0) @ line
            total += float(((lp[:, out] - level - guess) ** 2).sum())
        return total

    best = min(PENALTIES * scale, key=errors)
    x = texts - texts.mean(axis=0)
    line = np.linalg.solve(x.T @ x + best * np.eye(WIDTH), x.T @ (lp.T - lp.mean(axis=1)))
    np.testing.assert_allclose(found.weights[0], line, atol=1e-4)
    left = found.level - lp.mean(axis=1)
    assert 2 * left.sum() == pytest.approx(errors(best) / 40, rel=1e-3)


def test_what_says_nothing_changes_nothing() -> None:
    texts, lp = planted(noise=0.5)
    texts += 3.0
    cold = np.arange(ITEMS) >= 500
    kinds = np.zeros((ITEMS, 3), np.float32)  # nobody has a category
    both = fit_popularity(lp, [texts, kinds], cold)
    alone = fit_popularity(lp, [texts], cold)
    np.testing.assert_allclose(
        both.of([texts[cold], kinds[cold]]), alone.of([texts[cold]]), rtol=0.05, atol=0.05
    )
    unknown = alone.of([np.zeros((2, WIDTH))])
    np.testing.assert_allclose(unknown, np.tile(alone.level, (2, 1)), rtol=1e-6)
    np.testing.assert_allclose(both.of([None, kinds[:1]]), [both.level], rtol=1e-6)


@pytest.mark.parametrize("known", [0, 1])
def test_from_nothing_nothing_is_learned(known: int) -> None:
    texts, lp = planted(noise=0.5)
    found = fit_popularity(lp, [texts], np.arange(ITEMS) >= known)
    np.testing.assert_array_equal(found.of([texts]), 0)


def test_a_sample_of_a_large_catalogue_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, lp = planted(noise=0.3)
    whole = fit_popularity(lp, [texts], np.zeros(ITEMS, bool)).of([texts])
    monkeypatch.setattr(expected_popularity, "ITEMS", 200)
    sample = fit_popularity(lp, [texts], np.zeros(ITEMS, bool)).of([texts])
    np.testing.assert_allclose(sample, whole, atol=0.15)
