"""One pass over the events of a prepared log, in pieces of whole users.

Memory does not grow with the log: a piece is read from the memory-mapped arrays, counted, dropped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Int64

PIECE_EVENTS = 2_000_000
TIME_BINS = 60
MINUTE_MS = 60_000
YEAR_1990_MS = 631_152_000_000
FAST_EVENTS_PER_MINUTE = 30


@dataclass
class EventCounts:
    """What one pass over the events adds up.

    Attributes:
        item_events: events of each item, [I].
        action_events: events of each action, [number of actions].
        time_edges, time_events: events between consecutive edges (unix milliseconds); both
            empty when the log has no times.
        repeats: events whose user met the same item before.
        ties: adjacent events of a user with equal times.
        fast_users: users with more than FAST_EVENTS_PER_MINUTE events within some minute.
        future, ancient: events after now, and before 1990.
    """

    item_events: Int64
    action_events: Int64
    time_edges: npt.NDArray[np.float64]
    time_events: Int64
    repeats: int = 0
    ties: int = 0
    fast_users: int = 0
    future: int = 0
    ancient: int = 0


def count_events(data: PreparedData) -> EventCounts:
    """Counts everything that needs a look at every event."""
    offsets, columns = data.user_offsets, data.columns
    timed = has_times(data)
    edges = np.zeros(0)
    if timed:
        starts, ends = first_and_last(data)
        edges = np.linspace(starts.min(), max(ends.max(), starts.min() + 1), TIME_BINS + 1)
    counted = EventCounts(
        item_events=np.zeros(data.num_items, np.int64),
        action_events=np.zeros(len(data.meta.actions), np.int64),
        time_edges=edges,
        time_events=np.zeros(max(len(edges) - 1, 0), np.int64),
    )
    now = time.time() * 1000
    for first, stop in _pieces(offsets):
        rows = slice(int(offsets[first]), int(offsets[stop]))
        lengths = np.diff(offsets[first : stop + 1])
        user = np.repeat(np.arange(stop - first), lengths)
        item = np.asarray(columns.item[rows])
        counted.item_events += np.bincount(item, minlength=data.num_items)
        pairs = np.sort(user * data.num_items + item)
        counted.repeats += int((pairs[1:] == pairs[:-1]).sum())
        if columns.action is not None:
            action = np.asarray(columns.action[rows])
            counted.action_events += np.bincount(action, minlength=len(data.meta.actions))
        if not timed:
            continue
        when = np.asarray(columns.timestamp[rows])
        place = ((when - edges[0]) * (TIME_BINS / (edges[-1] - edges[0]))).astype(np.int64)
        # The last bin holds its upper edge too.
        counted.time_events += np.bincount(np.minimum(place, TIME_BINS - 1), minlength=TIME_BINS)
        counted.ties += int(((when[1:] == when[:-1]) & (user[1:] == user[:-1])).sum())
        counted.future += int((when > now).sum())
        counted.ancient += int((when < YEAR_1990_MS).sum())
        # Rows are in time order, so a burst is a row whose k-th successor is within a minute.
        k = FAST_EVENTS_PER_MINUTE
        burst = (when[k:] - when[:-k] < MINUTE_MS) & (user[k:] == user[:-k])
        fast = user[k:][burst]
        counted.fast_users += int((fast[1:] != fast[:-1]).sum()) + (len(fast) > 0)
    return counted


def has_times(data: PreparedData) -> bool:
    """Whether the timestamps are times, not just the order of the file."""
    return data.meta.time_unit != "none" and data.num_events > 0


def first_and_last(data: PreparedData) -> tuple[Int64, Int64]:
    """Time of each user's first and last event, of users with events."""
    starts, stops = data.user_offsets[:-1], data.user_offsets[1:]
    some = stops > starts
    when = data.columns.timestamp
    return np.asarray(when[starts[some]]), np.asarray(when[stops[some] - 1])


def _pieces(offsets: Int64) -> Iterator[tuple[int, int]]:
    """Ranges of users with about PIECE_EVENTS events each; one user is never split."""
    first, last = 0, len(offsets) - 1
    while first < last:
        stop = int(np.searchsorted(offsets, offsets[first] + PIECE_EVENTS, side="right")) - 1
        stop = max(stop, first + 1)
        yield first, stop
        first = stop
