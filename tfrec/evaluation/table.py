"""Results as a table, aligned for the console."""

from __future__ import annotations

import math
import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tfrec.console import count, seconds
from tfrec.evaluation.compare import PairedDifference
from tfrec.evaluation.headline import label, not_run, number, p_value, title
from tfrec.evaluation.results import Interval, ModelResult, Results

# Metrics of the main table from the most to the least important: a narrow terminal drops columns
# from the end.
_MAIN = (
    *("ndcg", "hit_rate", "mrr", "recall"),
    *("coverage", "long_tail_share", "popularity_lift", "novelty", "gini"),
)
_HIGHER_IS_BETTER = {"ndcg", "hit_rate", "mrr", "map", "precision", "recall", "f1", "coverage"}
LEGEND = "* best of its column. ± half of the 95 % bootstrap interval over cases."


@dataclass(frozen=True)
class Cell:
    """One value of a table: the number, half of its interval ("" without one), best of column."""

    value: str
    margin: str = ""
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """A table before it is drawn; the first `marked` rows are the models, the rest baselines."""

    header: list[str]
    names: list[str]
    cells: list[list[Cell]]
    marked: int


def decimals(values: Iterable[float]) -> int:
    """Decimals that a column of these values is printed with: four below 1, fewer above."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return max(0, 4 - len(f"{largest:.0f}")) if largest >= 1.00005 else 4


def ordered(results: Results) -> list[ModelResult]:
    """The lines of the table: the models first, then the baselines; skipped ones left out."""
    evaluated = [model for model in results.models if model.skipped is None]
    return sorted(evaluated, key=lambda model: model.kind != "model")


def main_metrics(results: Results) -> list[str]:
    """Metrics of the main table, the primary one first: those at its cut-off or without one.

    A metric that equals one already chosen for every model (recall is the hit rate where each
    case has one target) is left out.
    """
    cut_off = results.primary_metric.partition("@")[2]
    known = all_metrics(results)
    chosen: dict[tuple[float | None, ...], str] = {}
    for candidates in [(results.primary_metric,), *((f"{m}@{cut_off}", m) for m in _MAIN)]:
        name = next((name for name in candidates if name in known), None)
        if name is not None:
            chosen.setdefault(_values(results, name), name)
    return list(chosen.values())


def all_metrics(results: Results) -> list[str]:
    """Every metric of the results, in the order in which the models report them."""
    return list({name: None for model in ordered(results) for name in model.metrics})


def grid(results: Results, metrics: Sequence[str]) -> Grid:
    """The cells of the table with a final column for the time to fit."""
    models = ordered(results)
    columns = [_column([model.metrics.get(name) for model in models], name) for name in metrics]
    columns.append([Cell(seconds(model.fit_seconds)) for model in models])
    return Grid(
        header=[*map(label, metrics), "fit"],
        names=[model.name for model in models],
        cells=[list(row) for row in zip(*columns, strict=True)],
        marked=sum(model.kind == "model" for model in models),
    )


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
    relative = "–" if pair.relative is None else f"{pair.relative:+.1%}"
    return [
        Cell(number(pair.a, places)),
        Cell(number(pair.b, places)),
        Cell(f"{gap.value:+.{places}f}", best=gap.low > 0 or gap.high < 0),
        Cell(f"{gap.low:+.{places}f} … {gap.high:+.{places}f}"),
        Cell(p_value(pair.p_value).removeprefix("p ").removeprefix("= ")),
        Cell(relative),
        *(Cell(count(cases)) for cases in (pair.wins, pair.ties, pair.losses)),
    ]


def _values(results: Results, metric: str) -> tuple[float | None, ...]:
    found = [model.metrics.get(metric) for model in ordered(results)]
    return tuple(None if interval is None else round(interval.value, 12) for interval in found)


def _column(intervals: Sequence[Interval | None], metric: str) -> list[Cell]:
    values = [interval.value for interval in intervals if interval is not None]
    places = decimals(values)
    finite = [value for value in values if math.isfinite(value)]
    rated = metric.partition("@")[0] in _HIGHER_IS_BETTER and len(finite) > 1
    best = max(finite) if rated else math.inf
    return [
        Cell("–")
        if interval is None
        else Cell(
            number(interval.value, places),
            _margin(interval, places),
            # The same to the eye is the same: two models may share the mark.
            number(interval.value, places) == number(best, places),
        )
        for interval in intervals
    ]


def _margin(interval: Interval, places: int) -> str:
    half = (interval.high - interval.low) / 2
    return number(half, places) if math.isfinite(half) and half > 0 else ""


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
