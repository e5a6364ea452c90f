"""Post-hoc explanations of the same model, to set beside its own contributions.

They see the model as `f`: token input embeddings, float [N, L, D], -> scores [N], made of
differentiable TensorFlow operations, row n of the scores depending on row n of the embeddings
only. Each gives float32 [N, L], what it says that an event added to its pair's score; `mask`,
bool [N, L], is True at a real event, and padding gets 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.console import import_tensorflow
from tfrec.data.sequences import Bool, Float32

Real = npt.NDArray[np.floating]
Scorer = Callable[[Any], Any]

_STREAM = 0x6174_7472


def gradient_times_input(f: Scorer, embeddings: Real, mask: Bool) -> Float32:
    """The gradient of the score at each embedding times that embedding, summed over the width.

    Exact where f is linear. Shrikumar, Greenside, Shcherbina & Kundaje, "Not just a black box",
    arXiv 1605.01713.

    Raises:
        ValueError: embeddings and mask do not fit, f does not return [N], or f does not depend on
            its argument through differentiable operations.

    Example:
        >>> x = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
        >>> f = lambda embeddings: embeddings[:, 0, 1] - 2 * embeddings[:, 1, 0]
        >>> gradient_times_input(f, x, np.ones((1, 2), bool))
        array([[ 2., -6.]], dtype=float32)
    """
    _check(embeddings, mask)
    return _summed(_gradient(f, embeddings) * embeddings, mask)


def integrated_gradients(f: Scorer, embeddings: Real, mask: Bool, steps: int = 32) -> Float32:
    """Mean gradient on the straight way from zeros times the embedding, summed over the width.

    The integral is a midpoint sum of `steps` gradients. At padding the way stands still, so that
    the answer sums to f(embeddings) - f(embeddings with every event 0), up to the error of the
    sum. Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017, eq. 1 and
    3, baseline 0.

    Raises:
        ValueError: as `gradient_times_input`; steps below 1.

    Example:
        >>> x = np.array([[[1.0], [3.0]]], np.float32)
        >>> integrated_gradients(lambda e: e[:, 0, 0] * e[:, 1, 0], x, np.ones((1, 2), bool))
        array([[1.5, 1.5]], dtype=float32)
    """
    _check(embeddings, mask)
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    way = np.where(mask[:, :, None], embeddings, 0)
    baseline = embeddings - way
    total = np.zeros(embeddings.shape)
    for step in range(steps):
        point = baseline + (step + 0.5) / steps * way
        total += _gradient(f, point.astype(embeddings.dtype))
    return _summed(total / steps * way, mask)


def random_attribution(mask: Bool, seed: int) -> Float32:
    """Standard normal numbers, which know nothing: what every explanation must beat.

    Example:
        >>> random_attribution(np.array([[False, True]]), seed=0)[0, 0]
        np.float32(0.0)
    """
    rng = np.random.default_rng([seed, _STREAM])
    return np.where(mask, rng.standard_normal(mask.shape), 0.0).astype(np.float32)


def _gradient(f: Scorer, embeddings: Real) -> Real:
    """d f(embeddings)[n] / d embeddings[n], [N, L, D]: of the sum, because rows are apart."""
    tf = import_tensorflow()
    point = tf.convert_to_tensor(embeddings)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(point)
        scores = f(point)
    if tuple(scores.shape) != embeddings.shape[:1]:
        raise ValueError(f"f must return [{len(embeddings)}] scores, returned {scores.shape}")
    gradient = tape.gradient(scores, point)
    if gradient is None:
        raise ValueError("f does not depend on its embeddings through differentiable operations")
    # A lookup inside f makes the gradient sparse.
    return np.asarray(tf.convert_to_tensor(gradient).numpy())


def _summed(parts: Real, mask: Bool) -> Float32:
    return np.where(mask, parts.sum(axis=2), 0.0).astype(np.float32)


def _check(embeddings: Real, mask: Bool) -> None:
    if embeddings.ndim != 3 or embeddings.shape[:2] != mask.shape:
        raise ValueError(
            f"embeddings must be [N, L, D] and mask [N, L], got {embeddings.shape}, {mask.shape}"
        )
