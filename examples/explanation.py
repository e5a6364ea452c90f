"""Interest explanation: why this, and what if I want less of it?

    python examples/explanation.py          (--quick for a smaller world)

The plain form is collaborative filtering by cosines. w_j is the learned vector of item j, S a
Transformer over the user's events in the order of time, and the feedback f_s says how an event
counts (view 0.5, click 1, buy 1.5, times grade / 3):

    u_i  = S(events of i)
    y_ij = Σ_s f_s cos(w_s, w_j) / Σ_s |f_s|             the interest by collaborative filtering
    p_ij = softmax_j(T (α cos(u_i, w_j) + β y_ij))       α = β = 1/2, T learned

It is trained with binary cross-entropy on the logits: the item taken against items drawn at
random. The explanation is made from the feedback together with the recommendation: it names the
event with the largest term of y_ij. "Less of this" is feedback too, an event with f = -1; the next
list and the next explanation are made with it.

The ledger's explanation is its lines: the score is their sum. "Less of this" halves the facet that
speaks most for the item.

Three questions are put to both. How well do they rank? Does the term that is named for an event
say what the event did? It is compared with the change of the score when the event had never been.
And does "less of this" bring less of the item's category?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr
from training_loop import fit
from world import (
    Told,
    keras,
    log_probabilities,
    open_run,
    parser,
    popularity,
    ranking_metrics,
    table,
    texts,
    told,
)

from tfrec.console import say
from tfrec.data.cases import Cases
from tfrec.data.sequences import Sequences, ragged_index
from tfrec.errors import command
from tfrec.interest.asking.asked import ask
from tfrec.interest.asking.load import LedgerRun
from tfrec.interest.asking.question import Question
from tfrec.interest.asking.steered import apply, steer
from tfrec.interest.counterfactuals import frozen_change, reencoded_change
from tfrec.interest.steering import Feedback
from tfrec.interest.telling.sentences import explain_in_words
from tfrec.models.build import category_matrix
from tfrec.models.transformer import TransformerBlock

ops = keras.ops
ALPHA = BETA = 0.5
EVENTS, DIM, NEGATIVES, TOP, DELETED = 20, 32, 8, 10, 4
BY_ACTION = {"view": 0.5, "click": 1.0, "buy": 1.5}
LESS = -1.0


@command
def main(argv: Sequence[str]) -> int:
    flags = parser(__doc__).parse_args(argv)
    run = open_run(flags)
    model = plain_form(run, epochs=5 if flags.quick else 30)
    cases = run.split.cases("test")
    given = feedback(run, cases.histories)

    ledger = run.reader.read(cases).scores(run.reader.catalogue)
    scores = (model(*given).numpy(), ledger, popularity(run))
    found = [ranking_metrics(log_probabilities(s, cases.histories), cases) for s in scores]
    table(
        f"{len(cases):,} users asked once, before their first of {len(cases.targets):,} test "
        f"events; all {run.data.num_items:,} items but those taken before",
        ("plain form", "ledger", "popularity"),
        {name: [one[name] for one in found] for name in ("hit_rate@10", "ndcg@10")},
    )

    sides = (plain_deletions(model, given, cases), ledger_deletions(run, cases))
    table(
        f"terms of the newest {DELETED} events of each user for the first item taken next, beside "
        "the change\nof its score when that event is deleted and all else computed again",
        ("plain form", "ledger"),
        {
            "rank correlation": [spearmanr(-change, term)[0] for term, change in sides],
            "wrong sign": [float((change * term > 0).mean()) for term, change in sides],
        },
    )

    users = range(min(len(cases), 6 if flags.quick else 40))
    lists = [[one(run, model, cases, user) for user in users] for one in (plain_less, ledger_less)]
    shares = category_matrix(run.data)
    table(
        f"{len(users)} users want less of their first recommendation: share of its categories "
        f"among the first {TOP},\nwithout the item itself",
        ("plain form", "ledger"),
        {
            when: [np.mean([same_kind(shares, less, place) for less in side]) for side in lists]
            for place, when in ((1, "before"), (2, "after"))
        },
    )
    for name, side in zip(("plain form", "ledger"), lists, strict=True):
        say(f"\n{name}, the first of these users")
        tops = side[0].before[0], side[0].after[0]
        for when, top, words in zip(("before", "after"), tops, side[0].said, strict=True):
            say(f"  {when}: {texts(run, 'title')[top]}. {words}")
    return 0


# The plain form.


class Given(NamedTuple):
    """What N users did: items, int [N, E], -1 pads, the newest last, and how it counts, [N, E]."""

    items: Any
    feedback: Any


def feedback(run: LedgerRun, histories: Sequences) -> Given:
    """The newest events with f by action and grade."""
    cut = histories.last(EVENTS)
    rows, columns = cut.event_rows(), cut.columns
    by_action = np.array([BY_ACTION.get(name, 1.0) for name in run.data.meta.actions])
    counts = np.zeros((len(cut), EVENTS), np.float32)
    place = (
        np.repeat(np.arange(len(cut)), cut.lengths),
        ragged_index(EVENTS - cut.lengths, cut.lengths),
    )
    counts[place] = by_action[columns.action[rows]] * columns.strength[rows] / 3
    return Given(histories.padded_items(EVENTS), counts)


class CosineFiltering(keras.Model):
    """α cos(u, w) + β y, times T: the logits of all items."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.vectors = self.add_weight(shape=(items, DIM), initializer="random_normal", name="w")
        self.temperature = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(10.0), name="T"
        )
        self.bias = self.add_weight(shape=(), initializer="zeros", name="bias")
        self.event = keras.layers.Dense(DIM)
        self.place = keras.layers.Embedding(EVENTS, DIM)
        self.block = TransformerBlock(DIM, 1, 2 * DIM)

    def call(self, items: Any, feedback: Any, training: bool = False) -> Any:
        w = ops.normalize(self.vectors)  # [I, D]
        seen = ops.take(w, ops.maximum(items, 0), axis=0)  # [B, E, D]
        real = items >= 0
        states = self.event(ops.concatenate([seen, feedback[:, :, None]], axis=2))
        states = states + self.place(ops.arange(EVENTS))
        states = self.block(states, ops.logical_and(real[:, :, None], real[:, None, :]))
        u = ops.normalize(ops.sum(states * ops.cast(real, states.dtype)[:, :, None], axis=1))
        cosine = ops.matmul(u, ops.transpose(w))
        y = ops.sum(self.terms(items, feedback), axis=1)
        return self.temperature * (ALPHA * cosine + BETA * y) + self.bias

    def terms(self, items: Any, feedback: Any) -> Any:
        """What each event adds to y, [B, E, I]."""
        w = ops.normalize(self.vectors)
        seen = ops.take(w, ops.maximum(items, 0), axis=0)
        whole = ops.maximum(ops.sum(ops.abs(feedback), axis=1), 1e-6)
        part = feedback / whole[:, None]  # 0 on padding
        return ops.matmul(seen * part[:, :, None], ops.transpose(w))


