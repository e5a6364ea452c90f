"""Requests and answers that lie beside an exported model, as a client says and hears them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from serving.client import Event, User, questions
from tests.export.published import Published

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


class Stored(NamedTuple):
    """Requests and answers that lie beside the model: a signature, called directly at the export.

    Attributes:
        users: of the requests, as the client says it.
        given: the other inputs, a list per user.
        expected: outputs by name. [users, ...]
    """

    users: list[User]
    given: list[dict[str, Any]]
    expected: dict[str, Any]


def stored(published: Published, name: str) -> Stored:
    samples = published.models / "1" / "assets.extra" / "samples"
    given = json.loads((samples / "requests" / f"{name}.rows.json").read_text("utf-8"))["instances"]
    outputs = json.loads((samples / "answers" / f"{name}.columns.json").read_text("utf-8"))
    outputs = outputs["outputs"]
    names = list(published.signatures[name]["outputs"])
    if len(names) == 1:
        outputs = {names[0]: outputs}
    expected = {key: np.array(value) for key, value in outputs.items()}
    return Stored([user_of(row) for row in given], given, expected)


def user_of(row: dict[str, Any]) -> User:
    events = []
    for place, item in enumerate(row.get("history_items", [])):
        more = {
            field: row[name][place]
            for field, name in (("action", "actions"), ("value", "values"), ("gain", "event_gain"))
            if name in row
        }
        if item:
            events.append(Event(item, row["history_times"][place], **more))
    gains = {name: row[name] for name in ("now", "facet_gain", "conformity_gain") if name in row}
    return User(events, **gains)


QUESTIONS: dict[str, Callable[[User, dict[str, Any]], Any]] = {
    "recommend": lambda user, given: questions.recommend(user, given["exclude_items"]),
    "score": lambda user, given: questions.score(user, given["candidate_items"]),
    "explain": lambda user, given: questions.explain(user, given["candidate_items"]),
    "distribution": lambda user, given: questions.distribution(user),
    "facets": lambda user, given: questions.facets(user),
    "evolve": lambda user, given: questions.evolve(user, given["checkpoint_times"]),
    "update_user": lambda user, given: questions.update_user(user, given["item"], given["engaged"]),
    "embed_user": lambda user, given: questions.embed_user(user),
    "embed_items": lambda user, given: questions.embed_items([given["items"]]),
    "embed_text": lambda user, given: questions.embed_text([given["texts"]]),
}


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found, float), expected, **CLOSE)


def numbers(records: list[Any], name: str) -> list[float]:
    return [getattr(record, name) for record in records]


def check(name: str, found: Any, expected: dict[str, Any], user: User) -> None:
    """One user's answer against the outputs of that row."""
    if name == "recommend":
        some = expected["items"] != ""
        assert [one.item for one in found] == expected["items"][some].tolist()
        close(numbers(found, "score"), expected["scores"][some])
        close(numbers(found, "probability"), expected["probabilities"][some])
    elif name in ("score", "explain"):
        known = expected["known"]
        assert numbers(found, "known") == known.tolist()
        assert not known.all()
        for key in expected.keys() - {"known", "text", "event_contributions"}:
            close(numbers(found, key), np.where(known, expected[key], np.nan))
        if name == "explain":
            lines = expected["event_contributions"][:, : len(user.history)]
            lines[~known] = np.nan
            close([one.contributions for one in found], lines)
            assert numbers(found, "text") == np.where(known, expected["text"], "").tolist()
    elif name == "distribution":
        some = expected["items"] != ""
        assert [one.item for one in found.items] == expected["items"][some].tolist()
        close(numbers(found.items, "probability"), expected["probabilities"][some])
        close([found.tail_mass, found.entropy], [expected["tail_mass"], expected["entropy"]])
        assert list(found.categories) == expected["categories"].tolist()
        close(list(found.categories.values()), expected["category_probabilities"])
    elif name == "facets":
        assert numbers(found.facets, "name") == expected["facet_names"].tolist()
        for key, field in (
            ("user_facets", "vector"),
            ("gates", "gate"),
            ("half_life_days", "half_life_days"),
            ("shares", "share"),
        ):
            close(numbers(found.facets, field), expected[key])
        close(found.crowd_share, expected["crowd_share"])
    elif name == "evolve":
        assert [list(one.categories) for one in found] == [expected["categories"].tolist()] * 3
        masses = [list(one.categories.values()) for one in found]
        close(masses, expected["category_probabilities"])
        close(numbers(found, "facet_shares"), expected["facet_shares"])
    elif name == "update_user":
        for key, value in expected.items():
            close(getattr(found, key), value)
    elif name == "embed_items":
        assert found.known.tolist() == [expected["known"]]
        close(found.vectors[0], expected["embedding"])
    else:
        close(found if name == "embed_user" else found[0], expected["embedding"])
