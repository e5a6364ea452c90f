"""The distributions of a log in four panels."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfrec.data.inspect import DAY_MS, Inspection
from tfrec.data.inspect_page import page
from tfrec.data.sequences import Int64
from tfrec.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREY = "#2a6fb0", "#8a8a8a"
COLOURS = (BLUE, "#d1762a", "#3c9a5f", "#a44a8f")
FORMATS = (".png", ".html")

DOCUMENT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 15px sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; }}
svg {{ width: 100%; height: auto; }} pre {{ overflow-x: auto; }}</style></head>
<body><h1>{title}</h1>
{figure}
<pre>{page}</pre>
</body></html>
"""


def check_format(file: Path) -> None:
    """Raises UserError when `file` is not of a form that `save` can write."""
    if file.suffix.lower() not in FORMATS:
        raise UserError(f"--plot {file}: the name must end in {' or '.join(FORMATS)}")


def save(inspection: Inspection, file: Path) -> None:
    """Writes the panels as a PNG picture, or with the page as one self-contained HTML file."""
    check_format(file)
    # Figure without pyplot: no window system, no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    figure.suptitle(str(inspection.facts["source"]), fontsize=15)
    _long_tail(axes[0, 0], inspection)
    _events_per_user(axes[0, 1], inspection)
    _over_time(axes[1, 0], inspection)
    _text_lengths(axes[1, 1], inspection)
    try:
        if file.suffix.lower() == ".html":
            file.write_text(_document(figure, inspection), encoding="utf-8")
        else:
            figure.savefig(file, dpi=120)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from None


def _document(figure: Figure, inspection: Inspection) -> str:
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg")
    svg = drawing.getvalue()
    return DOCUMENT.format(
        title=html.escape(str(inspection.facts["source"])),
        figure=svg[svg.index("<svg") :],
        page=html.escape(page(inspection.facts)),
    )


def _long_tail(axes: Axes, inspection: Inspection) -> None:
    """Share of the events that the most popular items have."""
    ordered = np.sort(inspection.item_events)[::-1]
    x = np.arange(1, len(ordered) + 1) / max(len(ordered), 1) * 100
    y = np.cumsum(ordered) / max(ordered.sum(), 1) * 100
    axes.plot(x, y, color=BLUE, linewidth=2)
    axes.plot([0, 100], [0, 100], color=GREY, linestyle=":", label="all items alike")
    gini = inspection.facts["long_tail"]["gini"]
    axes.set_title("Long tail" + (f", Gini {gini:.2f}" if gini is not None else ""))
    _label(axes, "% of the items, most popular first", "% of the events")
    axes.set(xlim=(0, 100), ylim=(0, 102))
    axes.legend(loc="lower right", frameon=False)


def _events_per_user(axes: Axes, inspection: Inspection) -> None:
    counts = inspection.user_events[inspection.user_events > 0]
    axes.set_title("Events per user")
    _label(axes, "events of one user", "users")
    if not len(counts):
        return
    axes.stairs(*_histogram(counts, counts.min(), counts.max()), fill=True, color=BLUE)
    axes.set_xscale("log")
    _plain_numbers(axes)
    median = float(np.median(counts))
    axes.axvline(median, color=GREY, linestyle=":", label=f"median {median:,.0f}")
    _legend(axes)


def _over_time(axes: Axes, inspection: Inspection) -> None:
    axes.set_title("Events over time")
    if not len(inspection.time_events):
        _nothing(axes, "the log has no times")
        return
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    # Matplotlib counts dates in days since 1970.
    edges = inspection.time_edges / DAY_MS
    axes.stairs(inspection.time_events, edges, fill=True, color=BLUE)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    days = float(edges[1] - edges[0])
    width = f"{days:.1f} days" if days >= 1 else f"{24 * days:.1f} hours"
    _label(axes, "", f"events per {width}")


def _text_lengths(axes: Axes, inspection: Inspection) -> None:
    axes.set_title("Text lengths")
    texts = {name: words for name, words in inspection.text_words.items() if words.max(initial=0)}
    if not texts:
        _nothing(axes, "the items have no text")
        return
    texts = {name: words[words > 0] for name, words in texts.items()}
    shortest = min(int(words.min()) for words in texts.values())
    longest = max(int(words.max()) for words in texts.values())
    for colour, (name, words) in zip(COLOURS, texts.items(), strict=False):
        axes.stairs(
            *_histogram(words, shortest, longest),
            linewidth=2,
            color=colour,
            label=f"{name}, median {np.median(words):,.0f}",
        )
    axes.set_xscale("log")
    _plain_numbers(axes)
    _label(axes, "words", "items")
    _legend(axes)


def _histogram(counts: Int64, smallest: int, largest: int) -> tuple[Int64, Int64]:
    """Frequencies and edges of at most 30 bins, evenly wide on a logarithmic axis."""
    # Whole numbers only: bins narrower than one would leave gaps between the small counts.
    edges = np.unique(np.geomspace(smallest, largest + 1, 31).round().astype(np.int64))
    return np.histogram(counts, edges)[0], edges


def _label(axes: Axes, x: str, y: str) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set(xlabel=x, ylabel=y)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.spines[["top", "right"]].set_visible(False)


def _legend(axes: Axes) -> None:
    axes.margins(y=0.15)
    axes.legend(loc="best", framealpha=0.85, edgecolor="none")


def _plain_numbers(axes: Axes) -> None:
    """10, 100, 1,000 on a logarithmic axis in place of powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _nothing(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.5, why, ha="center", va="center", color=GREY, transform=axes.transAxes)
    axes.set_axis_off()
