"""How each kind of question is made, told and drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from serving.client import questions
from serving.query import plots, tables


class Kind(NamedTuple):
    """ask: makes the question. tell: answer -> text. draw: answer, path -> a picture, if any.

    What is told and drawn of an explanation takes the history besides, behind the answer.
    """

    ask: Callable[..., questions.Question[Any]]
    tell: Callable[..., str]
    draw: Callable[..., None] | None = None


KINDS = {
    "recommend": Kind(questions.recommend, tables.recommend, plots.recommend),
    "score": Kind(questions.score, tables.score, plots.score),
    "explain": Kind(questions.explain, tables.explain, plots.explain),
    "distribution": Kind(questions.distribution, tables.distribution, plots.distribution),
    "facets": Kind(questions.facets, tables.facets, plots.facets),
    "evolve": Kind(questions.evolve, tables.evolve, plots.evolve),
    "update_user": Kind(questions.update_user, tables.update_user),
    "embed_user": Kind(questions.embed_user, tables.embed_user),
    "embed_items": Kind(questions.embed_items, tables.embed_items),
    "embed_text": Kind(questions.embed_text, tables.embed_text),
}
