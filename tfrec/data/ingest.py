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
from collections.abc import Callable
from pathlib import Path

from tfrec.data.catalogue import read_items, read_users, write_items, write_users
from tfrec.data.first_pass import FirstPass
from tfrec.data.layout import LogLayout
from tfrec.data.locate import cached_folder, locate
from tfrec.data.options import DataConfig
from tfrec.data.prepared import (
    META,
    Meta,
    PreparedData,
)
from tfrec.data.rejected import REJECTED, Rejected
from tfrec.data.second_pass import write_events
from tfrec.data.sequences import Int64
from tfrec.data.tally import Steps
from tfrec.data.writers import new_folder
from tfrec.errors import UserError

Log = Callable[[str], None]


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
            catalogue = profiles = None
            if layout.items:
                catalogue = read_items(layout, rejected)
                _check_share("items", catalogue.read, catalogue.bad, config, rejected, out)
            if layout.users:
                profiles = read_users(layout, rejected)
                _check_share("users", profiles.read, profiles.bad, config, rejected, out)
            for name, side in (("catalogue", catalogue), ("users' table", profiles)):
                if side and side.repeated:
                    log(
                        f"{side.repeated:,} rows of the {name} repeat an earlier one and count once"
                    )
            ids = catalogue.ids if catalogue else None
            first = FirstPass(layout, config, ids, folder / "runs.bin")
            log(f"timestamps: {_said(first.unit)}")
            steps = Steps(log)
            first.run(rejected, steps, log)
            _check_share("events", first.read, first.bad, config, rejected, out)
        _report(rejected, out, log)
        _check_left(steps)
        users, items = write_events(first, config, folder, steps)
        _check_left(steps)
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
    """Stops when too many rows of a table are bad; the list of them stays."""
    if bad <= config.max_bad_rows * read:
        rejected.first.clear()
        return
    kept = out.with_name(f"{out.name}.{REJECTED}")
    rejected.flush()
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
