"""The findings of an inspection as a page of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tfrec.console import seconds
from tfrec.data.inspect import QUANTILES, Facts

Row = tuple[str, ...]


def page(facts: Facts) -> str:
    """The page that `python -m tfrec.data inspect` prints."""
    return "\n".join(_lines(facts)) + "\n"


def steps_table(steps: list[Facts]) -> str:
    """Events, users and items left after each step of ingestion and filtering.

    Example:
        >>> print(steps_table([{"name": "read", "events": 1200, "users": 30, "items": 7}]))
        step  events  users  items
        read   1,200     30      7
    """
    rows = [(step["name"], *(_number(step[key]) for key in SIZES)) for step in steps]
    return "\n".join(_table([("step", *SIZES), *rows]))


SIZES = ("events", "users", "items")


def _lines(facts: Facts) -> Iterator[str]:
    size = facts["size"]
    yield f"{facts['source']}, prepared in {facts['folder']}"
    yield ""
    yield (
        f"{size['events']:,} events of {size['users']:,} users with {size['items']:,} items; "
        f"sparsity {_percent(None if size['density'] is None else 1 - size['density'], 2)}"
    )
    yield from _section("Spread")
    yield from _table(
        [
            ("", *QUANTILES, "mean"),
            _quantiles("events per user", facts["events_per_user"]),
            _quantiles("events per item", facts["events_per_item"]),
            *(
                [_quantiles("strength", facts["strength"])]
                if facts["strength"] and "mean" in facts["strength"]
                else []
            ),
        ]
    )
    yield from _section("Long tail")
    tail = facts["long_tail"]
    for name in (key for key in tail if key.startswith("top")):
        yield f"{_percent(tail[name]):>7} of the events go to the {name} of the items"
    if tail["gini"] is not None:
        yield f"{tail['gini']:7.3f} Gini index (0: all items alike, 1: one item has all events)"
    if tail["items_without_events"]:
        yield f"{tail['items_without_events']:7,} items of the catalogue have no event"
    yield from _section("Time")
    yield from _times(facts["time"])
    if facts["actions"]:
        yield from _section("Actions")
        rows = [(a["action"], _number(a["events"]), _percent(a["share"])) for a in facts["actions"]]
        yield from _table([("action", "events", "share"), *rows])
    if facts["strength"]:
        yield from _section("Strength")
        yield from _strengths(facts["strength"])
    if facts["texts"]:
        yield from _section("Texts")
        yield from _texts(facts["texts"])
    if facts["categories"]:
        yield from _section("Categories")
        yield from _categories(facts["categories"])
    yield from _section("Worth a look")
    rows = [
        (_number(s["count"]), _percent(s["share"]), f"{s['what']}") for s in facts["suspicious"]
    ]
    yield from _table(rows, left=(2,))
    yield from _section("Steps")
    yield steps_table(facts["steps"])
    yield f"rejected rows: {facts['rejected_rows']:,}" + (
        f", see {facts['folder']}/rejected.csv" if facts["rejected_rows"] else ""
    )


def _times(times: Facts) -> Iterator[str]:
    if "first" not in times:
        yield "no times: the order of the file stands in for them"
        return
    yield (
        f"{times['first']} to {times['last']}, {times['days']:,.1f} days, "
        f"written in {times['unit']}"
    )
    if times["ties"] is not None:
        yield f"{_percent(times['ties']):>7} of a user's adjacent events have the same time"
    if times["users_within_one_day"] is not None:
        yield (
            f"{_percent(times['users_within_one_day']):>7} of the users with several events have "
            "them all within 24 hours"
        )
        yield (
            f"{_duration(times['median_days_per_user'])} lie between the first and the last event "
            "of the median user"
        )


def _strengths(strength: Facts) -> Iterator[str]:
    if strength["missing"]:
        yield f"{_percent(strength['missing'])} of the events have no strength"
    if strength["distinct"] <= len(strength["frequent"]):
        yield "values: " + _shares(strength["frequent"], "value")
    else:
        yield (
            f"{strength['distinct']:,} distinct values; most frequent: "
            + _shares(strength["frequent"], "value")
        )


def _texts(texts: dict[str, Facts]) -> Iterator[str]:
    rows = []
    for name, text in texts.items():
        rows.append(_quantiles(f"{name}, words", text["words"]))
        rows.append(_quantiles(f"{name}, characters", text["characters"]))
    yield from _table([("", *QUANTILES, "mean"), *rows])
    for name, text in texts.items():
        yield f"{_percent(text['empty'])} of the items have no {name}"


def _categories(categories: Facts) -> Iterator[str]:
    per_item = categories["per_item"]
    yield (
        f"{categories['distinct']:,} categories, {per_item.get('mean', 0):.1f} per item on "
        f"average; {_percent(categories['items_without'])} of the items have none"
    )
    yield "most items: " + ", ".join(
        f"{c['category']} {c['items']:,}" for c in categories["frequent"]
    )


def _shares(entries: list[Facts], key: str) -> str:
    return ", ".join(f"{_number(e[key])} ({_percent(e['share'])})" for e in entries)


def _section(title: str) -> Iterator[str]:
    yield ""
    yield title
    yield "-" * len(title)


def _quantiles(name: str, spread: Facts) -> Row:
    return (name, *(_number(spread[key]) if key in spread else "" for key in (*QUANTILES, "mean")))


def _table(rows: Iterable[Row], left: tuple[int, ...] = (0,)) -> Iterator[str]:
    """Columns as wide as their widest cell, numbers to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _duration(days: float) -> str:
    return f"{days:,.1f} days" if days >= 2 else seconds(days * 86_400)


def _number(value: Any) -> str:
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _percent(share: float | None, digits: int = 1) -> str:
    if share is None:
        return "–"
    # Neither "0.0 %" for a few rows in millions nor "100.0 %" for all but a few.
    while digits < 8 and 0 < share < 1 and float(f"{100 * share:.{digits}f}") in (0, 100):
        digits += 1
    return f"{100 * share:.{digits}f} %"
