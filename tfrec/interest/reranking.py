"""Calibrated lists: the categories of a list in the proportions of the user's history.

Steck, "Calibrated recommendations", RecSys 2018. Each list of k items greedily maximises

    (1 - λ) · sum of scores - λ · C_KL,    C_KL = sum_c p_c log(p_c / q~_c),

with p the user's category distribution, q the mean category distribution of the list, and
q~ = (1 - α) q + α p, which keeps C_KL finite for a category that the list lacks. Every item of a
list weighs alike here; the paper also allows weights by rank.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Bool, Int32

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

ALPHA = 0.01
NO_ITEM = -1


def rerank(
    scores: Floats,
    candidate_categories: Floats,
    history_distribution: Floats,
    k: int,
    lam: float,
    alpha: float = ALPHA,
    blocked: Bool | None = None,
) -> Int32:
    """The calibrated top k of M candidates, for N users at once.

    Memory is about three float64 [N, M, C]: thousands of users belong in several calls.

    Arguments:
        scores: [N, M], finite; -inf is as good as blocked. λ weighs them against nats, so bring
            them to one scale across users first (log-probabilities have one).
        candidate_categories: p(c | item), [M, C] if users share the candidates, else [N, M, C].
            Rows sum to 1, or to 0 for an item without a category, which covers none.
        history_distribution: p(c | user), [N, C], rows sum to 1, or to 0 where nothing is known:
            such a list is ordered by score alone.
        k: length of the lists, 1 … M.
        lam: λ, 0 (the order of the scores) to 1 (calibration alone).
        alpha: α, inside (0, 1).
        blocked: True for candidates that must not appear, [M] or [N, M].

    Returns:
        int32 [N, k] positions 0 … M - 1 among the candidates, best first; -1 where fewer than k
        were allowed. Of equal candidates the first comes first.

    Example:
        >>> drama_drama_comedy = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> likes_both = np.array([[0.5, 0.5]])
        >>> scores = np.array([[0.3, 0.2, 0.1]])
        >>> rerank(scores, drama_drama_comedy, likes_both, k=2, lam=0.0).tolist()
        [[0, 1]]
        >>> rerank(scores, drama_drama_comedy, likes_both, k=2, lam=0.5).tolist()
        [[0, 2]]
    """
    value = np.asarray(scores, np.float64)
    categories = np.asarray(candidate_categories, np.float64)
    wanted = np.asarray(history_distribution, np.float64)
    _check_shapes(value, categories, wanted)
    _check_options(k, value.shape[1], lam, alpha)
    left = np.isneginf(value) | _blocked(blocked, value.shape)  # True = gone already
    if not np.isfinite(value[~left]).all():
        raise ValueError("scores must be finite, or -inf for a candidate that must not appear")
    relevance = (1.0 - lam) * np.where(left, 0.0, value)  # [N, M]; -inf · 0 would be nan

    users = np.arange(len(value))
    per_item = np.broadcast_to(categories, (*value.shape, categories.shape[-1]))  # [N, M, C]
    covered = np.zeros_like(wanted)  # [N, C], sum over the list so far
    chosen = np.full((len(value), k), NO_ITEM, np.int32)
    for place in range(k):
        gain = relevance
        if lam > 0:
            shares = (covered[:, None, :] + per_item) / (place + 1)  # [N, M, C], q with each item
            gain = relevance - lam * _divergence(wanted[:, None, :], shares, alpha)
        best = np.where(left, -np.inf, gain).argmax(axis=1)  # [N]
        found = ~left[users, best]
        chosen[found, place] = best[found]
        covered += np.where(found[:, None], per_item[users, best], 0.0)
        left[users, best] = True
    return chosen


def list_distribution(chosen: Int32, candidate_categories: Floats) -> Float64:
    """q(c | list): mean category distribution of each list, float64 [N, C].

    Arguments:
        chosen: what `rerank` returned, [N, k]; -1 is left out, a list of none is all zero.
        candidate_categories: [M, C] or [N, M, C], as `rerank` had them.
    """
    categories = np.asarray(candidate_categories, np.float64)
    present = chosen >= 0
    at = np.maximum(chosen, 0)
    rows = categories[at] if categories.ndim == 2 else categories[np.arange(len(at))[:, None], at]
    sums: Float64 = (rows * present[:, :, None]).sum(axis=1)
    means: Float64 = sums / np.maximum(present.sum(axis=1), 1)[:, None]
    return means


def category_divergence(p: Floats, q: Floats, alpha: float = ALPHA) -> Float64:
    """C_KL of each user in nats, float64 [N]: 0 when the list is like the history.

    Arguments:
        p: category distribution of the history, [N, C].
        q: category distribution of the list, [N, C].
        alpha: how much of p is mixed into q, inside (0, 1).

    Example:
        >>> category_divergence(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]])).tolist()
        [0.0]
    """
    wanted, shares = np.asarray(p, np.float64), np.asarray(q, np.float64)
    if wanted.ndim != 2 or wanted.shape != shares.shape:
        raise ValueError(f"p and q must both be [N, C], got {wanted.shape} and {shares.shape}")
    _check_options(1, 1, 0.0, alpha)
    return _divergence(wanted, shares, alpha)


def _divergence(p: Float64, q: Float64, alpha: float) -> Float64:
    """sum_c p log(p / q~) over the last axis; p = 0 adds nothing. p [..., C] broadcasts to q."""
    mixed = (1.0 - alpha) * q + alpha * p
    ratios = np.divide(p, mixed, out=np.ones_like(mixed), where=p > 0)
    divergence: Float64 = (p * np.log(ratios)).sum(axis=-1)
    return divergence


def _blocked(blocked: Bool | None, shape: tuple[int, ...]) -> Bool:
    if blocked is None:
        return np.zeros(shape, np.bool_)
    if blocked.dtype != np.bool_ or blocked.shape not in (shape, shape[1:]):
        raise ValueError(
            f"blocked must be bool {shape[1:]} or {shape}, got {blocked.dtype} {blocked.shape}"
        )
    return np.broadcast_to(blocked, shape)


def _check_shapes(scores: Float64, categories: Float64, wanted: Float64) -> None:
    if scores.ndim != 2 or wanted.ndim != 2 or len(wanted) != len(scores):
        raise ValueError(
            "scores must be [N, M] and history_distribution [N, C], "
            f"got {scores.shape} and {wanted.shape}"
        )
    shared = (scores.shape[1], wanted.shape[1])
    if categories.shape not in (shared, (len(scores), *shared)):
        raise ValueError(
            f"candidate_categories must be {shared} or {(len(scores), *shared)}, "
            f"got {categories.shape}"
        )
    for name, rows in (
        ("candidate_categories", categories),
        ("history_distribution", wanted),
    ):
        sums = rows.sum(axis=-1)
        near = np.isclose(sums, 1.0, rtol=0, atol=1e-4) | (sums == 0)
        if not (near.all() and rows.min(initial=0.0) >= 0):
            raise ValueError(f"rows of {name} must be at least 0 and sum to 1 or be all 0")


def _check_options(k: int, candidates: int, lam: float, alpha: float) -> None:
    if not 1 <= k <= candidates:
        raise ValueError(f"k must be 1 … {candidates}, the number of candidates, got {k}")
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must be in [0, 1], got {lam}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be inside (0, 1), got {alpha}")
