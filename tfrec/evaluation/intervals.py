"""Bootstrap intervals over cases, all metrics from the same resamples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tfrec.evaluation.results import Interval

Float64 = npt.NDArray[np.float64]
PerCase = Mapping[str, npt.NDArray[np.floating]]

RESAMPLES = 1000
_STREAM = 0x626F_6F74
# Counts held at once: 16 MiB as float64, 2,097 cases by 1,000 resamples.
_CELLS_PER_BLOCK = 2**21


def intervals(
    per_case: PerCase,
    seed: int,
    ratios: Mapping[str, tuple[str, str]] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """Mean and 95 % percentile-bootstrap interval of every metric.

    What is resampled is the case: N cases are drawn with replacement from the N, and a drawn case
    brings all its values along. Efron & Tibshirani, "An Introduction to the Bootstrap", 1993,
    section 13.3. The interval speaks of other users from the same population, not of other
    training seeds. For a ratio the same draw recomputes both sums, so their dependence is kept.

    Arguments:
        per_case: metric name -> values of N cases, finite.
        seed: of the resamples; with one seed, all models of a table meet the same ones.
        ratios: name -> (numerator, denominator), names in `per_case`: adds
            sum(numerator) / sum(denominator), and leaves those two names out of the answer.
        resamples: number of resamples.

    Example:
        >>> found = intervals({"mrr": np.array([0.0, 1.0] * 50)}, seed=0)["mrr"]
        >>> found.value, 0.35 < found.low < 0.5 < found.high < 0.65
        (0.5, True)
    """
    ratios = ratios or {}
    names = list(per_case)
    values = np.stack([per_case[name] for name in names]).astype(np.float64)  # [M, N]
    observed = values.mean(axis=1)
    means = resampled_means(values.T, seed, resamples)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    parts = {part for pair in ratios.values() for part in pair}
    found = {
        name: Interval(float(observed[column]), float(low[column]), float(high[column]))
        for column, name in enumerate(names)
        if name not in parts
    }
    for name, (above, below) in ratios.items():
        top, bottom = names.index(above), names.index(below)
        if observed[bottom] == 0:
            raise ValueError(f"{name} is undefined: {below} sums to zero")
        defined = means[:, bottom] != 0
        low_high = np.quantile(means[defined, top] / means[defined, bottom], [0.025, 0.975])
        found[name] = Interval(float(observed[top] / observed[bottom]), *map(float, low_high))
    return found


def resampled_means(values: Float64, seed: int, resamples: int = RESAMPLES) -> Float64:
    """Column means of `resamples` draws of N rows with replacement.

    A draw is how often each row was taken, and all draws at once are a matrix product of those
    counts with the values: no resampled copy of the data is made. Rows come in blocks, so that
    memory does not grow with N: how many of a draw's N rows fall into each block is multinomial,
    and inside a block they fall evenly.

    Arguments:
        values: float64 [N, M], N at least 1.

    Returns:
        float64 [resamples, M].
    """
    cases = len(values)
    if cases == 0:
        raise ValueError("there are no cases to resample")
    rng = np.random.default_rng([seed, _STREAM])
    starts = np.arange(0, cases, max(1, _CELLS_PER_BLOCK // resamples))
    sizes = np.diff(starts, append=cases)
    drawn = rng.multinomial(cases, sizes / cases, size=resamples)  # [resamples, blocks]
    sums = np.zeros((resamples, values.shape[1]))
    for block, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        cells = np.repeat(np.arange(0, resamples * size, size), drawn[:, block])
        cells += rng.integers(0, size, len(cells))
        counts = np.bincount(cells, minlength=resamples * size).reshape(resamples, size)
        sums += counts.astype(np.float64) @ values[start : start + size]
    return sums / cases
