"""Losses that keep the parts of a score apart: long and short, interest and crowd, facets.

Each returns Σ weights · loss as a float32 scalar. The first two are sums over examples, so a batch
split over replicas sums to the same. The last two are functions of a whole batch of items; on
replicas they are the weighted mean of the replicas' own values.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

MAX_ITEMS = 512
# Below this squared distance, in units of a block's own mean squared radius, two points coincide.
COINCIDENT = 1e-6
TINY = 1e-12


def long_short_contrast(interest: Any, own_proxy: Any, other_proxy: Any, weights: Any) -> Any:
    """An interest is nearer to its own proxy than to the other's.

    Zheng et al., "Disentangling Long and Short-Term Interests for Recommendation", WWW 2022,
    arXiv 2202.13090, the contrastive tasks that hold an interest against both proxies, in their
    BPR form with the dot product as similarity: softplus(u · p_other − u · p_own). The long-term
    interest's proxy is the mean of the whole history, the short-term one's that of its last
    events. The tasks that hold a proxy against both interests need one space for the two, which
    facets do not share.

    Arguments:
        interest: float [B, L, d], at each position.
        own_proxy, other_proxy: float [B, L, d], in the same space.
        weights: float [B, L]; the paper leaves out histories of at most 5 events: 0 there.

    Returns:
        float32 scalar.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        Equal proxies: log 2.

        >>> one = ops.ones((1, 1, 2))
        >>> float(long_short_contrast(one, one, one, ops.ones((1, 1))))
        0.6931...
    """
    interest, weights = _float(interest), _float(weights)
    own_proxy, other_proxy = _float(own_proxy), _float(other_proxy)
    _check("interest", interest, (*weights.shape, interest.shape[-1]))
    _check("own_proxy", own_proxy, interest.shape)
    _check("other_proxy", other_proxy, interest.shape)
    nearer = ops.sum(interest * (own_proxy - other_proxy), axis=-1)
    return ops.sum(weights * ops.softplus(-nearer))


def conformity_pairs(
    interest_positive: Any,
    interest_negative: Any,
    crowd_positive: Any,
    crowd_negative: Any,
    more_popular: Any,
    weights: Any,
) -> Any:
    """A click against the crowd shows interest; a click with the crowd may show only the crowd.

    Zheng et al., "Disentangling User Interest and Conformity for Recommendation with Causal
    Embedding", WWW 2021, arXiv 2006.11011, the losses of interest and of conformity
    modelling. With BPR(x) = softplus(−x), where the negative is more popular than the choice:

        BPR(interest_positive − interest_negative) + BPR(crowd_negative − crowd_positive)

    and elsewhere BPR(crowd_positive − crowd_negative). Mean over the M negatives.

    Arguments:
        interest_positive: float [B, L], the chosen item's score from interest alone.
        interest_negative: float [B, L, M], the same of M items that were not chosen.
        crowd_positive: float [B, L], the chosen item's score from popularity alone.
        crowd_negative: float [B, L, M].
        more_popular: bool [B, L, M], True where the negative is more popular.
        weights: float [B, L].

    Returns:
        float32 scalar.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        A more popular negative and scores of 0: log 2 for interest, log 2 for the crowd.

        >>> one, many = ops.zeros((1, 1)), ops.zeros((1, 1, 3))
        >>> weights = ops.ones((1, 1))
        >>> float(conformity_pairs(one, many, one, many, ops.ones((1, 1, 3), "bool"), weights))
        1.3862...
    """
    interest_positive, crowd_positive = _float(interest_positive), _float(crowd_positive)
    interest_negative, crowd_negative = _float(interest_negative), _float(crowd_negative)
    more_popular, weights = ops.cast(more_popular, "bool"), _float(weights)
    _check("interest_positive", interest_positive, weights.shape)
    _check("crowd_positive", crowd_positive, weights.shape)
    _check("interest_negative", interest_negative, (*weights.shape, interest_negative.shape[-1]))
    _check("crowd_negative", crowd_negative, interest_negative.shape)
    _check("more_popular", more_popular, interest_negative.shape)

    interest = interest_positive[..., None] - interest_negative  # [B, L, M]
    crowd = crowd_positive[..., None] - crowd_negative
    loss = ops.where(
        more_popular, ops.softplus(-interest) + ops.softplus(crowd), ops.softplus(-crowd)
    )
    return ops.sum(weights * ops.mean(loss, axis=-1))


def block_independence(blocks: Any, weights: Any = None) -> Any:
    """Distance correlation between facet blocks, averaged over all pairs of blocks.

    Székely, Rizzo & Bakirov, "Measuring and testing dependence by correlation of distances",
    Annals of Statistics 35(6), 2007, definitions 4 and 5: distance matrices, doubly centred, then
    R² = mean(A ∘ B) / √(mean(A ∘ A) · mean(B ∘ B)). With weights every mean is a weighted one, so
    a weight of 2 is the same as an item that stands there twice. A block without any spread has
    correlation 0 with all others. Few items in many dimensions look dependent: only differences
    at equal N and d mean something.

    Arguments:
        blocks: float [N, K, d], N at most 512 items, K at least 2 blocks. Memory is O(K N²).
        weights: float [N]; 1 / N each when None.

    Returns:
        float32 scalar, Σ weights · mean R.

    Raises:
        ValueError: too many items, fewer than two blocks, or shapes that do not belong together.

    Example:
        A block and its mirror image, twice as large, depend on each other entirely.

        >>> x = ops.array([[0.0, 1.0], [2.0, 0.0], [3.0, 5.0]])
        >>> round(float(block_independence(ops.stack([x, -2 * x], axis=1))), 3)
        1.0
    """
    blocks = _float(blocks)
    if len(blocks.shape) != 3 or blocks.shape[0] > MAX_ITEMS or blocks.shape[1] < 2:
        raise ValueError(
            f"blocks must be [at most {MAX_ITEMS} items, at least 2 blocks, dim]; "
            f"got {tuple(blocks.shape)}"
        )
    num_items, num_blocks, _ = blocks.shape
    weights = ops.ones((num_items,)) / num_items if weights is None else _float(weights)
    _check("weights", weights, (num_items,))
    total = ops.sum(weights)
    share = weights / ops.maximum(total, TINY)

    distance = _distances(ops.transpose(blocks, (1, 0, 2)), share)  # [K, N, N]
    by_row = ops.sum(distance * share, axis=-1, keepdims=True)
    by_column = ops.transpose(by_row, (0, 2, 1))
    overall = ops.sum(by_column * share, axis=-1, keepdims=True)
    centred = ops.reshape(distance - by_row - by_column + overall, (num_blocks, -1))
    pair_share = ops.reshape(share[:, None] * share[None, :], (-1,))
    # [K, K], squared distance covariances; variances on the diagonal
    covariance = ops.matmul(centred * pair_share, ops.transpose(centred))
    variance = ops.diagonal(covariance)
    scale = ops.sqrt(variance[:, None] * variance[None, :] + TINY)
    squared = ops.maximum(covariance / scale, 0.0)
    correlation = squared * ops.rsqrt(squared + 1e-8)  # √ with a finite slope at 0
    pairs = num_blocks * (num_blocks - 1) / 2
    return total * ops.sum(ops.triu(correlation, 1)) / pairs


def _distances(points: Any, share: Any) -> Any:
    """Euclidean distances inside each block, in units of the block's radius; [K, N, N]."""
    centred = points - ops.sum(points * share[:, None], axis=1, keepdims=True)
    radius = ops.sum(ops.square(centred) * share[:, None], axis=(1, 2), keepdims=True)
    # Distance correlation does not change with scale, so the scale needs no gradient.
    centred = centred / ops.stop_gradient(ops.sqrt(radius + TINY))
    norm = ops.sum(ops.square(centred), axis=-1)
    gram = ops.matmul(centred, ops.transpose(centred, (0, 2, 1)))
    squared = norm[:, :, None] + norm[:, None, :] - 2 * gram
    apart = squared > COINCIDENT
    # The inner `where` keeps the infinite slope of √ at 0 out of the gradient.
    return ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)


