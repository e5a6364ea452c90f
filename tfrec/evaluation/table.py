"""Results as a table, aligned for the console."""

from __future__ import annotations

import shutil
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence

from tfrec.console import count
from tfrec.evaluation.compare import PairedDifference
from tfrec.evaluation.grid import (
    Cell,
    Grid,
    decimals,
    grid,
    main_metrics,
    slice_grid,
    slice_metric,
)
from tfrec.evaluation.headline import label, not_run, number, p_value, percent, title
from tfrec.evaluation.results import Results

LEGEND = "* best of its column. ± half of the 95 % bootstrap interval over cases."


def console_table(results: Results, width: int | None = None) -> str:
    """The table for a terminal of `width` columns (default: this one).

    When space is short, intervals go first (never that of the primary metric), then the least
    important columns; a line never wraps.
    """
    width = width or shutil.get_terminal_size((100, 24)).columns
    lines = textwrap.wrap(title(results), width)
    lines += ["", *_fit(grid(results, main_metrics(results)), width), ""]
    lines += textwrap.wrap(LEGEND, width)
    lines += [line for text in not_run(results) for line in textwrap.wrap(text, width)]
    return "\n".join(lines)


def slice_table(results: Results, name: str, width: int | None = None) -> str:
    """One slice for a terminal of `width` columns (default: this one)."""
    width = width or shutil.get_terminal_size((100, 24)).columns
    metric = slice_metric(results, name)
    assert metric is not None
    lines = textwrap.wrap(f"{label(metric)} by {name}", width)
    return "\n".join([*lines, "", *_fit(slice_grid(results, name, metric), width)])


def compare_table(
    a: str, b: str, differences: Mapping[str, PairedDifference], width: int | None = None
) -> str:
    """The paired comparison of two models for the console, one metric a line.

    Arguments:
        a, b: names of the two.
        differences: from `compare(a, b)`, metric name -> difference.
        width: columns of the terminal (default: this one).
    """
    width = width or shutil.get_terminal_size((100, 24)).columns
    rows = [_difference(pair) for pair in differences.values()]
    names = [label(metric) for metric in differences]
    header = ["a", "b", "a - b", "95 % interval", "p", "relative", "a above", "equal", "b above"]
    lines = [f"a: {a}", f"b: {b}", "", *_fit(Grid(header, names, rows, marked=0), width), ""]
    legend = (
        "* the 95 % interval of the paired difference leaves out 0. Interval: bootstrap over "
        "cases; p: randomisation test; a above, equal, b above: number of cases."
    )
    return "\n".join(lines + textwrap.wrap(legend, width))


def _difference(pair: PairedDifference) -> list[Cell]:
    places = decimals([pair.a, pair.b])
    gap = pair.difference
    relative = "–" if pair.relative is None else percent(pair.relative)
    return [
        Cell(number(pair.a, places)),
        Cell(number(pair.b, places)),
        Cell(f"{gap.value:+.{places}f}", best=gap.low > 0 or gap.high < 0),
        Cell(f"{gap.low:+.{places}f} … {gap.high:+.{places}f}"),
        Cell(p_value(pair.p_value).removeprefix("p ").removeprefix("= ")),
        Cell(relative),
        *(Cell(count(cases)) for cases in (pair.wins, pair.ties, pair.losses)),
    ]


def _fit(table: Grid, width: int) -> list[str]:
    """The grid as lines no wider than `width`, with as many columns and intervals as fit."""
    last = len(table.header)
    # All intervals, then fewer and fewer, then the primary metric's only with fewer columns.
    choices = [(last, margins) for margins in range(last, 0, -1)]
    choices += [(columns, 1) for columns in range(last - 1, 0, -1)]
    for columns, margins in choices:
        lines = _draw(table, columns, margins)
        if _width(lines[0]) <= width:
            break
    return lines


def _draw(table: Grid, columns: int, margins: int) -> list[str]:
    names = [("> " if r < table.marked else "  ") + _cut(n) for r, n in enumerate(table.names)]
    drawn = [_pad(["", *names], left=True)]
    for column in range(columns):
        cells = [row[column] for row in table.cells]
        values = _pad([cell.value + ("*" if cell.best else " ") for cell in cells])
        if column < margins and any(cell.margin for cell in cells):
            halves = _pad([f"± {cell.margin}" if cell.margin else "" for cell in cells])
            values = [f"{value}{half}" for value, half in zip(values, halves, strict=True)]
        else:
            values = values if any(cell.best for cell in cells) else [v[:-1] for v in values]
        drawn.append(_pad([table.header[column], *values]))
    return ["  ".join(line).rstrip() for line in zip(*drawn, strict=True)]


def _pad(texts: Sequence[str], left: bool = False) -> list[str]:
    widest = max(map(_width, texts), default=0)
    gaps = [" " * (widest - _width(text)) for text in texts]
    return [text + gap if left else gap + text for text, gap in zip(texts, gaps, strict=True)]


def _cut(name: str, longest: int = 36) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)
