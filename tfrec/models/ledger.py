"""The ledger: a time-aware sequence model whose every score is a sum of named lines."""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from tfrec.data.user_texts import UserTexts
from tfrec.models.facet_weights import DAY, FacetWeights
from tfrec.models.history_encoder import HistoryEncoder
from tfrec.models.history_mask import history_mask
from tfrec.models.item_lines import ItemLines
from tfrec.models.item_tower import ItemTower
from tfrec.models.ledger_parts import ItemSide, Reading, log_seconds, shrunken_mean
from tfrec.models.strength_readout import StrengthReadout
from tfrec.models.topic_weights import TopicWeights


@keras.saving.register_keras_serializable("tfrec")
class Ledger(keras.Model):
    """Sequential recommendation whose score is additive over past events, facets and biases.

        s(u,i,t) = β_i + κ(h_t)·lp_i(t) + Σ_f Σ_s c_fs(i) [+ r(u,i,t)]
        c_fs(i)  = g_f(h_t) · a_fs · <v_fs, õ_fi>

    Weights a, gates g and the pull of the crowd κ are as deep as the encoder; the values
    v_fs = ψ(action, strength)·V_f e_{i_s} see nothing but the event itself (Hewitt et al.,
    "Backpack Language Models", ACL 2023, arXiv 2305.16765, §3: contextual weights over
    non-contextual senses). Item blocks õ_fi = Q_f e_i − Σ_j Q_f e_j / I are centred, so that a
    line says why this item rather than a typical one. β_i is quality: what log popularity, to
    which it is orthogonal, does not explain.

    The score is one dot product of concatenated blocks, so states and item matrix serve training,
    ranking and any index for inner products:

        state = [g_1 u_1 | … | g_K u_K | κ·period | 1 (| context)]
        item  = [õ_1i    | … | õ_Ki    | lp_i      | β (| õ_r)]

    Arguments:
        num_items: size of the catalogue, I.
        dim: width of item vectors and encoder states, D.
        layers, heads: of the encoder.
        max_length: newest events of a history that are read.
        dropout: rate in the encoder.
        facets: K.
        facet_dim: width of a facet's block, d.
        topics: N. The last 2N of the facets are N topics, first as taste that lasts, then as pull
            that fades, see `TopicWeights`. An item belongs to topic f by the share
            π_if = softmax_f(<e_i, m_f> / 0.1), which multiplies its values and its block (Ma et
            al., NeurIPS 2019, MacridVAE, arXiv 1910.14238, eq. 5), so that such a facet carries
            interest only from items of a topic to items of that topic.
        encoder: "sasrec" (softmax attention blocks) or "hstu"; both read how many events and how
            much time lie between two events.
        weights: "softmax", "sink", "root" or "pointwise", see `FacetWeights`.
        request_time: whether the weights know the time of the request, or only that of the newest
            event.
        residual: adds the deep line "context" r = <W h_t, õ_r,i>, which no past event explains.
        id_dropout, num_categories, text_dim, vector_dim: see `ItemTower`.
        num_actions: size of the action vocabulary.
        num_periods: W, periods of popularity.

    `items.set_popularity`, `tower.set_events` and what else the tower knows of items are assigned
    after building, and `user_texts` where the histories that it reads begin with what their users
    say of themselves.

    Call arguments:
        batch: the tokens of `tfrec.data.tokens.event_tokens`. A query or a profile is an event
            like any other, with the text in the item's place: it has a line in every score.
        training: whether dropout is on.

    Returns:
        states [B, L, K·d + W + 1 (+ d)].

    Example:
        One user with two events, asked about a day after each.

        >>> day = 86_400_000
        >>> batch = {"items": [[3, 7]], "segments": [[1, 1]], "positions": [[1, 0]],
        ...          "times": [[0, 2 * day]], "request_times": [[day, 3 * day]],
        ...          "actions": [[0, 0]], "strengths": [[4.0, float("nan")]]}
        >>> import numpy as np
        >>> batch = {name: np.asarray(values) for name, values in batch.items()}
        >>> model = Ledger(num_items=23, dim=8, facets=4, facet_dim=2)
        >>> model(batch).shape
        TensorShape([1, 2, 10])
    """

    def __init__(
        self,
        num_items: int,
        dim: int = 64,
        layers: int = 2,
        heads: int = 1,
        max_length: int = 200,
        dropout: float = 0.2,
        facets: int = 4,
        facet_dim: int = 16,
        topics: int = 0,
        encoder: str = "sasrec",
        weights: str = "root",
        request_time: bool = True,
        residual: bool = False,
        id_dropout: float = 0.15,
        num_categories: int = 0,
        text_dim: int = 0,
        num_actions: int = 1,
        num_periods: int = 1,
        vector_dim: int = 0,
        **kwargs: Any,
    ) -> None:
        # In mixed precision the sublayers compute in bfloat16; times, ages and the sums of lines
        # need float32.
        super().__init__(autocast=False, **kwargs)
        width = facets * facet_dim
        # Layers
        self.tower = ItemTower(num_items, dim, num_categories, text_dim, id_dropout, vector_dim)
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        self.action_embedding = keras.layers.Embedding(
            num_actions, dim, embeddings_initializer=start
        )
        self.dropout = keras.layers.Dropout(dropout)
        self.history = HistoryEncoder(dim, layers, heads, max_length, dropout, encoder)
        self.request_features = keras.layers.Dense(dim, use_bias=False, name="request_features")
        general = facets - 2 * topics
        if general < 1:
            raise ValueError(f"{topics} topics take {2 * topics} facets and leave none of {facets}")
        # As wide as with four facets at least: topics need no match.
        self.facet_weights = FacetWeights(general, dim // max(general, 4), num_actions, weights)
        self.topic_weights = TopicWeights(topics, num_actions) if topics else None
        self.value = keras.layers.Dense(
            width, use_bias=False, name="value", kernel_initializer="orthogonal"
        )
        self.gate = keras.layers.Dense(facets, name="gate", kernel_initializer="zeros")
        # softplus(0.54) = 1: the fresh model ranks by popularity.
        self.crowd = keras.layers.Dense(
            1,
            name="crowd",
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(0.5413),
        )
        self.context = keras.layers.Dense(facet_dim, name="context") if residual else None
        self.items = ItemLines(
            self.value,
            self.context,
            num_items,
            dim,
            facets,
            facet_dim,
            topics,
            num_categories,
            num_periods,
        )
        self.strength = StrengthReadout(num_items, facets)

        self.user_texts: UserTexts | None = None
        # Config
        self.num_items = num_items
        self.dim = dim
        self.num_layers = layers
        self.heads = heads
        self.max_length = max_length
        self.rate = dropout
        self.facets = facets
        self.facet_dim = facet_dim
        self.topics = topics
        self.encoder = encoder
        self.weights_form = weights
        self.request_time = request_time
        self.residual = residual
        self.num_actions = num_actions
        self.num_periods = num_periods

    @property
    def state_dim(self) -> int:
        context = self.facet_dim if self.residual else 0
        return self.facets * self.facet_dim + self.num_periods + 1 + context

    def build(self, batch_shape: Any = None) -> None:
        exact = functools.partial(self.add_weight, autocast=False)
        states = (None, None, self.dim)
        self.tower.build()
        self.action_embedding.build()
        self.history.build()
        self.request_features.build((None, None, 1))
        for layer in (self.facet_weights, self.value, self.gate, self.crowd):
            layer.build(states)
        if self.context is not None:
            self.context.build(states)
        self.items.build()
        if self.topic_weights is not None:
            self.topic_weights.build()
        # ψ: what an event's value is multiplied by, 1 or more or less by its strength.
        self.sign = exact(shape=(self.num_actions,), initializer="ones", name="sign")
        self.sign_slope = exact(shape=(self.num_actions,), initializer="zeros", name="sign_slope")
        self.engagement_line = exact(
            shape=(2,),
            initializer=lambda shape, dtype=None: ops.cast([0.5413, 0.0], dtype),
            name="engagement_line",
        )
        self.strength.build()
        # The fields of `tfrec.data.strengths.StrengthScale`.
        self.strength_scale = exact(
            shape=(3,),
            initializer=lambda shape, dtype=None: ops.cast([1.0, 0.0, 1.0], dtype),
            trainable=False,
            name="strength_scale",
        )
        self.built = True

    def call(self, batch: dict[str, Any], training: bool = False) -> Any:
        return self.read(batch, training).state()

    def read(self, batch: dict[str, Any], training: bool = False, table: Any = None) -> Reading:
        """The forward pass up to the parts of the ledger.

        Arguments:
            batch, training: as of the call.
            table: what `tower` returns, where it is known and need not be computed again, [I, D].
        """
        items, segments = batch["items"], batch["segments"]
        times, asked = batch["times"], batch["request_times"]
        dtype = self.compute_dtype
        real = items >= 0
        table = self.tower(training=training) if table is None else table
        embedded = self._embedded(table, batch) * ops.cast(real, dtype)[..., None]
        # What stands beside a missing item says nothing.
        strengths = ops.where(real, self.standardised(batch["strengths"]), 0.0)
        actions = ops.where(real, batch["actions"], 0)

        mask = history_mask(segments)
        events = ops.logical_and(mask, real[:, None, :])
        x = embedded + self.action_embedding(actions)
        states = self.history(x, times, segments, strengths, mask, training=training)

        if not self.request_time:
            asked = times
        # Without any event there is no time since.
        since = ops.where(real, log_seconds(asked - times), 0.0)
        queries = states + self.request_features(ops.cast(since, dtype)[..., None])
        ages = ops.maximum(asked[:, :, None] - times[:, None, :], 0)
        days = ops.cast(ages, "float32") / DAY
        weights = self.facet_weights(queries, states, days, actions, strengths, events)
        if self.topic_weights is not None:
            topics = self.topic_weights(days, actions, strengths, events)
            weights = ops.concatenate([weights, topics], axis=1)
        sign = ops.take(self.sign, actions) + strengths * ops.take(self.sign_slope, actions)
        values = self.value(self.dropout(embedded, training=training))
        values = values * ops.cast(sign, dtype)[..., None]
        values = ops.reshape(values, (*ops.shape(items), self.facets, self.facet_dim))
        if self.topics:
            values = values * self.items.membership(embedded)[..., None]
        crowd = ops.softplus(self.crowd(queries)[..., 0])
        rated = ops.logical_and(real, ops.logical_not(ops.isnan(batch["strengths"])))
        grades = self.strength.grades(items, strengths, rated)
        known = ops.logical_and(mask, rated[:, None, :])
        gates = self.gate(queries)
        if self.topics:
            # Time since the newest event is for the half-lives to tell.
            gates = ops.concatenate(
                [gates[..., : -self.topics], self.gate(states)[..., -self.topics :]], axis=-1
            )
        return Reading(
            embeddings=table,
            weights=weights,
            values=values,
            gates=2.0 * ops.sigmoid(gates),
            conformity=crowd,
            period=self.items.period_of(batch["request_times"]),
            context=None if self.context is None else self.context(queries),
            grades=grades,
            rated=ops.cast(rated, "float32"),
            known=known,
            habit=shrunken_mean(grades, known),
        )

    def engagement(self, scores: Any) -> Any:
        """The logit of P(engagement) that training fits to a score: a rising line."""
        line = ops.convert_to_tensor(self.engagement_line)
        return ops.softplus(line[0]) * scores + line[1]

    def item_side(self, embeddings: Any) -> ItemSide:
        """What the lines of every item are made of."""
        side: ItemSide = self.items(embeddings, self.tower.cold)
        return side

    def half_life_days(self) -> Any:
        """Age at which an event's weight has halved, all else equal, days, [K]."""
        lives = self.facet_weights.half_life_days()
        if self.topic_weights is None:
            return lives
        return ops.concatenate([lives, self.topic_weights.half_life_days()])

    def item_matrix(self) -> Any:
        """The catalogue as vectors to score against, [I, state_dim]."""
        return self.item_side(self.tower()).matrix()

    def standardised(self, strengths: Any) -> Any:
        """z, see `tfrec.data.strengths.StrengthScale`; 0 where an event has no strength."""
        strengths = ops.cast(strengths, "float32")
        missing = ops.isnan(strengths)
        known = ops.where(missing, 0.0, strengths)
        logarithmic, mean, deviation = ops.unstack(ops.convert_to_tensor(self.strength_scale))
        logged = ops.sign(known) * ops.log1p(ops.abs(known))
        known = ops.where(logarithmic > 0, logged, known)
        return ops.where(missing, 0.0, (known - mean) / deviation)

    def _embedded(self, table: Any, batch: dict[str, Any]) -> Any:
        """e of every event, [B, L, D]: of an item, or of a text that is in its place."""
        items = batch["items"]
        embedded = ops.take(table, ops.clip(items, 0, self.num_items - 1), axis=0)
        if "texts" not in batch:
            return embedded
        said = ops.cast(self.tower.said(batch["texts"]), embedded.dtype)  # [B, T, D]
        place = ops.clip(items - self.num_items, 0, ops.shape(said)[1] - 1)
        of_texts = ops.take_along_axis(said, place[..., None], axis=1)
        return ops.where((items >= self.num_items)[..., None], of_texts, embedded)

    def get_config(self) -> dict[str, Any]:
        return {
            "num_items": self.num_items,
            "dim": self.dim,
            "layers": self.num_layers,
            "heads": self.heads,
            "max_length": self.max_length,
            "dropout": self.rate,
            "facets": self.facets,
            "facet_dim": self.facet_dim,
            "topics": self.topics,
            "encoder": self.encoder,
            "weights": self.weights_form,
            "request_time": self.request_time,
            "residual": self.residual,
            "id_dropout": self.tower.id_dropout,
            "num_categories": self.tower.num_categories,
            "text_dim": self.tower.text_dim,
            "num_actions": self.num_actions,
            "num_periods": self.num_periods,
            "vector_dim": self.tower.vector_dim,
            "name": self.name,
        }
