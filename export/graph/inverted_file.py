"""Recommendations out of a few lists of items, in operations that stock TensorFlow Serving has."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from export.graph.catalogue import Catalogue
from export.graph.choice import Best, best_of_all, candidates
from export.graph.stored import Stored
from export.index.lists import Lists
from export.options import Storage


class InvertedFile(tf.Module):  # type: ignore[misc]
    """Finds the items that a user wants most without comparing all of them.

    The lists that promise most, by the mean vectors of their items, are read and their items
    scored. Items that may not come are left out before, so they take no place. Where more of what
    was read is excluded than is recommended, or too little is left, the whole catalogue is
    compared: no answer is short because of the index.

    Arguments:
        catalogue: the items.
        lists: made of its matrix.
        storage: of the vectors in the lists, which are a second copy of the matrix: that of the
            catalogue, or "int8", smaller; then the best that are found are scored again, by the
            catalogue's.
        temperature: of the probabilities.
        count: items in a recommendation.

    Attributes:
        probes: lists that are read, 1 … L; to be set before a graph is made.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        lists: Lists,
        storage: Storage,
        temperature: float,
        count: int,
    ) -> None:
        super().__init__()
        place = lists.numbers.argsort().astype(lists.numbers.dtype)
        self._catalogue = catalogue
        self._rough = storage != catalogue.storage
        self.probes = len(lists.means)
        self._temperature = temperature
        self._count = count
        self._candidates = candidates(catalogue, count)
        # Item by item in the order of the lists, so that a list is read in one go.
        vectors = catalogue.matrix.whole().numpy().T[lists.numbers]
        self._vectors = Stored(vectors, storage, "vectors_in_lists")
        self._numbers = tf.Variable(lists.numbers, trainable=False, name="item_in_lists")
        self._place = tf.Variable(place, trainable=False, name="place_in_lists")
        self._starts = tf.Variable(lists.starts, trainable=False, name="list_starts")
        self._means = tf.Variable(lists.means.T.copy(), trainable=False, name="list_means")

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
        promise = tf.matmul(state[None], self._means)[0]
        lists = tf.math.top_k(promise, k=self.probes, sorted=False).indices
        begins = tf.gather(self._starts, lists)
        sizes = tf.gather(self._starts, lists + 1) - begins
        before = tf.cumsum(sizes, exclusive=True)
        places = _ranges(begins, sizes, before)  # of the items that are read, int32 [n]
        scores = tf.linalg.matvec(self._vectors.rows(places), state)

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
            numbers, chosen = tf.gather(numbers, order), tf.gather(chosen, order)
            if self._rough:
                exact = tf.linalg.matvec(self._catalogue.vectors(numbers), state)
                every = tf.tensor_scatter_nd_update(scores, chosen[:, None], exact)
            else:
                exact, every = tf.gather(scores, chosen), scores
            top = tf.math.top_k(exact, k=self._count)
            likely = (every - top.values[0]) / self._temperature  # of all that were read
            whole = tf.reduce_sum(tf.exp(likely))
            probabilities = tf.exp((top.values - top.values[0]) / self._temperature) / whole
            return Best(tf.gather(numbers, top.indices), top.values, probabilities)

        def by_all() -> Best:
            removed = [seen, excluded]
            return best_of_all(state, removed, self._catalogue, self._temperature, self._count)

        enough = (left >= self._count) & (excluded_here <= self._count)
        return tf.cond(enough, by_lists, by_all)  # type: ignore[no-any-return]


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
