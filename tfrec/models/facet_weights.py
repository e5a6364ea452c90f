"""How much each past event counts in each facet of the present interest."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from tfrec.models.transformer import MASKED

DAY = 86_400_000.0  # milliseconds
# Half of an event's weight is gone after so many days, at the start of training: from momentary
# to lasting.
FIRST_HALF_LIVES = (0.05, 60.0)
# And μ, how fast an event falls behind those that came after it. One number moves little in the
# steps that a small log gives, and where all facets began slow, as the only order to be had in a
# log without times, the newest events drowned in long histories.
FIRST_ORDER_DECAYS = (3.0, 0.5)
FORMS = ("softmax", "sink", "root", "pointwise")


class LogitTerms(NamedTuple):
    """The parts of one weight's logit, each broadcastable to [B, K, query, event].

    match: does the event fit what the user is after now; age: how long ago; order: how many
    events ago; event: its action and strength.
    """

    match: Any
    age: Any
    order: Any
    event: Any


@keras.saving.register_keras_serializable("tfrec")
class FacetWeights(keras.layers.Layer):
    """a_fs: the weight of event s in facet f, not negative, from a sum of four named terms.

        ℓ_fs = q_f(h_t)·k_f(h_s)/√w − λ_f log1p(age_s/τ_f) − μ_f log1p(order_s)
               + A_f(action, strength)

    The age term is a hyperbolic decay (1 + age/τ)^(−λ): a power law for small τ, an exponential
    where both λ and τ grow. Its half-life τ(2^(1/λ) − 1) starts between minutes and months.

    Arguments:
        facets: K.
        width: of queries and keys, w.
        num_actions: size of the action vocabulary, at least 1.
        form: how a logit becomes a weight. "softmax" shares 1 among the events; "sink" adds a
            learned event of value zero to the softmax, so that weights need not sum to 1 and
            deleting one event moves the others less (Xiao et al., ICLR 2024, arXiv 2309.17453,
            §3.3, there a learnable sink token); "root" divides by the square root of the sink's sum
            instead of by the sum: deleting an event moves the others half as much, so that where
            all events say alike its own line outweighs that; "pointwise" is σ(ℓ + b_f), each event
            by itself.

    Call arguments:
        queries: float [B, L, D], the state at request time.
        keys: float [B, L, D], the states of the events.
        ages: float [B, L, L], days from event (last axis) to request (axis 1), not negative.
        actions: int [B, L].
        strengths: float [B, L], standardised, 0 where missing.
        mask: bool [B, L, L], True: the event belongs to the history of the request.

    Returns:
        float [B, K, L, L], request before event; 0 where the mask is False.
    """

    def __init__(
        self,
        facets: int,
        width: int,
        num_actions: int = 1,
        form: str = "root",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # ages need float32
        if form not in FORMS:
            raise ValueError(f"form {form!r} is not one of {FORMS}")
        self.facets = facets
        self.width = width
        self.num_actions = num_actions
        self.form = form
        self.query = keras.layers.Dense(facets * width, name="query")
        self.key = keras.layers.Dense(facets * width, use_bias=False, name="key")

    def build(self, queries_shape: Any) -> None:
        self.query.build(queries_shape)
        self.key.build(queries_shape)
        facets = self.facets

        def weight(name: str, shape: tuple[int, ...], start: Any) -> Any:
            return self.add_weight(
                autocast=False,
                shape=shape,
                initializer=lambda shape, dtype=None: ops.cast(start, dtype),
                name=name,
            )

        half_lives = np.geomspace(*FIRST_HALF_LIVES, facets).reshape(facets, 1, 1)
        decay = np.full((facets, 1, 1), 0.5)
        order_decays = np.geomspace(*FIRST_ORDER_DECAYS, facets)
        if facets == 1:  # nothing to spread: the middle, where geomspace gives the steep end
            order_decays = np.sqrt(np.prod(FIRST_ORDER_DECAYS, keepdims=True))
        # Logarithms, so that both stay positive.
        self.log_decay = weight("log_decay", (facets, 1, 1), np.log(decay))
        self.log_scale = weight(
            "log_scale", (facets, 1, 1), np.log(half_lives / (2 ** (1 / decay) - 1))
        )
        self.log_order = weight(
            "log_order", (facets, 1, 1), np.log(order_decays).reshape(facets, 1, 1)
        )
        self.by_action = weight(
            "by_action", (self.num_actions, facets), np.zeros((self.num_actions, facets))
        )
        self.by_strength = weight("by_strength", (facets,), np.zeros(facets))
        if self.form != "softmax":
            start = np.full((facets, 1, 1), -2.0 if self.form == "pointwise" else 0.0)
            self.level = weight("level", (facets, 1, 1), start)
        self.built = True

    def terms(self, queries: Any, keys: Any, ages: Any, actions: Any, strengths: Any) -> LogitTerms:
        """The four terms of every logit."""
        batch, length, _ = ops.shape(queries)

        def per_facet(x: Any) -> Any:
            return ops.transpose(
                ops.reshape(x, (batch, length, self.facets, self.width)), (0, 2, 1, 3)
            )

        query, key = per_facet(self.query(queries)), per_facet(self.key(keys))
        match = ops.matmul(query * self.width**-0.5, ops.transpose(key, (0, 1, 3, 2)))
        scaled = ops.cast(ages, "float32")[:, None] * ops.exp(-self.log_scale)
        age = -ops.exp(self.log_decay) * ops.log1p(scaled)
        place = ops.arange(length)
        apart = ops.cast(ops.maximum(place[:, None] - place[None, :], 0), "float32")
        order = -ops.exp(self.log_order) * ops.log1p(apart)[None]  # [facets, request, event]
        event = ops.take(self.by_action, actions, axis=0) + strengths[..., None] * self.by_strength
        event = ops.transpose(event, (0, 2, 1))[:, :, None, :]
        return LogitTerms(match, age, order[None], event)

    def call(
        self, queries: Any, keys: Any, ages: Any, actions: Any, strengths: Any, mask: Any
    ) -> Any:
        terms = self.terms(queries, keys, ages, actions, strengths)
        logits = ops.cast(terms.match, "float32") + terms.age + terms.order + terms.event
        mask = mask[:, None]
        if self.form == "pointwise":
            return ops.where(mask, ops.sigmoid(logits + self.level), 0.0)
        logits = ops.where(mask, logits, MASKED)
        peak = ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
        if self.form != "softmax":
            peak = ops.maximum(peak, ops.stop_gradient(self.level))
        weights = ops.where(mask, ops.exp(logits - peak), 0.0)
        total = ops.sum(weights, axis=-1, keepdims=True)
        if self.form != "softmax":
            total = total + ops.exp(self.level - peak)
        if self.form == "root":
            return weights * ops.exp(0.5 * peak) * ops.rsqrt(total)
        return weights / ops.maximum(total, 1e-9)  # without any event all weights are 0

    def half_life_days(self) -> Any:
        """Age at which the age term has halved an event's weight, days, [K]."""
        decay, scale = ops.exp(self.log_decay), ops.exp(self.log_scale)
        return ops.reshape(scale * (ops.power(2.0, 1.0 / decay) - 1.0), (-1,))

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {
            "facets": self.facets,
            "width": self.width,
            "num_actions": self.num_actions,
            "form": self.form,
        }
