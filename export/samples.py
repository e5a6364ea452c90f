"""Real histories out of a run's log, as a client would send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData

SAMPLES = 3
MOST_EVENTS = 50


class Sample(NamedTuple):
    """A user's newest events, oldest first.

    Attributes:
        items: ids. times: unix milliseconds. actions: "" where the log has none.
        strengths: NaN where the log has none.
    """

    items: list[str]
    times: list[int]
    actions: list[str]
    strengths: list[float]


def newest_users(data: PreparedData, count: int = SAMPLES) -> list[Sample]:
    """The users whose newest events are the newest of the log, at most `count`."""
    last = np.asarray(data.columns.timestamp[data.user_offsets[1:] - 1])
    users = np.argsort(-last, kind="stable")[:count]
    return [_sample(data, int(user)) for user in users]


def _sample(data: PreparedData, user: int) -> Sample:
    start, stop = data.user_offsets[user], data.user_offsets[user + 1]
    rows = slice(max(start, stop - MOST_EVENTS), stop)
    columns = data.columns
    length = rows.stop - rows.start
    actions = [""] * length
    if columns.action is not None:
        actions = [data.meta.actions[number] for number in columns.action[rows].tolist()]
    strengths = [float("nan")] * length
    if columns.strength is not None:
        strengths = columns.strength[rows].tolist()
    return Sample(
        items=data.items["item_id"].take(columns.item[rows]).to_pylist(),
        times=columns.timestamp[rows].tolist(),
        actions=actions,
        strengths=strengths,
    )
