"""From a raw log to a prepared folder: read, check, number, filter, sort, write.

The log is streamed, memory holds a few blocks and some numbers per user and item:

1. files -> checked rows with indices for ids -> sorted runs on disk (`first_pass`, `runs`),
2. runs -> events of each user in order of time,
3. only with filters that count events: once per round of counting (`filters`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

import numpy as np

from tfrec.data.catalogue import read_items, read_users, write_items, write_users
from tfrec.data.events import ACTION, CONTEXT, STRENGTH
from tfrec.data.filters import add_counts, counts, distinct_pairs, k_core
from tfrec.data.first_pass import FirstPass
from tfrec.data.layout import LogLayout
from tfrec.data.locate import cached_folder, locate
from tfrec.data.options import DataConfig
from tfrec.data.prepared import (
    EVENT_ACTION,
    EVENT_CONTEXT,
    EVENT_ITEM,
    EVENT_STRENGTH,
    EVENT_TIMESTAMP,
    META,
    USER_OFFSETS,
    Meta,
    PreparedData,
    Step,
)
from tfrec.data.rejected import REJECTED, Rejected
from tfrec.data.runs import Records
from tfrec.data.sequences import Bool, Int32, Int64
from tfrec.data.tally import Steps
from tfrec.data.writers import ArrayWriter, new_folder
from tfrec.errors import UserError

Log = Callable[[str], None]

_FILES = {
    "item": (EVENT_ITEM, "i4"),
    "timestamp": (EVENT_TIMESTAMP, "i8"),
    ACTION: (EVENT_ACTION, "i2"),
    STRENGTH: (EVENT_STRENGTH, "f4"),
    CONTEXT: (EVENT_CONTEXT, "i4"),
}
_PIECE = 1 << 18


def prepare(layout: LogLayout, config: DataConfig, out: Path, log: Log = print) -> PreparedData:
    """Reads, checks, filters and sorts a log into the prepared folder `out`.

    Users are numbered in the order of their first event in the source, items in the order of the
    catalogue, or of their first event where there is none. Only users and items with events stay.

    Arguments:
        layout: the log.
        config: filters and limits; where the log lies is `layout`'s business.
        out: the folder to write; a prepared folder that is there is replaced once the new one is
            complete, anything else is left alone.
        log: takes one line of news at a time.

    Raises:
        UserError: a file or column is missing, no time format fits, more than
            `config.max_bad_rows` of the rows are bad, or no event is left.

    Example:
        >>> layout = LogLayout("log.csv", TableLayout([Path("log.csv")]))      # doctest: +SKIP
        >>> prepare(layout, DataConfig(k_core=5), Path("prepared")).num_events  # doctest: +SKIP
        999611
    """
    log(f"reading {layout.source}")
    if layout.licence:
        log(f"licence: {layout.licence}")
    hash_id = _keyed_hash(config.hash_ids) if config.hash_ids is not None else None
    tables = [table for table in (layout.events, layout.users) if table is not None]
    user_fields = {table.columns.get("user_id", "user_id") for table in tables}
    with new_folder(out) as folder:
        with Rejected(folder / REJECTED, user_fields, hash_id) as rejected:
            catalogue = read_items(layout, rejected) if layout.items else None
            profiles = read_users(layout, rejected) if layout.users else None
            ids = catalogue.ids if catalogue else None
            first = FirstPass(layout, config, ids, folder / "runs.bin")
            log(f"timestamps: {_said(first.unit)}")
            steps = Steps(log)
            first.run(rejected, steps, log)
        _report(rejected, out, log)
        _check_share("events", first.read, first.bad, config, rejected, out)
        for name, table in (("items", catalogue), ("users", profiles)):
            if table is not None:
                _check_share(name, table.read, table.bad, config, rejected, out)
        _check_left(steps)
        users, items = _write_events(first, config, folder, steps)
        (folder / "runs.bin").unlink()
        if catalogue and (dropped := len(catalogue.ids) - len(items)):
            log(f"{dropped:,} of {len(catalogue.ids):,} items of the catalogue have no event left")
        write_users(folder, _chosen(first.users.names(), users), profiles, hash_id)
        write_items(folder, _chosen(first.items.names(), items), items, catalogue)
        meta = Meta(
            source=layout.source,
            num_events=steps.done[-1].events,
            num_users=len(users),
            num_items=len(items),
            actions=first.kept_actions,
            contexts=first.contexts.names(),
            text_columns=layout.text_columns if catalogue else [],
            time_unit=first.unit,
            steps=steps.done,
            rejected_rows=rejected.total,
        )
        meta.save(folder)
    return PreparedData.open(out)


def load(config: DataConfig, log: Log = print) -> PreparedData:
    """The prepared log that `config.data` names: opened where it is prepared already, else made.

    What it makes goes into the cache, under a name that depends on the files (path, size, time of
    change), the options and the format, so that the next run with the same ones finds it.

    Raises:
        UserError: nothing has that name; filters are asked of a folder that is already prepared;
            or what `prepare` raises.

    Example:
        >>> load(DataConfig(data="movielens-1m:data/ml-1m", k_core=5))  # doctest: +SKIP
    """
    folder = Path(config.data).expanduser()
    if (folder / META).is_file():
        _check_no_options(config)
        return PreparedData.open(folder)
    layout = locate(config, log)
    cached = cached_folder(layout, config)
    if (cached / META).is_file():
        data = PreparedData.open(cached)
        log(f"using {layout.source} as prepared before in {cached}")
        return data
    return prepare(layout, config, cached, log)


def _check_no_options(config: DataConfig) -> None:
    plain = DataConfig(data=config.data, cache=config.cache, max_bad_rows=config.max_bad_rows)
    asked = [
        "--" + field.name.replace("_", "-")
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(plain, field.name)
    ]
    if asked:
        raise UserError(
            f"{config.data} is prepared already, so {', '.join(asked)} cannot change it. Prepare "
            "the raw log again with these options"
        )


def _write_events(
    first: FirstPass, config: DataConfig, folder: Path, steps: Steps
) -> tuple[Int64, Int64]:
    """Second and third pass. Returns the numbers of the users and of the items that stay."""
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
        _check_left(steps)
        stream = (
            records[users[records["user"]] & items[records["item"]]]
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
        yield records[distinct_pairs(records["user"], records["item"], keep)]


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


def _keyed_hash(salt: str) -> Callable[[str], str]:
    """Keyed BLAKE2b: without the salt nobody can test whether a name is behind a hash."""
    key = hashlib.blake2b(salt.encode()).digest()
    return lambda name: hashlib.blake2b(name.encode(), key=key, digest_size=16).hexdigest()


def _chosen(names: list[str], numbers: Int64) -> list[str]:
    return names if len(names) == len(numbers) else [names[n] for n in numbers.tolist()]


def _said(unit: str) -> str:
    return {
        "seconds": "unix seconds",
        "milliseconds": "unix milliseconds",
        "ISO 8601": "ISO 8601; where there is no zone, UTC",
        "none": "none; the order of the file stands in",
    }[unit]


def _report(rejected: Rejected, out: Path, log: Log) -> None:
    if not rejected.total:
        return
    reasons = ", ".join(
        f"{count:,} {reason}" for reason, count in rejected.by_reason.most_common(5)
    )
    log(f"{rejected.total:,} bad rows are listed in {out / REJECTED}: {reasons}")


def _check_share(
    what: str, read: int, bad: int, config: DataConfig, rejected: Rejected, out: Path
) -> None:
    """Stops when too many rows are bad; the list of them stays."""
    if bad <= config.max_bad_rows * read:
        return
    kept = out.with_name(f"{out.name}.{REJECTED}")
    shutil.copyfile(rejected.path, kept)
    raise UserError(
        f"{bad:,} of {read:,} rows of the {what} are bad, more than --max-bad-rows "
        f"{config.max_bad_rows:g} allows. The first: {'; '.join(map(str, rejected.first))}. "
        f"All are in {kept}. Repair the log, or raise the limit"
    )


def _check_left(steps: Steps) -> None:
    last = steps.done[-1]
    if last.events == 0:
        raise UserError(f"no event is left after the step '{last.name}'. Loosen the filters")
