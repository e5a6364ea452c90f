"""What may be asked of a model: each function makes a question, with no connection in sight.

A client has them as methods. Made here, many of one kind can travel together:

    client.batch([questions.recommend(history) for history in histories])

Everywhere a user is a history, which is a sequence of events, or a `User` that says more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from serving.client.records import (
    Distribution,
    Embeddings,
    Event,
    Explanation,
    Facet,
    Interest,
    Probable,
    Recommendation,
    Score,
    Stage,
    Time,
    Update,
    User,
    milliseconds,
    moment,
    text,
)
from serving.tensors import Array

Answer = TypeVar("Answer")
History = Sequence[Event]
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Question(Generic[Answer]):
    """A question and how to read its answer.

    Attributes:
        signature: which of the model's is asked, without its suffix.
        inputs: rows of each input. [rows] or [rows, length]
        decode: these rows of the outputs -> the answer.
        full: what the signature's twin takes beside `inputs`; {} where it has none.
        needs_full: whether something of `full` says more than its default.
        told: texts of the user, "" for none; {} where the signature is about no user.
    """

    signature: str
    inputs: Tensors
    decode: Callable[[Tensors], Answer]
    full: Tensors = field(default_factory=dict)
    needs_full: bool = False
    told: Tensors = field(default_factory=dict)

    @property
    def says(self) -> set[str]:
        """Names of the texts that are not empty."""
        return {name for name, array in self.told.items() if any(array)}

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))


def recommend(user: User | History, exclude: Sequence[str] = ()) -> Question[list[Recommendation]]:
    """The items that a user wants most, best first, without those of the history.

    Arguments:
        exclude: ids of further items that must not come.
    """

    def decode(outputs: Tensors) -> list[Recommendation]:
        columns = [outputs[name][0].tolist() for name in ("items", "scores", "probabilities")]
        return [Recommendation(*row) for row in zip(*columns, strict=True) if row[0]]

    return _about(user, "recommend", {"exclude_items": _ids(exclude, "exclude")}, decode)


def score(user: User | History, items: Sequence[str]) -> Question[list[Score]]:
    """How much a user wants some items, in their order."""

    def decode(outputs: Tensors) -> list[Score]:
        known = outputs["known"][0, : len(items)]
        strengths: list[Any] = [None] * len(items)
        if "expected_strength" in outputs:
            strengths = _of_known(outputs["expected_strength"][0], known)
        columns = [
            _of_known(outputs[name][0], known) for name in ("score", "probability", "intensity")
        ]
        rows = zip(items, known.tolist(), *columns, strengths, strict=True)
        return [Score(*row) for row in rows]

    return _about(user, "score", {"candidate_items": _ids(items, "items")}, decode)


def explain(user: User | History, items: Sequence[str]) -> Question[list[Explanation]]:
    """Why some items have the scores that they have, in their order."""
    events = len(_user(user).history)

    def decode(outputs: Tensors) -> list[Explanation]:
        known = outputs["known"][0, : len(items)]
        one = {
            name: _of_known(outputs[name][0], known)
            for name in ("score", "quality", "conformity", "context", "residual_error")
        }
        found = []
        for place, item in enumerate(items):
            lines = outputs["event_contributions"][0, place, :events]
            told = lines[:0]
            if "told_contributions" in outputs:
                told = outputs["told_contributions"][0, place]
            found.append(
                Explanation(
                    item=item,
                    known=bool(known[place]),
                    contributions=lines if known[place] else np.full_like(lines, math.nan),
                    told_contributions=told if known[place] else np.full_like(told, math.nan),
                    text=outputs["text"][0, place] if known[place] else "",
                    **{name: numbers[place] for name, numbers in one.items()},
                )
            )
        return found

    return _about(user, "explain", {"candidate_items": _ids(items, "items")}, decode)


def distribution(user: User | History) -> Question[Distribution]:
    """What a user wants overall."""

    def decode(outputs: Tensors) -> Distribution:
        items, mass = outputs["items"][0].tolist(), outputs["probabilities"][0].tolist()
        return Distribution(
            items=[Probable(*row) for row in zip(items, mass, strict=True) if row[0]],
            tail_mass=float(outputs["tail_mass"][0]),
            entropy=float(outputs["entropy"][0]),
            categories=_categories(outputs["categories"], outputs["category_probabilities"][0]),
        )

    return _about(user, "distribution", {}, decode)


def facets(user: User | History) -> Question[Interest]:
    """Which parts an interest has, how lasting and how loud."""

    def decode(outputs: Tensors) -> Interest:
        names = ("facet_names", "gates", "half_life_days", "shares")
        columns = [outputs[name][0].tolist() for name in names]
        rows = zip(*columns, outputs["user_facets"][0], strict=True)
        return Interest([Facet(*row) for row in rows], float(outputs["crowd_share"][0]))

    return _about(user, "facets", {}, decode)


def evolve(user: User | History, times: Sequence[Time]) -> Question[list[Stage]]:
    """How an interest changed: at each time, with the events strictly before it."""
    asked = [milliseconds(time, f"times[{place}]") for place, time in enumerate(times)]

    def decode(outputs: Tensors) -> list[Stage]:
        return [
            Stage(
                time=moment(time),
                categories=_categories(
                    outputs["categories"], outputs["category_probabilities"][0, place]
                ),
                facet_shares=outputs["facet_shares"][0, place].tolist(),
            )
            for place, time in enumerate(asked)
        ]

    return _about(user, "evolve", {"checkpoint_times": _row(asked, np.int64)}, decode)


def update_user(user: User | History, item: str, engaged: bool = True) -> Question[Update]:
    """What one more event teaches about a user.

    Arguments:
        user: with the history before the event, and the gains that the update before it left.
        item: what was offered.
        engaged: whether the user took it.

    Example:
        >>> update = client.update_user(user, "s7")                      # doctest: +SKIP
        >>> user = User(                                                 # doctest: +SKIP
        ...     [*user.history, event], facet_gain=update.facet_gain,
        ...     conformity_gain=update.conformity_gain,
        ... )
    """
    if not isinstance(engaged, bool):
        raise TypeError(f"engaged must be True or False, not {engaged!r}")

    def decode(outputs: Tensors) -> Update:
        return Update(
            facet_gain=outputs["facet_gain"][0].tolist(),
            conformity_gain=float(outputs["conformity_gain"][0]),
            log_loss=float(outputs["log_loss"][0]),
            known=bool(outputs["known"][0]),
        )

    gains = {name: _full(_user(user))[name] for name in ("facet_gain", "conformity_gain")}
    event = {"item": _ids([item], "item")[0], "engaged": np.array([engaged])}
    return _about(user, "update_user", {**gains, **event}, decode)


def embed_user(user: User | History) -> Question[NDArray[Any]]:
    """A user as a vector whose product with an item's vector is the score. [size]"""
    return _about(user, "embed_user", {}, lambda outputs: outputs["embedding"][0])