def plain_form(run: LedgerRun, epochs: int) -> CosineFiltering:
    """Trained on training events, stopped by validation events."""
    model, random = CosineFiltering(run.data.num_items), np.random.default_rng(0)

    def examples(events: Told) -> list[Any]:
        drawn = random.integers(0, run.data.num_items, (len(events), NEGATIVES))
        asked = np.concatenate([events.items[:, None], drawn], axis=1).astype(np.int32)
        return [*feedback(run, events.histories), asked]

    def loss(items: Any, feedback: Any, asked: Any, training: bool) -> Any:
        logits = ops.take_along_axis(model(items, feedback, training=training), asked, axis=1)
        wanted = ops.one_hot(ops.zeros_like(asked[:, 0]), NEGATIVES + 1)
        return ops.mean(ops.binary_crossentropy(wanted, logits, from_logits=True))

    train, validation = examples(told(run, [0])), examples(told(run, [1]))
    model(*(array[:1] for array in train[:2]))  # makes the weights
    fit(loss, model.trainable_variables, train, validation, epochs)
    return model


def plain_deletions(model: CosineFiltering, given: Given, cases: Cases) -> tuple[Any, Any]:
    """Terms of events and changes without them, for one item per user, [N * DELETED] each."""
    items = cases.targets[cases.target_offsets[:-1]]
    rows = np.arange(len(cases))
    whole, terms = model(*given).numpy()[rows, items], model.terms(*given).numpy()
    scale = BETA * float(model.temperature)
    found = []
    for event in range(EVENTS - DELETED, EVENTS):
        without = Given(given.items.copy(), given.feedback.copy())
        without.items[:, event], without.feedback[:, event] = -1, 0.0
        change = model(*without).numpy()[rows, items] - whole
        real = given.items[:, event] >= 0
        found.append((scale * terms[real, event, items[real]], change[real]))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def plain_less(run: LedgerRun, model: CosineFiltering, cases: Cases, user: int) -> Less:
    """Feedback -1 for the first recommendation, and the list made again."""
    given = feedback(run, cases.histories.take(slice(user, user + 1)))
    names, seen = texts(run, "title"), set(cases.histories.take(slice(user, user + 1)).items())

    def ranked(given: Given) -> list[int]:
        order = np.argsort(-model(*given).numpy()[0])
        return [int(item) for item in order if item not in seen]

    def why(given: Given, item: int) -> str:
        terms = model.terms(*given).numpy()[0, :, item]
        event = int(terms.argmax())
        share = terms[event] / max(np.abs(terms).sum(), 1e-9)
        return (
            f"Based on your views, clicks and purchases: {names[given.items[0, event]]!r} is like "
            f"it ({share:.0%} of its terms)."
        )

    before = ranked(given)
    item = before[0]
    less = Given(
        np.append(given.items[:, 1:], [[item]], axis=1).astype(np.int32),
        np.append(given.feedback[:, 1:], [[LESS]], axis=1).astype(np.float32),
    )
    after = [other for other in ranked(less) if other != item]
    return Less(item, before[:TOP], after[:TOP], (why(given, item), why(less, after[0])))


