"""The picture of one score: its sum on the left, its history on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfrec.interest.ledger_lines import Float64, LedgerLines
from tfrec.interest.telling.drawing import AGAINST, FOR, GREY, WHOLE, colour, date_axis, nothing
from tfrec.interest.telling.waterfall import Step, steps, words
from tfrec.interest.telling.wording import age, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DAY_MS = 86_400_000
# Points: a stem on an axis of dates, the width of the axes they stand on, a number in its circle.
_STEM, _WIDE, _BADGE = 4.0, 330.0, 16.0


def ledger_figure(ledger: LedgerLines, language: str = "en") -> Figure:
    """The figure of `draw_ledger`: axes "sum" and "history"."""
    from matplotlib.figure import Figure

    rows = steps(ledger, language)
    figure = Figure(figsize=(15, _height(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    figure.suptitle(one_line(ledger.title, one_line(ledger.item), 80), fontsize=15)
    _sum(left, rows, language)
    _history(right, ledger, rows, language)
    return figure


def _height(rows: list[Step]) -> float:
    return max(4.2, 1.9 + 0.42 * len(rows))  # inches


def _sum(axes: Axes, rows: list[Step], language: str) -> None:
    """One bar per step, from where the last one ended; the score from zero."""
    axes.set_label("sum")
    axes.set_title(words(language)["sum"])
    places = np.arange(len(rows))
    starts, values = np.array([row.start for row in rows]), np.array([row.value for row in rows])
    colours = [FOR if row.value > 0 else AGAINST for row in rows[:-1]] + [WHOLE]
    axes.barh(places, values, 0.68, left=starts, color=colours)
    ends = starts + values
    # A thin line takes the sum so far down to where the next bar starts.
    axes.vlines(ends[:-1], places[:-1] + 0.34, places[1:] - 0.34, color=GREY, linewidth=0.8)
    largest = float(np.abs(values).max())
    digits = int(np.clip(1 - np.floor(np.log10(largest or 1.0)), 2, 6))
    for place, row in enumerate(rows):
        right_of = row.value >= 0
        sign = "" if row is rows[-1] else "+"
        axes.annotate(
            f"{row.value:{sign}.{digits}f}".replace("-", "−"),
            (row.start + row.value, place),
            xytext=(4 if right_of else -4, 0),
            textcoords="offset points",
            ha="left" if right_of else "right",
            va="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_yticks(places, [row.label for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.use_sticky_edges = False  # room for the numbers beside the bars
    axes.margins(x=0.14)
    axes.set_xlabel(words(language)["score axis"])
    axes.spines[["top", "right", "left"]].set_visible(False)


def _history(axes: Axes, ledger: LedgerLines, rows: list[Step], language: str) -> None:
    """One stem per event: its facets stacked, what speaks for above zero, against below."""
    text = words(language)
    axes.set_label("history")
    axes.set_title(text["history"])
    if not ledger.events:
        nothing(axes, text["no history"])
        return
    x, dated = _positions(ledger)
    values = ledger.contributions.astype(np.float64)  # [L, K]
    width = _STEM if dated else float(np.clip(0.75 * _WIDE / len(x), 1, 12))
    ends = [
        _stack(axes, x, np.maximum(values, 0), width),
        _stack(axes, x, np.minimum(values, 0), width),
    ]
    axes.axhline(0, color=GREY, linewidth=1)
    axes.margins(y=0.16)
    axes.set_ylim(axes.get_ylim())  # the numbers below are placed by it
    _time_axis(axes, ledger, x, dated, language)
    _numbers(axes, x, np.where(values.sum(axis=1) >= 0, *ends), rows)
    _facet_legend(axes, ledger, text)
    axes.set_ylabel(text["line axis"])
    axes.spines[["top", "right"]].set_visible(False)


def _stack(axes: Axes, x: Float64, values: Float64, width: float) -> Float64:
    """Draws [L, K] values of one sign as stems, facet after facet; returns their ends [L]."""
    base = np.zeros(len(x))
    for facet, part in enumerate(values.T):
        some = part != 0
        if some.any():
            ends = (base + part)[some]
            axes.vlines(x[some], base[some], ends, color=colour(facet), linewidth=width)
        base = base + part
    return base


def _positions(ledger: LedgerLines) -> tuple[Float64, bool]:
    """Days since 1970 of the events, or their order where dates would hide one behind another."""
    times = np.array([event.time for event in ledger.events], np.float64)
    known = all(age(event.time, ledger.request_time, "en") for event in ledger.events)
    # How much of the axis one stem covers.
    span = max(ledger.request_time, times.max()) - times.min()
    hidden = np.mean(np.diff(times) <= span * _STEM / _WIDE) if len(times) > 1 else 0.0
    if known and hidden < 0.2:
        return times / DAY_MS, True
    return np.arange(len(times), dtype=np.float64), False


def _time_axis(axes: Axes, ledger: LedgerLines, x: Float64, dated: bool, language: str) -> None:
    text = words(language)
    if dated:
        date_axis(axes, language)
        now = ledger.request_time / DAY_MS
        margin = 0.04 * max(now - x.min(), 1 / 24)
        axes.set_xlim(x.min() - margin, max(now, x.max()) + margin)
        axes.axvline(now, color=GREY, linestyle=":", linewidth=1)
        axes.set_xlabel(text["date axis"])
        return
    axes.set_xlim(-0.8, len(x) - 0.2)
    shown = np.unique(np.linspace(0, len(x) - 1, min(len(x), 4)).round().astype(int))
    ages = [age(ledger.events[n].time, ledger.request_time, language) for n in shown]
    # An age that several events share is written once, at the latest.
    labels = [label if label not in ages[n + 1 :] else "" for n, label in enumerate(ages)]
    axes.set_xticks(shown, labels if all(ages) else [str(n + 1) for n in shown], fontsize=9)
    axes.set_xlabel(text["order axis"])


def _numbers(axes: Axes, x: Float64, tops: Float64, rows: list[Step]) -> None:
    """The numbers of the reasons on the left, at the largest event of each, none on another."""
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    tall = 0.75 * 72 * _height(rows)  # points
    taken: list[tuple[float, float]] = []  # points
    for row in rows:
        if row.number is None:
            continue
        event = row.events[0]
        side = 1 if tops[event] >= 0 else -1
        across = (x[event] - low) / (high - low) * _WIDE
        stem = (tops[event] - bottom) / (top - bottom) * tall
        away = 10
        while any(
            abs(across - a) < _BADGE and abs(stem + side * away - b) < _BADGE for a, b in taken
        ):
            away += 4
        taken.append((across, stem + side * away))
        axes.annotate(
            str(row.number),
            (x[event], tops[event]),
            xytext=(0, side * away),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=9,
            annotation_clip=False,
            bbox={"boxstyle": "circle,pad=0.18", "facecolor": "white", "edgecolor": GREY},
        )


def _facet_legend(axes: Axes, ledger: LedgerLines, text: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    used = np.abs(ledger.contributions).sum(axis=0)
    shown = [facet for facet in np.argsort(-used, kind="stable")[:10] if used[facet] > 0]
    names = [one_line(ledger.facets[facet], f"{text['facet']} {facet + 1}", 24) for facet in shown]
    patches = [Patch(color=colour(facet)) for facet in shown]
    if shown:
        axes.legend(
            patches, names, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9
        )
