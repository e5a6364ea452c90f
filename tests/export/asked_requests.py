"""Requests as clients send them, and the same histories as tfrec's Python reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Columns, Sequences

START, DAY = 1_000_000_000_000, 86_400_000
UNKNOWN = "never heard of"


@dataclass(frozen=True)
class Request:
    """Inputs of a `_full` signature."""

    items: NDArray[Any]
    times: NDArray[np.int64]
    actions: NDArray[Any]
    values: NDArray[np.float32]
    now: NDArray[np.int64]
    facet_gain: NDArray[np.float32]
    event_gain: NDArray[np.float32]
    conformity_gain: NDArray[np.float32]

    @property
    def short(self) -> dict[str, Any]:
        return {"history_items": self.items, "history_times": self.times}

    @property
    def full(self) -> dict[str, Any]:
        names = ("actions", "values", "now", "facet_gain", "event_gain", "conformity_gain")
        return self.short | {name: getattr(self, name) for name in names}


def random_request(
    ids: list[str], facets: int, users: int, length: int, seed: int = 0, gains: bool = False
) -> Request:
    """Unsorted histories of 0 to `length` events with gaps, ties, doubles and unknown items."""
    rng = np.random.default_rng(seed)
    shape = (users, length)
    items = np.array(rng.choice(ids, shape), object)
    items[rng.random(shape) < 0.1] = UNKNOWN
    items[rng.random(shape) < np.linspace(0, 1, users)[:, None]] = ""
    times = START + DAY * rng.integers(0, 12, shape)

    def gain(*of: int) -> NDArray[np.float32]:
        drawn = rng.choice([0.0, 0.5, 1.0, 2.0], of)
        return np.asarray(drawn if gains else np.ones(of), np.float32)

    return Request(
        items,
        times,
        np.array(rng.choice(["view", "rate", "buy", "", "dance"], shape), object),
        np.where(rng.random(shape) < 0.3, np.nan, rng.integers(1, 6, shape)).astype(np.float32),
        START + 12 * DAY + rng.integers(0, DAY, users),
        gain(users, facets),
        gain(users, length),
        gain(users),
    )


@dataclass(frozen=True)
class Histories:
    """What of a request is known, by time, and where each event of it stands in the request."""

    sequences: Sequences
    columns: list[NDArray[np.int64]]


def known(request: Request, data: PreparedData, full: bool) -> Histories:
    """Known events, those of equal time in the given order."""
    place = {name: n for n, name in enumerate(data.items["item_id"].to_pylist())}
    assert data.columns.action is not None
    commonest = int(np.bincount(data.columns.action).argmax())
    number = {name: n for n, name in enumerate(data.meta.actions)}
    columns = []
    for items, times in zip(request.items, request.times, strict=True):
        there = np.array([n for n, name in enumerate(items) if name in place], np.int64)
        columns.append(there[np.argsort(times[there], kind="stable")])

    def flat(table: NDArray[Any]) -> list[Any]:
        return [table[row, column] for row, some in enumerate(columns) for column in some]

    actions = [number.get(name, commonest) for name in flat(request.actions)]
    values = np.array(flat(request.values), np.float32)
    log = Columns(
        np.array([place[name] for name in flat(request.items)], np.int32),
        np.array(flat(request.times), np.int64),
        np.array(actions if full else np.full(len(actions), commonest), np.int16),
        values if full else np.full(len(values), np.nan, np.float32),
    )
    stops = np.cumsum([len(some) for some in columns])
    starts = stops - [len(some) for some in columns]
    users = np.arange(len(columns), dtype=np.int32)
    return Histories(Sequences(users, starts, stops, log), columns)


def newest_last(values: NDArray[Any], histories: Histories, length: int, fill: float) -> Any:
    """[B, L] in the order of the request -> [B, length], as `Readings` hold events."""
    out = np.full((len(values), length), fill, values.dtype)
    for row, columns in enumerate(histories.columns):
        some = columns[-length:]
        if len(some):
            out[row, -len(some) :] = values[row, some]
    return out
