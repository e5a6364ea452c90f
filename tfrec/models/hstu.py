"""The HSTU block: attention without a softmax, gated element by element."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfrec")
class HSTUBlock(keras.layers.Layer):
    """Hierarchical sequential transduction unit.

    Zhai et al., ICML 2024, arXiv 2402.17152, eq. 1-3, with the same call as `TransformerBlock`:

        U, V, Q, K = split(SiLU(f1(norm(x))))
        y = norm(SiLU(Q Kᵀ + bias) / n · V) ⊙ U,   n = max_length
        x + f2(y)

    Arguments:
        dim: width of the states.
        heads: attention heads; must divide `dim`.
        max_length: divides the weights, so that their sum does not grow with the history.
        dropout: rate on the gated result.

    Call arguments: as `tfrec.models.transformer.CausalSelfAttention`.

    Example:
        >>> mask = ops.tril(ops.ones((1, 5, 5), "bool"))
        >>> HSTUBlock(dim=8, heads=2)(ops.ones((1, 5, 8)), mask).shape
        TensorShape([1, 5, 8])
    """

    def __init__(
        self,
        dim: int,
        heads: int = 1,
        max_length: int = 200,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        self.dim = dim
        self.heads = heads
        self.max_length = max_length
        self.rate = dropout
        self.input_norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.project = keras.layers.Dense(4 * dim, activation="silu", name="project")
        self.read_norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.merge = keras.layers.Dense(dim, name="merge")
        self.dropout = keras.layers.Dropout(dropout)

    def build(self, states_shape: Any, mask_shape: Any = None, bias_shape: Any = None) -> None:
        for layer in (self.input_norm, self.project, self.read_norm, self.merge):
            layer.build(states_shape)
        self.built = True

    def call(self, states: Any, mask: Any, bias: Any = None, training: bool = False) -> Any:
        batch, length, _ = ops.shape(states)
        width = self.dim // self.heads
        projected = self.project(self.input_norm(states))
        gate = projected[..., : self.dim]
        heads = ops.reshape(projected[..., self.dim :], (batch, length, 3, self.heads, width))
        value, query, key = ops.unstack(ops.transpose(heads, (2, 0, 3, 1, 4)), 3)
        logits = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # [batch, heads, query, key]
        if bias is not None:
            logits = logits + ops.cast(bias, logits.dtype)
        weights = ops.where(mask[:, None], ops.silu(logits) / self.max_length, 0.0)
        read = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        read = self.read_norm(ops.reshape(read, (batch, length, self.dim)))
        return states + self.merge(self.dropout(read * gate, training=training))

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {
            "dim": self.dim,
            "heads": self.heads,
            "max_length": self.max_length,
            "dropout": self.rate,
        }
