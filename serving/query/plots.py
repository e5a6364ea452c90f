"""Answers as pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving.client import Distribution, Explanation, Interest, Recommendation, Score, Stage, User
from serving.query.tables import MOST_ITEMS, head_and_rest, largest_categories, words_of

_FOR, _AGAINST, _TOTAL = "#2f6f9f", "#c0603f", "#555555"
_MOST_LINES = 12
_MOST_CATEGORIES = 8


def bars(labels: Sequence[str], values: Sequence[float], title: str, path: Path) -> None:
    """Horizontal bars, the first on top."""
    figure, axes = _figure(len(labels))
    axes.barh(labels, values, color=_FOR)
    axes.invert_yaxis()
    axes.set_xlabel(title)
    _save(figure, path)


def recommend(answer: list[Recommendation], path: Path) -> None:
    shown = answer[:MOST_ITEMS]
    found = [one.item for one in shown], [one.probability for one in shown]
    bars(*found, "probability that the next item is this one", path)


def score(answer: list[Score], path: Path) -> None:
    known = [one for one in answer if one.known]
    bars([one.item for one in known], [one.score for one in known], "score", path)


def distribution(answer: Distribution, path: Path) -> None:
    bars(*head_and_rest(answer), "probability of the next item", path)


def facets(answer: Interest, path: Path) -> None:
    labels = [f"{one.name} ({one.half_life_days:.3g} days)" for one in answer.facets]
    values = [one.share for one in answer.facets] + [answer.crowd_share]
    bars([*labels, "the crowd"], values, "share in what moves the scores", path)


def explain(answer: list[Explanation], user: User, path: Path) -> None:
    """A waterfall for each known item: the lines one after the other, up to the score."""
    known = [one for one in answer if one.known]
    figure, all_axes = _figure(min(len(user.history), _MOST_LINES) + 6, max(1, len(known)))
    for axes, one in zip(all_axes.flat if len(known) > 1 else [all_axes], known, strict=False):
        lines = _lines(one, user)
        start = 0.0
        for place, (_, value) in enumerate(lines):
            axes.barh(place, value, left=start, color=_FOR if value >= 0 else _AGAINST)
            start += value
        axes.barh(len(lines), one.score, color=_TOTAL)
        axes.set_yticks(range(len(lines) + 1), [*(name for name, _ in lines), "score"])
        axes.invert_yaxis()
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_title(one.item)
    _save(figure, path)


def evolve(answer: list[Stage], path: Path) -> None:
    """Categories (or, without any, facets) as areas over time that add up."""
    stages = sorted(answer, key=lambda stage: stage.time)
    figure, axes = _figure(8)
    times: list[Any] = [stage.time for stage in stages]
    names = largest_categories(stages, _MOST_CATEGORIES)
    if names:
        areas = [[stage.categories[name] for stage in stages] for name in names]
        areas.append([1 - sum(column) for column in zip(*areas, strict=True)])
        axes.stackplot(times, areas, labels=[*names, "others"])
        axes.set_ylabel("probability of the next item's category")
    else:
        areas = [list(shares) for shares in zip(*(s.facet_shares for s in stages), strict=True)]
        axes.stackplot(times, areas, labels=[f"facet {n + 1}" for n in range(len(areas))])
        axes.set_ylabel("share in what moves the scores")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.autofmt_xdate()
    _save(figure, path)


def _lines(one: Explanation, user: User) -> list[tuple[str, float]]:
    """The lines of a score, the largest events first; the small ones together."""
    sums = one.contributions.sum(axis=1).tolist()
    events = sorted(zip(user.history, sums, strict=True), key=lambda pair: -abs(pair[1]))
    lines = [(event.item, value) for event, value in events[:_MOST_LINES]]
    if len(events) > _MOST_LINES:
        lines.append(("other events", sum(value for _, value in events[_MOST_LINES:])))
    told = one.told_contributions.sum(axis=1).tolist()
    lines += zip(words_of(user, len(told)), told, strict=True)
    return [*lines, ("quality", one.quality), ("conformity", one.conformity)] + (
        [("context", one.context)] if one.context else []
    )


def _figure(rows: int, columns: int = 1) -> Any:
    from matplotlib.figure import Figure

    # Not pyplot, which would keep it and may want a screen.
    figure = Figure((2 + 5 * columns, max(2.5, 1 + 0.3 * rows)), layout="constrained")
    return figure, figure.subplots(1, columns)


def _save(figure: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a font without an id's letters shows boxes
        figure.savefig(path, dpi=150)
