"""A loss against its formula: value and gradient, eager and compiled with XLA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Inputs = dict[str, Any]


def value_and_gradients(
    loss: Callable[..., Any], inputs: Inputs, wanted: Sequence[str], xla: bool = False
) -> tuple[Any, dict[str, Any]]:
    """The loss as a float32 scalar and its gradients with respect to the wanted inputs."""
    fixed = {name: tf.constant(x) for name, x in inputs.items() if name not in wanted}

    def run(*variable: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(variable)
            value = loss(**dict(zip(wanted, variable, strict=True)), **fixed)
        return value, [tf.convert_to_tensor(g) for g in tape.gradient(value, variable)]

    call = tf.function(run, jit_compile=True) if xla else run
    value, gradients = call(*(tf.constant(inputs[name], tf.float32) for name in wanted))
    assert value.shape == ()
    assert value.dtype == tf.float32
    return value.numpy(), {n: g.numpy() for n, g in zip(wanted, gradients, strict=True)}


def numeric_gradient(function: Callable[[Any], float], x: Any, step: float = 1e-6) -> Any:
    x = np.asarray(x, np.float64)
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def agrees(
    loss: Callable[..., Any],
    reference: Callable[..., float],
    inputs: Inputs,
    wanted: Sequence[str],
    tolerance: float = 2e-4,
) -> None:
    """`loss` is `reference` (float64 NumPy), its gradient too, and XLA changes neither."""
    exact = {name: _precise(x) for name, x in inputs.items()}
    eager, gradients = value_and_gradients(loss, inputs, wanted)
    compiled, compiled_gradients = value_and_gradients(loss, inputs, wanted, xla=True)
    np.testing.assert_allclose(eager, reference(**exact), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-6)
    for name in wanted:

        def of_one(x: Any, name: str = name) -> float:
            return reference(**exact | {name: x})

        expected = numeric_gradient(of_one, exact[name])
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(gradients[name], expected, rtol=1e-3, atol=tolerance)
        np.testing.assert_allclose(
            compiled_gradients[name], gradients[name], rtol=1e-4, atol=tolerance
        )


def _precise(x: Any) -> Any:
    return x.astype(np.float64) if np.asarray(x).dtype == np.float32 else x
