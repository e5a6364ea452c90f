"""Two-tower retrieval: one tower reads the history, one the item; a dot product joins them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tfrec.models.history_mask import history_mask


@keras.saving.register_keras_serializable("tfrec")
class TwoTower(keras.Model):
    """A user tower over the mean of the history and an item tower over id and categories.

    Covington et al., RecSys 2016 (mean of watched items, then an MLP); Yi et al., RecSys 2019,
    §3 (two towers, L2-normalised outputs, temperature). The order of the history is not read.

        logits[b, t, i] = cos(user[b, t], item[i]) / temperature

    Arguments:
        num_items: size of the catalogue.
        dim: width of embeddings and of both towers' outputs.
        hidden: width of the towers' hidden layer.
        max_length: newest events of a history that are read.
        dropout: rate on both towers' inputs.
        temperature: divides the cosine.
        categories: float [num_items, categories], each row a distribution over the item's
            categories (zeros for none); None when the catalogue has no categories.

    Call arguments and result: as `tfrec.models.sasrec.SASRec`.

    Example:
        >>> model = TwoTower(num_items=100, dim=16, max_length=4)
        >>> batch = {"items": [[-1, 7, 5]], "segments": [[0, 1, 1]], "positions": [[0, 1, 0]]}
        >>> states = model({name: ops.array(value) for name, value in batch.items()})
        >>> states.shape, model.item_matrix().shape
        (TensorShape([1, 3, 16]), TensorShape([100, 16]))
    """

    def __init__(
        self,
        num_items: int,
        dim: int = 64,
        hidden: int = 128,
        max_length: int = 200,
        dropout: float = 0.2,
        temperature: float = 0.05,
        categories: npt.NDArray[np.float32] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Layers
        self.item_embedding = keras.layers.Embedding(
            num_items, dim, embeddings_initializer=keras.initializers.TruncatedNormal(stddev=0.05)
        )
        self.category_embedding = (
            None if categories is None else keras.layers.Dense(dim, use_bias=False)
        )
        self.user_tower = [
            keras.layers.Dense(hidden, activation="relu", name="user_hidden"),
            keras.layers.Dense(dim, name="user_output"),
        ]
        self.item_tower = [
            keras.layers.Dense(hidden, activation="relu", name="item_hidden"),
            keras.layers.Dense(dim, name="item_output"),
        ]
        self.dropout = keras.layers.Dropout(dropout)

        # Config
        self.num_items = num_items
        self.dim = dim
        self.hidden = hidden
        self.max_length = max_length
        self.rate = dropout
        self.temperature = temperature
        self.categories = categories

    def build(self, batch_shape: Any = None) -> None:
        self.item_embedding.build()
        if self.category_embedding is not None and self.categories is not None:
            self.category_embedding.build((None, self.categories.shape[1]))
        for tower in (self.user_tower, self.item_tower):
            tower[0].build((None, self.dim))
            tower[1].build((None, self.hidden))
        self.built = True

    def call(self, batch: dict[str, Any], training: bool = False) -> Any:
        items, segments = batch["items"], batch["segments"]
        real = ops.expand_dims(ops.cast(items >= 0, self.compute_dtype), -1)
        embedded = self.item_embedding(ops.maximum(items, 0)) * real  # [batch, length, dim]

        # Mean of the events of the history.
        weights = ops.cast(history_mask(segments), self.compute_dtype)
        weights = weights / ops.sum(weights, axis=-1, keepdims=True)
        history = self.dropout(ops.matmul(weights, embedded), training=training)
        return _unit(_apply(self.user_tower, history))

    def item_matrix(self) -> Any:
        """Item tower outputs over the temperature, [num_items, dim]."""
        embedded = ops.convert_to_tensor(self.item_embedding.embeddings)
        if self.category_embedding is not None:
            embedded = embedded + self.category_embedding(self.categories)
        return _unit(_apply(self.item_tower, embedded)) / self.temperature

    def get_config(self) -> dict[str, Any]:
        return {
            "num_items": self.num_items,
            "dim": self.dim,
            "hidden": self.hidden,
            "max_length": self.max_length,
            "dropout": self.rate,
            "temperature": self.temperature,
            "categories": None if self.categories is None else self.categories.tolist(),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TwoTower:
        categories = config.pop("categories")
        if categories is not None:
            categories = np.asarray(categories, np.float32)
        return cls(categories=categories, **config)


def _apply(layers: list[Any], inputs: Any) -> Any:
    for layer in layers:
        inputs = layer(inputs)
    return inputs


def _unit(vectors: Any) -> Any:
    norm = ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + 1e-12)
    return vectors / norm
