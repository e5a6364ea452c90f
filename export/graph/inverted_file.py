"""Recommendations out of a few lists of items, in operations that stock TensorFlow Serving has."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from export.graph.catalogue import Catalogue
from export.graph.choice import Best, best_of_all, candidates
from export.index.lists import Lists


class InvertedFile(tf.Module):  # type: ignore[misc]
    """Finds the items that a user wants most without comparing all of them.

    The lists whose centroids promise most are read, their items compared by short rows, and the
    best of them by their whole vectors. Items that may not come are left out before, so they take
    no place. Where more of what was read is excluded than is recommended, or too little is left,
    the whole catalogue is compared: no answer is short because of the index.

    Arguments:
        catalogue: the items.
        lists: made of its matrix.
        probes: lists that are read, 1 … L.
        temperature: of the probabilities.
        count: items in a recommendation.
    """

    def __init__(
        self, catalogue: Catalogue, lists: Lists, probes: int, temperature: float, count: int
    ) -> None:
        super().__init__()
        place = lists.numbers.argsort().astype(lists.numbers.dtype)
        self._catalogue = catalogue
        self._probes = probes
        self._temperature = temperature
        self._count = count
        self._candidates = candidates(catalogue, count)
        self._user_short = tf.Variable(lists.user_short, trainable=False, name="user_short")
        self._mean = tf.Variable(lists.mean, trainable=False, name="item_mean")
        self._rows = tf.Variable(lists.rows, trainable=False, name="item_short")
        self._numbers = tf.Variable(lists.numbers, trainable=False, name="item_in_lists")
        self._place = tf.Variable(place, trainable=False, name="place_in_lists")
        self._starts = tf.Variable(lists.starts, trainable=False, name="list_starts")
        self._centroids = tf.Variable(lists.centroids, trainable=False, name="list_centroids")

    def best(self, state: Any, seen: Any, excluded: Any) -> Best:
        """The best items of each user.

        Arguments:
            state: float32 [B, S].
            seen, excluded: numbers of items that may not come, int32 [B, ...], -1 for none.
        """
        kinds = Best(tf.int32, tf.float32, tf.float32)
        # User by user: what one of them reads stays in the processor's cache.
        found = tf.map_fn(self._of_one, (state, seen, excluded), fn_output_signature=kinds)
        return Best(*(tf.ensure_shape(part, [None, self._count]) for part in found))

    def _of_one(self, asked: tuple[Any, Any, Any]) -> Best:
        state, seen, excluded = asked
        short = tf.matmul(state[None], self._user_short)  # [1, r]
        promise = tf.matmul(short, self._centroids, transpose_b=True)[0]
        lists = tf.math.top_k(promise, k=self._probes, sorted=False).indices
        begins = tf.gather(self._starts, lists)
        sizes = tf.gather(self._starts, lists + 1) - begins
        before = tf.cumsum(sizes, exclusive=True)
        places = _ranges(begins, sizes, before)  # of the items that are read, int32 [n]
        rows = tf.gather(self._rows, places)
        scores = tf.matmul(short, rows, transpose_b=True)[0]  # but for what all items share

        # Where the items that may not come stand in `scores`, if they were read.
        removed = tf.concat([excluded, seen], axis=0)
        place = tf.gather(self._place, tf.maximum(removed, 0))[:, None]
        inside = (removed[:, None] >= 0) & (place >= begins) & (place < begins + sizes)
        gone = tf.boolean_mask(place - begins + before, inside)[:, None]
        lowest = tf.fill(tf.shape(gone)[:1], float("-inf"))
        scores = tf.tensor_scatter_nd_update(scores, gone, lowest)
        left = tf.math.count_nonzero(tf.math.is_finite(scores), dtype=tf.int32)
        excluded_here = tf.math.count_nonzero(inside[: tf.size(excluded)], dtype=tf.int32)

        def by_lists() -> Best:
            k = tf.minimum(left, self._candidates)
            chosen = tf.math.top_k(scores, k=k, sorted=False).indices
            numbers = tf.gather(self._numbers, tf.gather(places, chosen))
            order = tf.argsort(numbers)  # of equal scores the first in the order of ties wins
            numbers = tf.gather(numbers, order)
            exact = tf.linalg.matvec(self._catalogue.vectors(numbers), state)
            top = tf.math.top_k(exact, k=self._count)
            # Every item that was read is in the sum, by its whole vector where that is known.
            rest = tf.tensor_scatter_nd_update(
                scores, chosen[:, None], tf.fill(tf.shape(chosen), float("-inf"))
            )
            shared = tf.tensordot(state, self._mean, 1)
            mass = self._mass(exact, top.values[0]) + self._mass(rest, top.values[0] - shared)
            probabilities = tf.exp((top.values - top.values[0]) / self._temperature) / mass
            return Best(tf.gather(numbers, top.indices), top.values, probabilities)

        def by_all() -> Best:
            removed = [seen, excluded]
            return best_of_all(state, removed, self._catalogue, self._temperature, self._count)

        enough = (left >= self._count) & (excluded_here <= self._count)
        return tf.cond(enough, by_lists, by_all)  # type: ignore[no-any-return]

    def _mass(self, scores: Any, highest: Any) -> Any:
        return tf.reduce_sum(tf.exp((scores - highest) / self._temperature))


def _ranges(begins: Any, sizes: Any, before: Any) -> Any:
    """begins[0] … begins[0] + sizes[0] - 1, begins[1] …, one after another, int32 [Σ sizes].

    Arguments:
        before: how many stand before each, Σ of the earlier sizes. No size is 0.
    """
    # Each number is 1 above the one before it, but where a range begins.
    last = tf.concat([[1], begins + sizes], axis=0)[:-1]
    steps = tf.tensor_scatter_nd_update(
        tf.ones([before[-1] + sizes[-1]], tf.int32), before[:, None], begins - last + 1
    )
    return tf.cumsum(steps)
