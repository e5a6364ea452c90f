from itertools import pairwise

import numpy as np
import pytest
from small_logs import cases, dense, random_log, sequences

from tfrec.evaluation.baselines import BiasedMF

USERS, ITEMS = 30, 12


def loss(model, users, items, taken):
    """The objective of the class docstring, term by term."""
    scores = users[:, :-1] @ items[:, :-1].T + users[:, -1:] + items[:, -1]
    weight, strength = model.unobserved_weight, model.regularization
    user_scale = taken.sum(axis=1) + weight * taken.shape[1]
    item_scale = taken.sum(axis=0) + weight * taken.shape[0]
    return (
        (taken * (scores - 1) ** 2).sum()
        + weight * (scores**2).sum()
        + strength * (user_scale @ (users**2).sum(axis=1) + item_scale @ (items**2).sum(axis=1))
    )


def dense_users(model, items, taken):
    """Each user's best vector and bias by dense weighted least squares over all items."""
    features = np.hstack([items[:, :-1], np.ones((len(items), 1))])
    out = []
    for row in taken:
        # Weight 1 + w towards 1 / (1 + w) where taken is the same loss up to a constant.
        weight = model.unobserved_weight + row
        wanted = row / weight - items[:, -1]
        scale = model.regularization * (row.sum() + model.unobserved_weight * len(items))
        system = (features.T * weight) @ features + scale * np.eye(features.shape[1])
        out.append(np.linalg.solve(system, (features.T * weight) @ wanted))
    return np.array(out)


@pytest.fixture
def histories():
    return random_log(USERS, ITEMS, 9, repeats=True)


@pytest.mark.parametrize("cells_per_block", [1, 500, 1 << 20])
def test_half_step_is_the_dense_solution(histories, cells_per_block, monkeypatch):
    module = "tfrec.evaluation.baselines.matrix_factorization"
    monkeypatch.setattr(f"{module}._CELLS_PER_BLOCK", cells_per_block)
    model = BiasedMF(dimensions=3, iterations=2)
    model.fit(sequences(histories), ITEMS)
    items = model._items.astype(np.float64)
    asked = [*histories, []]
    users = dense_users(model, items, dense(asked, ITEMS))
    scores = users[:, :-1] @ items[:, :-1].T + users[:, -1:] + items[:, -1]
    np.testing.assert_allclose(model.score(cases(asked)), scores, rtol=1e-3, atol=1e-4)


def test_rows_longer_than_a_segment():
    histories = [list(range(200)), list(range(0, 200, 3)), [5], [], list(range(64))]
    model = BiasedMF(dimensions=2, iterations=2)
    model.fit(sequences(histories), 200)
    items = model._items.astype(np.float64)
    users = dense_users(model, items, dense(histories, 200))
    scores = users[:, :-1] @ items[:, :-1].T + users[:, -1:] + items[:, -1]
    np.testing.assert_allclose(model.score(cases(histories)), scores, rtol=1e-3, atol=1e-3)


def test_every_round_lowers_the_objective_and_it_converges_to_a_stationary_point(histories):
    taken = dense(histories, ITEMS)
    losses = []
    for iterations in (0, 1, 2, 4, 8, 200):
        model = BiasedMF(dimensions=3, regularization=0.05, iterations=iterations)
        model.fit(sequences(histories), ITEMS)
        items = model._items.astype(np.float64)
        losses.append(loss(model, dense_users(model, items, taken), items, taken))
    # Strictly while it still moves, up to rounding at the end.
    assert all(later < earlier for earlier, later in pairwise(losses[:5]))
    assert losses[5] <= losses[4] * (1 + 1e-6)

    users = dense_users(model, items, taken)
    random = np.random.default_rng(0)
    for _ in range(20):
        step = 1e-3 * random.normal(size=items.shape)
        up, down = (loss(model, users, items + sign * step, taken) for sign in (1, -1))
        assert abs(up - down) < 1e-3 * (up + down - 2 * losses[5])  # no slope left, only curvature


def test_seed_decides(histories):
    def scores(seed):
        model = BiasedMF(dimensions=4, iterations=1, seed=seed)
        model.fit(sequences(histories), ITEMS)
        return model.score(cases([[1, 2]]))

    np.testing.assert_array_equal(scores(1), scores(1))
    assert not np.array_equal(scores(1), scores(2))


def test_recovers_two_groups():
    low, high = list(range(6)), list(range(6, 12))
    histories = [
        [i for i in (low, high)[n % 2] if i != (n // 2) % 6 + 6 * (n % 2)] for n in range(24)
    ]
    model = BiasedMF(dimensions=1)
    model.fit(sequences(histories), 12)
    first, second = model.score(cases([[0, 1], [7, 8]]))
    assert first[low].min() > first[high].max()
    assert second[high].min() > second[low].max()
