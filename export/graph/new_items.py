"""An item that the catalogue does not have, placed by its text alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from keras import ops

from export.graph.text_vectors import TextReader
from tfrec.models.expected_popularity import fit_popularity

if TYPE_CHECKING:
    from tfrec.models.ledger import Ledger


class NewItems:
    """Texts -> item vectors in the space of the catalogue.

    How good such an item is nobody knows yet, so its quality is a typical one's, 0; it is as
    popular as items with such texts are.

    Arguments:
        model: reads texts.
        texts: reads texts as it read them.
        facets: numbers of those that count, see `export.graph.ledger.LedgerReader`.
    """

    def __init__(self, model: Ledger, texts: TextReader, facets: Sequence[int]) -> None:
        self._model = model
        self._facets = list(facets)
        self._texts = texts
        tower = model.tower
        popularity = fit_popularity(
            np.asarray(model.items.popularity),
            [np.asarray(tower.texts)],
            np.asarray(tower.cold) > 0,
        )

        def kept(values: Any) -> Any:
            return tf.Variable(tf.cast(values, tf.float32), trainable=False, name="popularity")

        self._level = kept(popularity.level)
        self._mean = kept(popularity.means[0])
        self._weights = kept(popularity.weights[0])
        # What the blocks of the catalogue are centred by.
        self._centres = [
            tf.Variable(ops.mean(part, axis=0), trainable=False, name="centre")
            for part in self._parts(model.tower())
        ]

    def embed_text(self, texts: Any) -> dict[str, Any]:
        """string [B] -> embedding [B, S]."""
        vectors, known = self._texts(texts)
        parts = self._parts(self._model.tower.said(vectors))
        blocks, *context = [
            tf.cast(part - centre, tf.float32)
            for part, centre in zip(parts, self._centres, strict=True)
        ]
        told = tf.where(known[:, None], vectors - self._mean, 0.0)
        popularity = self._level + tf.matmul(told, self._weights)
        quality = tf.zeros_like(popularity[:, :1])
        return {"embedding": tf.concat([blocks, popularity, quality, *context], axis=1)}

    def _parts(self, embeddings: Any) -> list[Any]:
        """Blocks [..., K·d], and context [..., d] where the model has that line."""
        model = self._model
        blocks = ops.take(model.items.blocks(embeddings), self._facets, axis=1)
        flat = ops.reshape(blocks, (-1, len(self._facets) * model.facet_dim))
        context = model.items.context_block
        return [flat] if context is None else [flat, context(embeddings)]
