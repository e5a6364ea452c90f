"""SASRec: a causal transformer over the items of a history, scored against the item table."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfrec.models.history_mask import history_mask
from tfrec.models.transformer import TransformerBlock


@keras.saving.register_keras_serializable("tfrec")
class SASRec(keras.Model):
    """Self-attentive sequential recommendation with a tied output.

    Kang & McAuley, ICDM 2018, arXiv 1808.09781; with pre-norm blocks, normalised input embeddings
    instead of their scaling by √dim, and trained with full cross-entropy as in Klenitskiy &
    Vasilev, RecSys 2023, arXiv 2309.07602, unless told otherwise.

        logits[b, t, i] = <state[b, t], item_matrix[i]>

    Arguments:
        num_items: size of the catalogue.
        dim: width of item vectors and states.
        layers: transformer blocks.
        heads: attention heads per block.
        max_length: newest events of a history that are read.
        dropout: rate on embeddings, attention weights and residual branches.

    Call arguments:
        batch: dict of int32 [batch, length]: `items` (catalogue index, -1 pads), `segments`
            (0 pads; equal numbers are one history, so that several can share a row) and
            `positions` (0 is the newest event of its history).
        training: whether dropout is on.

    Returns:
        states [batch, length, dim]; the state at an event predicts the item that comes next.

    Example:
        >>> model = SASRec(num_items=100, dim=16, layers=1, max_length=4)
        >>> batch = {"items": [[-1, 7, 5]], "segments": [[0, 1, 1]], "positions": [[0, 1, 0]]}
        >>> states = model({name: ops.array(value) for name, value in batch.items()})
        >>> ops.matmul(states[:, -1], ops.transpose(model.item_matrix())).shape
        TensorShape([1, 100])
    """

    def __init__(
        self,
        num_items: int,
        dim: int = 64,
        layers: int = 2,
        heads: int = 1,
        max_length: int = 200,
        dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Layers
        self.item_embedding = keras.layers.Embedding(
            num_items, dim, embeddings_initializer=keras.initializers.TruncatedNormal(stddev=0.02)
        )
        self.position_embedding = keras.layers.Embedding(
            max_length, dim, embeddings_initializer=keras.initializers.TruncatedNormal(stddev=0.02)
        )
        # Without it a fresh model's small embeddings drown in what the first block adds to them,
        # and the identity of the newest item, a strong hint, takes epochs to come through.
        self.input_norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.dropout = keras.layers.Dropout(dropout)
        self.blocks = [
            TransformerBlock(dim, heads, hidden=dim, dropout=dropout, name=f"block_{n}")
            for n in range(layers)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6)

        # Config
        self.num_items = num_items
        self.dim = dim
        self.num_layers = layers
        self.heads = heads
        self.max_length = max_length
        self.rate = dropout

    def build(self, batch_shape: Any = None) -> None:
        self.item_embedding.build()
        self.position_embedding.build()
        states_shape = (None, None, self.dim)
        for layer in (self.input_norm, *self.blocks, self.norm):
            layer.build(states_shape)
        self.built = True

    def call(self, batch: dict[str, Any], training: bool = False) -> Any:
        items, segments = batch["items"], batch["segments"]
        real = ops.expand_dims(ops.cast(items >= 0, self.compute_dtype), -1)

        embedded = self.item_embedding(ops.maximum(items, 0)) * real
        embedded = embedded + self.position_embedding(batch["positions"])
        states = self.dropout(self.input_norm(embedded), training=training)  # [batch, length, dim]

        mask = history_mask(segments)
        for block in self.blocks:
            states = block(states, mask, training=training)
        return self.norm(states)

    def item_matrix(self) -> Any:
        """The catalogue as vectors to score against, [num_items, dim]."""
        return ops.convert_to_tensor(self.item_embedding.embeddings)

    def get_config(self) -> dict[str, Any]:
        return {
            "num_items": self.num_items,
            "dim": self.dim,
            "layers": self.num_layers,
            "heads": self.heads,
            "max_length": self.max_length,
            "dropout": self.rate,
            "name": self.name,
        }
