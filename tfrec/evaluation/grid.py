"""Results as rows and columns of printed numbers, before console, Markdown or HTML draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfrec.console import count, seconds
from tfrec.evaluation.headline import label, number
from tfrec.evaluation.results import Interval, ModelResult, Results

# Metrics of the main table from the most to the least important: a narrow terminal drops columns
# from the end.
_MAIN = (
    *("ndcg", "hit_rate", "mrr", "recall"),
    *("coverage", "long_tail_share", "popularity_lift", "novelty", "gini"),
)
_HIGHER_IS_BETTER = {"ndcg", "hit_rate", "mrr", "map", "precision", "recall", "f1", "coverage"}


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
    columns = [column([model.metrics.get(name) for model in models], name) for name in metrics]
    columns.append([Cell(seconds(model.fit_seconds)) for model in models])
    return Grid(
        header=[*map(label, metrics), "fit"],
        names=[model.name for model in models],
        cells=[list(row) for row in zip(*columns, strict=True)],
        marked=sum(model.kind == "model" for model in models),
    )


def metric_grid(results: Results) -> Grid:
    """Every metric, one a line, with a column for each model."""
    models, metrics = ordered(results), all_metrics(results)
    return Grid(
        header=[model.name for model in models],
        names=[label(name) for name in metrics],
        cells=[column([model.metrics.get(name) for model in models], name) for name in metrics],
        marked=0,
    )


def slice_names(results: Results) -> list[str]:
    """The slices of the results, in the order in which the models report them."""
    return list({name: None for model in ordered(results) for name in model.slices})


def slice_metric(results: Results, name: str) -> str | None:
    """The metric to show for a slice: the primary one where it has it, else its first."""
    rows = [row for model in ordered(results) for row in model.slices.get(name, [])]
    known = [metric for row in rows for metric in row.metrics]
    return results.primary_metric if results.primary_metric in known else next(iter(known), None)


def slice_grid(results: Results, name: str, metric: str) -> Grid:
    """One metric of every model, with a column for each part of the slice."""
    models = ordered(results)
    parts = [{row.label: row for row in model.slices.get(name, [])} for model in models]
    cases = {text: row.cases for rows in parts for text, row in rows.items()}
    columns = [
        column([rows[text].metrics.get(metric) if text in rows else None for rows in parts], metric)
        for text in cases
    ]
    return Grid(
        header=[f"{text}, {count(number_of)} cases" for text, number_of in cases.items()],
        names=[model.name for model in models],
        cells=[list(row) for row in zip(*columns, strict=True)],
        marked=sum(model.kind == "model" for model in models),
    )


def _values(results: Results, metric: str) -> tuple[float | None, ...]:
    found = [model.metrics.get(metric) for model in ordered(results)]
    return tuple(None if interval is None else round(interval.value, 12) for interval in found)


def column(intervals: Sequence[Interval | None], metric: str) -> list[Cell]:
    """One cell per interval (None: not measured), with the decimals that suit all of them."""
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
