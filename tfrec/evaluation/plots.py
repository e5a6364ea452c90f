"""The plots of the report, as SVG that takes its colours and its font from the page around it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tfrec.evaluation.beyond_accuracy import head
from tfrec.evaluation.headline import label
from tfrec.evaluation.results import Interval, ModelResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Stand-ins that no plot would use by itself; `_svg` turns them into the page's CSS variables.
_INK, _MUTED, _GRID = "#010101", "#020202", "#030303"
_SERIES = [f"#0a0a0{n}" for n in range(8)]
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--grid)",
    **{color: f"var(--series{n})" for n, color in enumerate(_SERIES)},
}
# About the width of a phone in CSS pixels, so that its text is never scaled below reading size.
_WIDTH = 5.4
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.parse_math": False,  # a "$" in a user's label is a dollar
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.facecolor": "none",
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "lines.linewidth": 1.8,
}
_LONGEST_LINE = 400


def curve(
    epochs: Sequence[float], values: Sequence[float], name: str, best: int | None = None
) -> str:
    """One value per epoch as a line; `best` is the position to mark.

    Arguments:
        epochs, values: of the same length.
        name: of the value, for the axis and for screen readers.
    """

    from matplotlib.ticker import MaxNLocator

    def draw(axes: Axes) -> None:
        axes.plot(epochs, values, color=_SERIES[0], marker="o" if len(epochs) == 1 else "")
        if best is not None:
            axes.plot([epochs[best]], [values[best]], "o", color=_SERIES[1])
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))

    spoken = f"{name} from {values[0]:.4f} in the first epoch to {values[-1]:.4f} in the last"
    return _svg(draw, 2.9, f"Line plot: {spoken}.")


def by_slice(models: Sequence[ModelResult], slice_name: str, metric: str) -> str:
    """Grouped bars with intervals: one group per slice, one bar per model, in the order given."""
    labels: dict[str, int] = {}
    for model in models:
        for row in model.slices.get(slice_name, []):
            labels[row.label] = row.cases
    places = {text: place for place, text in enumerate(labels)}
    width = 0.84 / len(models)

    def draw(axes: Axes) -> None:
        for n, model in enumerate(models):
            rows = [row for row in model.slices.get(slice_name, []) if metric in row.metrics]
            left = np.array([places[row.label] for row in rows]) - 0.42 + width * (n + 0.5)
            intervals = [row.metrics[metric] for row in rows]
            values = [interval.value for interval in intervals]
            axes.bar(left, values, width * 0.9, **_paint(n))
            axes.errorbar(
                left, values, _margins(intervals), fmt="none", ecolor=_INK, elinewidth=0.9
            )
        axes.set_xticks(
            range(len(labels)),
            [f"{text.replace(' (', chr(10) + '(')}\n{cases:,}" for text, cases in labels.items()],
        )
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel(f"{slice_name}, number of cases below")
        axes.set_ylabel(label(metric))
        axes.set_ylim(bottom=0)

    names = ", ".join(model.name for model in models)
    return _svg(draw, 3.4, f"Bar plot of {label(metric)} by {slice_name} for {names}.")


def tail_share(item_counts: npt.ArrayLike) -> float:
    """The share of training events that the long tail has."""
    counts = np.asarray(item_counts)
    return float(counts[~head(counts)].sum() / counts.sum())


def long_tail(item_counts: Sequence[int]) -> str:
    """Training events per item, from the most to the least popular, with the long tail named."""
    from matplotlib.ticker import NullFormatter

    counts = np.asarray(item_counts)
    split = int(head(counts).sum())
    # A line of a million points is a file of many megabytes.
    chosen = np.unique(np.linspace(0, len(counts) - 1, _LONGEST_LINE).astype(np.int64))
    chosen = np.union1d(chosen, np.arange(min(len(counts), 30)))

    def draw(axes: Axes) -> None:
        shown = np.maximum(counts[chosen], 0.5)
        axes.fill_between(chosen + 1, shown, 0.5, color=_SERIES[0], alpha=0.25, linewidth=0)
        axes.plot(chosen + 1, shown, color=_SERIES[0])
        axes.axvline(split + 0.5, color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"long tail: {len(counts) - split:,} items,\n{_percent(tail_share(counts))} of events",
            (split + 0.5, 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
            va="top",
        )
        axes.set_yscale("log")
        axes.set_xlim(1, max(2, len(counts)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("items by popularity")
        axes.set_ylabel("training events")

    held = _percent(1 - tail_share(counts))
    spoken = f"the {split:,} most popular of {len(counts):,} items hold {held} of them"
    return _svg(draw, 3.1, f"Plot of training events per item: {spoken}.")


def shares(models: Sequence[ModelResult], metric: str, of_events: float | None) -> str:
    """One bar per model for a share; a dashed line at the share `of_events` of the log itself."""
    from matplotlib.ticker import MaxNLocator

    known = [(n, model) for n, model in enumerate(models) if metric in model.metrics]

    def draw(axes: Axes) -> None:
        for place, (n, model) in enumerate(known):
            interval = model.metrics[metric]
            axes.barh(place, interval.value, 0.7, **_paint(n))
            axes.errorbar(interval.value, place, xerr=_margins([interval]), fmt="none", ecolor=_INK)
        if of_events is not None:
            axes.axvline(of_events, color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(known)), [_short(model.name) for _, model in known])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.set_xlabel("recommendations in the long tail")

    spoken = ", ".join(f"{m.name} {_percent(m.metrics[metric].value)}" for _, m in known)
    height = 1.1 + 0.29 * len(known)
    return _svg(draw, height, f"Share of recommendations in the long tail: {spoken}.")


def _paint(series: int) -> dict[str, Any]:
    """The colour of a series; paler when the colours come round again, as in `page.legend`."""
    again, color = divmod(series, len(_SERIES))
    return {"color": _SERIES[color], "alpha": 0.45 if again else 1.0}


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def _short(name: str) -> str:
    return name if len(name) <= 22 else name[:21] + "…"


def _margins(intervals: Sequence[Interval]) -> Any:
    """Distances down and up, [2, N], as error bars want them."""
    return np.array(
        [
            [max(0.0, i.value - i.low) for i in intervals],
            [max(0.0, i.high - i.value) for i in intervals],
        ]
    )


def _svg(draw: Callable[[Axes], None], height: float, spoken: str) -> str:
    """Draws, and returns an <svg> element for the page; `spoken` is read to who cannot see it."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # The salt keeps the ids of two plots on one page apart, and equal from run to run.
    style: Any = {**_STYLE, "svg.hashsalt": spoken}
    with rc_context(style), warnings.catch_warnings():
        # The reader's browser draws the text, with fonts that have what ours may lack.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        drawing = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(drawing)
        draw(drawing.add_subplot())
        file = io.StringIO()
        nothing = dict.fromkeys(["Creator", "Date", "Format", "Type"])
        drawing.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    opening, rest = svg.split(">", 1)
    opening = re.sub(r' (width|height|version)="[^"]*"', "", opening)
    # matplotlib numbers the groups of every figure from 1; on one page names must be unique.
    rest = re.sub(r'<g id="[^"]*"', "<g", rest)
    rest = re.sub("#0[0-9a]0[0-9a]0[0-9]", lambda match: _VARIABLES[match.group()], rest)
    return f'{opening} role="img" aria-label="{escape(spoken)}">{rest}'
