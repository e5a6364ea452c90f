"""How popular each item was, period after period: the crowd that a conformity line follows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfrec.data.sequences import Bool, Float32, Int64, Sequences

# Share of an earlier period's events that still count one period later.
CARRIED_OVER = 0.5


class Popularity(NamedTuple):
    """Popularity of I items in W periods.

    Attributes:
        starts: unix milliseconds at which each period begins, rising, [W].
        logarithm: lp_i(t), natural logarithm, 0 for a typical item of the period, [W, I].
    """

    starts: Int64
    logarithm: Float32


def popularity_by_period(
    train: Sequences, num_items: int, periods: int = 8, cold: Bool | None = None
) -> Popularity:
    """Cuts the log into periods of equal event counts and measures every item's popularity.

    A period is described by what happened before it: counts of earlier periods, each halved once
    per period since (`CARRIED_OVER`), plus the item's overall share as one period's worth of prior
    knowledge, so that a request never sees its own future beyond that prior. Ties in time may make
    fewer, larger periods; a log whose events all have one time has one.

    Arguments:
        train: training events.
        num_items: size of the catalogue, I.
        periods: how many periods at the most.
        cold: items of which no count can be known yet, bool [I]: each is as popular as a typical
            one of the others.

    Example:
        >>> from tfrec.data.sequences import Columns
        >>> log = Columns(np.array([0, 0, 1, 1], np.int32), np.array([1, 2, 3, 4]))
        >>> one = Sequences(np.zeros(1, np.int32), np.array([0]), np.array([4]), log)
        >>> popularity_by_period(one, num_items=2, periods=2).starts.tolist()
        [1, 3]
    """
    if periods < 1:
        raise ValueError(f"periods must be at least 1, got {periods}")
    rows = train.event_rows()
    times = np.asarray(train.columns.timestamp[rows])
    starts = np.unique(np.quantile(times, np.arange(periods) / periods, method="higher"))
    period = np.searchsorted(starts, times, "right") - 1
    items = np.asarray(train.columns.item[rows])
    cells = np.bincount(period * num_items + items, minlength=len(starts) * num_items)
    counts = cells.reshape(len(starts), num_items).astype(np.float64)

    prior = counts.sum(axis=0) / len(starts)
    # One event's worth of doubt keeps the logarithm of an item that nobody took finite.
    doubt = 1.0
    before = np.zeros(num_items)
    logarithm = np.empty((len(starts), num_items))
    for number, count in enumerate(counts):
        logarithm[number] = np.log(before + prior + doubt)
        before = CARRIED_OVER * (before + count)
    counted = np.ones(num_items, bool) if cold is None else ~cold
    logarithm -= logarithm[:, counted].mean(axis=1, keepdims=True)
    logarithm[:, ~counted] = 0
    return Popularity(starts.astype(np.int64), logarithm.astype(np.float32))
