import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_logs import cases, dense, logs, random_log, sequences

from tfrec.evaluation.baselines import EASE, DecayedEASE
from tfrec.evaluation.baselines.decayed_ease import order_counts


def examples(histories, num_items, age_weights):
    """Z and Y row by row: the aged history before each event, and the event."""
    inputs, targets = [np.zeros(num_items)], [np.zeros(num_items)]
    for items in histories:
        for now in range(1, len(items)):
            inputs.append(aged(items[:now], num_items, age_weights))
            targets.append(np.eye(num_items)[items[now]])
    return np.array(inputs), np.array(targets)


def aged(items, num_items, age_weights):
    row = np.zeros(num_items)
    for age, item in enumerate(reversed(items)):
        if age < len(age_weights):
            row[item] += age_weights[age]
    return row


@settings(max_examples=60, deadline=None)
@given(logs(num_items=4, longest=9), st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_pair_counts_equal_the_explicit_matrices(histories, age_weights):
    before, after = order_counts(sequences(histories), 4, age_weights)
    inputs, targets = examples(histories, 4, age_weights)
    np.testing.assert_allclose(before, inputs.T @ inputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after, inputs.T @ targets, rtol=1e-5, atol=1e-6)


def test_pair_counts_do_not_depend_on_chunks(monkeypatch):
    log = sequences(random_log(40, 9, 12))
    whole = order_counts(log, 9, [1.0, 0.5, 0.25])
    monkeypatch.setattr("tfrec.evaluation.baselines.decayed_ease._EVENTS_PER_CHUNK", 7)
    for piecewise, once in zip(order_counts(log, 9, [1.0, 0.5, 0.25]), whole, strict=True):
        np.testing.assert_allclose(piecewise, once, rtol=1e-6)


@pytest.mark.parametrize("order_share", [0.0, 0.4, 1.0])
def test_solves_both_regressions_column_by_column(order_share):
    """Ridge regression of each item on the other items, on the stacked and weighed rows."""
    histories = random_log(40, 10, 9, repeats=True)
    model = DecayedEASE(regularization=3.0, order_share=order_share, half_life=2.0, window=5)
    model.fit(sequences(histories), 10)

    taken = dense(histories, 10)
    before, event = examples(histories, 10, [1 / (1 + age / 2) for age in range(5)])
    together, order = np.sqrt(1 - order_share), np.sqrt(order_share)
    inputs = np.vstack([together * taken, order * before])
    targets = np.vstack([together * taken, order * event])
    weights = np.zeros((10, 10))
    for item in range(10):
        others = np.delete(np.arange(10), item)
        ridge = np.vstack([inputs[:, others], np.sqrt(3.0) * np.eye(9)])
        wanted = np.append(targets[:, item], np.zeros(9))
        weights[others, item] = np.linalg.lstsq(ridge, wanted, rcond=None)[0]

    one_item_each = cases([[item] for item in range(10)])
    np.testing.assert_allclose(model.score(one_item_each), weights, rtol=1e-3, atol=1e-5)
    asked = [[1, 2, 3, 4, 5, 6, 7], [8, 8], []]
    rows = [aged(items, 10, [1, 1 / 1.5, 1 / 2, 1 / 2.5, 1 / 3]) for items in asked]
    np.testing.assert_allclose(
        model.score(cases(asked)), np.array(rows) @ weights, rtol=1e-3, atol=1e-5
    )


def test_without_order_and_decay_it_is_ease():
    histories = random_log(50, 12, 9)
    plain, decayed = EASE(5.0), DecayedEASE(5.0, order_share=0.0, half_life=1e9)
    for model in (plain, decayed):
        model.fit(sequences(histories), 12)
    asked = cases(random_log(9, 12, 9, seed=3))
    np.testing.assert_allclose(decayed.score(asked), plain.score(asked), atol=1e-6)


def test_learns_a_direction_that_ease_cannot_see():
    """Item 0 is always followed by 1, never the other way round."""
    model = DecayedEASE(regularization=1.0, order_share=1.0)
    model.fit(sequences([[2, 0, 1], [3, 0, 1], [0, 1, 2], [0, 1, 3]]), 4)
    after_zero, after_one = model.score(cases([[0], [1]]))
    assert after_zero[1] > 0.3
    assert after_zero[1] == after_zero.max()
    assert after_one[0] == pytest.approx(0, abs=0.05)
