"""Calibrated lists of a distribution, and the category distribution of a history."""

import numpy as np
import pytest

from tfrec.interest import calibrated_list as module
from tfrec.interest.calibrated_list import calibrated_list, history_categories
from tfrec.interest.distribution import Distribution
from tfrec.interest.reading import Readings
from tfrec.interest.reranking import category_divergence

ITEMS, USERS, DEPTH, CATEGORIES = 30, 7, 20, 3
DAY = 86_400_000


def readings_of(items: list[list[int]], days: list[list[float]]) -> Readings:
    """Histories alone; the other parts of a reading say nothing here."""
    shape = (len(items), len(items[0]))
    zeros = np.zeros(shape, np.float32)
    facets = np.zeros((len(items), 1), np.float32)
    return Readings(
        np.array(items, np.int32),
        (np.array(days) * DAY).astype(np.int64),
        zeros[:, None],
        zeros[:, :, None, None],
        facets,
        facets[:, 0],
        facets,
        None,
        zeros,
        facets[:, 0],
        zeros[..., None],
    )


def candidates(seed: int = 0) -> tuple[Distribution, np.ndarray, np.ndarray]:
    """Lists that are mostly of category 0, users who like all three."""
    rng = np.random.default_rng(seed)
    shares = np.eye(CATEGORIES)[np.where(np.arange(ITEMS) < 20, 0, np.arange(ITEMS) % 2 + 1)]
    weights = rng.dirichlet(np.ones(ITEMS) * 3, USERS) * np.where(np.arange(ITEMS) < 20, 1.5, 1)
    logs = np.log(weights / weights.sum(axis=1, keepdims=True))
    items = np.argsort(-logs, axis=1)[:, :DEPTH].astype(np.int32)
    nothing = np.zeros((USERS, 0))
    top = np.take_along_axis(logs, items.astype(np.int64), axis=1)
    found = Distribution(items, top, nothing[:, :0], nothing[:, :0], nothing, nothing, nothing)
    return found, rng.dirichlet(np.ones(CATEGORIES), USERS), shares


def greedy(found: Distribution, history: np.ndarray, shares: np.ndarray, k: int, lam: float):
    """Steck's list written as he says it, user by user."""
    lists = []
    for user in range(len(found)):
        chosen: list[int] = []
        while len(chosen) < k:
            best, most = -1, -np.inf
            for item, log in zip(found.items[user], found.log_probabilities[user], strict=True):
                if item < 0 or item in chosen:
                    continue
                listed = [*chosen, int(item)]
                q = shares[listed].mean(axis=0)
                logs = [*(x for _, x in sorted_logs(found, user, chosen)), log]
                divergence = category_divergence(history[user][None], q[None])[0]
                value = (1 - lam) * sum(logs) - lam * divergence
                if value > most:
                    best, most = int(item), value
            chosen.append(best)
        lists.append(chosen)
    return lists


def sorted_logs(found: Distribution, user: int, chosen: list[int]) -> list[tuple[int, float]]:
    logs = dict(zip(found.items[user].tolist(), found.log_probabilities[user], strict=True))
    return [(item, logs[item]) for item in chosen]


@pytest.mark.parametrize("lam", [0.0, 0.4, 0.9, 1.0])
def test_lists_equal_the_greedy_loop(lam: float) -> None:
    found, history, shares = candidates()
    lists = calibrated_list(found, history, shares, 6, lam)
    assert lists.tolist() == greedy(found, history, shares, 6, lam)


def test_lambda_buys_calibration_and_blocks_of_users_change_nothing(monkeypatch) -> None:
    found, history, shares = candidates(1)
    np.testing.assert_array_equal(
        calibrated_list(found, history, shares, 5, 0.0), found.items[:, :5]
    )
    divergences = []
    for lam in (0.0, 0.9):
        lists = calibrated_list(found, history, shares, 5, lam)
        divergences.append(category_divergence(history, shares[lists].mean(axis=1)).mean())
    assert divergences[1] < 0.5 * divergences[0]
    monkeypatch.setattr(module, "_CELLS_PER_BLOCK", 2 * DEPTH * CATEGORIES)
    np.testing.assert_array_equal(calibrated_list(found, history, shares, 5, 0.9), lists)


def test_what_may_not_come_does_not_come() -> None:
    found, history, shares = candidates()
    found.items[2, 3:], found.log_probabilities[2, 3:] = -1, -np.inf
    lists = calibrated_list(found, history, shares, 5, 0.5)
    assert sorted(lists[2, :3].tolist()) == sorted(found.items[2, :3].tolist())
    assert lists[2, 3:].tolist() == [-1, -1]


def test_a_history_is_the_mean_of_its_items() -> None:
    shares = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0], [0, 0, 1.0]])
    readings = readings_of([[-1, 0, 1], [2, 0, 3], [-1, -1, 2], [-1, -1, -1]], [[0, 1, 2]] * 4)
    found = history_categories(readings, shares)
    expected = [[0.75, 0.25, 0], [0.5, 0, 0.5], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(found, expected)


def test_recent_events_count_more_when_asked() -> None:
    shares = np.array([[1, 0], [0, 1.0]])
    readings = readings_of([[0, 0, 1], [-1, 1, 0]], [[100, 103, 106], [0, 50, 53]])
    found = history_categories(readings, shares, half_life_days=3)
    np.testing.assert_allclose(found, [[0.75 / 1.75, 1 / 1.75], [1 / 1.5, 0.5 / 1.5]])
    with pytest.raises(ValueError, match="half_life_days must be above 0"):
        history_categories(readings, shares, half_life_days=0)
