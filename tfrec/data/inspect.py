"""What is in a log: sizes, long tail, time, texts, and what looks wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.data.inspect_events import (
    FAST_EVENTS_PER_MINUTE,
    EventCounts,
    count_events,
    first_and_last,
    has_times,
)
from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Int64

SAMPLE_EVENTS = 1_000_000
DAY_MS = 86_400_000
EXTREME_TIMES_MEDIAN = 50
QUANTILES = {"min": 0.0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95}
QUANTILES |= {"max": 1.0}

Facts = dict[str, Any]


@dataclass(frozen=True)
class Inspection:
    """The findings, and the distributions behind them.

    Attributes:
        facts: nested, of plain numbers and strings, ready for JSON.
        user_events: events of each user, [U].
        item_events: events of each item, [I].
        time_edges, time_events: events between consecutive edges (unix milliseconds); both
            empty when the log has no times.
        text_words: words in each item's text, per text column, [I].
    """

    facts: Facts
    user_events: Int64
    item_events: Int64
    time_edges: npt.NDArray[np.float64]
    time_events: Int64
    text_words: dict[str, Int64]


def inspect(data: PreparedData) -> Inspection:
    """Looks at all of a prepared log.

    Example:
        >>> inspect(PreparedData.open("prepared/ml-1m")).facts["size"]  # doctest: +SKIP
        {'events': 1000209, 'users': 6040, 'items': 3706, 'density': 0.0447}
    """
    user_events = np.diff(data.user_offsets)
    counted = count_events(data)
    texts, text_words = _texts(data)
    facts: Facts = {
        "source": data.meta.source,
        "folder": str(data.folder),
        "size": {
            "events": data.num_events,
            "users": data.num_users,
            "items": data.num_items,
            "density": _share(data.num_events - counted.repeats, data.num_users * data.num_items),
        },
        "events_per_user": _spread(user_events),
        "events_per_item": _spread(counted.item_events),
        "long_tail": _long_tail(counted.item_events),
        "time": _times(data, counted),
        "actions": _actions(data, counted),
        "strength": _strengths(data),
        "texts": texts,
        "categories": _categories(data),
        "suspicious": _suspicious(data, counted, user_events, text_words),
        "steps": [vars(step) for step in data.meta.steps],
        "rejected_rows": data.meta.rejected_rows,
    }
    return Inspection(
        facts, user_events, counted.item_events, counted.time_edges, counted.time_events, text_words
    )


def _long_tail(item_events: Int64) -> Facts:
    """Shares of the most popular items, and the Gini index (0: all alike, 1: one has them all)."""
    ordered = np.sort(item_events)[::-1]
    total, count = int(ordered.sum()), len(ordered)
    cumulative = np.cumsum(ordered)
    shares = {
        f"top {percent} %": _share(int(cumulative[-(-count * percent // 100) - 1]), total)
        for percent in (1, 10, 20)
        if count
    }
    ranks = np.arange(count, 0, -1)
    gini = 2 * float(ranks @ ordered) / (count * total) - (count + 1) / count if total else None
    return {**shares, "gini": gini, "items_without_events": int((item_events == 0).sum())}


def _times(data: PreparedData, counted: EventCounts) -> Facts:
    if not has_times(data):
        return {"unit": data.meta.time_unit}
    starts, ends = first_and_last(data)
    several = np.diff(data.user_offsets)[np.diff(data.user_offsets) > 0] > 1
    spans = (ends - starts)[several]
    adjacent = data.num_events - len(starts)
    return {
        "unit": data.meta.time_unit,
        "first": iso(int(starts.min())),
        "last": iso(int(ends.max())),
        "days": (int(ends.max()) - int(starts.min())) / DAY_MS,
        "ties": _share(counted.ties, adjacent),
        "users_within_one_day": _share(int((spans < DAY_MS).sum()), len(spans)),
        "median_days_per_user": float(np.median(spans)) / DAY_MS if len(spans) else None,
    }


def _actions(data: PreparedData, counted: EventCounts) -> list[Facts]:
    """Most frequent first."""
    events = counted.action_events
    return [
        {
            "action": data.meta.actions[n],
            "events": int(events[n]),
            "share": _share(int(events[n]), data.num_events),
        }
        for n in np.argsort(-events, kind="stable")
    ]


def _strengths(data: PreparedData) -> Facts | None:
    """Spread and most frequent values, of every n-th event where the log is large."""
    strength = data.columns.strength
    if strength is None:
        return None
    sample = np.asarray(strength[:: max(1, len(strength) // SAMPLE_EVENTS)])
    known = sample[np.isfinite(sample)]
    values, counts = np.unique(known, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:10]
    return {
        "sampled_events": len(sample),
        "missing": _share(len(sample) - len(known), len(sample)),
        **_spread(known),
        "distinct": len(values),
        "frequent": [
            {"value": float(values[i]), "share": _share(int(counts[i]), len(sample))}
            for i in sorted(most, key=lambda i: values[i])
        ],
    }


def _texts(data: PreparedData) -> tuple[dict[str, Facts], dict[str, Int64]]:
    import pyarrow.compute as pc

    facts, words = {}, {}
    for name in data.meta.text_columns:
        text = pc.fill_null(data.items[name], "")
        words[name] = pc.count_substring_regex(text, r"\S+").to_numpy().astype(np.int64)
        facts[name] = {
            "empty": _share(int((words[name] == 0).sum()), len(words[name])),
            "characters": _spread(pc.utf8_length(text).to_numpy()),
            "words": _spread(words[name]),
        }
    return facts, words


def _categories(data: PreparedData) -> Facts | None:
    import pyarrow.compute as pc

    if "categories" not in data.items.column_names:
        return None
    lists = data.items["categories"]
    found = pc.value_counts(pc.list_flatten(lists.combine_chunks()))
    counts = sorted(
        zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True),
        key=lambda pair: (-pair[1], str(pair[0])),
    )
    per_item = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    return {
        "distinct": len(counts),
        "items_without": _share(int((per_item == 0).sum()), len(per_item)),
        "per_item": _spread(per_item),
        "frequent": [{"category": name, "items": items} for name, items in counts[:10]],
    }


def _suspicious(
    data: PreparedData,
    counted: EventCounts,
    user_events: Int64,
    text_words: dict[str, Int64],
) -> list[Facts]:
    """Counts that deserve a look, with what each is a share of; zero counts are left in."""
    events, users, items = data.num_events, data.num_users, data.num_items
    median = float(np.median(user_events)) if users else 0.0
    limit = EXTREME_TIMES_MEDIAN * median
    found = [
        ("events that repeat the user and the item of another", counted.repeats, events, "events"),
        (
            f"users with more than {limit:,.0f} events ({EXTREME_TIMES_MEDIAN} times the median)",
            int((user_events > limit).sum()),
            users,
            "users",
        ),
    ]
    if has_times(data):
        burst = f"users with more than {FAST_EVENTS_PER_MINUTE} events within a minute"
        found += [
            (burst, counted.fast_users, users, "users"),
            ("events in the future", counted.future, events, "events"),
            ("events before 1990", counted.ancient, events, "events"),
        ]
    if text_words:
        silent = int((np.stack(list(text_words.values())).sum(axis=0) == 0).sum())
        found.append(("items without any text", silent, items, "items"))
    return [
        {"what": what, "count": count, "share": _share(count, total), "of": of}
        for what, count, total, of in found
    ]


def iso(milliseconds: int) -> str:
    """Unix milliseconds as ISO 8601 text in UTC, to the second."""
    return f"{np.datetime64(milliseconds, 'ms').astype('datetime64[s]')}Z"


def _spread(values: npt.NDArray[Any]) -> Facts:
    """Quantiles and the mean; empty when there are no values."""
    if not len(values):
        return {}
    cuts = np.quantile(values, list(QUANTILES.values()))
    return {
        **{name: float(cut) for name, cut in zip(QUANTILES, cuts, strict=True)},
        "mean": float(values.mean()),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
