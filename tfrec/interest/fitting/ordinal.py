"""Grades from one score: the cumulative link, also called proportional odds.

    P(grade <= g | s) = sigmoid(threshold_g - scale · s),    thresholds rising, scale > 0

McCullagh, "Regression models for ordinal data", JRSS B 1980. A higher score moves all mass up, so
the expected grade has the order of the score, and the score stays the sum that it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from tfrec.errors import UserError

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
Grades = npt.NDArray[np.integer]

# Bounds in logits, for scores of standard deviation 1: a grade that never occurred would else have
# a threshold at infinity, or two thresholds in one place.
_LEAST, _FARTHEST = 1e-3, 30.0


@dataclass(frozen=True, eq=False)
class OrdinalLink:
    """Distribution over G grades, 0 … G - 1, given a score.

    Attributes:
        thresholds: float64 [G - 1], strictly rising, finite.
        scale: logits per unit of score, positive.

    Example:
        >>> link = OrdinalLink(np.array([-np.log(3), np.log(3)]))
        >>> link.grade_probabilities(np.array([0.0])).round(6).tolist()
        [[0.25, 0.5, 0.25]]
        >>> link.expected_grade(np.array([0.0])).round(6).tolist()
        [1.0]
    """

    thresholds: Float64
    scale: float = 1.0

    def __post_init__(self) -> None:
        at = self.thresholds
        if at.ndim != 1 or not len(at):
            raise ValueError(f"thresholds must be [G - 1] with G at least 2, got {at.shape}")
        if not (np.isfinite(at).all() and (np.diff(at) > 0).all()):
            raise ValueError(f"thresholds must be finite and rise strictly, got {at.tolist()}")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale must be positive and finite, got {self.scale}")

    def grade_probabilities(self, scores: Floats) -> Float64:
        """P(grade = g), float64 [N, G], of scores [N].

        The difference of two neighbouring sigmoids as a product, which keeps its digits where
        both are near 1: sigmoid(a) - sigmoid(b) = sigmoid(a) · sigmoid(-b) · (1 - exp(b - a)).
        """
        from scipy.special import expit

        z = self.scale * np.asarray(scores, np.float64)[:, None]  # [N, 1]
        lower, upper = _ends(self.thresholds)
        probabilities: Float64 = expit(upper - z) * expit(z - lower) * -np.expm1(lower - upper)
        return probabilities

    def expected_grade(self, scores: Floats) -> Float64:
        """Mean grade, float64 [N] in [0, G - 1]: the sum over thresholds of P(grade > g)."""
        from scipy.special import expit

        z = self.scale * np.asarray(scores, np.float64)[:, None]
        expected: Float64 = expit(z - self.thresholds).sum(axis=1)
        return expected

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays for `np.savez`; the names meet those of no calibrator."""
        return {"ordinal_thresholds": self.thresholds, "ordinal_scale": np.array([self.scale])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """From what `to_arrays` gave; KeyError if a name is missing."""
        thresholds = arrays["ordinal_thresholds"].astype(np.float64)
        return cls(thresholds, float(arrays["ordinal_scale"][0]))


def fit_ordinal(scores: Floats, grades: Grades, num_grades: int) -> OrdinalLink:
    """Thresholds and scale of greatest likelihood.

    The search is over the first threshold, the gaps and the scale, gaps and scale bounded away
    from zero: every step is a valid link, and the problem is convex (Pratt, "Concavity of the log
    likelihood", JASA 1981), so the optimum is the only one. Bounds also keep thresholds within
    reach for grades that never occur, and scores that point the wrong way get almost no scale.

    Arguments:
        scores: [N], finite, N at least 1.
        grades: [N], 0 … num_grades - 1.
        num_grades: G, at least 2.

    Raises:
        UserError: all grades are alike, so there is nothing to tell apart.
    """
    from scipy.optimize import minimize

    s = np.asarray(scores, np.float64)
    _check(s, grades, num_grades)
    # Standardised scores: all parameters are then logits.
    centre, spread = float(s.mean()), float(s.std())
    if spread <= 1e-9 * np.abs(s).max():  # equal but for rounding
        spread = 1.0
    z = (s - centre) / spread

    found = minimize(
        loss_and_gradient,
        _start(grades, num_grades),
        args=(z, grades),
        jac=True,
        method="L-BFGS-B",
        bounds=[
            (-_FARTHEST, _FARTHEST),
            *[(_LEAST, _FARTHEST)] * (num_grades - 2),
            (_LEAST, _FARTHEST),
        ],
        options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 500},
    )
    thresholds, scale = _unpack(found.x)
    return OrdinalLink(thresholds + scale * centre / spread, scale / spread)


