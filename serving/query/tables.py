"""Answers as text that people read, and as JSON that programs do."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from serving.client import (
    Distribution,
    Embeddings,
    Explanation,
    Interest,
    Recommendation,
    Score,
    Stage,
    Update,
    User,
)

_UNKNOWN = "not in the catalogue"
_MOST_CATEGORIES = 6
_SHOWN = 6
MOST_ITEMS = 20


def recommend(answer: list[Recommendation]) -> str:
    rows = [
        [str(place), one.item, f"{one.score:.4f}", f"{one.probability:.2%}"]
        for place, one in enumerate(answer[:MOST_ITEMS], 1)
    ]
    return table(["", "item", "score", "probability"], rows) + _more(answer)


def score(answer: list[Score]) -> str:
    rows = []
    for one in answer:
        numbers = [f"{one.score:.4f}", f"{one.probability:.2%}", f"{one.intensity:.2%}"]
        strength = "" if one.expected_strength is None else f"{one.expected_strength:.3g}"
        rows.append([one.item, *(([*numbers, strength]) if one.known else [_UNKNOWN, "", "", ""])])
    head = ["item", "score", "probability", "intensity", "expected strength"]
    if all(one.expected_strength is None for one in answer):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return table(head, rows)


def explain(answer: list[Explanation], user: User) -> str:
    parts = []
    for one in answer:
        if not one.known:
            parts.append(f"{one.item}: {_UNKNOWN}")
            continue
        facets = one.contributions.shape[1]
        rows = [
            [event.item, *(f"{line:+.4f}" for line in lines), f"{lines.sum():+.4f}"]
            for event, lines in zip(user.history, one.contributions, strict=True)
        ]
        told = one.told_contributions
        for name, lines in zip(words_of(user, len(told)), told, strict=True):
            rows.append([name, *(f"{line:+.4f}" for line in lines), f"{lines.sum():+.4f}"])
        for name in ("quality", "conformity", "context"):
            rows.append([name, *[""] * facets, f"{getattr(one, name):+.4f}"])
        rows.append(["score", *[""] * facets, f"{one.score:+.4f}"])
        head = ["line", *(f"facet {n}" for n in range(1, facets + 1)), "sum"]
        parts.append(f"{one.item}: {one.text}\n{table(head, rows)}")
    return "\n\n".join(parts)


def words_of(user: User, count: int) -> tuple[str, ...]:
    """What the `count` lines of a user's own words are called: a model may read one kind alone."""
    if count == 1:
        return ("profile",) if user.profile else ("searched",)
    return ("profile", "searched")[:count]


def distribution(answer: Distribution) -> str:
    items, mass = head_and_rest(answer)
    rows = [[item, f"{part:.2%}"] for item, part in zip(items, mass, strict=True)]
    spread = f"entropy {answer.entropy:.3f}: as over {math.exp(answer.entropy):.0f} items"
    parts = [table(["item", "probability"], rows), spread]
    if answer.categories:
        ranked = sorted(answer.categories.items(), key=lambda pair: -pair[1])
        parts.append(table(["category", "probability"], [[n, f"{p:.2%}"] for n, p in ranked]))
    return "\n\n".join(parts)


def facets(answer: Interest) -> str:
    rows = [
        [one.name, f"{one.share:.1%}", f"{one.gate:.2f}", f"{one.half_life_days:.3g}"]
        for one in answer.facets
    ]
    rows.append(["the crowd", f"{answer.crowd_share:.1%}", "", ""])
    return table(["facet", "share", "gate", "half-life in days"], rows)


def evolve(answer: list[Stage]) -> str:
    names = largest_categories(answer, _MOST_CATEGORIES)
    rows = [
        [
            one.time.strftime("%Y-%m-%d %H:%M"),
            *(f"{one.categories[name]:.1%}" for name in names),
            *(f"{share:.1%}" for share in one.facet_shares),
        ]
        for one in answer
    ]
    count = len(answer[0].facet_shares) if answer else 0
    return table(["time (UTC)", *names, *(f"facet {n}" for n in range(1, count + 1))], rows)


def update_user(answer: Update) -> str:
    if not answer.known:
        return f"the item is {_UNKNOWN}: nothing changes"
    gains = [f"{gain:.4f}" for gain in answer.facet_gain]
    rows = [[f"facet {place}", gain] for place, gain in enumerate(gains, 1)]
    rows.append(["the crowd", f"{answer.conformity_gain:.4f}"])
    again = f"--facet_gain {','.join(gains)} --conformity_gain {answer.conformity_gain:.4f}"
    return f"{table(['', 'gain'], rows)}\nlog-loss before: {answer.log_loss:.4f}\nnext: {again}"


def embed_user(answer: Any) -> str:
    return table(["", "size", "length", "begins"], [["user", *_vector(answer)]])


def embed_items(answer: Embeddings) -> str:
    rows = [
        [item, *(_vector(vector) if known else [_UNKNOWN, "", ""])]
        for item, known, vector in zip(answer.items, answer.known, answer.vectors, strict=True)
    ]
    return table(["item", "size", "length", "begins"], rows)


def embed_text(answer: Any) -> str:
    rows = [[str(place), *_vector(vector)] for place, vector in enumerate(answer, 1)]
    return table(["text", "size", "length", "begins"], rows)


def head_and_rest(answer: Distribution) -> tuple[list[str], list[float]]:
    """The most probable items, and all others as one."""
    head = answer.items[:MOST_ITEMS]
    rest = answer.tail_mass + sum(one.probability for one in answer.items[MOST_ITEMS:])
    return [*(o.item for o in head), "all others"], [*(o.probability for o in head), rest]


def largest_categories(stages: list[Stage], most: int) -> list[str]:
    """The categories with the most probability over all stages, the largest first."""
    names = list(stages[0].categories) if stages else []
    total = {name: sum(stage.categories[name] for stage in stages) for name in names}
    return sorted(names, key=lambda name: -total[name])[:most]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns with two spaces between them; numbers stand to the right.

    Example:
        >>> print(table(["item", "score"], [["s3", "1.5"], ["s12", "-10.25"]]))
        item   score
        s3       1.5
        s12   -10.25
    """
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [any(cell and _is_number(cell) for cell in column[1:]) for column in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines)


def plain(answer: Any) -> Any:
    """An answer as JSON has it; what is not known is null."""
    if dataclasses.is_dataclass(answer):
        return {f.name: plain(getattr(answer, f.name)) for f in dataclasses.fields(answer)}
    if isinstance(answer, np.ndarray):
        return plain(answer.tolist())
    if isinstance(answer, dict):
        return {name: plain(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [plain(value) for value in answer]
    if isinstance(answer, datetime):
        return answer.isoformat()
    if isinstance(answer, float) and not math.isfinite(answer):
        return None
    return answer


def _more(items: Sequence[object]) -> str:
    left = len(items) - MOST_ITEMS
    return f"\nand {left} more: --json prints all" if left > 0 else ""


def _vector(vector: Any) -> list[str]:
    begins = " ".join(f"{number:+.3f}" for number in vector[:_SHOWN])
    return [str(len(vector)), f"{np.linalg.norm(vector):.4f}", f"{begins} …"]


def _is_number(cell: str) -> bool:
    try:
        float(cell.rstrip("%"))
    except ValueError:
        return False
    return True
