"""Which lines move the scores of what a user is expected to take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from export.graph.choice import Choice


def line_shares(choice: Choice, state: Any, matrix: Any, sizes: Sequence[int]) -> Any:
    """Σ_i p_i |line(i)| of every line, as shares of their sum.

    Arguments:
        state: float32 [B, S]. matrix: item vectors side by side, [S, I].
        sizes: of the lines' parts in both, L numbers that add up to S.

    Returns:
        float32 [B, L]; zeros where every line is zero.
    """
    probabilities = choice.probabilities
    parts = zip(tf.split(state, sizes, axis=1), tf.split(matrix, sizes, axis=0), strict=True)
    # Line by line: all at once would hold L times the memory.
    weights = [
        tf.reduce_sum(probabilities * tf.abs(tf.matmul(user, items)), axis=1)
        for user, items in parts
    ]
    weight = tf.stack(weights, axis=1)
    return tf.math.divide_no_nan(weight, tf.reduce_sum(weight, axis=1, keepdims=True))
