"""Losses and their gradients against plain NumPy, written from the papers' equations."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from tfrec.training.losses import full_cross_entropy, gbce, sampled_softmax

B, L, D, ITEMS, NEGATIVES = 3, 5, 4, 11, 6


@pytest.fixture
def setting() -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, NDArray[np.generic]]]:
    rng = np.random.default_rng(0)
    weights = rng.random((B, L)).astype(np.float32)
    weights[0, :2] = 0
    batch: dict[str, NDArray[np.generic]] = {
        "targets": rng.integers(0, ITEMS, (B, L)).astype(np.int32),
        "weights": weights,
        "negatives": rng.integers(0, ITEMS, (B, NEGATIVES)).astype(np.int32),
        "items": rng.integers(0, ITEMS, (B, L)).astype(np.int32),
        "segments": np.array([[0, 1, 1, 2, 2], [1, 1, 1, 1, 1], [1, 1, 1, 2, 2]], np.int32),
    }
    batch["items"][0, 0] = -1  # padding
    batch["targets"][1, 4] = batch["items"][1, 1]  # taken again
    states = rng.normal(size=(B, L, D)).astype(np.float32)
    matrix = rng.normal(size=(ITEMS, D)).astype(np.float32)
    return states, matrix, batch


def value_and_gradients(loss, states, matrix, batch, xla: bool):  # type: ignore[no-untyped-def]
    @tf.function(jit_compile=xla)
    def run(states, matrix):  # type: ignore[no-untyped-def]
        with tf.GradientTape() as tape:
            tape.watch([states, matrix])
            value = 2.0 * loss(states, matrix, {k: tf.constant(v) for k, v in batch.items()})
        return value, *(tf.convert_to_tensor(g) for g in tape.gradient(value, [states, matrix]))

    return [x.numpy() for x in run(tf.constant(states), tf.constant(matrix))]


def numeric_gradient(f, x, step=1e-5):  # type: ignore[no-untyped-def]
    x = x.astype(np.float64)
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (f(up) - f(down)) / (2 * step)
    return gradient


def competing(batch, b, t, keep_seen, cold=()):  # type: ignore[no-untyped-def]
    """The items of the sum at one position, by a plain loop."""
    items, segments = batch["items"][b], batch["segments"][b]
    seen = {items[s] for s in range(t + 1) if segments[s] == segments[t]}
    target = batch["targets"][b, t]
    out = {*cold, *([] if keep_seen else seen)}
    return [i for i in range(ITEMS) if i == target or i not in out]


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("block", [4, 10, 512])
@pytest.mark.parametrize("keep_seen", [True, False])
@pytest.mark.parametrize("cold", [[], [2, 7]])
def test_full_cross_entropy_is_minus_log_softmax(
    setting, xla, block, keep_seen, cold, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("tfrec.training.losses.BLOCK", block)
    states, matrix, batch = setting

    def reference(states, matrix):  # type: ignore[no-untyped-def]
        total = 0.0
        for b in range(B):
            for t in range(L):
                logits = matrix @ states[b, t]
                inside = competing(batch, b, t, keep_seen, cold)
                total -= batch["weights"][b, t] * (
                    logits[batch["targets"][b, t]] - np.log(np.exp(logits[inside]).sum())
                )
        return 2 * total

    loss = full_cross_entropy(keep_seen, np.isin(np.arange(ITEMS), cold) if cold else None)
    value, by_state, by_matrix = value_and_gradients(loss, states, matrix, batch, xla)
    assert value == pytest.approx(reference(states, matrix), rel=1e-5)
    expected = numeric_gradient(lambda s: reference(s, matrix), states)
    np.testing.assert_allclose(by_state, expected, atol=1e-4)
    expected = numeric_gradient(lambda m: reference(states, m), matrix)
    np.testing.assert_allclose(by_matrix, expected, atol=1e-4)


def test_large_logits_stay_finite(setting) -> None:  # type: ignore[no-untyped-def]
    states, matrix, batch = setting
    value, by_state, by_matrix = value_and_gradients(
        full_cross_entropy(keep_seen=False), 300 * states, matrix, batch, True
    )
    assert np.isfinite(value)
    assert np.isfinite(by_state).all()
    assert np.isfinite(by_matrix).all()


def test_bfloat16_states_come_close(setting) -> None:  # type: ignore[no-untyped-def]
    states, matrix, batch = setting
    loss = full_cross_entropy(keep_seen=False)
    exact = value_and_gradients(loss, states, matrix, batch, True)
    half = loss(keras.ops.cast(states, "bfloat16"), keras.ops.cast(matrix, "bfloat16"), batch)
    assert half.dtype == "float32"
    assert 2 * float(half) == pytest.approx(exact[0], rel=0.02)


@pytest.mark.parametrize("keep_seen", [True, False])
def test_gbce_is_its_equation(setting, keep_seen) -> None:  # type: ignore[no-untyped-def]
    states, matrix, batch = setting
    value, by_state, by_matrix = value_and_gradients(
        gbce(ITEMS, 0.75, keep_seen), states, matrix, batch, True
    )
    alpha = NEGATIVES / (ITEMS - 1)
    beta = alpha * (0.75 * (1 - 1 / alpha) + 1 / alpha)

    def reference(states, matrix):  # type: ignore[no-untyped-def]
        total = 0.0
        for b in range(B):
            for t in range(L):
                target = batch["targets"][b, t]
                sigma = 1 / (1 + np.exp(-(matrix @ states[b, t])))
                inside = competing(batch, b, t, keep_seen)
                negatives = [n for n in batch["negatives"][b] if n != target and n in inside]
                inner = np.log(sigma[target] ** beta) + sum(np.log(1 - sigma[n]) for n in negatives)
                total -= batch["weights"][b, t] * inner
        return 2 * total

    assert value == pytest.approx(reference(states, matrix), rel=1e-5)
    expected = numeric_gradient(lambda s: reference(s, matrix), states)
    np.testing.assert_allclose(by_state, expected, atol=1e-4)
    expected = numeric_gradient(lambda m: reference(states, m), matrix)
    np.testing.assert_allclose(by_matrix, expected, atol=1e-4)


@pytest.mark.parametrize("keep_seen", [True, False])
@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_sampled_softmax_has_the_gradient_of_the_full_one(setting, skew, keep_seen) -> None:  # type: ignore[no-untyped-def]
    """The point of the correction: with many draws, uniform or skewed, both gradients agree."""
    states, matrix, batch = setting
    rng = np.random.default_rng(1)
    probabilities = rng.random(ITEMS) ** (3 * skew) + 0.05
    probabilities /= probabilities.sum()
    many = batch | {"negatives": rng.choice(ITEMS, (B, 200_000), p=probabilities).astype(np.int32)}
    loss = sampled_softmax(np.log(probabilities).astype(np.float32), keep_seen)
    _, by_state, by_matrix = value_and_gradients(loss, states, matrix, many, False)
    _, full_state, full_matrix = value_and_gradients(
        full_cross_entropy(keep_seen), states, matrix, batch, False
    )
    np.testing.assert_allclose(by_state, full_state, atol=0.03)
    np.testing.assert_allclose(by_matrix, full_matrix, atol=0.05)


def test_without_the_correction_the_gradient_would_be_wrong(setting) -> None:  # type: ignore[no-untyped-def]
    """Guards the sign: skewed draws without log Q are far from the full softmax."""
    states, matrix, batch = setting
    rng = np.random.default_rng(1)
    probabilities = np.geomspace(1, 100, ITEMS)
    probabilities /= probabilities.sum()
    many = batch | {"negatives": rng.choice(ITEMS, (B, 50_000), p=probabilities).astype(np.int32)}
    _, full_state, _ = value_and_gradients(
        full_cross_entropy(keep_seen=True), states, matrix, batch, False
    )

    def distance(log_q):  # type: ignore[no-untyped-def]
        _, by_state, _ = value_and_gradients(
            sampled_softmax(log_q.astype(np.float32), keep_seen=True), states, matrix, many, False
        )
        return np.abs(by_state - full_state).max()

    right = distance(np.log(probabilities))
    assert right < 0.1
    assert distance(np.full(ITEMS, -np.log(ITEMS))) > 3 * right
    assert distance(-np.log(probabilities)) > 3 * right


def test_shapes_that_do_not_fit_are_named(setting) -> None:  # type: ignore[no-untyped-def]
    states, matrix, batch = setting
    loss = full_cross_entropy(keep_seen=True)
    with pytest.raises(ValueError, match=r"got \(5, 4\) and \(11, 4\)"):
        loss(states[0], matrix, batch)
    with pytest.raises(ValueError, match="states have width 4, item_matrix 3"):
        loss(states, matrix[:, :3], batch)
    with pytest.raises(ValueError, match="targets and weights"):
        loss(states, matrix, batch | {"weights": batch["weights"][:, 1:]})
