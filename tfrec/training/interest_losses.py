"""Losses of the read-outs: how strongly, how probably, and for whose benefit.

Each returns Σ weights · loss as a float32 scalar; weight 0 means that there is no example. All but
`exposure_divergence` are sums over examples, so a batch split over replicas sums to the same.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# Stands for an infinite threshold: far beyond any score, and finite, so that gradients are too.
FAR = 1e9
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


def ordinal_nll(scores: Any, thresholds: Any, grades: Any, weights: Any) -> Any:
    """Negative log-likelihood of grades such as 1–5 stars under proportional odds.

    McCullagh, "Regression models for ordinal data", JRSS B 42(2), 1980, section 2:
    P(grade ≤ g) = σ(θ_g − s), so P(grade = g) = σ(θ_g − s) − σ(θ_{g−1} − s). In logs, with
    u = θ_g − s and l = θ_{g−1} − s, it is log σ(u) + log σ(−l) + log(1 − exp(l − u)), which loses
    nothing far out in the tails.

    Arguments:
        scores: float [B, L].
        thresholds: float [G − 1], strictly ascending; the caller's parameters guarantee it.
        grades: int [B, L], 0 .. G − 1; any number where the weight is 0.
        weights: float [B, L].

    Returns:
        float32 scalar.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        Two grades and score 0 are a fair coin: log 2.

        >>> float(ordinal_nll([[0.0]], [0.0], [[1]], [[1.0]]))
        0.6931...
    """
    scores, thresholds, weights = _float(scores), _float(thresholds), _float(weights)
    grades = ops.cast(ops.convert_to_tensor(grades), "int32")
    _check("scores", scores, weights.shape)
    _check("grades", grades, weights.shape)
    _check("thresholds", thresholds, (thresholds.shape[0],))
    bounds = ops.concatenate([ops.array([-FAR]), thresholds, ops.array([FAR])])  # [G + 1]
    grades = ops.clip(grades, 0, thresholds.shape[0])
    upper, lower = ops.take(bounds, grades + 1), ops.take(bounds, grades)
    width = upper - lower
    log_likelihood = (
        ops.log_sigmoid(upper - scores)
        + ops.log_sigmoid(scores - lower)
        + ops.log(ops.maximum(-ops.expm1(-width), TINY))
    )
    return -ops.sum(weights * log_likelihood)


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


def regression_compatible(positive: Any, negatives: Any, weights: Any) -> Any:
    """Listwise cross-entropy on sigmoids: calibrated scores are among its best scores.

    Bai et al., "Regression Compatible Listwise Objectives for Calibrated Ranking with Binary
    Relevance", CIKM 2023, arXiv 2211.01494, for one relevant item: the list's distribution is made
    of normalised sigmoids, not of exponentials, −log(σ(s⁺) / (σ(s⁺) + Σ_m σ(s_m))).

    Arguments:
        positive: float [B, L], score of the item that was taken.
        negatives: float [B, L, M], scores of items that were not.
        weights: float [B, L].

    Returns:
        float32 scalar.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        Three equal scores, whatever they are: log 3.

        >>> float(regression_compatible([[5.0]], [[[5.0, 5.0]]], [[1.0]]))
        1.0986...
    """
    positive, negatives, weights = _listed(positive, negatives, weights)
    chosen = ops.log_sigmoid(positive)
    everyone = ops.concatenate([chosen[..., None], ops.log_sigmoid(negatives)], axis=-1)
    return ops.sum(weights * (ops.logsumexp(everyone, axis=-1) - chosen))


def entire_space(
    view_logits: Any, buy_given_view_logits: Any, viewed: Any, bought: Any, weights: Any
) -> Any:
    """Learns p(buy | view) from everything shown, not only from what was viewed.

    Ma et al., "Entire Space Multi-Task Model", SIGIR 2018, arXiv 1804.07931, eq. 3:
    BCE(viewed, p) + BCE(viewed · bought, p q) with p = σ(view), q = σ(buy given view). In logs:
    log p q = log p + log q, and 1 − p q = (1 − p) + p (1 − q) is a sum of positive terms.

    Arguments:
        view_logits: float [B, L].
        buy_given_view_logits: float [B, L].
        viewed: float [B, L], 1 or 0.
        bought: float [B, L], 1 or 0; counts only where viewed.
        weights: float [B, L].

    Returns:
        float32 scalar.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        Viewed and bought, at p = q = 1/2: log 2 + log 4.

        >>> float(entire_space([[0.0]], [[0.0]], [[1.0]], [[1.0]], [[1.0]]))
        2.0794...
    """
    view, buy, weights = _float(view_logits), _float(buy_given_view_logits), _float(weights)
    viewed, bought = _float(viewed), _float(bought)
    _check("view_logits", view, weights.shape)
    _check("buy_given_view_logits", buy, weights.shape)
    _check("viewed", viewed, weights.shape)
    _check("bought", bought, weights.shape)
    log_view, log_no_view = ops.log_sigmoid(view), ops.log_sigmoid(-view)
    log_both = log_view + ops.log_sigmoid(buy)
    log_not_both = ops.logsumexp(
        ops.stack([log_no_view, log_view + ops.log_sigmoid(-buy)], axis=-1), axis=-1
    )
    both = viewed * bought
    log_likelihood = (
        viewed * log_view + (1 - viewed) * log_no_view + both * log_both + (1 - both) * log_not_both
    )
    return -ops.sum(weights * log_likelihood)


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
