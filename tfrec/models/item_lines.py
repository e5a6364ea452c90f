"""The items' side of the ledger: what its lines are multiplied with, for the whole catalogue."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from tfrec.models.ledger_parts import ItemSide

TOPIC_TEMPERATURE = 0.1
# How far the scores of unrelated items lie apart in a fresh model.
FIRST_SPREAD = 0.5


@keras.saving.register_keras_serializable("tfrec")
class ItemLines(keras.layers.Layer):
    """Blocks õ, quality β and log popularity lp of all items.

    Blocks õ_fi = Q_f e_i − Σ_j Q_f e_j / I are centred, so that a line says why this item rather
    than a typical one. β_i is quality: what log popularity, to which it is orthogonal, does not
    explain. Where there are topics, an item belongs to topic f by the share
    π_if = softmax_f(<e_i, m_f> / 0.1) (Ma et al., NeurIPS 2019, MacridVAE, arXiv 1910.14238,
    eq. 5).

    Arguments:
        value: the layer from e to the values of an event, whose mirror the blocks begin as.
        context: the same of the residual line; None without.
        num_items: size of the catalogue, I.
        dim: width of item vectors, D.
        facets, facet_dim, topics: K, d and N of the ledger.
        num_categories: of the catalogue.
        num_periods: W, periods of popularity.

    `popularity` [W, I] and `period_starts`, unix milliseconds [W], are assigned after building.

    Call arguments:
        embeddings: e of all items, [I, D].
        cold: 1 for items without a training event, [I].

    Returns:
        `ItemSide`.

    Example:
        >>> value = keras.layers.Dense(6, use_bias=False)
        >>> value.build((None, 4))
        >>> lines = ItemLines(value, None, num_items=5, dim=4, facets=3, facet_dim=2)
        >>> lines(ops.ones((5, 4)), ops.zeros(5)).blocks.shape
        TensorShape([5, 3, 2])
    """

    def __init__(
        self,
        value: Any,
        context: Any,
        num_items: int,
        dim: int,
        facets: int,
        facet_dim: int,
        topics: int = 0,
        num_categories: int = 0,
        num_periods: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.block = _mirror(value, "item_block")
        self.context_block = None if context is None else _mirror(context, "context_block")
        self.num_items = num_items
        self.dim = dim
        self.facets = facets
        self.facet_dim = facet_dim
        self.topics = topics
        self.num_categories = num_categories
        self.num_periods = num_periods

    def build(self, *shapes: Any) -> None:
        exact = functools.partial(self.add_weight, autocast=False)
        self.block.build((None, self.dim))
        if self.context_block is not None:
            self.context_block.build((None, self.dim))
        if self.topics:
            self.prototypes = exact(
                shape=(self.dim, self.topics), initializer="glorot_uniform", name="prototypes"
            )
            if self.num_categories:
                self.category_given_topic = exact(
                    shape=(self.topics, self.num_categories),
                    initializer=_one_category_each,
                    name="category_given_topic",
                )
        self.quality = exact(shape=(self.num_items,), initializer="zeros", name="quality")
        fixed = {"initializer": "zeros", "trainable": False}
        self.popularity = exact(
            shape=(self.num_periods, self.num_items), name="popularity", **fixed
        )
        self.period_starts = exact(
            shape=(self.num_periods,), dtype="int64", name="period_starts", **fixed
        )
        self.built = True

    def call(self, embeddings: Any, cold: Any) -> ItemSide:
        # What popularity explains of quality is taken out of it. Cold items have none: were theirs
        # free, they would balance the sum, and the others' could follow popularity after all.
        counted = 1.0 - ops.cast(ops.convert_to_tensor(cold), "float32")

        def among_counted(x: Any) -> Any:
            return (x - ops.sum(x * counted) / ops.sum(counted)) * counted

        crowd = among_counted(ops.mean(ops.convert_to_tensor(self.popularity), axis=0))
        quality = among_counted(ops.convert_to_tensor(self.quality))
        along = ops.sum(quality * crowd) / ops.maximum(ops.sum(crowd * crowd), 1e-9)
        context = None if self.context_block is None else _centred(self.context_block(embeddings))
        return ItemSide(
            blocks=_centred(self.blocks(embeddings)),
            quality=quality - along * crowd,
            popularity=ops.convert_to_tensor(self.popularity),
            context=context,
        )

    def blocks(self, embeddings: Any) -> Any:
        """Q_f e of some items, before they are centred, e [N, D] -> [N, K, d]."""
        shape = (ops.shape(embeddings)[0], self.facets, self.facet_dim)
        blocks = ops.reshape(self.block(embeddings), shape)
        if self.topics:
            blocks = blocks * self.membership(embeddings)[..., None]
        return blocks

    def membership(self, embeddings: Any) -> Any:
        """How much each item belongs to each facet: π for topics, 1 for the others.

        Arguments:
            embeddings: e of some items, [..., D].

        Returns:
            float [..., K].
        """
        shape = (*ops.shape(embeddings)[:-1], self.facets - 2 * self.topics)
        general = ops.ones(shape, embeddings.dtype)
        if not self.topics:
            return general
        likeness = ops.matmul(embeddings, ops.cast(self.prototypes, embeddings.dtype))
        shares = ops.softmax(likeness / (TOPIC_TEMPERATURE * self.dim**0.5), axis=-1)
        return ops.concatenate([general, shares, shares], axis=-1)

    def period_of(self, request_times: Any) -> Any:
        """One-hot of the period of each request, [B, L, W]; early ones fall into the first."""
        begun = request_times[..., None] >= ops.convert_to_tensor(self.period_starts)
        number = ops.maximum(ops.sum(ops.cast(begun, "int32"), axis=-1) - 1, 0)
        return ops.one_hot(number, self.num_periods, dtype=self.compute_dtype)

    def set_popularity(self, starts: Any, logarithm: Any) -> None:
        """Assigns lp [W, I] and the beginnings of its periods, unix milliseconds [W]."""
        self.period_starts.assign(np.asarray(starts, np.int64))
        self.popularity.assign(logarithm)


def _centred(x: Any) -> Any:
    return x - ops.mean(x, axis=0, keepdims=True)


def _mirror(of: Any, name: str) -> Any:
    """The items' side of what `of` maps to: begins as the same map, only smaller.

    So a fresh model takes an item to be like itself and unlike all others. Were the two maps
    unrelated it would have to learn that item by item, for which a catalogue of rare items does not
    have the events.
    """
    return keras.layers.Dense(
        of.units,
        use_bias=False,
        name=name,
        kernel_initializer=lambda shape, dtype=None: (
            ops.cast(FIRST_SPREAD / shape[0] ** 0.5, dtype) * of.kernel
        ),
    )


def _one_category_each(shape: Any, dtype: Any = None) -> Any:
    """Category c begins with topic c modulo N, so that no two topics start as the same one."""
    topic, category = np.indices(shape)
    return ops.cast(5.0 * (category % shape[0] == topic), dtype)
