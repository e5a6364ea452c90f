"""Real histories out of a run's log, as a client would send them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData

Histories = npt.NDArray[Any]

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


def random_users(data: PreparedData, count: int, seed: int) -> list[Sample]:
    """Users drawn from all of the log, at most `count`, each with the newest events."""
    users = len(data.user_offsets) - 1
    drawn = np.random.default_rng(seed).choice(users, min(count, users), replace=False)
    return [_sample(data, int(user)) for user in drawn]


def padded(samples: Sequence[Sample]) -> tuple[Histories, Histories]:
    """Ids, bytes with b"" as padding, and times of histories, both [users, L]."""
    longest = max(len(sample.items) for sample in samples)
    ids = [[item.encode() for item in sample.items] for sample in samples]
    gaps = [longest - len(row) for row in ids]
    items = [row + [b""] * gap for row, gap in zip(ids, gaps, strict=True)]
    times = [sample.times + [0] * gap for sample, gap in zip(samples, gaps, strict=True)]
    return np.array(items, object), np.array(times, np.int64)


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
