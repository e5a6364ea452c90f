"""The loop that trains the plain forms: steps down a gradient, stopped when validation worsens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from world import keras, tf

from tfrec.console import say

BATCH, PATIENCE = 64, 3


def fit(
    loss: Callable[..., Any],
    weights: Sequence[Any],
    train: Sequence[Any],
    validation: Sequence[Any] | None,
    epochs: int,
    name: str = "plain form",
) -> None:
    """Trains `weights`, and leaves them as they were after the best epoch.

    Arguments:
        loss: (*batch, training) -> mean loss of the batch.
        weights: variables that the loss depends on.
        train: arrays of equal length, cut into batches in a new order each epoch.
        validation: the same of other events; None trains for all epochs.
        epochs: at the most.
    """
    step, best, since, kept = backprop(loss, weights), np.inf, 0, []
    random = np.random.default_rng(0)
    for epoch in range(epochs):
        value = np.mean([step(*batch) for batch in batches(train, random)])
        line = f"{name}, epoch {epoch + 1:2}  loss {value:.4f}"
        if validation is None:
            say(line)
            continue
        held = float(loss(*(tf.constant(array) for array in validation), training=False))
        say(f"{line}  validation {held:.4f}")
        since += 1
        if held < best:
            best, since, kept = held, 0, [weight.numpy() for weight in weights]
        if since == PATIENCE:
            break
    for weight, value in zip(weights, kept, strict=False):
        weight.assign(value)


def backprop(loss: Callable[..., Any], weights: Sequence[Any]) -> Callable[..., Any]:
    """One compiled step: the loss of a batch, its gradient from the tape, an update of weights."""
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.01)
    optimizer.build(weights)

    @tf.function(reduce_retracing=True)
    def step(*batch: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(*batch, training=True)
        gradients = tape.gradient(value, weights)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return value

    return step


def batches(arrays: Sequence[Any], random: np.random.Generator) -> Iterator[list[Any]]:
    """The rows of all arrays in one random order, without a smaller last batch."""
    arrays = [np.asarray(array) for array in arrays]
    order = random.permutation(len(arrays[0]))
    for start in range(0, max(1, len(order) - BATCH + 1), BATCH):
        rows = order[start : start + BATCH]
        yield [tf.constant(array[rows]) for array in arrays]