def loss_and_gradient(parameters: Float64, z: Float64, grades: Grades) -> tuple[float, Float64]:
    """Mean -log P(grade) and its gradient.

    Arguments:
        parameters: [G]: first threshold, the G - 2 gaps, the scale.
        z: scores, [N].
        grades: [N].
    """
    from scipy.special import expit, log_expit

    thresholds, scale = _unpack(parameters)
    lower, upper = _ends(thresholds)
    count = len(z)
    to_upper, to_lower = upper[grades] - scale * z, scale * z - lower[grades]  # [N], inf at ends
    sizes = np.bincount(grades, minlength=len(upper))  # [G]
    # log(1 - exp(-gap)) depends on the grade alone.
    loss = -(log_expit(to_upper) + log_expit(to_lower)).sum() - sizes @ np.log(
        -np.expm1(lower - upper)
    )

    pull_upper, pull_lower = expit(-to_upper), expit(-to_lower)
    # d loss / d threshold: as the upper end of grade g, then as the lower end of grade g + 1.
    apart = sizes[1:-1] / np.expm1(np.diff(thresholds))  # [G - 2]
    slopes: Float64 = np.bincount(grades, pull_lower, len(upper))[1:].astype(np.float64)
    slopes -= np.bincount(grades, pull_upper, len(upper))[:-1]
    slopes[1:] -= apart
    slopes[:-1] += apart
    # Threshold j is the first plus the gaps up to j.
    by_gap = np.cumsum(slopes[::-1])[::-1]
    by_scale = float(((pull_upper - pull_lower) * z).sum())
    return float(loss) / count, np.append(by_gap, by_scale) / count


def _unpack(parameters: Float64) -> tuple[Float64, float]:
    return np.cumsum(parameters[:-1]), float(parameters[-1])


def _ends(thresholds: Float64) -> tuple[Float64, Float64]:
    """Lower and upper end of every grade, [G] each."""
    infinite = np.array([np.inf])
    return np.concatenate([-infinite, thresholds]), np.concatenate([thresholds, infinite])


def _start(grades: Grades, num_grades: int) -> Float64:
    """The thresholds that fit the grades without a score; half an event more for each grade."""
    shares = np.bincount(grades, minlength=num_grades) + 0.5
    below = np.cumsum(shares)[:-1] / shares.sum()
    thresholds = np.log(below) - np.log1p(-below)
    return np.concatenate([thresholds[:1], np.diff(thresholds), [1.0]])


def _check(scores: Float64, grades: Grades, num_grades: int) -> None:
    if num_grades < 2:
        raise ValueError(f"num_grades must be at least 2, got {num_grades}")
    if scores.ndim != 1 or scores.shape != grades.shape or not len(scores):
        raise ValueError(f"scores and grades must be [N], got {scores.shape} and {grades.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    low, high = int(grades.min()), int(grades.max())
    if low < 0 or high >= num_grades:
        raise ValueError(f"grades must be 0 … {num_grades - 1}, got {low} … {high}")
    if low == high:
        raise UserError(
            f"all {len(grades)} validation grades are grade {low} of {num_grades}: thresholds "
            "need at least two different ones. Hold out more events, or leave the grades out"
        )
