"""Losses of the read-outs: how strongly, how probably, and for whose benefit.

Each returns Σ weights · loss as a float32 scalar; weight 0 means that there is no example. All but
`exposure_divergence` are sums over examples, so a batch split over replicas sums to the same.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# Stands for an infinite threshold: far beyond any score, and finite, so that gradients are too.
TINY = 1e-12


def strength_huber(predicted: Any, target: Any, weights: Any, delta: float = 1.0) -> Any:
    """Squared error near the target, absolute error beyond `delta`, so that outliers do not rule.

    Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35(1),
    1964: r² / 2 for |r| ≤ δ, else δ (|r| − δ / 2), with r = predicted − target.

    Arguments:
        predicted: float [B, L], on the caller's scale, for example log1p.
        target: float [B, L], on the same scale; NaN where no strength was seen: no example.
        weights: float [B, L].
        delta: where the square ends, in units of the scale; above 0.

    Returns:
        float32 scalar.

    Raises:
        ValueError: the shapes do not belong together, or `delta` is not above 0.

    Example:
        An error of 3: 1 · (3 − 1/2). The second event has no strength.

        >>> target = ops.array([[0.0, float("nan")]])
        >>> float(strength_huber(ops.array([[3.0, 9.0]]), target, ops.ones((1, 2))))
        2.5
    """
    predicted, target, weights = _float(predicted), _float(target), _float(weights)
    _check("predicted", predicted, weights.shape)
    _check("target", target, weights.shape)
    if not delta > 0:
        raise ValueError(f"delta must be above 0, got {delta}")
    # A weight of 0 would not do: 0 · NaN is NaN.
    error = ops.where(ops.isnan(target), 0.0, predicted - target)
    size = ops.abs(error)
    loss = ops.where(size <= delta, 0.5 * ops.square(error), delta * (size - 0.5 * delta))
    return ops.sum(weights * loss)


def pointwise_calibration(
    positive: Any, negatives: Any, weights: Any, negative_weight: float = 1.0
) -> Any:
    """Sigmoid cross-entropy on the score itself, so that σ(score) is a probability.

    softplus(−positive) + negative_weight · mean_m softplus(negative_m): the regression part of
    Bai et al., CIKM 2023, arXiv 2211.01494. σ(score) is the probability of being taken among one
    positive and `negative_weight` negatives; for the one in the log, `negative_weight` must be
    the number of items not taken per item taken.

    Arguments:
        positive: float [B, L], score of the item that was taken.
        negatives: float [B, L, M], scores of items that were not.
        weights: float [B, L].
        negative_weight: weight of all M negatives together.

    Returns:
        float32 scalar.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        Scores of 0: log 2 for the positive and log 2 for the negatives.

        >>> float(pointwise_calibration([[0.0]], [[[0.0, 0.0]]], [[1.0]]))
        1.3862...
    """
    positive, negatives, weights = _listed(positive, negatives, weights)
    drawn = ops.mean(ops.softplus(negatives), axis=-1)  # [B, L]
    return ops.sum(weights * (ops.softplus(-positive) + negative_weight * drawn))


def exposure_divergence(
    probabilities: Any, target: Any, weights: Any, smoothing: float = 0.01
) -> Any:
    """How far the exposure of groups of items is from a wanted mix: KL(target ‖ exposure).

    Steck, "Calibrated Recommendations", RecSys 2018, section 3: the exposure q = Σ_n w_n p_n is
    smoothed to (1 − α) q + α · target, so that a group without exposure costs much, not
    infinitely much. α = 0 is the plain divergence. Not a sum over examples: on replicas it is the
    weighted mean of the replicas' divergences, which is never below that of the whole batch.

    Arguments:
        probabilities: float [N, G], per example the probability of each group of items.
        target: float [G], non-negative, sum 1.
        weights: float [N].
        smoothing: α, from 0 to below 1.

    Returns:
        float32 scalar, (Σ weights) · divergence of the weighted mean.

    Raises:
        ValueError: the shapes do not belong together, or `smoothing` is out of range.

    Example:
        Half and half is wanted, 3/4 and 1/4 is shown: log(2/3) / 2 + log(2) / 2.

        >>> float(exposure_divergence([[0.75, 0.25]], [0.5, 0.5], [1.0], smoothing=0.0))
        0.1438...
    """
    probabilities, target, weights = _float(probabilities), _float(target), _float(weights)
    _check("probabilities", probabilities, (*weights.shape, *target.shape))
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be from 0 to below 1, got {smoothing}")
    total = ops.sum(weights)
    exposure = ops.sum(weights[:, None] * probabilities, axis=0) / ops.maximum(total, TINY)
    mixed = (1 - smoothing) * exposure + smoothing * target  # [G]
    ratio = ops.log(ops.maximum(target, TINY)) - ops.log(ops.maximum(mixed, TINY))
    return total * ops.sum(target * ratio)


def _listed(positive: Any, negatives: Any, weights: Any) -> tuple[Any, Any, Any]:
    positive, negatives, weights = _float(positive), _float(negatives), _float(weights)
    _check("positive", positive, weights.shape)
    _check("negatives", negatives, (*weights.shape, negatives.shape[-1]))
    return positive, negatives, weights


def _float(tensor: Any) -> Any:
    return ops.cast(ops.convert_to_tensor(tensor), "float32")


def _check(name: str, tensor: Any, expected: tuple[int | None, ...]) -> None:
    if tuple(tensor.shape) != tuple(expected):
        raise ValueError(f"{name} must be {tuple(expected)}, got {tuple(tensor.shape)}")