def embed_items(items: Sequence[str]) -> Question[Embeddings]:
    """Items as vectors whose product with a user's vector is the score."""

    def decode(outputs: Tensors) -> Embeddings:
        return Embeddings(list(items), outputs["known"], outputs["embedding"])

    return Question("embed_items", {"items": _ids(_some(items, "items"), "items")[0]}, decode)


def embed_text(texts: Sequence[str]) -> Question[NDArray[Any]]:
    """New items by their texts alone, as vectors in the space of `embed_items`. [texts, size]

    Arguments:
        texts: as the run's template makes them of an item's columns.
    """
    inputs = {"texts": _ids(_some(texts, "texts"), "texts")[0]}
    return Question("embed_text", inputs, lambda outputs: outputs["embedding"])


def _about(
    user: User | History,
    signature: str,
    inputs: Tensors,
    decode: Callable[[Tensors], Answer],
) -> Question[Answer]:
    """A question about one user, who is the only row."""
    user = _user(user)
    history = user.history
    times = [milliseconds(event.time, "Event.time") for event in history]
    needs_full = (
        user.now is not None
        or user.facet_gain is not None
        or user.conformity_gain != 1
        or any(e.action or e.gain != 1 or not math.isnan(e.value) for e in history)
    )
    of_history = {
        "history_items": _row([event.item.encode() for event in history], object),
        "history_times": _row(times, np.int64),
    }
    told = {
        name: np.array([words.encode()], object)
        for name, words in (("profile", user.profile), ("query", user.query))
    }
    return Question(signature, {**of_history, **inputs}, decode, _full(user), needs_full, told)


def _full(user: User) -> dict[str, Array]:
    """What the twin of a signature takes of a user beside the history."""
    return {
        "actions": _row([event.action.encode() for event in user.history], object),
        "values": _row([event.value for event in user.history], np.float32),
        "now": np.array([0 if user.now is None else milliseconds(user.now, "now")], np.int64),
        "facet_gain": _row(user.facet_gain or (), np.float32),
        "event_gain": _row([event.gain for event in user.history], np.float32),
        "conformity_gain": np.array([user.conformity_gain], np.float32),
    }


def _user(user: User | History) -> User:
    return user if isinstance(user, User) else User(user)


def _row(values: Sequence[Any], kind: Any) -> Array:
    """One row of an input. [1, length]"""
    return np.array(values, kind).reshape(1, len(values))


def _ids(values: Sequence[str], name: str) -> Array:
    """One row of texts. A text alone is a sequence of its letters, which nobody means."""
    if isinstance(values, str):
        raise TypeError(f"{name} must be a sequence of texts, not one text")
    given = [text(value, f"{name}[{place}]") for place, value in enumerate(values)]
    return _row([value.encode() for value in given], object)


def _some(values: Sequence[str], name: str) -> Sequence[str]:
    if not len(values):
        raise ValueError(f"{name} is empty; there is nothing to ask about")
    return values


def _of_known(values: Array, known: Array) -> list[float]:
    """Numbers of the candidates; NaN, which no comparison takes for a good one, of unknown ones."""
    numbers: list[float] = np.where(known, values[: len(known)], math.nan).tolist()
    return numbers


def _categories(names: Array, mass: Array) -> dict[str, float]:
    return dict(zip(names[0].tolist(), mass.tolist(), strict=True))
