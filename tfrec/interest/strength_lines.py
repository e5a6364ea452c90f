"""The ledger's strength read-out outside the graph: the same sum, and its lines one by one.

    z(u,i,t) = b + w·habit_u + γ_i + ρ_0·κ lp_i + Σ_f Σ_s (ρ_f + ρ'_f (e_s − habit_u)) c_fs(i)
             + Σ_s <q_i, (e_s − habit_u)·x_s + y_s> / √(n + 5)

in standard deviations of the training strengths, see `tfrec.data.strengths.StrengthScale` and
`tfrec.models.strength_readout`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrec.data.sequences import Float32, Int32
from tfrec.interest.reading import Catalogue, Readings
from tfrec.interest.user_side import UserSide


@dataclass(frozen=True)
class StrengthWeights:
    """The read-out's weights.

    Attributes:
        bias: b. by_habit: w. by_item: γ, float32 [I]. by_crowd: ρ_0.
        by_facet, by_grade: ρ and ρ', not negative, float32 [K].
        target_vectors: q, float32 [I, 16].
    """

    bias: float
    by_habit: float
    by_item: Float32
    by_crowd: float
    by_facet: Float32
    by_grade: Float32
    target_vectors: Float32

    @classmethod
    def of(cls, model: Any) -> StrengthWeights:
        """From a built `Ledger`."""
        from keras import ops

        layer = model.strength

        def array(weight: Any) -> Float32:
            # By way of a tensor: on replicas a weight is several variables.
            return np.asarray(ops.convert_to_tensor(weight), np.float32)

        return cls(
            bias=float(array(layer.bias)),
            by_habit=float(array(layer.by_habit)),
            by_item=array(layer.by_item),
            by_crowd=float(array(layer.by_crowd)),
            by_facet=_softplus(array(layer.by_facet)),
            by_grade=_softplus(array(layer.by_grade)),
            target_vectors=array(layer.target_vectors),
        )


@dataclass(frozen=True)
class StrengthLines:
    """The summands of one prediction per user and item; `total` is the prediction.

    Attributes:
        bias: the same for everybody.
        habit: how strongly this user grades, [N].
        item: [N, M].
        crowd: [N, M].
        events: what event s says through facet f, [N, M, L, K]; 0 on padding.
        liking: what event s says through its liking vector, [N, M, L]; 0 on padding.
    """

    bias: float
    habit: Float32
    item: Float32
    crowd: Float32
    events: Float32
    liking: Float32

    @property
    def total(self) -> Float32:
        """The sum of all lines, [N, M]."""
        total = self.bias + self.habit[:, None] + self.item + self.crowd
        total = total + self.events.sum(axis=(2, 3)) + self.liking.sum(axis=2)
        return np.asarray(total, np.float32)


def strength_scores(
    users: UserSide, catalogue: Catalogue, weights: StrengthWeights, items: Int32
) -> Float32:
    """Standardised strength z of some items per user, before any link.

    Arguments:
        users: N users. catalogue, weights: of the same model.
        items: int [N, M].

    Returns:
        float32 [N, M].
    """
    shared = weights.bias + weights.by_habit * users.habit
    predicted = weights.by_item[items] + weights.by_crowd * users.crowd_line(catalogue, items)
    predicted += users.facet_lines(catalogue, items) @ weights.by_facet
    predicted += users.graded_lines(catalogue, items) @ weights.by_grade
    vectors = weights.target_vectors[items]
    predicted += np.einsum("nd,nmd->nm", users.liking, vectors, optimize=True)
    return np.asarray(predicted + shared[:, None], np.float32)


def strength_lines(
    readings: Readings, catalogue: Catalogue, weights: StrengthWeights, items: Int32
) -> StrengthLines:
    """The lines that `strength_scores` sums up.

    Arguments:
        readings: N users with L events. catalogue, weights: of the same model.
        items: int [N, M].

    Example:
        >>> lines = strength_lines(readings, catalogue, weights, items)   # doctest: +SKIP
        >>> lines.events[0, 0].sum(axis=1) + lines.liking[0, 0]  # what each event says
        ... # doctest: +SKIP
    """
    # [N, L, K]: a facet's say, and more of it where the event was liked, less where it was not.
    say = weights.by_facet + weights.by_grade * readings.grades[..., None]
    events = readings.contributions(catalogue, items)
    events *= say[:, None].astype(np.float32)
    return StrengthLines(
        bias=weights.bias,
        habit=np.asarray(weights.by_habit * readings.habit, np.float32),
        item=weights.by_item[items],
        crowd=np.asarray(weights.by_crowd * readings.conformity_line(catalogue, items), np.float32),
        events=events,
        liking=np.einsum(
            "nld,nmd->nml", readings.liking, weights.target_vectors[items], optimize=True
        ),
    )


def _softplus(x: Float32) -> Float32:
    return np.logaddexp(np.float32(0), x)
