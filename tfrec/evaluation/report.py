"""The report of a run: results.json for programs, results.md for repositories, report.html to read.

What the report looks for beyond the fields of `Results`: in `data` the fields of
`tfrec.data.prepared.Meta` and "split_hash"; in `environment` "command", the command line, and
"config", the resolved configuration as YAML. All are optional; what else is there is listed too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from tfrec.console import count, seconds
from tfrec.evaluation import page, plots
from tfrec.evaluation.beyond_accuracy import HEAD_SHARE
from tfrec.evaluation.grid import (
    Cell,
    Grid,
    grid,
    main_metrics,
    metric_grid,
    ordered,
    slice_grid,
    slice_metric,
    slice_names,
)
from tfrec.evaluation.headline import headline, label, not_run, shown, title, what
from tfrec.evaluation.markdown import markdown
from tfrec.evaluation.results import Results

JSON, MARKDOWN, HTML = "results.json", "results.md", "report.html"
_REPRODUCE = ("command", "config")


def write_report(results: Results, folder: Path) -> None:
    """Writes results.json, results.md and report.html into the folder, made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    results.save(folder / JSON)
    (folder / MARKDOWN).write_text(markdown(results), encoding="utf-8")
    (folder / HTML).write_text(html(results), encoding="utf-8")


def html(results: Results) -> str:
    """The report as one self-contained HTML document."""
    return page.page(
        what(results),
        [
            _head(results),
            _table(results),
            _training(results),
            _slices(results),
            _long_tail(results),
            _settings(results),
            _data(results),
            _environment(results),
            _reproduce(results),
        ],
    )


def _head(results: Results) -> str:
    data = results.data
    tiles = {
        name: count(int(data[key]))
        for name, key in (("users", "num_users"), ("items", "num_items"), ("events", "num_events"))
        if key in data
    }
    tiles[f"{results.subset} cases"] = count(results.cases)
    if "split_hash" in data:
        tiles["split"] = str(data["split_hash"])
    validation = (
        "These are validation numbers: the model was selected on them. Report test numbers."
        if results.subset == "validation"
        else ""
    )
    return "\n".join(
        [
            f"<header><h1>{escape(what(results))}</h1>",
            page.paragraph(title(results), "muted"),
            page.paragraph(headline(results), "verdict"),
            page.paragraph(validation) if validation else "",
            page.facts(tiles) + "</header>",
        ]
    )


def _table(results: Results) -> str:
    notes = [page.paragraph(text, "muted") for text in not_run(results)]
    legend = (
        "Bold: best of its column. ± half of the 95 % bootstrap interval over cases. "
        f"The model was selected by {label(results.primary_metric)} on validation cases."
    )
    return page.section(
        "table",
        "The model and the baselines",
        page.number_table(grid(results, main_metrics(results)), f"On the {results.subset} cases"),
        page.paragraph(legend, "muted"),
        *notes,
        page.details(
            "Every metric at every cut-off",
            page.number_table(metric_grid(results), "Every metric", "metric"),
        ),
    )


def _training(results: Results) -> str:
    epochs = [epoch for epoch in results.epochs if "epoch" in epoch]
    if not epochs:
        return ""
    figures = []
    found = _series(epochs, "loss")
    if found:
        figures.append(page.figure(plots.curve(*found, "training loss"), "Loss per epoch."))
    validation = f"validation {results.primary_metric}"
    found = _series(epochs, validation)
    if found:
        best = max(range(len(found[1])), key=found[1].__getitem__)
        name = f"validation {label(results.primary_metric)}"
        caption = f"{name}: {found[1][best]:.4f} in epoch {found[0][best]:g} is the best."
        figures.append(
            page.figure(plots.curve(*found, name, best), caption[0].upper() + caption[1:])
        )
    if not figures:
        return ""
    took = sum(float(epoch.get("seconds", 0.0)) for epoch in epochs)
    words = f"{count(len(epochs))} {'epoch' if len(epochs) == 1 else 'epochs'}" + (
        f" in {seconds(took)}." if took else "."
    )
    return page.section(
        "training",
        "Training",
        page.paragraph(words),
        f'<div class="plots">{"".join(figures)}</div>',
    )