# The ledger.


def ledger_deletions(run: LedgerRun, cases: Cases) -> tuple[Any, Any]:
    """The same of its lines and scores."""
    reader, items = run.reader, cases.targets[cases.target_offsets[:-1], None]
    readings = reader.read(cases)
    length, found = readings.items.shape[1], []
    for event in range(length - DELETED, length):
        real = np.flatnonzero(readings.real[:, event])
        asked, column = cases.take(real), np.full(len(real), event)
        term = -frozen_change(reader, readings.take(real), items[real], column)
        change = reencoded_change(reader, asked.histories, asked.request_times, items[real], column)
        found.append((term[:, 0], change[:, 0]))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def ledger_less(run: LedgerRun, model: CosineFiltering, cases: Cases, user: int) -> Less:
    """The wish carried out on the ledger's lines, and the list made again."""
    name = run.data.users["user_id"][int(cases.histories.users[user])].as_py()
    asked = ask(run, Question(name, at=str(cases.request_times[user])))
    before = asked.order(asked.seen)
    item = int(before[0])
    [ledger] = asked.ledgers(before[:1])
    nothing = np.zeros(run.data.num_items, bool)
    steered = steer(asked, Feedback(less_like=[ledger.item]), nothing, before[:1], TOP)
    louder = apply(steered.gains, asked.readings)
    after = [int(other) for other in asked.order(asked.seen, louder) if other != item]
    [other] = asked.ledgers(np.array(after[:1], np.int32), louder)
    said = tuple(
        " ".join(sentence.text for sentence in explain_in_words(one, "en", reasons=1))
        for one in (ledger, other)
    )
    return Less(item, before[:TOP].tolist(), after[:TOP], said)


# What is measured on both.


class Less(NamedTuple):
    """A wish for less of `item`: the lists before and after, and why their first items are there.

    The list after does not hold the item.
    """

    item: int
    before: list[int]
    after: list[int]
    said: tuple[str, str]


def same_kind(shares: Any, less: Less, place: int) -> float:
    """Share of the list that has a category of the unwanted item, itself not counted."""
    others = [item for item in less[place] if item != less.item]
    return float((shares[others] @ shares[less.item] > 0).mean())


if __name__ == "__main__":
    raise SystemExit(main())
