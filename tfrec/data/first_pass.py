"""The first pass over a log: files -> checked, numbered events in runs on disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tfrec.data import timestamps
from tfrec.data.chunk import Chunk
from tfrec.data.encode import Ids, Index
from tfrec.data.events import ACTION, CONTEXT, ITEM, STRENGTH, TIMESTAMP, USER, EventReader, Events
from tfrec.data.layout import LogLayout
from tfrec.data.options import DataConfig
from tfrec.data.prepared import Step
from tfrec.data.rejected import BadRow, Rejected
from tfrec.data.runs import Runs
from tfrec.data.sequences import Bool, Int32
from tfrec.data.sources import check_columns, peek, read_chunks
from tfrec.data.tally import Steps, Tally
from tfrec.data.timestamps import TimeUnit
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

Log = Callable[[str], None]
# Seconds between two lines of news from a long log.
_NEWS = 10.0
_MOST_ACTIONS = 1000
_ROLES = (USER, ITEM, TIMESTAMP, ACTION, STRENGTH, CONTEXT)


class FirstPass:
    """Reads every event once.

    Arguments:
        layout: the log.
        config: which events to keep.
        catalogue: the item ids that are known, or None when every item is.
        spill: file for the runs.

    Attributes:
        users, items, actions, contexts: the ids and their indices.
        runs: the events that passed, with columns user, item, timestamp and what the log has.
        unit: how times are written.
        kept: counts of what passed every step.
        read, bad: rows in the files, and bad ones among them.
    """

    def __init__(
        self, layout: LogLayout, config: DataConfig, catalogue: list[str] | None, spill: Path
    ) -> None:
        self._layout = layout.events
        self._config = config
        start = peek(layout.events)
        self._columns = _columns(layout, config, start)
        self.unit: TimeUnit = "none"
        if TIMESTAMP in self._columns:
            column = self._columns[TIMESTAMP]
            sample = start.table[column].combine_chunks()
            self.unit = timestamps.detect(sample, f"{start.file}, column {column!r}")
        self.users, self.items = Index(), Index(catalogue)
        self.actions, self.contexts = Index(), Index()
        optional = [(ACTION, "i2"), (STRENGTH, "f4"), (CONTEXT, "i4")]
        self.fields = [name for name, _ in optional if name in self._columns]
        self.runs = Runs(
            spill,
            [("user", "i4"), ("item", "i4"), ("timestamp", "i8")]
            + [(name, kind) for name, kind in optional if name in self.fields],
        )
        self._types = _numeric_types(start, self._columns)
        self._known_items = catalogue is not None
        self._good = Tally("read")
        self._filters = _row_filters(config, self)
        self._tallies = [Tally(name) for name, _ in self._filters]
        self.read = self.bad = 0

    @property
    def kept(self) -> Tally:
        return self._tallies[-1] if self._tallies else self._good

    @property
    def kept_actions(self) -> list[str]:
        """The action vocabulary: those selected, or all."""
        chosen = self._config.actions
        return [name for name in self.actions.names() if not chosen or name in chosen]

    @property
    def action_map(self) -> Int32 | None:
        """Number of an action -> its number in `kept_actions`; None when they are the same."""
        if not self._config.actions:
            return None
        kept = {name: number for number, name in enumerate(self.kept_actions)}
        return np.array([kept.get(name, -1) for name in self.actions.names()], np.int32)

    def run(self, rejected: Rejected, steps: Steps, log: Log) -> None:
        """Reads the log, writes bad rows to `rejected` and counts into `steps`."""
        reader = EventReader(self._columns, self.unit)
        said = time.monotonic()
        columns = list(self._columns.values())
        for events in read_chunks(self._layout, columns, reader, self._types):
            self._take(events, rejected)
            if time.monotonic() - said > _NEWS:
                said = time.monotonic()
                log(f"{self.read:,} rows read")
        known = self.actions.names()
        for name in self._config.actions:
            if name not in known:
                raise UserError(f"--actions {name}: the log's actions are {', '.join(known)}")
        good = self._good.step()
        steps.add(Step("read", self.read, good.users, good.items))
        if self.bad:
            steps.add(Step("bad rows set aside", good.events, good.users, good.items))
        for tally in self._tallies:
            steps.add(tally.step())

    def _take(self, events: Events, rejected: Rejected) -> None:
        self.read += events.read
        bad = events.bad
        items = self.items.encode(events.items)
        if self._known_items and (items < 0).any():
            unknown = events.keep(items < 0)
            bad = sorted([*bad, *self._unknown(unknown)], key=lambda row: row.line)
            events, items = events.keep(items >= 0), items[items >= 0]
        rejected.add(bad)
        self.bad += len(bad)
        columns: dict[str, npt.NDArray[Any]] = {
            "user": self.users.encode(events.users),
            "item": items,
            "timestamp": self._times(events),
        }
        if events.actions is not None:
            columns[ACTION] = self.actions.encode(events.actions)
            if len(self.actions) > _MOST_ACTIONS:
                raise UserError(
                    f"{events.file}: column {self._columns[ACTION]!r} has over {_MOST_ACTIONS} "
                    "distinct actions. Name the right column with --columns action=…"
                )
        if events.strengths is not None:
            columns[STRENGTH] = events.strengths
        if events.contexts is not None:
            columns[CONTEXT] = _encode_known(self.contexts, events.contexts)
        self._good.add(columns["user"], columns["item"])
        for (_, chosen), tally in zip(self._filters, self._tallies, strict=True):
            rows = chosen(columns)
            if not rows.all():
                columns = {name: column[rows] for name, column in columns.items()}
            tally.add(columns["user"], columns["item"])
        self.runs.add(columns)

    def _times(self, events: Events) -> npt.NDArray[np.int64]:
        if events.times is not None:
            return events.times
        return np.arange(self._good.events, self._good.events + len(events), dtype=np.int64)

    def _unknown(self, events: Events) -> list[BadRow]:
        reason = "item is not in the catalogue"
        return [
            BadRow(events.file, line, self._columns[ITEM], name, reason)
            for line, name in zip(events.lines.tolist(), events.items.texts(), strict=True)
        ]


RowFilter = Callable[[dict[str, npt.NDArray[Any]]], Bool]


def _row_filters(config: DataConfig, log: FirstPass) -> list[tuple[str, RowFilter]]:
    """The filters that look at one event at a time, with the name of their step."""
    filters: list[tuple[str, RowFilter]] = []
    if config.actions:
        if ACTION not in log.fields:
            raise UserError("--actions: the log has no action column. Name it with --columns")
        allowed = set(config.actions)

        def has_action(columns: dict[str, npt.NDArray[Any]]) -> Bool:
            table = np.array([name in allowed for name in log.actions.names()], bool)
            return np.asarray(table[columns[ACTION]])

        filters.append((f"actions {','.join(config.actions)}"[:24], has_action))
    if config.min_strength is not None:
        if STRENGTH not in log.fields:
            raise UserError(
                "--min-strength: the log has no strength column. Name it with --columns"
            )
        least = np.float32(config.min_strength)

        def strong(columns: dict[str, npt.NDArray[Any]]) -> Bool:
            return np.asarray(columns[STRENGTH] >= least)

        filters.append((f"strength >= {config.min_strength:g}", strong))
    if config.start is not None or config.end is not None:
        if log.unit == "none":
            raise UserError("--start and --end: the log has no timestamp column")
        filters.append(_time_range(config.start, config.end))
    return filters


def _time_range(start: str | None, end: str | None) -> tuple[str, RowFilter]:
    earliest = timestamps.parse_one(start, "--start") if start is not None else None
    latest = timestamps.parse_one(end, "--end") if end is not None else None
    if earliest is not None and latest is not None and earliest >= latest:
        raise UserError(f"--start {start} is not before --end {end}")

    def inside(columns: dict[str, npt.NDArray[Any]]) -> Bool:
        times = columns["timestamp"]
        rows = np.ones(len(times), bool)
        if earliest is not None:
            rows &= times >= earliest
        if latest is not None:
            rows &= times < latest
        return rows

    return "time range", inside


def _columns(layout: LogLayout, config: DataConfig, start: Chunk) -> dict[str, str]:
    """Our name -> the file's name of the columns that the events have."""
    table = layout.events
    present = start.table.column_names
    needed = [USER, ITEM] if layout.ordinal_time else [USER, ITEM, TIMESTAMP]
    # A column that is named must be there; the others are taken where they are.
    named = [name for name in _ROLES if name in table.columns or name in needed]
    if layout.ordinal_time and TIMESTAMP in named:
        named.remove(TIMESTAMP)
    theirs = {name: table.columns.get(name, name) for name in named}
    check_columns(start.file, table, list(theirs.values()), present)
    for name in (ACTION, STRENGTH, CONTEXT):
        if name in present:
            theirs.setdefault(name, name)
    return theirs


def _numeric_types(start: Chunk, columns: dict[str, str]) -> dict[str, pyarrow.DataType]:
    """The columns that hold numbers as far as the first rows show."""
    import pyarrow

    types: dict[str, pyarrow.DataType] = {}
    for name, type in ((TIMESTAMP, pyarrow.int64()), (STRENGTH, pyarrow.float64())):
        if name in columns:
            try:
                start.table[columns[name]].cast(type)
            except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
                continue
            types[columns[name]] = type
    return types


def _encode_known(index: Index, ids: Ids) -> Int32:
    """Indices, -1 where there is no id."""
    known = ids.known
    if known is None or known.all():
        return index.encode(ids)
    codes = np.full(len(known), -1, np.int32)
    codes[known] = index.encode(ids.keep(known))
    return codes
