"""Which lines move the scores of what a user is expected to take."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from export.graph.choice import Choice
from export.graph.ledger import ItemParts, LedgerUser


def line_shares(choice: Choice, user: LedgerUser, items: ItemParts) -> Any:
    """Σ_i p_i |line(i)| of each facet, quality, crowd and context, as shares of their sum.

    Arguments:
        items: parts of the whole catalogue, [I, ...].

    Returns:
        float32 [B, K + 3]; zeros where every line is zero.
    """
    probabilities = choice.probabilities
    facets = tf.unstack(user.facets, axis=1)
    # Line by line: all at once would hold K + 3 times the memory.
    lines = [
        tf.matmul(facet, block, transpose_b=True)
        for facet, block in zip(facets, tf.unstack(items.blocks, axis=1), strict=True)
    ]
    lines += [items.quality[None], tf.matmul(user.crowd, items.popularity, transpose_b=True)]
    if user.context is not None:
        lines.append(tf.matmul(user.context, items.context, transpose_b=True))
    weights = [tf.reduce_sum(probabilities * tf.abs(line), axis=1) for line in lines]
    if user.context is None:
        weights.append(tf.zeros_like(weights[0]))
    weight = tf.stack(weights, axis=1)
    return tf.math.divide_no_nan(weight, tf.reduce_sum(weight, axis=1, keepdims=True))
