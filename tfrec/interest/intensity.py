"""How much do they want this item: the calibrated intensity of user and item pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Float32, Int32
from tfrec.interest.fitting.action_readout import action_features
from tfrec.interest.reading import Catalogue, Readings
from tfrec.interest.readouts import Readouts
from tfrec.interest.strength_lines import StrengthWeights, strength_scores
from tfrec.interest.user_side import UserSide

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Intensity:
    """N users, M items each.

    Attributes:
        score: the ranking score s(u, i, t), the sum of the ledger's lines, [N, M].
        engagement_probability: P(engaged), rising with the score, [N, M]; what it is a
            probability of stands in `tfrec.interest.fitting.engagement.Engagement`.
        strength_score: the standardised strength before its link, the sum of `strength_lines`,
            [N, M]; None where the model or the log has no strengths, like the next three.
        expected_strength: mean strength (rating, dwell, count) of an engagement, rising with
            `strength_score`, [N, M].
        strong_probability: P(strength ≥ threshold | engaged), rising with it too, [N, M].
        grade_probabilities: P(grade | engaged), [N, M, G]; None unless strengths are grades.
        action_probabilities: P(engaged, by action k), [N, M, A]: the conversion chances pCTCVR of
            ESMM. They sum over actions to `engagement_probability`; divided by it they are
            P(action | engaged). None when the log has fewer than two actions.
    """

    score: Float32
    engagement_probability: Float64
    strength_score: Float32 | None
    expected_strength: Float64 | None
    strong_probability: Float64 | None
    grade_probabilities: Float64 | None
    action_probabilities: Float64 | None


def intensity(
    readings: Readings,
    catalogue: Catalogue,
    weights: StrengthWeights,
    readouts: Readouts,
    items: Int32,
    prior: float | None = None,
) -> Intensity:
    """Scores of some items per user with everything that they are calibrated to.

    Score and strength are two sums of the same lines, because popularity is not liking; each has
    a link of its own, and no link reverses the order of its sum.

    Arguments:
        readings: N users. catalogue, weights, readouts: of the same trained model.
        items: int [N, M].
        prior: share of the candidates that are taken, if it is known and not the fitted one, see
            `Engagement.apply`.

    Raises:
        ValueError: items is not [N, M].

    Example:
        >>> reader = LedgerReader(model)                                       # doctest: +SKIP
        >>> found = intensity(reader.read(cases), reader.catalogue,
        ...     StrengthWeights.of(model), Readouts.load(run), items)          # doctest: +SKIP
        >>> found.expected_strength.round(1)                                   # doctest: +SKIP
        array([[4.2, 3.1, 2.8]])
    """
    if items.ndim != 2 or len(items) != len(readings):
        raise ValueError(f"items must be [{len(readings)}, M], got {items.shape}")
    users = UserSide.of(readings)
    score = users.scores(catalogue, items)
    engaged = readouts.engagement.apply(score, prior)
    z = expected = strong = grades = actions = None
    if readouts.strength is not None:
        z = strength_scores(users, catalogue, weights, items)
        expected = (readouts.grades or readouts.strength).expected(z)
    if z is not None and readouts.strong is not None:
        strong = readouts.strong.curve.apply(z)
    if z is not None and readouts.grades is not None:
        grades = readouts.grades.probabilities(z)
    if readouts.actions is not None:
        rates = readouts.actions.rates
        features = action_features(users, catalogue, weights, rates, items)
        actions = engaged[..., None] * readouts.actions.given_engaged(features)
    return Intensity(score, engaged, z, expected, strong, grades, actions)