def facet_balance(shares: Any, weights: Any, floor: float = 0.7) -> Any:
    """Keeps the facets in use: relu(floor · log K − H(mean share)), with H the entropy.

    The motive is routing collapse in multi-interest models: Xie et al., "Rethinking
    Multi-Interest Learning for Candidate Matching", RecSys 2023, arXiv 2302.14532. The mean over
    the batch is bounded, not each row, so that one user may live on one facet.

    Arguments:
        shares: float [N, K], each row non-negative with sum 1: how much each facet contributes.
        weights: float [N].
        floor: smallest entropy of the mean share, as a part of log K, the largest possible.

    Returns:
        float32 scalar, (Σ weights) · penalty of the weighted mean share.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        All on one of two facets: 0.7 log 2 − 0.

        >>> float(facet_balance(ops.array([[1.0, 0.0]]), ops.ones((1,))))
        0.4852...
        >>> float(facet_balance(ops.array([[1.0, 0.0], [0.0, 1.0]]), ops.ones((2,)) / 2))
        0.0
    """
    shares, weights = _float(shares), _float(weights)
    _check("shares", shares, (*weights.shape, shares.shape[-1]))
    total = ops.sum(weights)
    mean = ops.sum(weights[:, None] * shares, axis=0) / ops.maximum(total, TINY)  # [K]
    entropy = -ops.sum(mean * ops.log(ops.maximum(mean, TINY)))
    return total * ops.relu(floor * math.log(shares.shape[-1]) - entropy)


def _float(tensor: Any) -> Any:
    return ops.cast(ops.convert_to_tensor(tensor), "float32")


def _check(name: str, tensor: Any, expected: tuple[int | None, ...]) -> None:
    if tuple(tensor.shape) != tuple(expected):
        raise ValueError(f"{name} must be {tuple(expected)}, got {tuple(tensor.shape)}")
