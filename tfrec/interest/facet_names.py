"""What to call a facet: by the categories that it tells apart, else by how long it remembers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Bool

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

# A category is clearly told apart when it is so twice as well as the facet's typical category.
CLEARLY = 2.0
# A facet is only called by categories that it tells apart nearly as well as its best one.
NEARLY = 0.6
# Standard errors of what a random set of as many items would reach.
_ERRORS = 2.0


class Separation(NamedTuple):
    """How well K facets tell C categories apart.

    Attributes:
        effect: [K, C], 0 for a facet that knows nothing about a category. See `separation`.
        margin: [C], what a random set of as many items reaches by chance; infinite for a category
            of one item, about which nothing can be said.
    """

    effect: Float64
    margin: Float64

    @property
    def surplus(self) -> Float64:
        """effect - margin, [K, C]: above 0 where it is more than chance."""
        return self.effect - self.margin


def separation(values: Floats, blocks: Floats, item_categories: Floats) -> Separation:
    """How much more an event with an item of category c says for another item of c.

    With S_f[j, i] = <V_f e_j - mean, õ_fi> the line of an event with item j for item i, less that
    of a typical event, the effect of facet f on category c is the mean of S_f over all pairs of two
    different items of c, in standard deviations of S_f over the catalogue's pairs. (Both sides
    are centred, so the mean over all pairs of the catalogue is 0.) Means of products of pairs are
    products of means, less the pairs of an item with itself: no loop over pairs.

    Gates and weights are not negative and the same for all items, so they change how loud a facet
    is, not what it tells apart; events whose value is turned round (dislikes) tell it backwards.

    Arguments:
        values: V_f e_j, [I, K, d].
        blocks: õ_fi, [I, K, d].
        item_categories: [I, C], how much of each item is of each category, at least 0.

    Returns:
        `Separation`; its margin is two standard errors √2/n of the mean over the pairs of n random
        items, where n = 1 / Σ w² with the category's item weights w.

    Raises:
        ValueError: shapes do not fit.

    Example:
        >>> vectors = np.array([[1.0], [1.0], [-1.0], [-1.0]])[:, None]     # one facet, d = 1
        >>> halves = np.repeat(np.eye(2), 2, axis=0)
        >>> separation(vectors, vectors, halves).effect.tolist()
        [[1.0, 1.0]]
    """
    a, b = np.asarray(values, np.float64), np.asarray(blocks, np.float64)
    shares = np.asarray(item_categories, np.float64)
    if a.ndim != 3 or a.shape != b.shape:
        raise ValueError(f"values and blocks must both be [I, K, d], got {a.shape} and {b.shape}")
    if shares.ndim != 2 or len(shares) != len(a):
        raise ValueError(f"item_categories must be [{len(a)}, C], got {shares.shape}")
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    total = shares.sum(axis=0)
    weights = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)  # [I, C]

    def means(x: Float64) -> Float64:
        found: Float64 = np.einsum("ic,ikd->kcd", weights, x, optimize=True)
        return found

    itself = np.einsum("ic,ik->kc", weights**2, (a * b).sum(axis=-1))
    same = (weights**2).sum(axis=0)  # [C], the weight of pairs of an item with itself
    pairs = 1.0 - same
    known = (total > 0) & (pairs > 1e-9)
    mean = (means(a) * means(b)).sum(axis=-1) - itself
    mean = np.where(known, mean / np.where(known, pairs, 1.0), 0.0)
    spread = _spread(a, b)[:, None]
    effect = np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 0)
    return Separation(effect, np.where(known, _ERRORS * np.sqrt(2.0) * same, np.inf))


def facet_names(
    half_life_days: Floats,
    separated: Separation | None = None,
    categories: Sequence[str] = (),
    topics: int = 0,
) -> list[str]:
    """A name for every facet, no two alike.

    A facet may be called by a category, or by two, that it tells apart more than chance would, at
    least `CLEARLY` times as well as its median category, and at least `NEARLY` times as well as its
    best. No two facets have the same first category: the assignment with the largest total
    surplus decides. What is left is called by its half-life: "lasting" for the longest of all,
    "momentary" for the shortest, otherwise "facet n" with n counted from 1. Without categories
    no facet is named after items: those that a facet says most about need have nothing in common.

    The last facets may be topics, see `Ledger`: the pull of a topic is called as its taste is, and
    "passing".

    A name says what the facet tells apart best, for or against. It does not say that all its lines
    are about that, nor that a user in whom the facet is loud likes it.

    Arguments:
        half_life_days: [K].
        separated: of K facets and C categories; None without categories.
        categories: C names.
        topics: N; the last 2N facets are N tastes and N pulls.

    Example:
        >>> facet_names(np.array([60.0, 2.0, 0.1]))
        ['lasting', 'facet 2', 'momentary']
    """
    if topics:
        if separated is not None:
            separated = Separation(separated.effect[:-topics], separated.margin)
        names = facet_names(np.asarray(half_life_days)[:-topics], separated, categories)
        return names + [f"{name}, passing" for name in names[-topics:]]
    names = _by_half_life(np.asarray(half_life_days))
    if separated is not None and len(categories):
        if separated.effect.shape != (len(names), len(categories)):
            raise ValueError(
                f"separated must be of {len(names)} facets and {len(categories)} categories, "
                f"got {separated.effect.shape}"
            )
        clear = _clear(separated)
        best = _assigned(np.where(clear, separated.surplus, 0.0))
        best = {facet: c for facet, c in best.items() if clear[facet, c]}
        for facet, category in best.items():
            second = _second(separated.effect[facet], clear[facet], set(best.values()))
            chosen = [category] if second is None else [category, second]
            names[facet] = " & ".join(categories[c] for c in chosen)
    # A category may be called "lasting".
    return [n if names.count(n) == 1 else f"{n} ({k + 1})" for k, n in enumerate(names)]


def _by_half_life(half_lives: Floats) -> list[str]:
    names = [f"facet {number + 1}" for number in range(len(half_lives))]
    if len(names) > 1 and half_lives.min() < half_lives.max():
        names[int(half_lives.argmax())] = "lasting"
        names[int(half_lives.argmin())] = "momentary"
    return names


def _clear(separated: Separation) -> Bool:
    """Which category could name which facet, [K, C]."""
    effect = separated.effect
    count = effect.shape[1]
    others = np.ones((count, count), np.bool_) & ~np.eye(count, dtype=np.bool_)
    typical = np.zeros_like(effect)
    if count > 1:
        rows = np.broadcast_to(effect[:, None], (len(effect), count, count))
        typical = np.median(rows[:, others].reshape(len(effect), count, count - 1), axis=-1)
    near = effect >= NEARLY * effect.max(axis=1, keepdims=True)
    clear: Bool = (separated.surplus > 0) & (effect >= CLEARLY * typical) & near
    return clear


def _assigned(surplus: Float64) -> dict[int, int]:
    """facet -> category, each at most once, with the largest total."""
    from scipy.optimize import linear_sum_assignment

    facets, categories = linear_sum_assignment(surplus, maximize=True)
    return dict(zip(facets.tolist(), categories.tolist(), strict=True))


def _second(effect: Float64, clear: Bool, taken: set[int]) -> int | None:
    allowed = clear.copy()
    allowed[sorted(taken)] = False
    return int(np.where(allowed, effect, -np.inf).argmax()) if allowed.any() else None


def _spread(a: Float64, b: Float64) -> Float64:
    """Standard deviation of <a_j, b_i> over all pairs of each facet, [K]; both sides centred."""
    of_a = np.einsum("ikd,ike->kde", a, a, optimize=True) / len(a)
    of_b = np.einsum("ikd,ike->kde", b, b, optimize=True) / len(b)
    # Σ_ji <a_j, b_i>² / I² is the trace of the product of both second moments.
    spread: Float64 = np.sqrt(np.maximum((of_a * of_b).sum(axis=(1, 2)), 0.0))
    return spread
