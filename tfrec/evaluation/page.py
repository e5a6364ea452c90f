"""The frame of the HTML report: one file, no network, no script, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from tfrec.evaluation.grid import Cell, Grid
from tfrec.evaluation.headline import shown

# Series 0 is the model. Okabe & Ito's colours, told apart by people with any colour vision; their
# yellow and black, weak on a light or a dark page, are replaced by a grey and the text's colour.
_CSS = """
:root { color-scheme: light dark;
  --page: #ffffff; --ink: #1b1f24; --muted: #59626d; --grid: #dfe3e8; --card: #f4f6f8;
  --series0: #0072b2; --series1: #d55e00; --series2: #009e73; --series3: #b8558f;
  --series4: #c98a00; --series5: #3f9bd1; --series6: #868d95; --series7: #40464d; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171b; --ink: #e8eaed; --muted: #a3abb5; --grid: #343a42; --card: #1e2329;
  --series0: #4db2f0; --series1: #ff8b45; --series2: #2fc79a; --series3: #e59ac6;
  --series4: #f0b429; --series5: #a5d8f7; --series6: #8e959d; --series7: #d5d9de; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 1.5rem 1rem 4rem; background: var(--page);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
  "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid var(--grid); }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p { margin: .4rem 0; }
.muted, figcaption, caption { color: var(--muted); font-size: .88rem; }
.verdict { font-size: 1.1rem; margin: 1.1rem 0; padding: .8rem 1rem; background: var(--card);
  border-left: 4px solid var(--series0); border-radius: 0 6px 6px 0; }
.facts { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; padding: 0; list-style: none; }
.facts li { flex: 1 1 8rem; background: var(--card); border-radius: 6px; padding: .6rem .8rem; }
.facts b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: .6rem 0; }
.scroll:focus-visible { outline: 2px solid var(--series0); }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
  min-width: 100%; overflow-wrap: normal; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid var(--grid);
  white-space: nowrap; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--page);
  min-width: 12rem; max-width: 18rem; white-space: normal; }
thead th { color: var(--muted); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 400; } tr.model > * { background: var(--card); }
tr.model th { font-weight: 700; box-shadow: inset 4px 0 var(--series0); }
td .margin { color: var(--muted); font-size: .85em; } td strong { color: var(--series0); }
table.words td, table.words th { text-align: left; }
table.words td:nth-child(2) { white-space: normal; min-width: 14rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr));
  gap: 1.2rem; } figure { margin: 0; }
figure svg { display: block; overflow: visible; width: 100%; height: auto; }
figure svg text { font-family: inherit !important; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding: 0; margin: .5rem 0;
  list-style: none; font-size: .9rem; }
.legend span { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px;
  margin-right: .4rem; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--muted); }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .15rem 1rem;
  font-size: .92rem; margin: .6rem 0; } dt { color: var(--muted); } dd { margin: 0; }
pre { background: var(--card); padding: .8rem 1rem; border-radius: 6px; overflow-x: auto;
  font-size: .85rem; overflow-wrap: normal; }
@media (max-width: 30rem) { h1 { font-size: 1.4rem; } th, td { padding: .3rem .4rem; }
  th:first-child { min-width: 7rem; max-width: 8.5rem; } }
"""


def page(title: str, body: Sequence[str]) -> str:
    """The whole document. `title` is escaped here, the parts of `body` are HTML already."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{_CSS}</style>
</head>
<body>
<main>
{chr(10).join(body)}
</main>
</body>
</html>
"""


def section(name: str, heading: str, *parts: str) -> str:
    """A section whose id is `name`; `parts` are HTML already."""
    inside = "\n".join(part for part in parts if part)
    return (
        f'<section id="{name}" aria-labelledby="{name}-heading">\n'
        f'<h2 id="{name}-heading">{escape(heading)}</h2>\n{inside}\n</section>'
    )


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def facts(values: Mapping[str, str]) -> str:
    """A few large numbers, each with its name."""
    tiles = "".join(f"<li>{escape(name)}<b>{escape(v)}</b></li>" for name, v in values.items())
    return f'<ul class="facts">{tiles}</ul>'


def number_table(grid: Grid, caption: str, corner: str = "model") -> str:
    """A grid of numbers: models marked, best values bold, intervals muted."""
    rows = [
        _row(name, [_cell(cell) for cell in cells], "model" if row < grid.marked else "")
        for row, (name, cells) in enumerate(zip(grid.names, grid.cells, strict=True))
    ]
    return _table([corner, *grid.header], rows, caption, "numbers")


def word_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table of texts; the first text of each row names it."""
    html = [_row(name, [f"<td>{escape(c)}</td>" for c in cells], "") for name, *cells in rows]
    return _table(header, html, caption, "words")


def details(summary: str, *parts: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>\n{''.join(parts)}</details>"


def pairs(values: Mapping[str, object]) -> str:
    """Names and values; whole numbers get thousands separators."""
    lines = [f"<dt>{escape(k)}</dt><dd>{escape(shown(v))}</dd>" for k, v in values.items()]
    return f"<dl>{''.join(lines)}</dl>" if lines else ""


def figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def legend(names: Sequence[str]) -> str:
    """The colour of each series, in order; paler when the eight colours come round again."""
    swatches = [
        f'<li><span style="background: var(--series{n % 8}); opacity: {0.45 if n >= 8 else 1}">'
        f"</span>{escape(name)}</li>"
        for n, name in enumerate(names)
    ]
    return f'<ul class="legend">{"".join(swatches)}</ul>'


def _table(header: Sequence[str], rows: Sequence[str], caption: str, kind: str) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    return (
        # Focusable, so that a keyboard can scroll it.
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">\n'
        f'<table class="{kind}"><caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody></table></div>"
    )


def _row(name: str, cells: Sequence[str], kind: str) -> str:
    opening = f'<tr class="{kind}">' if kind else "<tr>"
    return f'{opening}<th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'


def _cell(cell: Cell) -> str:
    value = f"<strong>{escape(cell.value)}</strong>" if cell.best else escape(cell.value)
    margin = f' <span class="margin">± {escape(cell.margin)}</span>' if cell.margin else ""
    return f"<td>{value}{margin}</td>"
