"""What two events are to each other: how many events apart, and how long."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

# Buckets double in width: 1, 2, 3-4, 5-8 … events, and 1, 2, 4 … seconds up to 34 years.
TIME_BUCKETS = 32


@keras.saving.register_keras_serializable("tfrec")
class RelativeBias(keras.layers.Layer):
    """A learned bias for attention logits by distance in events and by bucketed log time.

    Zhai et al., ICML 2024 (HSTU), arXiv 2402.17152, §3.1: rab^{p,t}, one table of relative
    positions and one of time differences whose buckets are logarithmic.

    Arguments:
        max_length: longest history, L at the most.
        heads: one bias per head.

    Call arguments:
        buckets: int [B, L, L], from `time_buckets`.

    Returns:
        float [B, heads, L, L], query before key.

    Example:
        >>> times = ops.array([[0, 1000, 61000]])
        >>> layer = RelativeBias(max_length=3, heads=2)
        >>> layer(time_buckets(times)).shape
        TensorShape([1, 2, 3, 3])
    """

    def __init__(self, max_length: int, heads: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length
        self.heads = heads

    def build(self, buckets_shape: Any = None) -> None:
        self.by_distance = self.add_weight(
            shape=(self.heads, self.max_length), initializer="zeros", name="by_distance"
        )
        self.by_time = self.add_weight(
            shape=(self.heads, TIME_BUCKETS), initializer="zeros", name="by_time"
        )
        self.built = True

    def call(self, buckets: Any) -> Any:
        order = ops.arange(ops.shape(buckets)[-1])
        distance = ops.clip(order[:, None] - order[None, :], 0, self.max_length - 1)
        by_distance = ops.take(self.by_distance, distance, axis=1)  # [heads, query, key]
        by_time = ops.take(self.by_time, buckets, axis=1)  # [heads, batch, query, key]
        return by_distance[None] + ops.transpose(by_time, (1, 0, 2, 3))

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {"max_length": self.max_length, "heads": self.heads}


def time_buckets(times: Any) -> Any:
    """How long before each query each key happened, as a bucket: int [B, L] -> int32 [B, L, L]."""
    passed = times[:, :, None] - times[:, None, :]
    seconds = ops.maximum(ops.cast(passed, "float32") / 1000.0, 0.0)
    bucket = ops.log(1.0 + seconds) / float(np.log(2.0))
    return ops.cast(ops.minimum(bucket, TIME_BUCKETS - 1.0), "int32")
