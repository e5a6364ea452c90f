"""Several prepared logs -> one prepared folder, whose items say which log they are of: the domain.

Each log was read, checked and filtered by itself, with columns, texts and times of its own. Joined,
a user who is in several has one history, in order of time. Memory holds the ids and the catalogues;
events are read and written a block of users at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.data.join_tables import join_items, join_users
from tfrec.data.prepared import (
    EVENT_ACTION,
    EVENT_CONTEXT,
    EVENT_ITEM,
    EVENT_STRENGTH,
    EVENT_TIMESTAMP,
    ITEMS,
    USER_OFFSETS,
    USERS,
    Meta,
    PreparedData,
    Step,
)
from tfrec.data.sequences import Int64, ragged_index
from tfrec.data.tally import Steps
from tfrec.data.writers import ArrayWriter, new_folder
from tfrec.errors import UserError

Log = Callable[[str], None]
SEPARABLE = ("users", "items")
# Events that are sorted in one go, unless a single user has more.
_BLOCK = 1 << 20


def join(
    folders: Mapping[str, Path], out: Path, separate: Collection[str] = (), log: Log = print
) -> PreparedData:
    """Joins prepared logs into the prepared folder `out`.

    Users of the first log come first, then those whom the second adds, and so on; items are those
    of the first, then of the second. Events at the same time keep the order of the logs. Actions,
    strengths and contexts stay where every log has them.

    Arguments:
        folders: name of a domain -> prepared folder, at least two.
        separate: "users", "items", both or neither: whose equal ids in two logs mean different
            things. Their ids are written as "<domain>/<id>". Otherwise equal user ids are one
            user, and an item id may be in one log only.
        log: takes one line of news at a time.

    Raises:
        UserError: a folder cannot be read, an item is in two domains, or events of one user
            cannot be ordered because a log has no times.

    Example:
        >>> join({"books": Path("books"), "films": Path("films")}, Path("both"))  # doctest: +SKIP
    """
    import pyarrow.parquet

    _check(folders, separate, out)
    logs = {name: PreparedData.open(folder) for name, folder in folders.items()}
    _check_times(logs, separate)
    users, numbers = join_users(logs, "users" in separate)
    items = join_items(logs, "items" in separate)
    fields, vocabularies = _fields(logs, log)
    steps = Steps(log)
    for name, data in logs.items():
        steps.add(Step(name, data.num_events, data.num_users, data.num_items))
    events = sum(data.num_events for data in logs.values())
    steps.add(Step("joined", events, len(users), len(items)))
    if "users" not in separate:
        shared = np.count_nonzero(np.bincount(np.concatenate(numbers)) > 1)
        log(f"{shared:,} users are in more than one log, by their ids")
    with new_folder(out) as folder:
        _write_events(logs, numbers, len(users), fields, folder)
        pyarrow.parquet.write_table(users, folder / USERS)
        pyarrow.parquet.write_table(items, folder / ITEMS)
        metas = [data.meta for data in logs.values()]
        texts = [column for meta in metas for column in meta.text_columns]
        Meta(
            source=", ".join(f"{name}={data.meta.source}" for name, data in logs.items()),
            num_events=events,
            num_users=len(users),
            num_items=len(items),
            actions=vocabularies.get(EVENT_ACTION, []),
            contexts=vocabularies.get(EVENT_CONTEXT, []),
            text_columns=list(dict.fromkeys(texts)),
            time_unit=" and ".join(dict.fromkeys(meta.time_unit for meta in metas)),
            steps=steps.done,
            rejected_rows=sum(meta.rejected_rows for meta in metas),
        ).save(folder)
    return PreparedData.open(out)


def _check(folders: Mapping[str, Path], separate: Collection[str], out: Path) -> None:
    if len(folders) < 2:
        raise UserError("a join takes at least two logs: NAME=FOLDER NAME=FOLDER")
    for what in separate:
        if what not in SEPARABLE:
            raise UserError(f"--separate {what!r} is not known: write users, items or users,items")
    for name, folder in folders.items():
        if folder.resolve() == out.resolve():
            raise UserError(f"{out} is the log {name!r} itself: choose another name for the join")


def _check_times(logs: Mapping[str, PreparedData], separate: Collection[str]) -> None:
    untimed = [name for name, data in logs.items() if data.meta.time_unit == "none"]
    if untimed and (len(untimed) < len(logs) or "users" not in separate):
        raise UserError(
            f"{logs[untimed[0]].folder} ({untimed[0]}) has no times, so its events cannot be "
            "put in order with those of another log. Prepare it with a timestamp. Logs without "
            "times can be joined with each other where no user is in two: --separate users"
        )


class _Field:
    """One column of events in every log.

    Attributes:
        dtype: of the file.
        values: per log, the column and what its numbers become (None: they stay).
    """

    def __init__(
        self, dtype: str, values: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any] | None]]
    ) -> None:
        self.dtype = dtype
        self.values = values

    def read(self, log: int, rows: Int64) -> npt.NDArray[Any]:
        column, renumbered = self.values[log]
        read = np.asarray(column[rows])
        return read if renumbered is None else renumbered[read]


def _fields(
    logs: Mapping[str, PreparedData], log: Log
) -> tuple[dict[str, _Field], dict[str, list[str]]]:
    """File name -> the column, and the joined vocabularies of actions and contexts."""
    starts = np.cumsum([0, *(data.num_items for data in logs.values())])
    fields = {
        EVENT_ITEM: _Field(
            "i4",
            [
                (data.columns.item, np.arange(start, start + data.num_items))
                for start, data in zip(starts[:-1], logs.values(), strict=True)
            ],
        ),
        EVENT_TIMESTAMP: _Field("i8", [(data.columns.timestamp, None) for data in logs.values()]),
    }
    vocabularies: dict[str, list[str]] = {}
    for file, dtype, what in (
        (EVENT_ACTION, "i2", "actions"),
        (EVENT_CONTEXT, "i4", "contexts"),
        (EVENT_STRENGTH, "f4", "strengths"),
    ):
        has = [name for name, data in logs.items() if (data.folder / file).exists()]
        if has and len(has) < len(logs):
            without = ", ".join(name for name in logs if name not in has)
            log(f"{what} of {', '.join(has)} are left out: {without} has none")
        if len(has) < len(logs):
            continue
        columns = [np.load(data.folder / file, mmap_mode="r") for data in logs.values()]
        renumbered: list[npt.NDArray[Any] | None] = [None] * len(logs)
        if file != EVENT_STRENGTH:
            own = [getattr(data.meta, what) for data in logs.values()]
            vocabularies[file] = list(dict.fromkeys(name for names in own for name in names))
            place = {name: number for number, name in enumerate(vocabularies[file])}
            # One more at the end, which is where -1, no context, points.
            renumbered = [np.array([*map(place.__getitem__, names), -1]) for names in own]
        fields[file] = _Field(dtype, list(zip(columns, renumbered, strict=True)))
    return fields, vocabularies


def _write_events(
    logs: Mapping[str, PreparedData],
    numbers: Sequence[Int64],
    num_users: int,
    fields: Mapping[str, _Field],
    folder: Path,
) -> None:
    """The arrays of the folder.

    Arguments:
        numbers: per log, the joined number of each of its users.
    """
    starts = np.zeros((len(logs), num_users), np.int64)  # first row of a user in each log
    lengths = np.zeros((len(logs), num_users), np.int64)
    for n, (data, number) in enumerate(zip(logs.values(), numbers, strict=True)):
        starts[n, number] = data.user_offsets[:-1]
        lengths[n, number] = np.diff(data.user_offsets)
    offsets = np.concatenate([[0], np.cumsum(lengths.sum(axis=0))]).astype(np.int64)
    np.save(folder / USER_OFFSETS, offsets)
    with ExitStack() as files:
        writers = {
            file: files.enter_context(closing(ArrayWriter(folder / file, field.dtype)))
            for file, field in fields.items()
        }
        first = 0
        while first < num_users:
            last = int(np.searchsorted(offsets, offsets[first] + _BLOCK, side="right")) - 1
            block = slice(first, max(last, first + 1))
            rows = [ragged_index(starts[n, block], lengths[n, block]) for n in range(len(logs))]
            read = {
                file: np.concatenate([field.read(n, rows[n]) for n in range(len(logs))])
                for file, field in fields.items()
            }
            owner = np.tile(np.arange(block.stop - block.start), len(logs))
            users = np.repeat(owner, lengths[:, block].reshape(-1))
            # Stable, so that events at the same time keep the order of the logs.
            order = np.lexsort((read[EVENT_TIMESTAMP], users))
            for file, writer in writers.items():
                writer.append(read[file][order])
            first = block.stop