def _series(epochs: Sequence[dict[str, Any]], key: str) -> tuple[list[float], list[float]] | None:
    known = [(float(e["epoch"]), float(e[key])) for e in epochs if key in e]
    finite = [(epoch, value) for epoch, value in known if math.isfinite(value)]
    return ([e for e, _ in finite], [v for _, v in finite]) if finite else None


def _slices(results: Results) -> str:
    models = ordered(results)
    figures = []
    for name in slice_names(results):
        metric = slice_metric(results, name)
        if metric is not None:
            drawn = page.figure(plots.by_slice(models, name, metric), f"{label(metric)} by {name}.")
            numbers = page.number_table(slice_grid(results, name, metric), f"By {name}")
            figures.append(f"<div>{drawn}{page.details('The numbers', numbers)}</div>")
    if not figures:
        return ""
    return page.section(
        "slices",
        "Where it is good and where it is not",
        page.legend([model.name for model in models]),
        f'<div class="plots">{"".join(figures)}</div>',
        page.paragraph("Error bars: 95 % bootstrap intervals over cases.", "muted"),
    )


def _long_tail(results: Results) -> str:
    cut_off = results.primary_metric.partition("@")[2]
    metric = f"long_tail_share@{cut_off}"
    models = ordered(results)
    figures = []
    of_events = None
    if sum(results.item_counts) > 0:
        of_events = plots.tail_share(results.item_counts)
        caption = "Training events per item, most popular first."
        figures.append(page.figure(plots.long_tail(results.item_counts), caption))
    if any(metric in model.metrics for model in models):
        caption = (
            f"Share of the top {cut_off} outside the items that hold {100 * HEAD_SHARE:.0f} % of "
            "training events. Dashed: the long tail's share of training events."
        )
        figures.append(page.figure(plots.shares(models, metric, of_events), caption))
    if not figures:
        return ""
    return page.section(
        "long-tail", "The long tail", f'<div class="plots">{"".join(figures)}</div>'
    )


def _settings(results: Results) -> str:
    rows = [
        [
            model.name,
            shown(model.settings) or "–",
            seconds(model.fit_seconds),
            seconds(model.evaluate_seconds),
            count(round(results.cases / model.evaluate_seconds)) if model.evaluate_seconds else "–",
        ]
        for model in ordered(results)
    ]
    if not rows:
        return ""
    header = ["model", "settings", "fit", "evaluation", "cases/s"]
    return page.section(
        "settings", "Settings", page.word_table(header, rows, "Settings in force, after tuning")
    )


def _data(results: Results) -> str:
    data = dict(results.data)
    steps = data.pop("steps", [])
    values = {
        key.removeprefix("num_").replace("_", " "): count(v) if key.startswith("num_") else v
        for key, v in data.items()
        if v not in ([], {}, "", None)
    }
    parts = [page.pairs(values)]
    if steps:
        rows = [
            [str(step["name"]), *(count(int(step[k])) for k in ("events", "users", "items"))]
            for step in steps
        ]
        cells = [[Cell(text) for text in texts] for _, *texts in rows]
        left = Grid(["events", "users", "items"], [name for name, *_ in rows], cells, marked=0)
        parts.append(page.number_table(left, "What was left after each step", "step"))
    return page.section("data", "Data", *parts) if any(parts) else ""


def _environment(results: Results) -> str:
    values = {
        key.removesuffix("_seconds").replace("_", " "): (
            seconds(value) if key.endswith("_seconds") else value
        )
        for key, value in results.environment.items()
        if key not in _REPRODUCE
    }
    return page.section("environment", "Environment", page.pairs(values)) if values else ""


def _reproduce(results: Results) -> str:
    command, config = (results.environment.get(key) for key in _REPRODUCE)
    parts = []
    if command:
        parts.append(f"<pre>{escape(str(command))}</pre>")
    if config:
        parts.append(page.paragraph("The resolved configuration, for --config:"))
        parts.append(f"<pre>{escape(str(config).strip())}</pre>")
    return page.section("reproduce", "How to reproduce it", *parts) if parts else ""
