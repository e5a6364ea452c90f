"""Items grouped into lists, so that a search reads a few lists and not the catalogue.

An inverted file (Jégou, Douze & Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI
2011), with the geometry taken from the users. Two items are near when users score them alike: the
mean over users of (u·x - u·y)² is (x - y)ᵀ C (x - y), where C is the second moment of the users'
states. In coordinates in which that is the plain distance, k-means makes lists whose items score
alike. Of these coordinates the strongest principal directions are enough, which are those of the
matrix of all scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.console import progress

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]

# The coordinates that k-means sees keep this much of the variance of scores.
_KEPT = 0.95
# Directions that the sampled users hardly have may still come up in another user.
_RIDGE = 1e-3
_ROUNDS = 10
_SAMPLE_PER_LIST = 40
# Few enough for their products with all centroids to stay in the processor's cache.
_ROWS_AT_ONCE = 512


class Lists(NamedTuple):
    """I items in L lists.

    Attributes:
        numbers: of the items, list by list, rising inside a list, int32 [I].
        starts: where each list begins in `numbers`, and I at the end, int32 [L + 1].
        means: mean item vector of each list, [L, S]: its product with a state is the mean score.
    """

    numbers: Int32
    starts: Int32
    means: Float32


def make_lists(matrix: Float32, states: Float32, lists: int, seed: int) -> Lists:
    """Groups the items of a catalogue.

    Arguments:
        matrix: item vectors, [I, S].
        states: of a sample of users, [n, S].
        lists: L, 1 … I. Empty ones are left out.
        seed: of the k-means.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> items, users = rng.normal(size=(2, 90, 20)).astype(np.float32)
        >>> found = make_lists(items, users, lists=5, seed=0)
        >>> found.means.shape, sorted(found.numbers) == list(range(90)), found.starts[[0, -1]]
        ((5, 20), True, array([ 0, 90], dtype=int32))
    """
    rows = matrix @ _directions(matrix, states)
    list_of = _nearest(rows, _k_means(rows, lists, np.random.default_rng(seed)), "filling lists")
    order = np.argsort(list_of, kind="stable").astype(np.int32)
    begins = np.flatnonzero(np.diff(list_of[order], prepend=-1))
    starts = np.append(begins, len(matrix)).astype(np.int32)
    means = np.add.reduceat(matrix[order], begins) / np.diff(starts)[:, None]
    return Lists(order, starts, means.astype(np.float32))


def probes_for(lists: Lists, states: Float32, items: Int32, share: float) -> int:
    """How many lists to read so that they hold this share of the items wanted.

    Arguments:
        states: of users, [n, S].
        items: the numbers of those that each user wants most, [n, M]; -1 for none.
        share: above 0, at most 1.
    """
    promise = states @ lists.means.T
    rank = np.argsort(np.argsort(-promise, axis=1), axis=1)
    list_of = np.empty(len(lists.numbers), np.int32)
    list_of[lists.numbers] = np.repeat(np.arange(len(lists.means)), np.diff(lists.starts))
    ranks = np.sort(np.take_along_axis(rank, list_of[items], axis=1)[items >= 0])
    return int(ranks[math.ceil(share * len(ranks)) - 1]) + 1 if len(ranks) else 1


def _directions(matrix: Float32, states: Float32) -> Float32:
    """What item vectors are multiplied by, [S, r], so that their distance says how differently
    users score them."""
    seen = states.T.astype(np.float64) @ states / len(states)
    width = len(seen)
    seen += (_RIDGE * np.trace(seen) / width + np.finfo(np.float32).tiny) * np.eye(width)
    values, vectors = np.linalg.eigh(seen)
    half = (vectors * values**0.5) @ vectors.T
    mean = matrix.mean(axis=0, dtype=np.float64)
    spread = (matrix.T @ matrix) / len(matrix) - np.outer(mean, mean)
    variance, directions = np.linalg.eigh(half @ spread @ half)
    kept = np.cumsum(variance[::-1]) / max(variance.sum(), np.finfo(np.float32).tiny)
    needed = int(np.searchsorted(kept, _KEPT)) + 1
    return np.asarray(half @ directions[:, ::-1][:, :needed], np.float32)


def _k_means(rows: Float32, lists: int, rng: np.random.Generator) -> Float32:
    """Centroids [lists, r] of a sample of the rows (Lloyd, "Least Squares Quantization in PCM")."""
    size = min(len(rows), max(_SAMPLE_PER_LIST * lists, 1))
    sample = rows[rng.choice(len(rows), size, replace=False)]
    centroids = sample[:lists].copy()
    for _ in progress(range(_ROUNDS), "grouping items", unit="rounds"):
        list_of = _nearest(sample, centroids)
        sizes = np.bincount(list_of, minlength=lists)
        full = np.flatnonzero(sizes)
        begins = np.cumsum(sizes[full]) - sizes[full]
        sums = np.add.reduceat(sample[np.argsort(list_of, kind="stable")], begins)
        centroids[full] = sums / sizes[full, None]
        # One that lost all its items begins again at some item.
        centroids[sizes == 0] = sample[rng.choice(size, np.count_nonzero(sizes == 0))]
    return centroids


def _nearest(rows: Float32, centroids: Float32, said: str = "") -> Int32:
    """The nearest centroid of each row. said: beside a progress bar, where there is one."""
    # |x - c|² is |x|² less twice (x | 1)·(c | -|c|²/2): one product, and nothing more to pass over.
    half_squares = 0.5 * np.square(centroids).sum(axis=1)
    wide = np.concatenate([centroids.T, -half_squares[None]]).astype(np.float32)
    found = np.empty(len(rows), np.int32)
    starts: Iterable[int] = range(0, len(rows), _ROWS_AT_ONCE)
    products = np.empty((_ROWS_AT_ONCE, len(centroids)), np.float32)
    for start in progress(starts, said, unit="parts") if said else starts:
        part = rows[start : start + _ROWS_AT_ONCE]
        part = np.concatenate([part, np.ones((len(part), 1), np.float32)], axis=1)
        np.matmul(part, wide, out=products[: len(part)])
        found[start : start + len(part)] = np.argmax(products[: len(part)], axis=1)
    return found
