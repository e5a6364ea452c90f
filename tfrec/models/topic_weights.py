"""How much each past event counts in a topic: for taste that lasts, and for pull that fades."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

# Half-lives differ by orders of magnitude, so their logarithms move faster than other weights.
SPEED = 10.0
LASTING_DAYS = 1e4


@keras.saving.register_keras_serializable("tfrec")
class TopicWeights(keras.layers.Layer):
    """a_fs for N topics, each twice: first the N lasting facets, then the N momentary ones.

        lasting     w_fs / (exp(b_f) + Σ_r w_fr)      w_fs = exp(A_f(action, strength))
        momentary   w_fs · 2^(−age_s / h_f)

    Nothing else reaches these weights: no match, no order, no state. So h_f is the half-life of the
    facet and not one of several things that make an event fade. A lasting facet is a mean over the
    history, drawn towards nothing while the history is short. A momentary one is the exponential
    kernel of a self-exciting process (Hawkes, Biometrika 1971), whose pulls add up.

    Arguments:
        topics: N.
        num_actions: size of the action vocabulary, at least 1.

    Call arguments:
        ages: float [B, L, L], days from event (last axis) to request (axis 1), not negative.
        actions: int [B, L].
        strengths: float [B, L], standardised, 0 where missing.
        mask: bool [B, L, L], True: the event belongs to the history of the request.

    Returns:
        float [B, 2N, L, L], request before event; 0 where the mask is False.
    """

    def __init__(self, topics: int, num_actions: int = 1, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # ages need float32
        self.topics = topics
        self.num_actions = num_actions

    def build(self, ages_shape: Any = None) -> None:
        def zeros(name: str, *shape: int) -> Any:
            return self.add_weight(autocast=False, shape=shape, initializer="zeros", name=name)

        self.by_action = zeros("by_action", self.num_actions, 2 * self.topics)
        self.by_strength = zeros("by_strength", 2 * self.topics)
        self.level = zeros("level", self.topics, 1, 1)
        self.log_half_life = zeros("log_half_life", self.topics)  # of one day at first
        self.built = True

    def call(self, ages: Any, actions: Any, strengths: Any, mask: Any) -> Any:
        event = ops.take(self.by_action, actions, axis=0) + strengths[..., None] * self.by_strength
        event = ops.exp(ops.transpose(event, (0, 2, 1)))[:, :, None, :]
        event = ops.where(mask[:, None], event, 0.0)  # [B, 2N, request, event]
        taste, pull = event[:, : self.topics], event[:, self.topics :]
        total = ops.sum(taste, axis=-1, keepdims=True) + ops.exp(self.level)
        rate = math.log(2.0) * ops.exp(-SPEED * self.log_half_life)
        left = ops.exp(-ops.cast(ages, "float32")[:, None] * rate[:, None, None])
        return ops.concatenate([taste / total, pull * left], axis=1)

    def half_life_days(self) -> Any:
        """Age at which an event's weight has halved, days, [2N]; `LASTING_DAYS` for taste."""
        lasting = np.full(self.topics, LASTING_DAYS, np.float32)
        return ops.concatenate([lasting, ops.exp(SPEED * self.log_half_life)])

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {"topics": self.topics, "num_actions": self.num_actions}
