"""The passes after the first: sorted events -> filters that count -> the arrays of the folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

import numpy as np

from tfrec.data.events import ACTION, CONTEXT, STRENGTH
from tfrec.data.filters import add_counts, counts, distinct_pairs, k_core
from tfrec.data.first_pass import FirstPass
from tfrec.data.options import DataConfig
from tfrec.data.prepared import (
    EVENT_ACTION,
    EVENT_CONTEXT,
    EVENT_ITEM,
    EVENT_STRENGTH,
    EVENT_TIMESTAMP,
    USER_OFFSETS,
    Step,
)
from tfrec.data.runs import Records, take
from tfrec.data.sequences import Bool, Int32, Int64
from tfrec.data.tally import Steps
from tfrec.data.writers import ArrayWriter

_FILES = {
    "item": (EVENT_ITEM, "i4"),
    "timestamp": (EVENT_TIMESTAMP, "i8"),
    ACTION: (EVENT_ACTION, "i2"),
    STRENGTH: (EVENT_STRENGTH, "f4"),
    CONTEXT: (EVENT_CONTEXT, "i4"),
}
_PIECE = 1 << 17


def write_events(
    first: FirstPass, config: DataConfig, folder: Path, steps: Steps
) -> tuple[Int64, Int64]:
    """Writes the events that pass the filters that count, by user and time.

    Returns:
        int64: the numbers of the users and of the items that stay, in the order of the first pass.
    """
    users = first.kept.users.mask(len(first.users))
    items = first.kept.items.mask(len(first.items))
    stream = first.runs.sorted()
    written = first.kept.events
    if config.duplicates != "keep":
        stream = _without_duplicates(stream, config.duplicates)
    if counted := (config.min_item_events, config.min_user_events, config.k_core) != (0, 0, 0):
        path = folder / "sorted.bin"
        with path.open("wb") as file:
            for records in stream:
                records.tofile(file)
        written = path.stat().st_size // first.runs.dtype.itemsize
    if counted and config.duplicates != "keep":
        steps.add(_duplicates_step(written, users, items))
    if counted:
        users, items = _counted_filters(path, first.runs.dtype, users, items, config, steps)
        stream = (
            take(records, np.flatnonzero(users[records["user"]] & items[records["item"]]))
            for records in _reread(path, first.runs.dtype)
        )
    with ExitStack() as files:
        writers = {
            name: files.enter_context(closing(ArrayWriter(folder / file, dtype)))
            for name, (file, dtype) in _FILES.items()
            if name in (first.runs.dtype.names or ())
        }
        written = _write_columns(stream, writers, users, items, first.action_map, folder)
    if counted:
        path.unlink()
    elif config.duplicates != "keep":
        steps.add(_duplicates_step(written, users, items))
    return np.flatnonzero(users), np.flatnonzero(items)


def _write_columns(
    stream: Iterator[Records],
    writers: dict[str, ArrayWriter],
    users: Bool,
    items: Bool,
    actions: Int32 | None,
    folder: Path,
) -> int:
    """Renumbers what stays without gaps and writes it. Returns the number of events."""
    user_number = (np.cumsum(users) - 1).astype(np.int32)
    item_number = (np.cumsum(items) - 1).astype(np.int32)
    per_user = np.zeros(int(users.sum()), np.int64)
    for records in stream:
        add_counts(per_user, user_number[records["user"]])
        for name, writer in writers.items():
            column = records[name]
            if name == "item":
                column = item_number[column]
            elif name == ACTION and actions is not None:
                column = actions[column]
            writer.append(column)
    offsets = np.concatenate([[0], np.cumsum(per_user)]).astype(np.int64)
    np.save(folder / USER_OFFSETS, offsets)
    return int(offsets[-1])


def _without_duplicates(
    stream: Iterator[Records], keep: Literal["first", "last"]
) -> Iterator[Records]:
    for records in stream:
        kept = distinct_pairs(records["user"], records["item"], keep)
        yield take(records, np.flatnonzero(kept))


def _duplicates_step(events: int, users: Bool, items: Bool) -> Step:
    # A repeated event goes only where another of the same user and item stays.
    return Step("repeated events", events, int(users.sum()), int(items.sum()))


def _counted_filters(
    path: Path,
    dtype: np.dtype[np.void],
    users: Bool,
    items: Bool,
    config: DataConfig,
    steps: Steps,
) -> tuple[Bool, Bool]:
    def pairs() -> Iterator[tuple[Int32, Int32]]:
        for records in _reread(path, dtype):
            yield records["user"], records["item"]

    def done(name: str, users: Bool, items: Bool) -> tuple[Bool, Bool]:
        per_user, per_item = counts(pairs, users, items)
        users, items = per_user > 0, per_item > 0
        steps.add(Step(name, int(per_user.sum()), int(users.sum()), int(items.sum())))
        return users, items

    if least := config.min_item_events:
        kept = counts(pairs, users, items)[1] >= least
        users, items = done(f"items with >= {least} events", users, items & kept)
    if least := config.min_user_events:
        kept = counts(pairs, users, items)[0] >= least
        users, items = done(f"users with >= {least} events", users & kept, items)
    if config.k_core:
        users, items = done(f"{config.k_core}-core", *k_core(pairs, users, items, config.k_core))
    return users, items


def _reread(path: Path, dtype: np.dtype[np.void]) -> Iterator[Records]:
    with path.open("rb") as file:
        while len(records := np.fromfile(file, dtype, _PIECE)):
            yield records
