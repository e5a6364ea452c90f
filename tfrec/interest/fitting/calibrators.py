"""Calibrators: small maps from a score to a probability, fitted on validation events.

None of them reverses an order, and scores 0.001 apart stay apart (save where a Platt sigmoid is
within rounding of 0 or 1): a list ranked by probability is the list ranked by score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[np.generic]]
Block = tuple[npt.NDArray[np.floating], npt.NDArray[np.integer]]

MAX_KNOTS = 64
TEMPERATURES = (0.02, 50.0)
# A score that predicts nothing, or the opposite, still gets this much slope.
LEAST_SLOPE = 1e-3
# How much of a straight ramp is in an isotonic curve: what makes its flattest parts rise.
_RAMP = 1e-3
# Per logit beyond the outermost knots, the share of the remaining way to 0 or 1.
TAIL = 1e-3


@dataclass(frozen=True)
class Temperature:
    """softmax(s / T) over the catalogue; Guo et al., "On calibration of modern neural networks",
    ICML 2017, section 4.2.

    Example:
        >>> np.exp(Temperature(2.0).apply(np.array([[0.0, 2 * np.log(3)]]))).round(6).tolist()
        [[0.25, 0.75]]
    """

    temperature: float

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be positive and finite, got {self.temperature}")

    def apply(self, logits: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Log-probabilities [N, I] of scores [N, I], in their dtype. -inf is an item that cannot
        be chosen and stays -inf; a row needs at least one finite score."""
        shifted = (logits - logits.max(axis=-1, keepdims=True)) / self.temperature
        normaliser = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        log_probabilities: npt.NDArray[np.floating] = (shifted - normaliser).astype(logits.dtype)
        return log_probabilities

    def to_arrays(self) -> Arrays:
        """Arrays for `np.savez`; the names of different calibrators do not meet."""
        return {"temperature": np.array([self.temperature])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """From what `to_arrays` gave; other names are ignored. KeyError if one is missing."""
        return cls(float(arrays["temperature"][0]))


@dataclass(frozen=True)
class Platt:
    """P(engage) = sigmoid(slope · s + offset), slope > 0.

    Platt, "Probabilistic outputs for support vector machines", 1999; his A is -slope, B -offset.

    Example:
        >>> Platt(2.0, 0.0).apply(np.array([0.0, np.log(3) / 2])).round(6).tolist()
        [0.5, 0.75]
    """

    slope: float
    offset: float

    def __post_init__(self) -> None:
        if not (0 < self.slope < math.inf and math.isfinite(self.offset)):
            raise ValueError(f"slope must be positive and offset finite, got {self}")

    def apply(self, logits: npt.NDArray[np.floating]) -> Float64:
        """Probabilities, float64 of the shape of `logits`."""
        from scipy.special import expit

        return np.asarray(expit(self.slope * np.asarray(logits, np.float64) + self.offset))

    def to_arrays(self) -> Arrays:
        """Arrays for `np.savez`."""
        return {"platt": np.array([self.slope, self.offset])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """From what `to_arrays` gave; KeyError if it is missing."""
        return cls(float(arrays["platt"][0]), float(arrays["platt"][1]))


@dataclass(frozen=True, eq=False)
class Isotonic:
    """P(engage) as a rising broken line through knots, with tails that never quite reach 0 and 1.

    Beyond the last knot (x, y), at a distance d, p = 1 - (1 - y) / (1 + d / 1000), and before the
    first p = y / (1 + d / 1000): almost flat, because nothing was seen there, and still rising.

    Attributes:
        knots_x: logits, float64 [K], K at least 1, strictly rising.
        knots_y: probabilities, float64 [K], strictly rising inside (0, 1).

    Example:
        >>> Isotonic(np.array([0.0, 1.0]), np.array([0.2, 0.6])).apply(np.array([0.5])).tolist()
        [0.4]
    """

    knots_x: Float64
    knots_y: Float64

    def __post_init__(self) -> None:
        x, y = self.knots_x, self.knots_y
        if x.ndim != 1 or x.shape != y.shape or not len(x):
            raise ValueError(f"knots_x and knots_y must be [K], got {x.shape} and {y.shape}")
        rising = (np.diff(x) > 0).all() and (np.diff(y) > 0).all()
        if not (rising and np.isfinite(x).all() and y[0] > 0 and y[-1] < 1):
            raise ValueError("knots must rise strictly, knots_x finite, knots_y inside (0, 1)")

    def apply(self, logits: npt.NDArray[np.floating]) -> Float64:
        """Probabilities, float64 of the shape of `logits`."""
        x = np.asarray(logits, np.float64)
        inside = np.interp(x, self.knots_x, self.knots_y)  # holds the end values outside
        below = np.maximum(self.knots_x[0] - x, 0.0)
        above = np.maximum(x - self.knots_x[-1], 0.0)
        lowered = inside / (1.0 + TAIL * below)
        raised: Float64 = lowered + (1.0 - lowered) * (TAIL * above / (1.0 + TAIL * above))
        return raised

    def to_arrays(self) -> Arrays:
        """Arrays for `np.savez`."""
        return {"isotonic_x": self.knots_x, "isotonic_y": self.knots_y}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """From what `to_arrays` gave; KeyError if a name is missing."""
        x, y = arrays["isotonic_x"], arrays["isotonic_y"]
        return cls(x.astype(np.float64), y.astype(np.float64))


def fit_temperature(nll: Callable[[float], float]) -> Temperature:
    """The temperature of least negative log-likelihood, between 0.02 and 50.

    The mean NLL is convex in 1 / T, so it has one valley in log T, which the search walks down in
    about twenty calls. For logits that come in blocks, `nll` is `blockwise_nll(blocks)`.

    Arguments:
        nll: temperature -> mean NLL of the targets, finite.

    Example:
        >>> round(fit_temperature(lambda t: (1 / t - 0.5) ** 2).temperature, 3)
        2.0
    """
    from scipy.optimize import minimize_scalar

    def objective(log_temperature: float) -> float:
        value = float(nll(math.exp(log_temperature)))
        if not math.isfinite(value):
            raise ValueError(f"nll({math.exp(log_temperature):.4g}) is {value}, must be finite")
        return value

    low, high = (math.log(end) for end in TEMPERATURES)
    found = minimize_scalar(
        objective, bounds=(low, high), method="bounded", options={"xatol": 1e-5}
    )
    return Temperature(math.exp(float(found.x)))


def blockwise_nll(blocks: Callable[[], Iterable[Block]]) -> Callable[[float], float]:
    """Temperature -> mean NLL over blocks of (logits [N, I], targets [N]), one block in memory.

    Arguments:
        blocks: starts a fresh pass over the same blocks; called once per temperature.
    """

    def nll(temperature: float) -> float:
        calibrator, total, count = Temperature(temperature), 0.0, 0
        for logits, targets in blocks():
            rows = np.arange(len(targets))
            total -= float(calibrator.apply(logits)[rows, targets].sum(dtype=np.float64))
            count += len(targets)
        if not count:
            raise ValueError("blocks() gave no targets")
        return total / count

    return nll


def fit_platt(logits: npt.NDArray[np.floating], outcomes: npt.NDArray[np.generic]) -> Platt:
    """Logistic regression of outcomes on logits, with Platt's smoothed targets.

    A positive counts as (N+ + 1) / (N+ + 2) and a negative as 1 / (N- + 2), so that separable
    data have a finite fit; Platt 1999, and Lin, Lin & Weng, "A note on Platt's probabilistic
    outputs for support vector machines", Machine Learning 2007. The slope is held at
    0.001 or more: logits that point the wrong way give an almost constant probability.

    Arguments:
        logits: [N], finite, N at least 1.
        outcomes: [N], 0 or 1.
    """
    x, y = logits_and_outcomes(logits, outcomes)
    low, high = _smoothed_targets(y)
    slope, offset = logistic_line(x, np.where(y > 0, high, low), LEAST_SLOPE)
    return Platt(slope, offset)


def fit_isotonic(
    logits: npt.NDArray[np.floating],
    outcomes: npt.NDArray[np.generic],
    max_knots: int = MAX_KNOTS,
) -> Isotonic:
    """Isotonic regression (pool adjacent violators) as a strictly rising line of few knots.

    Each pooled block becomes one knot at its mean logit and its observed rate: centred isotonic
    regression of Oron & Flournoy (Statistics in Biopharmaceutical Research, 2017), which is
    linear where the classic fit has steps. Neighbouring blocks share a knot so that each has
    about 1 / max_knots of the events, both classes counting half: where positives are rare, most
    knots are still where they are. Rates stay between Platt's smoothed targets, and a thousandth
    of a straight ramp over the whole range makes rates that are all but equal rise visibly.

    Arguments:
        logits: [N], finite, N at least 1.
        outcomes: [N], 0 or 1.
        max_knots: at least 1.

    Example:
        >>> curve = fit_isotonic(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0, 1, 0, 1]))
        >>> curve.knots_x.tolist(), curve.knots_y.round(3).tolist()  # 1 and 0 pool to 1/2
        ([0.0, 1.5, 3.0], [0.25, 0.5, 0.75])
    """
    if max_knots < 1:
        raise ValueError(f"max_knots must be at least 1, got {max_knots}")
    x, y = logits_and_outcomes(logits, outcomes)
    values, place = np.unique(x, return_inverse=True)  # equal logits cannot be told apart
    counts = np.bincount(place).astype(np.float64)
    positives: Float64 = np.bincount(place, weights=y).astype(np.float64)
    starts = _knot_starts(counts, positives, max_knots)
    sizes = np.add.reduceat(counts, starts)
    rates = np.add.reduceat(positives, starts) / sizes
    means = np.add.reduceat(values * counts, starts) / sizes
    # A mean can round to just outside of what it is a mean of, and so across its neighbour's.
    ends = np.append(starts[1:], len(values)) - 1
    knots_x = np.clip(means, values[starts], values[ends])

    low, high = _smoothed_targets(y)
    span = float(knots_x[-1] - knots_x[0]) or 1.0
    ramp = low + (high - low) * (knots_x - knots_x[0]) / span
    knots_y = np.clip(rates, low, high)
    if len(knots_x) > 1:
        knots_y = (1 - _RAMP) * knots_y + _RAMP * ramp
    return Isotonic(knots_x, knots_y)


def logistic_line(
    logits: Float64, targets: Float64, least_slope: float = -math.inf
) -> tuple[float, float]:
    """Slope and offset that minimise the mean cross-entropy of sigmoid(slope · s + offset).

    Arguments:
        logits: [N], finite.
        targets: [N], inside [0, 1]; without a finite optimum (separable 0s and 1s) the answer is
            meaningless, and the caller sees to that.
        least_slope: bound of the slope. The objective is convex, so the bound is met only where
            the free optimum lies beyond it.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    # Standardised logits: the two parameters are then of one size and barely correlated.
    centre, scale = float(logits.mean()), float(logits.std())
    if scale <= 1e-9 * np.abs(logits).max():  # equal but for rounding
        scale = 1.0
    x = (logits - centre) / scale

    def loss(line: Float64) -> tuple[float, Float64]:
        z = line[0] * x + line[1]
        error = expit(z) - targets
        value = float(np.mean(np.logaddexp(0.0, z) - targets * z))
        return value, np.array([np.mean(error * x), np.mean(error)])

    found = minimize(
        loss,
        np.array([max(0.0, least_slope * scale), 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(least_slope * scale, None), (None, None)],
        options={"ftol": 0.0, "gtol": 1e-10, "maxiter": 500},
    )
    slope = float(found.x[0]) / scale
    return max(slope, least_slope), float(found.x[1]) - slope * centre


def logits_and_outcomes(
    logits: npt.NDArray[np.floating], outcomes: npt.NDArray[np.generic], name: str = "logits"
) -> tuple[Float64, Float64]:
    """Both as float64 [N]; ValueError unless they are 1-D, alike, finite, and outcomes 0 or 1.

    `name` is what the caller calls its first argument.
    """
    x, y = np.asarray(logits, np.float64), np.asarray(outcomes).astype(np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise ValueError(f"{name} and outcomes must both be [N], got {x.shape} and {y.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite, got {x[~np.isfinite(x)][0]}")
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError(f"outcomes must be 0 or 1, got {y[~np.isin(y, (0.0, 1.0))][0]}")
    return x, y


def _smoothed_targets(outcomes: Float64) -> tuple[float, float]:
    positives = float(outcomes.sum())
    return 1.0 / (len(outcomes) - positives + 2.0), (positives + 1.0) / (positives + 2.0)


def _knot_starts(counts: Float64, positives: Float64, max_knots: int) -> npt.NDArray[np.int64]:
    """Where each knot's logits begin among the distinct logits, rising; int64 [K]."""
    from scipy.optimize import isotonic_regression

    blocks = isotonic_regression(positives / counts, weights=counts).blocks[:-1]
    counts, positives = np.add.reduceat(counts, blocks), np.add.reduceat(positives, blocks)
    negatives = counts - positives
    shares = positives / max(positives.sum(), 1.0) + negatives / max(negatives.sum(), 1.0)
    middles = (np.cumsum(shares) - shares / 2) / shares.sum()
    knots = np.minimum((middles * max_knots).astype(np.int64), max_knots - 1)
    starts: npt.NDArray[np.int64] = blocks[np.unique(knots, return_index=True)[1]].astype(np.int64)
    return starts
