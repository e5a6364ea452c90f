"""Results as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tfrec.evaluation.results import Results
from tfrec.evaluation.table import grid, main_metrics


def markdown_table(results: Results) -> str:
    """The main table as GitHub Markdown: the model and each column's best value in bold."""
    table = grid(results, main_metrics(results))
    rows = [["", *table.header], ["---", *["---:"] * len(table.header)]]
    for row, (name, cells) in enumerate(zip(table.names, table.cells, strict=True)):
        texts = [f"**{cell.value}**" if cell.best else cell.value for cell in cells]
        margins = [f" ± {cell.margin}" if cell.margin else "" for cell in cells]
        name = markdown_text(name)
        rows.append(
            [f"**{name}**" if row < table.marked else name]
            + [text + margin for text, margin in zip(texts, margins, strict=True)]
        )
    return markdown_rows(rows)


def markdown_rows(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line of a table."""
    escaped = "".join(f"\\{c}" if c in r"\`*_[]<>|#&~$" else c for c in text)
    return " ".join(escaped.split())
