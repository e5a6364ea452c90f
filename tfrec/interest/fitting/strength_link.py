"""From the standardised strength of the ledger's lines back to a rating, a dwell or a count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

MAX_ERRORS = 255
# A prediction that says nothing, or the opposite, still gets this much slope.
_LEAST_SLOPE = 1e-3
# exp of more has no place in float64.
FARTHEST = 600.0


@dataclass(frozen=True, eq=False)
class StrengthLink:
    """Strengths given a prediction z: inverse(offset + slope·z + e), e one of the usual errors.

    inverse undoes sign(y)·log1p|y|. The mean over errors, rather than the inverse at e = 0, is
    what strengths average to: Duan, "Smearing estimate: a nonparametric retransformation method",
    JASA 1983. It rises with z.

    Attributes:
        slope: positive. offset: both in units of log1p strength.
        errors: quantiles of log1p strength around the line, float64 [Q], rising, Q at least 1.

    Example:
        >>> link = StrengthLink(1.0, 0.0, np.array([-np.log(2), np.log(2)]))
        >>> link.expected(np.array([np.log(4)])).round(6).tolist()  # of 4/2 - 1 and 4·2 - 1
        [4.0]
    """

    slope: float
    offset: float
    errors: Float64

    def __post_init__(self) -> None:
        if not (0 < self.slope < math.inf and math.isfinite(self.offset)):
            raise ValueError(f"slope must be positive and offset finite, got {self}")
        if self.errors.ndim != 1 or not len(self.errors) or (np.diff(self.errors) < 0).any():
            raise ValueError(f"errors must be [Q] and rise, got {self.errors}")

    def expected(self, predictions: Floats) -> Float64:
        """Mean strength, float64 of the shape of `predictions`."""
        total = np.zeros(np.shape(predictions))
        for error in self.errors:
            total += self._at(predictions, float(error))
        return np.asarray(total / len(self.errors))

    def interval(self, predictions: Floats, level: float = 0.8) -> tuple[Float64, Float64]:
        """Ends between which `level` of the strengths lie, each of the shape of `predictions`."""
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, got {level}")
        low, high = np.quantile(self.errors, [(1 - level) / 2, (1 + level) / 2])
        return self._at(predictions, float(low)), self._at(predictions, float(high))

    def _at(self, predictions: Floats, error: float) -> Float64:
        logged = self.offset + self.slope * np.asarray(predictions, np.float64) + error
        logged = np.clip(logged, -FARTHEST, FARTHEST)
        strength: Float64 = np.sign(logged) * np.expm1(np.abs(logged))
        return strength

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays for `np.savez`."""
        return {"line": np.array([self.slope, self.offset]), "errors": self.errors}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """From what `to_arrays` gave; KeyError if a name is missing."""
        slope, offset = arrays["line"].astype(np.float64)
        return cls(float(slope), float(offset), arrays["errors"].astype(np.float64))


def fit_strength_link(predictions: Floats, strengths: Floats) -> StrengthLink:
    """Least squares of log1p strength on the prediction, and the errors that it leaves.

    Arguments:
        predictions: z, [N], finite, N at least 1.
        strengths: [N], finite.
    """
    z, y = np.asarray(predictions, np.float64), np.asarray(strengths, np.float64)
    if z.ndim != 1 or z.shape != y.shape or not len(z):
        raise ValueError(f"predictions and strengths must be [N], got {z.shape} and {y.shape}")
    if not (np.isfinite(z).all() and np.isfinite(y).all()):
        raise ValueError("predictions and strengths must be finite")
    logged = np.sign(y) * np.log1p(np.abs(y))
    spread = float(np.mean((z - z.mean()) ** 2))
    slope = float(np.mean((z - z.mean()) * logged)) / spread if spread > 1e-12 else 0.0
    slope = max(slope, _LEAST_SLOPE)
    offset = float(logged.mean()) - slope * float(z.mean())
    count = min(len(z), MAX_ERRORS)
    # The middle of each of `count` equal parts: with all of them, the errors themselves.
    errors = np.quantile(
        logged - offset - slope * z, (np.arange(count) + 0.5) / count, method="hazen"
    )
    return StrengthLink(slope, offset, errors)
