"""Recommendations found by ScaNN, whose operations a server must have been built with."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from export.graph.catalogue import Catalogue
from export.graph.choice import Best, best_of_all, candidates
from export.graph.stored import Stored


class ScannSearch(tf.Module):  # type: ignore[misc]
    """Compares by whole vectors what ScaNN finds.

    It finds items that may not come, too. Where more of them are excluded than are recommended, or
    too few items are left, the whole catalogue is compared.

    Arguments:
        catalogue: the items.
        trained: see `export.index.scann.train_scann`.
        leaves: how many it has.
        temperature: of the probabilities.
        count: items in a recommendation.

    Attributes:
        probes: leaves that are read; to be set before a graph is made.
    """

    def __init__(
        self, catalogue: Catalogue, trained: Any, leaves: int, temperature: float, count: int
    ) -> None:
        super().__init__()
        self._catalogue = catalogue
        self._trained = trained
        self.probes = leaves
        vectors = catalogue.matrix.whole().numpy().T
        self._vectors = Stored(vectors, catalogue.storage, "vectors_by_item")
        self._candidates = candidates(catalogue, count)
        self._temperature = temperature
        self._count = count

    def best(self, state: Any, seen: Any, excluded: Any) -> Best:
        """The best items of each user.

        Arguments:
            state: float32 [B, S].
            seen, excluded: numbers of items that may not come, int32 [B, ...], -1 for none.
        """
        from scann.scann_ops.py import scann_ops

        searcher = scann_ops.searcher_from_module(self._trained)
        numbers, distances = searcher.search_batched(
            state, final_num_neighbors=self._candidates, leaves_to_search=self.probes
        )
        numbers, distances = (tf.ensure_shape(part, [None, None]) for part in (numbers, distances))
        # Where the leaves that were read hold too few, the rest is no number.
        numbers = tf.where(tf.math.is_nan(distances), -1, numbers)
        kinds = Best(tf.int32, tf.float32, tf.float32)
        asked = (state, seen, excluded, numbers)
        found = tf.map_fn(self._of_one, asked, fn_output_signature=kinds)
        return Best(*(tf.ensure_shape(part, [None, self._count]) for part in found))

    def _of_one(self, asked: tuple[Any, Any, Any, Any]) -> Best:
        state, seen, excluded, numbers = asked
        out = tf.reduce_any(numbers[:, None] == excluded, axis=1) & (numbers >= 0)
        gone = out | tf.reduce_any(numbers[:, None] == seen, axis=1) | (numbers < 0)
        # Of equal scores the first in the order of ties wins.
        left = tf.sort(tf.boolean_mask(numbers, ~gone))

        def by_scann() -> Best:
            exact = tf.linalg.matvec(self._vectors.rows(left), state)
            whole = tf.reduce_logsumexp(exact / self._temperature)
            top = tf.math.top_k(exact, k=self._count)
            probabilities = tf.exp(top.values / self._temperature - whole)
            return Best(tf.gather(left, top.indices), top.values, probabilities)

        def by_all() -> Best:
            removed = [seen, excluded]
            return best_of_all(state, removed, self._catalogue, self._temperature, self._count)

        excluded_here = tf.reduce_sum(tf.cast(out, tf.int32))
        enough = (tf.size(left) >= self._count) & (excluded_here <= self._count)
        return tf.cond(enough, by_scann, by_all)  # type: ignore[no-any-return]
