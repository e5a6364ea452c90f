"""Losses that tie two views of a thing together: an item and its text, a facet and its topic.

Both compare inside the batch they are given, so on replicas each compares inside its own part.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# A logit that no softmax sees, finite so that nothing becomes NaN.
MASKED = -1e9
TINY = 1e-12
# Larger than the smallest normal float32, far below any share a softmax gives away.
SMALLEST_SHARE = 1e-30


def info_nce(a: Any, b: Any, temperature: float, weights: Any = None) -> Any:
    """Row n of `a` must find row n of `b` among all rows, and the other way round.

    van den Oord et al., "Representation Learning with Contrastive Predictive Coding", arXiv
    1807.03748, eq. 4, with cosine similarity divided by the temperature, averaged over both
    directions as in Radford et al., CLIP, arXiv 2103.00020, figure 3.

    Arguments:
        a: float [N, d], one view; for example item vectors.
        b: float [N, d], the other; for example text vectors. Two rows for the same thing would
            push it away from itself: the caller makes rows distinct.
        temperature: above 0; small ones look at the hardest rows only.
        weights: float [N], 1 / N each when None. A row of weight 0 is no example, and nobody's
            negative either.

    Returns:
        float32 scalar, Σ weights · loss.

    Raises:
        ValueError: the shapes do not belong together, or `temperature` is not above 0.

    Example:
        Two orthogonal pairs at temperature 1: log(e + 1) − 1.

        >>> float(info_nce(ops.eye(2), ops.eye(2), temperature=1.0))
        0.3132...
    """
    a, b = _float(a), _float(b)
    _check("a", a, (a.shape[0], b.shape[-1]))
    _check("b", b, a.shape)
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    num_rows = a.shape[0]
    weights = ops.ones((num_rows,)) / num_rows if weights is None else _float(weights)
    _check("weights", weights, (num_rows,))

    logits = ops.matmul(_unit(a), ops.transpose(_unit(b))) / temperature  # [N, N]
    matching = ops.diagonal(logits)
    real = weights > 0
    from_a = ops.logsumexp(ops.where(real[None, :], logits, MASKED), axis=1)
    from_b = ops.logsumexp(ops.where(real[:, None], logits, MASKED), axis=0)
    return ops.sum(weights * (0.5 * (from_a + from_b) - matching))


def topic_supervision(
    topics: Any, category_given_topic_logits: Any, categories: Any, weights: Any = None
) -> Any:
    """Gives facets a meaning: a facet is a topic, and topics must explain the item's categories.

    Cross-entropy −Σ_c y_ic log Σ_k π_ik softmax(φ_k)_c between an item's categories and a mixture
    of topics: the likelihood of Hofmann, "Probabilistic Latent Semantic Indexing", SIGIR 1999,
    eq. 2–3, with items for documents and categories for words.

    Arguments:
        topics: float [N, K], shares π of each item, rows non-negative with sum 1.
        category_given_topic_logits: float [K, C], φ.
        categories: float [N, C], rows y are distributions; zeros when nothing is known.
        weights: float [N]; equal over the items with categories, with sum 1, when None.

    Returns:
        float32 scalar, Σ weights · loss; items without categories add nothing.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        Topics that know nothing about two categories: log 2. The second item counts nothing.

        >>> topics, categories = ops.ones((2, 3)) / 3, ops.array([[1.0, 0.0], [0.0, 0.0]])
        >>> float(topic_supervision(topics, ops.zeros((3, 2)), categories))
        0.6931...
    """
    topics, categories = _float(topics), _float(categories)
    logits = _float(category_given_topic_logits)
    _check("topics", topics, (categories.shape[0], logits.shape[0]))
    _check("category_given_topic_logits", logits, (topics.shape[1], categories.shape[1]))
    if weights is None:
        known = ops.cast(ops.any(categories > 0, axis=-1), "float32")
        weights = known / ops.maximum(ops.sum(known), 1.0)
    weights = _float(weights)
    _check("weights", weights, (topics.shape[0],))

    log_share = ops.log(ops.maximum(topics, SMALLEST_SHARE))  # [N, K]
    joint = log_share[:, :, None] + ops.log_softmax(logits, axis=-1)[None]  # [N, K, C]
    log_mixture = ops.logsumexp(joint, axis=1)  # [N, C]
    return -ops.sum(weights[:, None] * categories * log_mixture)


def _unit(vectors: Any) -> Any:
    return vectors * ops.rsqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + TINY)


def _float(tensor: Any) -> Any:
    return ops.cast(ops.convert_to_tensor(tensor), "float32")


def _check(name: str, tensor: Any, expected: tuple[int | None, ...]) -> None:
    if tuple(tensor.shape) != tuple(expected):
        raise ValueError(f"{name} must be {tuple(expected)}, got {tuple(tensor.shape)}")
