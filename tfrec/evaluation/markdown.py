"""Results as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tfrec.evaluation.grid import (
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
from tfrec.evaluation.results import Results


def markdown(results: Results) -> str:
    """The whole of results.md: verdict, table, slices, every metric, settings, command."""
    models = ordered(results)
    parts = [
        f"# {markdown_text(what(results))}",
        markdown_text(title(results)),
        markdown_text(headline(results)),
        markdown_table(results),
        "Bold: best of its column. ± half of the 95 % bootstrap interval over cases.",
        *(f"- {markdown_text(text)}" for text in not_run(results)),
    ]
    for name in slice_names(results):
        metric = slice_metric(results, name)
        if metric is not None:
            parts.append(f"## {label(metric)} by {markdown_text(name)}")
            parts.append(_rows(slice_grid(results, name, metric)))
    if models:
        parts += ["## Every metric at every cut-off", _rows(metric_grid(results))]
        settings = [[markdown_text(m.name), markdown_text(shown(m.settings))] for m in models]
        parts += ["## Settings", _draw([["model", "settings"], ["---", "---"], *settings])]
    command = results.environment.get("command")
    if command:
        parts += ["## How to reproduce it", f"    {' '.join(str(command).split())}"]
    return "\n\n".join(parts) + "\n"


def markdown_table(results: Results) -> str:
    """The main table as GitHub Markdown: the model and each column's best value in bold."""
    return _rows(grid(results, main_metrics(results)))


def _rows(table: Grid) -> str:
    header = [markdown_text(name) for name in table.header]
    rows = [["", *header], ["---", *["---:"] * len(header)]]
    for row, (name, cells) in enumerate(zip(table.names, table.cells, strict=True)):
        texts = [f"**{cell.value}**" if cell.best else cell.value for cell in cells]
        margins = [f" ± {cell.margin}" if cell.margin else "" for cell in cells]
        name = markdown_text(name)
        rows.append(
            [f"**{name}**" if row < table.marked else name]
            + [text + margin for text, margin in zip(texts, margins, strict=True)]
        )
    return _draw(rows)


def _draw(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line of a table."""
    escaped = "".join(f"\\{c}" if c in r"\`*_[]<>|#&~$" else c for c in text)
    return " ".join(escaped.split())
