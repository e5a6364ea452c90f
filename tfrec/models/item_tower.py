"""One vector per item from all that is known about it: id, categories, text, other vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

# Events after which an item is as much its own as of its kind.
PRIOR_EVENTS = 3


@keras.saving.register_keras_serializable("tfrec")
class ItemTower(keras.layers.Layer):
    """e_i of all items: what is known of an item of its kind, and what its own events taught.

        e_i    = told_i + w_i · (LN(E_id[i] + side_i) − told_i)
        side_i = Σ_c share_ic · E_c + W_t · text_i + W_v · vector_i
        told_i = t · LN(side_i), 0 where nothing is known of this item

    Where nothing is known of any item there is nothing to shrink them to, and w is 1.

    The share w_i = n_i / (n_i + 3) of an item with n_i training events shrinks it towards its like:
    what a few events taught is mostly chance (Efron & Morris, JASA 1973; for ratings Bell & Koren,
    ICDM 2007, section 3). It is 0 for an item that nobody has taken, and in training for random
    ones, so that categories, texts and vectors alone learn to place it (DropoutNet: Volkovs et al.,
    NeurIPS 2017, §3.3), and t learns how far they can be trusted. The id is never dropped where
    there is nothing else to go by.

    Arguments:
        num_items: size of the catalogue, I.
        dim: width of the vectors, D.
        num_categories: columns of the category shares, 0 without categories.
        text_dim: width of the text vectors, 0 without texts.
        id_dropout: probability that an item's id is dropped in a training step.
        vector_dim: width of other vectors of the items, 0 without.

    Weights beside the trained ones, to be assigned after building: `categories` float
    [I, num_categories], rows are shares that sum to 1 (or to 0 for an item without categories);
    `texts` float [I, text_dim]; `vectors` float [I, vector_dim]; with `set_events` `own`, w, and
    `cold`, float [I], 1 for an item without a training event that can be told by something else.

    Returns:
        float [I, D].

    Example:
        >>> ItemTower(num_items=5, dim=8)().shape
        TensorShape([5, 8])
    """

    def __init__(
        self,
        num_items: int,
        dim: int,
        num_categories: int = 0,
        text_dim: int = 0,
        id_dropout: float = 0.15,
        vector_dim: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_items = num_items
        self.dim = dim
        self.num_categories = num_categories
        self.text_dim = text_dim
        self.id_dropout = id_dropout
        self.vector_dim = vector_dim
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.seeds = keras.random.SeedGenerator()
        self._texts_now: Any = None

    def build(self, input_shape: Any = None) -> None:
        def table(name: str, rows: int) -> Any:
            start = keras.initializers.TruncatedNormal(stddev=0.02)
            return self.add_weight(shape=(rows, self.dim), initializer=start, name=name)

        def known(name: str, columns: int) -> Any:
            shape = (self.num_items, columns)
            return self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)

        self.ids = table("ids", self.num_items)
        if self.num_categories:
            self.categories = known("categories", self.num_categories)
            self.category_embedding = table("category_embedding", self.num_categories)
        if self.text_dim:
            # Replicas that tune the encoder write the same vectors.
            self.texts = self.add_weight(
                shape=(self.num_items, self.text_dim),
                initializer="zeros",
                trainable=False,
                aggregation="only_first_replica",
                name="texts",
            )
            self.text_projection = table("text_projection", self.text_dim)
        if self.vector_dim:
            self.vectors = known("vectors", self.vector_dim)
            self.vector_projection = table("vector_projection", self.vector_dim)
        self.cold = self.add_weight(
            shape=(self.num_items,), initializer="zeros", trainable=False, name="cold"
        )
        self.own = self.add_weight(
            shape=(self.num_items,), initializer="ones", trainable=False, name="own"
        )
        if self.num_categories or self.text_dim or self.vector_dim:
            self.trust = self.add_weight(shape=(), initializer="ones", name="trust")
        self.norm.build((self.num_items, self.dim))
        self.built = True

    def set_events(self, counts: Any, cold: Any) -> None:
        """Assigns w by the training events of every item, [I], and `cold`, bool [I]."""
        counts = np.asarray(counts, np.float32)
        self.own.assign(counts / (counts + PRIOR_EVENTS))
        self.cold.assign(cold)

    def call(self, training: bool = False) -> Any:
        total = ops.convert_to_tensor(self.ids)  # [items, dim]
        side = self.side()
        if side is None:
            return self.norm(total)
        own = ops.cast(ops.convert_to_tensor(self.own), total.dtype)[:, None]
        if training and self.id_dropout:
            drawn = keras.random.uniform((self.num_items, 1), seed=self.seeds)
            own = ops.where(ops.logical_and(drawn < self.id_dropout, _known(side)), 0.0, own)
        told = self._trusted(side)
        return told + own * (self.norm(total + side) - told)

    def side(self) -> Any:
        """What is known of each item beside its id, [I, D] before the norm; None for nothing."""
        parts = []
        if self.num_categories:
            parts.append(ops.matmul(self.categories, self.category_embedding))
        if self.text_dim:
            parts.append(self._projected(self._read_texts()))
        if self.vector_dim:
            parts.append(ops.matmul(self.vectors, self.vector_projection))
        return sum(parts[1:], parts[0]) if parts else None

    def text_side(self, items: Any) -> Any:
        """What the texts of some items say: int [N] -> [N, D]."""
        return self._projected(ops.take(self._read_texts(), items, axis=0))

    def said(self, texts: Any) -> Any:
        """e of what is known by its text alone: vectors [..., text_dim] -> [..., D]."""
        return self._trusted(self._projected(texts))

    @contextmanager
    def reading(self, texts: Any) -> Iterator[None]:
        """While entered, these text vectors are read, [I, text_dim], with their gradient.

        Replicas share the tower: they must not meet inside.
        """
        self._texts_now = texts
        try:
            yield
        finally:
            self._texts_now = None

    def _trusted(self, side: Any) -> Any:
        trusted = ops.cast(self.trust, side.dtype) * self.norm(side)
        return ops.where(_known(side), trusted, 0.0)

    def _read_texts(self) -> Any:
        return self.texts if self._texts_now is None else self._texts_now

    def _projected(self, texts: Any) -> Any:
        projection = ops.convert_to_tensor(self.text_projection)
        return ops.matmul(ops.cast(texts, projection.dtype), projection)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {
            "num_items": self.num_items,
            "dim": self.dim,
            "num_categories": self.num_categories,
            "text_dim": self.text_dim,
            "id_dropout": self.id_dropout,
            "vector_dim": self.vector_dim,
        }


def _known(side: Any) -> Any:
    return ops.any(ops.not_equal(side, 0.0), axis=-1, keepdims=True)
