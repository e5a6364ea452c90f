"""The picture of interests over time: stacked areas, their names ordered by the last share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfrec.interest.ledger_lines import Float64
from tfrec.interest.telling.drawing import GREY, SERIES, date_axis, nothing
from tfrec.interest.telling.waterfall import words
from tfrec.interest.telling.wording import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DAY_MS = 86_400_000


def evolution_figure(
    times: npt.ArrayLike, shares: npt.ArrayLike, names: Sequence[str], language: str = "en"
) -> Figure:
    """The figure of `draw_evolution`."""
    from matplotlib.figure import Figure

    when, parts = _checked(times, shares, names)
    text = words(language)
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.add_subplot()
    if not parts.size:
        nothing(axes, text["nothing"])
        return figure
    parts, labels = _largest(parts, names, text["rest"])
    if when[0] == when[-1]:  # an area needs two ends
        when, parts = when[-1] + np.array([-0.5, 0.5]), parts[[-1, -1]]
    colours = [GREY if n == len(SERIES) else SERIES[n] for n in range(len(labels))]
    areas = axes.stackplot(when, parts.T, colors=colours, edgecolor="white", linewidth=0.5)
    final = [f"{name}  {100 * part:.0f} %" for name, part in zip(labels, parts[-1], strict=True)]
    # The legend reads from top to bottom as the areas lie.
    axes.legend(
        areas[::-1], final[::-1], loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
    )
    axes.set(xlim=(when[0], when[-1]), ylim=(0, float(parts.sum(axis=1).max()) or 1.0))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_ylabel(text["share"])
    date_axis(axes, language)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _checked(
    times: npt.ArrayLike, shares: npt.ArrayLike, names: Sequence[str]
) -> tuple[Float64, Float64]:
    when, parts = np.asarray(times, np.float64) / DAY_MS, np.asarray(shares, np.float64)
    if when.ndim != 1 or parts.shape != (len(when), len(names)):
        raise ValueError(
            f"shares must be [times, names] = ({when.size}, {len(names)}), got {parts.shape}"
        )
    if not (np.isfinite(parts).all() and (parts >= 0).all()):
        raise ValueError("shares must be finite and not negative")
    order = np.argsort(when, kind="stable")
    return when[order], parts[order]


def _largest(parts: Float64, names: Sequence[str], others_name: str) -> tuple[Float64, list[str]]:
    """Columns by last share, the largest lowest; what has no colour of its own as one column."""
    order = np.argsort(-parts[-1], kind="stable")
    shown, others = order[: len(SERIES)], order[len(SERIES) :]
    labels = [one_line(names[n], str(n + 1), 28) for n in shown]
    if not len(others):
        return parts[:, shown], labels
    rest = parts[:, others].sum(axis=1, keepdims=True)
    return np.concatenate([parts[:, shown], rest], axis=1), [
        *labels,
        others_name.format(count=len(others)),
    ]
