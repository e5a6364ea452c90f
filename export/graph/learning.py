"""What one event teaches about a user: a step on the user's own gains and on nothing else.

The score of an item j is a sum of lines, of which the facets' and the crowd's carry gains,

    s_j = Σ_f γ_f c_f(j) + γ_c k(j) + (what has no gain),        p = softmax(s / T),

so with θ = log γ and x_f(j) = γ_f c_f(j) the line as it counts now, ∂s_j/∂θ_f = x_f(j). The event
is that item i was taken (log loss l = -log p_i) or was not (l = -log(1 - p_i)). Because
∂log p_i/∂θ_f = (x_f(i) - Σ_j p_j x_f(j)) / T,

    ∂l/∂θ_f = w (Σ_j p_j x_f(j) - x_f(i)) / T,    w = 1 if taken, otherwise -p_i / (1 - p_i).

A line is linear in the item's vector, so Σ_j p_j x_f(j) is the line of the expected vector, and
the whole gradient costs two products with the catalogue. One proximal step with rate η,

    θ' = argmin  θ·∂l + |θ - θ_now|² / 2η + λ |θ|² / 2 = (θ_now - η ∂l) / (1 + η λ),

is an online gradient step (Zinkevich, ICML 2003) in the proximal form of Duchi and Singer (JMLR
2009), pulled towards θ = 0, which is the model as it was exported: its last snapshot (as in PESO,
arXiv 2510.25093). Gains stay positive, a gain of 0 stays 0, and without events that say otherwise
all of them return to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from export.graph.catalogue import Catalogue
from export.graph.choice import Choice
from export.graph.ledger import ItemParts, LedgerUser

# The best of η in .01, .03, .1 and λ in .1, 1, 3 on the validation events of MovieLens-100K.
RATE = 0.03  # η
PULL = 0.1  # λ
# A single event moves no θ by more: one strange event must not turn a user around.
FARTHEST = 0.2
# Of a probability that is divided by.
_LEAST = 1e-6


class Learned(NamedTuple):
    """B users after one event each.

    Attributes:
        facet_gain: float32 [B, K]. conformity_gain: float32 [B].
        log_loss: of the event before anything was learned from it, float32 [B].
    """

    facet_gain: Any
    conformity_gain: Any
    log_loss: Any


def learn(
    choice: Choice,
    user: LedgerUser,
    catalogue: Catalogue,
    split: Callable[[Any], ItemParts],
    gains: tuple[Any, Any],
    item: Any,
    taken: Any,
    temperature: float,
) -> Learned:
    """One step, see the top of this file.

    Arguments:
        choice: what the users chose from; the event's item among it.
        user: with the gains inside.
        catalogue: the items. split: item vectors -> their parts.
        gains: of the facets [B, K] and of the crowd [B], at least 0.
        item: number of the event's item, int32 [B], not negative.
        taken: whether the user took it, bool [B].
    """
    log_p = tf.gather(choice.log_probabilities, item, batch_dims=1)
    p = tf.exp(log_p)
    rest = tf.maximum(1.0 - p, _LEAST)
    away = split(catalogue.matrix.mean(choice.probabilities) - catalogue.vectors(item))
    facets = tf.einsum("bkd,bkd->bk", user.facets, away.blocks)
    crowd = tf.einsum("bw,bw->b", user.crowd, away.popularity)
    weight = tf.where(taken, 1.0, -p / rest) / temperature

    def step(gain: Any, gradient: Any) -> Any:
        moved = tf.clip_by_value(RATE * gradient, -FARTHEST, FARTHEST)
        # exp((log γ - moved) / (1 + η λ)), which leaves 0 where it is.
        return tf.pow(tf.maximum(gain, 0.0), 1.0 / (1.0 + RATE * PULL)) * tf.exp(
            -moved / (1.0 + RATE * PULL)
        )

    facet_gain, conformity_gain = gains
    return Learned(
        step(facet_gain, weight[:, None] * facets),
        step(conformity_gain, weight * crowd),
        tf.where(taken, -log_p, -tf.math.log(rest)),
    )
