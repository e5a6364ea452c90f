"""Quality of probabilities and of predicted strengths: one number over all events.

Notation: event n was predicted with probability p_n (or logit s_n) and had the outcome y_n, 0 or
1. Every function takes 1-D arrays of N events, N at least 1, raises ValueError for anything else,
and calculates in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Int64
from tfrec.interest.fitting.calibrators import logistic_line, logits_and_outcomes

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
Outcomes = npt.NDArray[np.generic]

BINS = 15
# No logarithm is taken of less, so that one certainty that was wrong costs 27.6 nats rather than
# infinitely many: in float32 a logit of 17 already is a probability of exactly 1.
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Reliability:
    """What a reliability diagram shows: bins [B] in rising order of probability, none empty.

    Attributes:
        probability: mean p of the bin's events, float64.
        rate: mean y of them, float64.
        count: how many they are, int64.
    """

    probability: Float64
    rate: Float64
    count: Int64


class Line(NamedTuple):
    """logit P(y = 1) = slope · s + intercept: calibrated logits have slope 1, intercept 0."""

    slope: float
    intercept: float


class CatalogueLoss(NamedTuple):
    """Mean negative log-likelihood in nats, and the size of catalogue that would be as hard."""

    nll: float
    perplexity: float


def reliability(probabilities: Floats, outcomes: Outcomes, bins: int = BINS) -> Reliability:
    """Mean probability and observed rate in bins of equal mass.

    An event belongs in the bin ⌊bins · (r - 1/2) / N⌋, r its rank by probability, the mean rank
    where probabilities are equal. So equal probabilities share a bin, whatever the order of
    events, and without equal ones bin sizes differ by at most one. Bins that no mean rank falls
    into are left out.

    Example:
        >>> table = reliability(np.array([0.9, 0.1, 0.7, 0.1]), np.array([1, 0, 0, 1]), bins=2)
        >>> table.probability.tolist(), table.rate.tolist(), table.count.tolist()
        ([0.1, 0.8], [0.5, 0.5], [2, 2])
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    p, y = _probabilities_and_outcomes(probabilities, outcomes)
    values, place, counts = np.unique(p, return_inverse=True, return_counts=True)
    before = np.cumsum(counts) - counts
    # Integers: a boundary that fell to rounding would depend on N in odd ways.
    bin_of_value = bins * (2 * before + counts) // (2 * len(p))
    _, starts = np.unique(bin_of_value, return_index=True)
    events = np.add.reduceat(counts, starts)
    sums = np.add.reduceat(values * counts, starts)
    positives = np.add.reduceat(np.bincount(place, weights=y), starts)
    return Reliability(sums / events, positives / events, events.astype(np.int64))


def expected_calibration_error(
    probabilities: Floats, outcomes: Outcomes, bins: int = BINS
) -> float:
    """ECE: sum over bins of (bin size / N) · |observed rate - mean probability|.

    Naeini, Cooper & Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
    AAAI 2015, with bins of equal mass. Of a catalogue's softmax, with p the probability of the
    first item of each list and y whether it was the target, it is the top-1 ECE of Guo et al.,
    ICML 2017. Never below zero, so noise alone gives calibrated events up to 0.4 · sqrt(bins / N).
    """
    table = reliability(probabilities, outcomes, bins)
    gaps = np.abs(table.rate - table.probability)
    return float((table.count * gaps).sum() / table.count.sum())


def brier(probabilities: Floats, outcomes: Outcomes) -> float:
    """Mean of (p - y)²; Brier, "Verification of forecasts expressed in terms of probability",
    Monthly Weather Review 1950, halved as is usual for two outcomes."""
    p, y = _probabilities_and_outcomes(probabilities, outcomes)
    return float(np.mean((p - y) ** 2))


def log_loss(probabilities: Floats, outcomes: Outcomes) -> float:
    """Mean of -log of the probability that the outcome had, in nats, at most 27.6 per event.

    Example:
        >>> round(log_loss(np.array([0.25, 0.5]), np.array([1, 0])) / math.log(2), 6)  # 2 and 1 bit
        1.5
    """
    p, y = _probabilities_and_outcomes(probabilities, outcomes)
    return _mean_surprise(np.where(y > 0, p, 1.0 - p))


def auc(scores: Floats, outcomes: Outcomes) -> float:
    """Chance that a positive scores above a negative, ties counting half; nan with one class.

    The Mann-Whitney form: (sum of ranks of the positives - n(n + 1) / 2) / (n · (N - n)) with n
    positives; Hanley & McNeil, Radiology 1982. Any increasing score serves, also a logit.

    Example:
        >>> auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1]))  # 3.5 of 4 pairs
        0.875
    """
    return grouped_auc(scores, outcomes, np.zeros(np.shape(scores), np.int64))


