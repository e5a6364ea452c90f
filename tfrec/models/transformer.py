"""The pre-norm causal transformer block that the sequence encoders share."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# Added to the logits of masked pairs. Finite, so that a fully masked row (padding) gives a uniform
# softmax and not NaN; small enough for bfloat16.
MASKED = -1e9


@keras.saving.register_keras_serializable("tfrec")
class CausalSelfAttention(keras.layers.Layer):
    """Multi-head self-attention over packed sequences.

    Vaswani et al. 2017, arXiv 1706.03762, §3.2. One projection makes queries, keys and values.

    Arguments:
        dim: width of the states.
        heads: number of heads; must divide `dim`.
        dropout: rate on the attention weights, in training only.

    Call arguments:
        states: float [batch, length, dim].
        mask: bool [batch, length, length]; True means: query (axis 1) may read key (axis 2).
        bias: float, broadcastable to [batch, heads, length, length], added to the logits.

    Example:
        >>> layer = CausalSelfAttention(dim=8, heads=2)
        >>> mask = ops.tril(ops.ones((1, 5, 5), "bool"))
        >>> layer(ops.ones((1, 5, 8)), mask).shape
        TensorShape([1, 5, 8])
    """

    def __init__(self, dim: int, heads: int = 1, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        self.dim = dim
        self.heads = heads
        self.rate = dropout
        self.project = keras.layers.Dense(3 * dim, name="project")
        self.merge = keras.layers.Dense(dim, name="merge")
        self.dropout = keras.layers.Dropout(dropout)

    def build(self, states_shape: Any, mask_shape: Any = None) -> None:
        self.project.build(states_shape)
        self.merge.build(states_shape)
        self.built = True

    def call(self, states: Any, mask: Any, bias: Any = None, training: bool = False) -> Any:
        batch, length, _ = ops.shape(states)
        width = self.dim // self.heads
        projected = ops.reshape(self.project(states), (batch, length, 3, self.heads, width))
        query, key, value = ops.unstack(
            ops.transpose(projected, (2, 0, 3, 1, 4)), 3
        )  # 3 x [batch, heads, length, width]
        logits = ops.matmul(query * width**-0.5, ops.transpose(key, (0, 1, 3, 2)))
        if bias is not None:
            logits = logits + ops.cast(bias, logits.dtype)
        logits = ops.where(mask[:, None], logits, ops.cast(MASKED, logits.dtype))
        weights = self.dropout(ops.softmax(logits), training=training)  # [batch, heads, query, key]
        read = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.merge(ops.reshape(read, (batch, length, self.dim)))

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {"dim": self.dim, "heads": self.heads, "dropout": self.rate}


@keras.saving.register_keras_serializable("tfrec")
class TransformerBlock(keras.layers.Layer):
    """Attention and a two-layer feed-forward net, each pre-normalised and residual.

    Xiong et al. 2020, arXiv 2002.04745 (pre-norm); feed-forward as in SASRec, §III-B.

    Arguments:
        dim: width of the states.
        heads: attention heads.
        hidden: width of the feed-forward net's hidden layer.
        dropout: rate on attention weights and on both residual branches.

    Call arguments: as `CausalSelfAttention`.
    """

    def __init__(
        self, dim: int, heads: int = 1, hidden: int = 64, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
        self.hidden = hidden
        self.rate = dropout
        self.attention_norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.attention = CausalSelfAttention(dim, heads, dropout)
        self.feed_norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.expand = keras.layers.Dense(hidden, activation="relu", name="expand")
        self.contract = keras.layers.Dense(dim, name="contract")
        self.dropout = keras.layers.Dropout(dropout)

    def build(self, states_shape: Any, mask_shape: Any = None) -> None:
        for layer in (self.attention_norm, self.attention, self.feed_norm, self.expand):
            layer.build(states_shape)
        self.contract.build((*states_shape[:-1], self.hidden))
        self.built = True

    def call(self, states: Any, mask: Any, bias: Any = None, training: bool = False) -> Any:
        read = self.attention(self.attention_norm(states), mask, bias, training=training)
        states = states + self.dropout(read, training=training)
        hidden = self.dropout(self.expand(self.feed_norm(states)), training=training)
        return states + self.dropout(self.contract(hidden), training=training)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {
            "dim": self.dim,
            "heads": self.heads,
            "hidden": self.hidden,
            "dropout": self.rate,
        }
