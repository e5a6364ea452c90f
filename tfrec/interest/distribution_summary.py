"""A user's distribution over the catalogue in a few numbers: how spread out, and over what.

Every function takes log-probabilities [N, I], as `Temperature.apply` gives them, of rows that sum
to 1; -inf is an item that cannot come. Sums are in float64.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]


def entropy(log_probabilities: Floats) -> Float64:
    """-sum p log p of each row in nats, float64 [N]: 0 for a certainty, log I for a uniform guess.

    Shannon, "A mathematical theory of communication", 1948. Its exponential is the number of
    items that would be as uncertain if they were all alike.

    Example:
        >>> np.exp(entropy(np.log([[0.25, 0.25, 0.25, 0.25]]))).round(6).tolist()
        [4.0]
    """
    logs = _checked(log_probabilities)
    # p log p is 0 at p = 0, which the product 0 · -inf would not be.
    finite = np.where(np.isneginf(logs), 0.0, logs)
    found: Float64 = np.maximum(-(np.exp(logs) * finite).sum(axis=1), 0.0)
    return found


def tail_mass(log_probabilities: Floats, k: int) -> Float64:
    """Probability of all items beyond the k most probable, float64 [N].

    The tail itself is summed: 1 minus the head would lose the digits of a small tail.

    Arguments:
        log_probabilities: [N, I].
        k: items in the head, 0 … I.

    Example:
        >>> tail_mass(np.log([[0.5, 0.125, 0.375]]), 1).tolist()
        [0.5]
    """
    logs = _checked(log_probabilities)
    items = logs.shape[1]
    if not 0 <= k <= items:
        raise ValueError(f"k must be 0 … {items}, the number of items, got {k}")
    if k in (0, items):
        tail = logs[:, : items - k]
    else:
        tail = np.partition(logs, items - k, axis=1)[:, : items - k]
    mass: Float64 = np.exp(tail).sum(axis=1)
    return mass


def category_mass(log_probabilities: Floats, item_categories: Floats) -> Float64:
    """Probability of each category, float64 [N, C]: sum over items of p(i) · share of c in i.

    Arguments:
        log_probabilities: [N, I].
        item_categories: [I, C], at least 0. Where rows sum to 1, so do the answers; an item
            without a category has a row of zeros, and its probability is missing from the sum.

    Example:
        >>> shares = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
        >>> category_mass(np.log([[0.5, 0.25, 0.25]]), shares).round(6).tolist()
        [[0.625, 0.375]]
    """
    logs, shares = _checked(log_probabilities), np.asarray(item_categories, np.float64)
    if shares.ndim != 2 or len(shares) != logs.shape[1]:
        raise ValueError(f"item_categories must be [{logs.shape[1]}, C], got {shares.shape}")
    if shares.size and not shares.min() >= 0:
        raise ValueError(f"item_categories must be at least 0, got {shares.min()}")
    mass: Float64 = np.exp(logs) @ shares
    return mass


def _checked(log_probabilities: Floats) -> Float64:
    logs = np.asarray(log_probabilities, np.float64)
    if logs.ndim != 2 or not logs.shape[1]:
        raise ValueError(f"log_probabilities must be [N, I], got {logs.shape}")
    if logs.size and not logs.max() <= 1e-3:  # nan as well
        raise ValueError(f"log_probabilities must be at most 0, got {logs.max()}")
    return logs