def grouped_auc(scores: Floats, outcomes: Outcomes, groups: npt.NDArray[np.integer]) -> float:
    """GAUC: mean AUC of users, weighted by their events; nan when no user has both classes.

    Unlike the AUC, it is not raised by telling active users from others. Users with one class
    are left out, their weight as well. Zhou et al., "Deep interest network for click-through rate
    prediction", KDD 2018.

    Arguments:
        scores: [N], finite, of any scale.
        outcomes: [N], 0 or 1.
        groups: [N], a number for each event's user, in any order.

    Example:
        >>> users = np.array([7, 7, 3, 3, 3])  # AUC 1 of two events, 0 of three
        >>> grouped_auc(np.array([0.1, 0.2, 0.9, 0.8, 0.8]), np.array([0, 1, 0, 1, 1]), users)
        0.4
    """
    s, y = logits_and_outcomes(scores, outcomes, "scores")
    if groups.shape != s.shape:
        raise ValueError(f"groups must be {s.shape}, like scores, got {groups.shape}")
    _, group = np.unique(groups, return_inverse=True)
    order = np.lexsort((s, group))
    s, y, group = s[order], y[order], group[order]

    new = (np.diff(s, prepend=s[0]) != 0) | (np.diff(group, prepend=-1) != 0)
    starts = np.flatnonzero(new)
    lengths = np.diff(starts, append=len(s))
    ranks = np.repeat(starts + (lengths + 1) / 2, lengths)  # equal scores of a user: mean rank

    events = np.bincount(group)
    positives = np.bincount(group, weights=y)
    negatives = events - positives
    first = np.cumsum(events) - events  # where a user's ranks begin
    rank_sums = np.bincount(group, weights=y * (ranks - first[group]))
    both = (positives > 0) & (negatives > 0)
    if not both.any():
        return math.nan
    above = rank_sums[both] - positives[both] * (positives[both] + 1) / 2
    return float(np.average(above / (positives[both] * negatives[both]), weights=events[both]))


def calibration_line(logits: Floats, outcomes: Outcomes) -> Line:
    """Slope and intercept of a logistic regression of outcomes on logits.

    A slope below 1 says that the logits are too extreme; Cox, "Two further applications of a
    model for binary regression", Biometrika 1958. Both are nan where no finite line is best: one
    class, equal logits, or a threshold that parts the classes.
    """
    s, y = logits_and_outcomes(logits, outcomes)
    positive, negative = s[y > 0], s[y == 0]
    if not len(positive) or not len(negative):
        return Line(math.nan, math.nan)
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return Line(math.nan, math.nan)
    return Line(*logistic_line(s, y))


def root_mean_squared_error(predictions: Floats, strengths: Floats) -> float:
    """Root of the mean squared difference, in the unit of the strengths."""
    return math.sqrt(float(np.mean(_differences(predictions, strengths) ** 2)))


def mean_absolute_error(predictions: Floats, strengths: Floats) -> float:
    """Mean absolute difference, in the unit of the strengths."""
    return float(np.mean(np.abs(_differences(predictions, strengths))))


def ordinal_log_loss(grade_probabilities: Floats, grades: npt.NDArray[np.integer]) -> float:
    """Mean of -log of the probability that the grade had, in nats, at most 27.6 per event.

    Arguments:
        grade_probabilities: [N, G], rows sum to 1.
        grades: [N], 0 … G - 1.
    """
    p = np.asarray(grade_probabilities, np.float64)
    if p.ndim != 2 or grades.shape != p.shape[:1] or not len(p):
        raise ValueError(
            f"grade_probabilities must be [N, G] and grades [N], got {p.shape} and {grades.shape}"
        )
    if not (p.min() >= 0 and np.allclose(p.sum(axis=1), 1.0, rtol=0, atol=1e-4)):
        raise ValueError("grade_probabilities must be at least 0 and every row sum to 1")
    if grades.min() < 0 or grades.max() >= p.shape[1]:
        raise ValueError(
            f"grades must be 0 … {p.shape[1] - 1}, got {grades.min()} … {grades.max()}"
        )
    return _mean_surprise(p[np.arange(len(p)), grades])


def catalogue_log_loss(target_log_probabilities: Floats) -> CatalogueLoss:
    """NLL and perplexity exp(NLL) of the targets under a distribution over the catalogue.

    Nothing is held back here: one target that was called impossible makes both infinite.

    Arguments:
        target_log_probabilities: log p of each target, [N], none above 0.

    Example:
        >>> loss = catalogue_log_loss(np.log([0.5, 0.125]))
        >>> round(loss.perplexity, 6)  # as hard as a fair choice among four items
        4.0
    """
    logs = np.asarray(target_log_probabilities, np.float64)
    if logs.ndim != 1 or not len(logs) or not (logs <= 1e-6).all():
        raise ValueError(
            f"target_log_probabilities must be [N] and none above 0, got {logs.shape} "
            f"with maximum {logs.max(initial=-math.inf)}"
        )
    nll = -float(logs.mean())
    return CatalogueLoss(nll, math.exp(nll) if nll < 700 else math.inf)


def _probabilities_and_outcomes(
    probabilities: Floats, outcomes: Outcomes
) -> tuple[Float64, Float64]:
    p, y = logits_and_outcomes(probabilities, outcomes, "probabilities")
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"probabilities must be in [0, 1], got {p.min()} … {p.max()}")
    return p, y


def _mean_surprise(likelihoods: Float64) -> float:
    return -float(np.mean(np.log(np.maximum(likelihoods, LEAST_PROBABILITY))))


def _differences(predictions: Floats, strengths: Floats) -> Float64:
    a, b = np.asarray(predictions, np.float64), np.asarray(strengths, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(f"predictions and strengths must be [N], got {a.shape} and {b.shape}")
    return a - b
