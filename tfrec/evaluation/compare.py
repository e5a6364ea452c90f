"""Is one model better than another on the same cases? Paired differences, never two intervals.

Two models that are asked the same questions fail and succeed together; the difference case by
case removes what they share, which overlapping separate intervals cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfrec.errors import UserError
from tfrec.evaluation.case_metrics import CaseMetrics
from tfrec.evaluation.intervals import resampled_means
from tfrec.evaluation.results import Interval

Float64 = npt.NDArray[np.float64]

FLIPS = 10_000
_STREAM = 0x666C_6970
# Coins held at once, 64 MiB as float64: 838 cases by 10,000 flips.
_CELLS_PER_BLOCK = 2**23


@dataclass(frozen=True)
class PairedDifference:
    """One metric of model a beside model b on the same cases.

    Attributes:
        a, b: means over cases.
        difference: a - b with its 95 % paired bootstrap interval.
        relative: (a - b) / b, or None where b is 0.
        p_value: two-sided, of a difference at least as large if a and b were interchangeable.
        wins, ties, losses: cases in which a is above, equal to, below b.
    """

    a: float
    b: float
    difference: Interval
    relative: float | None
    p_value: float
    wins: int
    ties: int
    losses: int


def compare(a: CaseMetrics, b: CaseMetrics, seed: int) -> dict[str, PairedDifference]:
    """Paired comparison of every metric that both have, in the order of a.

    The interval resamples cases, each with both models' values. The p-value comes from a
    randomisation test that flips the sign of each case's difference: Smucker, Allan & Carterette,
    "A comparison of statistical significance tests for information retrieval evaluation", CIKM
    2007. It counts the observed arrangement as one of the 10,000 + 1, so it is never 0 (Phipson &
    Smyth, "Permutation p-values should never be zero", 2010).

    Raises:
        UserError: a and b were not measured on the same cases in the same way (the message says
            what differs), or share no metric.
    """
    _refuse_different_cases(a, b)
    names = [name for name in a.metrics if name in b.metrics]
    if not names:
        raise UserError(
            f"{a.name} and {b.name} have no metric in common: {', '.join(a.metrics)} against "
            f"{', '.join(b.metrics)}. Evaluate both with the same cut-offs"
        )
    of_a = np.stack([a.metrics[name] for name in names], axis=1).astype(np.float64)
    of_b = np.stack([b.metrics[name] for name in names], axis=1).astype(np.float64)
    differences = of_a - of_b  # [N, metrics]
    mean_a, mean_b, mean = of_a.mean(axis=0), of_b.mean(axis=0), differences.mean(axis=0)
    low, high = np.quantile(resampled_means(differences, seed), [0.025, 0.975], axis=0)
    p_values = sign_flip_test(differences, seed)
    return {
        name: PairedDifference(
            a=float(mean_a[column]),
            b=float(mean_b[column]),
            difference=Interval(float(mean[column]), float(low[column]), float(high[column])),
            relative=float(mean[column] / mean_b[column]) if mean_b[column] else None,
            p_value=float(p_values[column]),
            wins=int((differences[:, column] > 0).sum()),
            ties=int((differences[:, column] == 0).sum()),
            losses=int((differences[:, column] < 0).sum()),
        )
        for column, name in enumerate(names)
    }


def sign_flip_test(differences: Float64, seed: int, flips: int = FLIPS) -> Float64:
    """Two-sided p-value that the mean of each column is 0.

    Arguments:
        differences: float64 [N, M].

    Returns:
        float64 [M], at least 1 / (flips + 1).

    Example:
        >>> always_better = np.full((20, 1), 0.1)
        >>> bool(sign_flip_test(always_better, seed=0)[0] < 0.001)
        True
    """
    rng = np.random.default_rng([seed, _STREAM])
    sums = differences.sum(axis=0)
    kept_sums = np.zeros((flips, differences.shape[1]))  # of the differences that keep their sign
    step = max(8, _CELLS_PER_BLOCK // flips)
    for start in range(0, len(differences), step):
        block = differences[start : start + step]
        coins = rng.integers(0, 256, size=(flips, -(-len(block) // 8)), dtype=np.uint8)
        kept = np.unpackbits(coins, axis=1, count=len(block))  # [flips, block], 1 keeps the sign
        kept_sums += kept.astype(np.float64) @ block
    flipped = np.abs(2.0 * kept_sums - sums)
    # Sums of the same numbers in another order differ in the last bits; a flip that leaves the
    # sum as it was must still count as reaching it.
    reached = flipped >= np.abs(sums) - 1e-9 * np.abs(differences).sum(axis=0)
    p_values: Float64 = np.divide(reached.sum(axis=0) + 1, flips + 1)
    return p_values


def _refuse_different_cases(a: CaseMetrics, b: CaseMetrics) -> None:
    difference = _what_differs(a, b)
    if difference is not None:
        raise UserError(
            f"{a.name} and {b.name} cannot be compared: {difference}. A paired comparison needs "
            "the same cases: evaluate both on the same prepared data and the same split"
        )


def _what_differs(a: CaseMetrics, b: CaseMetrics) -> str | None:
    if a.split_hash != b.split_hash:
        return f"their splits differ ({a.split_hash} and {b.split_hash})"
    if a.protocol != b.protocol:
        return f"their protocols differ ({a.protocol!r} and {b.protocol!r})"
    if len(a) != len(b):
        return f"they have {len(a)} and {len(b)} cases"
    if not np.array_equal(a.users, b.users):
        case = int(np.argmax(a.users != b.users))
        return f"case {case} is user {a.users[case]} in one and user {b.users[case]} in the other"
    if not np.array_equal(a.target_offsets, b.target_offsets):
        case = int(np.argmax(np.diff(a.target_offsets) != np.diff(b.target_offsets)))
        return f"case {case} (user {a.users[case]}) has another number of targets"
    if not np.array_equal(a.targets, b.targets):
        target = int(np.argmax(a.targets != b.targets))
        case = int(np.searchsorted(a.target_offsets, target, side="right")) - 1
        return (
            f"case {case} (user {a.users[case]}) has target item {a.targets[target]} in one and "
            f"{b.targets[target]} in the other"
        )
    return None
