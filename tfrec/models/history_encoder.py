"""From the events of a history to what it says up to each of them."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfrec.models.hstu import HSTUBlock
from tfrec.models.ledger_parts import gaps
from tfrec.models.relative_bias import RelativeBias, time_buckets
from tfrec.models.transformer import TransformerBlock


@keras.saving.register_keras_serializable("tfrec")
class HistoryEncoder(keras.layers.Layer):
    """h: causal attention that reads how many events, and how much time, lie between two events.

    Arguments:
        dim: width of events and states, D.
        layers, heads: how many of each.
        max_length: events of a history that are told apart by their distance.
        dropout: rate.
        kind: "sasrec", softmax attention blocks (Kang & McAuley, ICDM 2018, arXiv 1808.09781,
            section III), or "hstu" (Zhai et al., ICML 2024, arXiv 2402.17152, section 3).

    Call arguments:
        events: e of every event with its action, [B, L, D].
        times: unix milliseconds, [B, L].
        segments: which history of the row an event belongs to, [B, L].
        strengths: standardised, 0 where there is none, [B, L].
        mask: which events a place may read, bool [B, L, L].

    Returns:
        [B, L, D].

    Example:
        >>> encoder = HistoryEncoder(dim=8, layers=1, heads=1, max_length=5, dropout=0.0)
        >>> ones = ops.ones((1, 3), "int64")
        >>> mask = ops.tril(ops.ones((1, 3, 3), "bool"))
        >>> encoder(ops.ones((1, 3, 8)), ones, ones, ops.zeros((1, 3)), mask).shape
        TensorShape([1, 3, 8])
    """

    def __init__(
        self,
        dim: int,
        layers: int,
        heads: int,
        max_length: int,
        dropout: float,
        kind: str = "sasrec",
        **kwargs: Any,
    ) -> None:
        # Times and strengths need float32, also where the blocks compute in bfloat16.
        super().__init__(autocast=False, **kwargs)
        self.dim = dim
        self.num_layers = layers
        self.heads = heads
        self.max_length = max_length
        self.rate = dropout
        self.kind = kind
        self.event_features = keras.layers.Dense(dim, use_bias=False, name="event_features")
        self.input_norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.dropout = keras.layers.Dropout(dropout)
        self.relative = [RelativeBias(max_length, heads, name=f"bias_{n}") for n in range(layers)]
        self.blocks: list[Any] = [
            HSTUBlock(dim, heads, max_length, dropout, name=f"block_{n}")
            if kind == "hstu"
            else TransformerBlock(dim, heads, hidden=dim, dropout=dropout, name=f"block_{n}")
            for n in range(layers)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6)

    def build(self, *shapes: Any) -> None:
        self.event_features.build((None, None, 2))
        for layer in (self.input_norm, *self.blocks, self.norm):
            layer.build((None, None, self.dim))
        for bias in self.relative:
            bias.build()
        self.built = True

    def call(
        self,
        events: Any,
        times: Any,
        segments: Any,
        strengths: Any,
        mask: Any,
        training: bool = False,
    ) -> Any:
        features = ops.stack([strengths, gaps(times, segments)], axis=-1)
        features = self.event_features(ops.cast(features, self.compute_dtype))
        states = self.dropout(self.input_norm(events + features), training=training)
        buckets = time_buckets(times)
        for bias, block in zip(self.relative, self.blocks, strict=True):
            states = block(states, mask, bias(buckets), training=training)
        return self.norm(states)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {
            "dim": self.dim,
            "layers": self.num_layers,
            "heads": self.heads,
            "max_length": self.max_length,
            "dropout": self.rate,
            "kind": self.kind,
        }
