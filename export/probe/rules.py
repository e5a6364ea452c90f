"""What must hold between the signatures of one version, whoever trained it on whatever."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .forms import examples
from .model import Array, Model, Tensors, difference

HISTORY = ("history_items", "history_times")
NOWHERE = uuid.uuid4().hex.encode()  # no catalogue has it


class Rule(NamedTuple):
    """A sentence that must be true of the model.

    Attributes:
        says: the sentence.
        needs: signatures; a model without them is not asked.
        worst: how far the model is from it, given sample histories: the inputs named `HISTORY`.
    """

    says: str
    needs: tuple[str, ...]
    worst: Callable[[Model, Tensors], float]


def _recommend(model: Model, history: Tensors, exclude: Array | None = None) -> Tensors:
    none = np.zeros((len(history["history_items"]), 0), object)
    return model.ask(
        "recommend", {**history, "exclude_items": none if exclude is None else exclude}
    )


def _scores(model: Model, history: Tensors, items: Array) -> Tensors:
    return model.ask("score", {**history, "candidate_items": items})


def _default(model: Model, history: Tensors) -> float:
    none = np.zeros((len(history["history_items"]), 0), object)
    inputs = {**history, "exclude_items": none}
    answers = [model.ask(name, inputs) for name in ("serving_default", "recommend")]
    return max(difference(answers[0][name], answers[1][name]) for name in answers[1])


def _ranked(model: Model, history: Tensors) -> float:
    """Recommended scores fall, and are those of `score`; what is excluded does not come."""
    first = _recommend(model, history)
    real = first["items"] != b""
    scored = _scores(model, history, first["items"])["score"]
    worst = difference(first["scores"][real], scored[real])
    rises = np.diff(np.where(real, scored.astype(np.float64), 0.0), axis=1)
    worst = max(worst, float(rises[real[:, 1:]].max(initial=0.0)))
    second = _recommend(model, history, exclude=first["items"])
    for row in range(len(real)):
        again = set(first["items"][row, real[row]]) & set(second["items"][row])
        worst = max(worst, float("inf") if again else 0.0)
    return worst


def _next(model: Model, history: Tensors) -> float:
    first = _recommend(model, history)
    real = first["items"] != b""
    second = _recommend(model, history, exclude=first["items"])["scores"]
    least = np.where(real, first["scores"], np.inf).min(axis=1, initial=np.inf)
    return float((second.max(axis=1, initial=-np.inf) - least).max(initial=0.0))


def _ledger(model: Model, history: Tensors) -> float:
    items = _recommend(model, history)["items"][:, :20]
    lines = model.ask("explain", {**history, "candidate_items": items})
    total = lines["event_contributions"].astype(np.float64).sum(axis=(2, 3))
    total += sum(lines[name].astype(np.float64) for name in ("quality", "conformity", "context"))
    scored = _scores(model, history, items)["score"]
    return max(difference(total, lines["score"]), difference(lines["score"], scored))


def _dot(model: Model, history: Tensors) -> float:
    items = _recommend(model, history)["items"][:, :20]
    users = model.ask("embed_user", history)["embedding"].astype(np.float64)
    embedded = model.ask("embed_items", {"items": items.reshape(-1)})["embedding"]
    vectors = embedded.reshape(*items.shape, -1).astype(np.float64)  # [B, M, S]
    scored = _scores(model, history, items)["score"]
    return difference(np.einsum("bs,bms->bm", users, vectors)[items != b""], scored[items != b""])


def _softmax(model: Model, history: Tensors) -> float:
    """log p rises with the score in one straight line through all users; its slope is 1 / T."""
    asked = model.ask("distribution", history)
    items, p = asked["items"], asked["probabilities"].astype(np.float64)
    scored = _scores(model, history, items)
    real = (items != b"") & (p > 1e-30)
    log_p = np.log(np.where(real, p, 1.0))
    scores = scored["score"].astype(np.float64)
    count = np.maximum(real.sum(axis=1, keepdims=True), 1)
    x = np.where(real, scores - (scores * real).sum(axis=1, keepdims=True) / count, 0.0)
    y = np.where(real, log_p - log_p.sum(axis=1, keepdims=True) / count, 0.0)
    slope = float((x * y).sum() / max((x * x).sum(), 1e-300))
    worst = difference(slope * x, y)
    return max(worst, difference(scored["probability"][real], p[real]))


def _head(model: Model, history: Tensors) -> float:
    found, head = _recommend(model, history), model.ask("distribution", history)
    worst = difference(found["probabilities"], head["probabilities"])
    return max(worst, difference(found["items"], head["items"]))


def _most_of_head(model: Model, history: Tensors) -> float:
    """At least half of the best items, with probabilities in proportion to the exact ones."""
    found, head = _recommend(model, history), model.ask("distribution", history)
    best = head["items"][:, :10]
    there = (best[:, :, None] == found["items"][:, None]).any(axis=2)
    if there.mean() < 0.5:
        return float("inf")
    exact = _scores(model, history, found["items"])["probability"].astype(np.float64)
    real = (found["items"] != b"") & (exact > 1e-30)
    ratio = np.where(real, found["probabilities"] / np.where(real, exact, 1.0), 0.0)
    mean = ratio.sum(axis=1, keepdims=True) / real.sum(axis=1, keepdims=True).clip(1)
    return difference(np.where(real, ratio, mean) / mean, np.ones_like(ratio))


def _total(model: Model, history: Tensors) -> float:
    asked = model.ask("distribution", history)
    total = asked["probabilities"].astype(np.float64).sum(axis=1) + asked["tail_mass"]
    return difference(total, np.ones_like(total))


def _twins(model: Model, history: Tensors) -> float:
    """With actions and strengths unknown, gains of 1 and no time, the twin is the short form."""
    worst = 0.0
    batch, length = history["history_items"].shape
    items = _recommend(model, history)["items"][:, :5]
    latest = history["history_times"].max(axis=1, initial=0)[:, None]
    for name in model.signatures:
        short = name.removesuffix("_full")
        if short == name:
            continue
        needed = model.input_types(short)
        extra = {
            "candidate_items": items,
            "exclude_items": items,
            "checkpoint_times": latest,
            "item": items[:, 0],
            "engaged": np.ones(batch, bool),
        }
        facets = model.facets(name)
        neutral = {
            "actions": np.full((batch, length), b"", object),
            "values": np.full((batch, length), np.nan, np.float32),
            "now": np.zeros(batch, np.int64),
            "facet_gain": np.ones((batch, facets), np.float32),
            "event_gain": np.ones((batch, length), np.float32),
            "conformity_gain": np.ones(batch, np.float32),
        }
        given = history | extra | neutral
        inputs = {key: given[key] for key in needed}
        full, plain = model.ask(name, inputs | neutral), model.ask(short, inputs)
        worst = max(worst, *(difference(full[key], plain[key]) for key in plain))
    return worst


def _silent(model: Model, history: Tensors) -> float:
    """Where nothing is said, the twin that takes texts is the one that does not."""
    worst = 0.0
    batch, length = history["history_items"].shape
    items = _recommend(model, history)["items"][:, :5]
    for name in model.signatures:
        full = name.removesuffix("_told") + "_full"
        if full == name + "_full":
            continue
        given: dict[str, Array] = history | {
            "candidate_items": items,
            "exclude_items": items,
            "actions": np.full((batch, length), b"", object),
            "values": np.full((batch, length), np.nan, np.float32),
            "now": np.zeros(batch, np.int64),
            "facet_gain": np.ones((batch, model.facets(full)), np.float32),
            "event_gain": np.ones((batch, length), np.float32),
            "conformity_gain": np.ones(batch, np.float32),
            "profile": np.full(batch, b"", object),
            "query": np.full(batch, b" ", object),
        }
        answers = [
            model.ask(one, {key: given[key] for key in model.input_types(one)})
            for one in (name, full)
        ]
        worst = max(worst, *(difference(answers[0][key], answers[1][key]) for key in answers[1]))
    return worst


def _alone(model: Model, history: Tensors) -> float:
    """A user's answer follows from that user's row: not from the batch, nor from padding."""
    together = _recommend(model, history)
    worst = 0.0
    for row in range(len(history["history_items"])):
        one = {name: value[row : row + 1] for name, value in history.items()}
        one["history_items"] = np.pad(one["history_items"], ((0, 0), (2, 3)), constant_values=b"")
        one["history_times"] = np.pad(one["history_times"], ((0, 0), (2, 3)))
        alone = _recommend(model, one)
        # Equal scores may change places: by rank only the scores must agree.
        worst = max(worst, difference(alone["scores"][0], together["scores"][row]))
    return worst


def _unknown(model: Model, history: Tensors) -> float:
    items = np.full((len(history["history_items"]), 2), NOWHERE, object)
    asked = _scores(model, history, items)
    if asked.pop("known").any():
        return float("inf")
    return max(float(np.abs(value).max()) for value in asked.values())


def _empty(model: Model, history: Tensors) -> float:
    """Users without any known event are all answered alike, and with numbers."""
    worst = 0.0
    for length, item in ((0, b""), (3, b""), (3, NOWHERE)):
        nobody = {
            "history_items": np.full((2, length), item, object),
            "history_times": np.zeros((2, length), np.int64),
        }
        scores = _recommend(model, nobody)["scores"]
        if not np.isfinite(scores).all():
            return float("inf")
        worst = max(worst, difference(scores[0], scores[1]))
    return worst


def _classified(model: Model, history: Tensors) -> float:
    first = _recommend(model, history)
    best = first["items"][:, :1]
    found = model.ask("classify", _examples(history, exclude_items=best))
    expected = _recommend(model, history, exclude=best)
    worst = difference(found["scores"], expected["probabilities"])
    return max(worst, difference(found["classes"], expected["items"]))


def _regressed(model: Model, history: Tensors) -> float:
    best = _recommend(model, history)["items"][:, :1]
    found = model.ask("regress", _examples(history, candidate_items=best))
    return difference(found["outputs"], _scores(model, history, best)["intensity"][:, 0])


def _examples(history: Tensors, **features: Array) -> Tensors:
    columns = {**history, **features}
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    return examples([dict(zip(names, row, strict=True)) for row in rows])


def _surprised(model: Model, history: Tensors) -> float:
    """The loss of an event is that of its probability; of an unknown item nothing is learned."""
    items = _recommend(model, history)["items"][:, 0]
    batch = len(items)
    facets = model.facets("update_user")
    state = {
        "facet_gain": np.ones((batch, facets), np.float32),
        "conformity_gain": np.ones(batch, np.float32),
    }
    p = _scores(model, history, items[:, None])["probability"][:, 0].astype(np.float64)
    worst = 0.0
    for engaged, loss in ((True, -np.log(p)), (False, -np.log1p(-p))):
        event = {"item": items, "engaged": np.full(batch, engaged)}
        found = model.ask("update_user", history | state | event)
        worst = max(worst, difference(found["log_loss"][p < 1], loss[p < 1]))
    event["item"] = np.full(batch, NOWHERE, object)
    found = model.ask("update_user", history | state | event)
    return max(worst, *(difference(found[name], gain) for name, gain in state.items()))


RULES = [
    Rule("serving_default is recommend", ("serving_default", "recommend"), _default),
    Rule("recommend goes down the scores of score", ("recommend", "score"), _ranked),
    Rule("the lines of explain add up to score", ("explain", "recommend", "score"), _ledger),
    Rule(
        "embed_user times embed_items is score",
        ("embed_user", "embed_items", "recommend", "score"),
        _dot,
    ),
    Rule("distribution is softmax(score / T)", ("distribution", "recommend", "score"), _softmax),
    Rule("distribution adds up to 1", ("distribution",), _total),
    Rule("classify is recommend, asked with tf.Examples", ("classify", "recommend"), _classified),
    Rule("regress is the intensity of score", ("regress", "recommend", "score"), _regressed),
    Rule(
        "update_user loses the logarithm of score's probability",
        ("update_user", "recommend", "score"),
        _surprised,
    ),
    Rule("a _full twin with nothing asked is its short form", ("recommend_full",), _twins),
    Rule("a _told twin that is told nothing is its _full twin", ("recommend_told",), _silent),
    Rule("a user alone, padded, is answered as in a batch", ("recommend",), _alone),
    Rule("unknown candidates are flagged and get 0", ("score",), _unknown),
    Rule("an empty history gets an answer", ("recommend",), _empty),
]
# With an index, which promises most of the best items and not all.
APPROXIMATE = [
    Rule(
        "recommend is most of the head of distribution",
        ("distribution", "recommend", "score"),
        _most_of_head,
    )
]
EXACT = [
    Rule("recommend is the head of distribution", ("distribution", "recommend"), _head),
    Rule("what comes when the best are excluded is no better", ("recommend",), _next),
]
