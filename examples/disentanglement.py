"""Interest disentanglement: which part of an interest is the user, the item, and what they share?

    python examples/disentanglement.py      (--quick for a smaller world)

The plain form splits a score into three,

    y_ij = α_i + β_j + γ_ij

how much user i engages at all, how much item j is engaged with at all, and their interaction.
It is fitted by least squares, y = 1 for what was taken and 0 for what was not. The interaction
comes from a user-interest interaction module. X_j is the vector that a text layer gives item j,
P_i the user's profile, the mean vector of what they took last, refreshed with every event, and
I_1 … I_M are interests:

    w_im = softmax_m(I_m · P_i)              the degree of interest m in user i
    γ_ij = Σ_m w_im Σ_d I_md P_id X_jd       trilinear in interest, profile and item

L2 holds α, β and I near 0, dropout on the profile keeps γ from leaning on single events.

The ledger splits further: the item's quality, the pull of the crowd, and facets with half-lives of
their own, in which every event has its line. Below: how well both rank, and what each part of each
score has to do with the popularity of the items and with the order of the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from text_encoder import tokenizer
from training_loop import fit
from world import (
    Told,
    item_texts,
    keras,
    log_probabilities,
    open_run,
    parser,
    popularity,
    ranking_metrics,
    table,
    tf,
    told,
)

from tfrec.console import say
from tfrec.data.cases import Cases
from tfrec.data.sequences import Sequences, count_items
from tfrec.errors import command
from tfrec.interest.asking.load import LedgerRun
from tfrec.interest.disentanglement import half_life_days, lasting

ops = keras.ops
EVENTS, WORDS, DIM, INTERESTS, NEGATIVES = 20, 32, 32, 8, 8
L2, DROPOUT = 1e-4, 0.2


@command
def main(argv: Sequence[str]) -> int:
    flags = parser(__doc__).parse_args(argv)
    run = open_run(flags)
    cases, train = run.split.cases("test"), run.split.train()
    model = plain_form(run, epochs=4 if flags.quick else 30)

    plain, ledger = plain_parts(model, cases), ledger_parts(run, cases)
    scores = (sum(plain.values()), sum(ledger.values()), popularity(run))
    found = [ranking_metrics(log_probabilities(s, cases.histories), cases) for s in scores]
    table(
        f"{len(cases):,} users asked once, before their first of {len(cases.targets):,} test "
        f"events; all {run.data.num_items:,} items but those taken before",
        ("plain form", "ledger", "popularity"),
        {name: [one[name] for one in found] for name in ("hit_rate@10", "ndcg@10")},
    )

    turned = replace(cases, histories=backwards(cases.histories))
    crowd = np.log1p(count_items(train, run.data.num_items))
    rows = {}
    for side, parts, other in (
        ("plain", plain, plain_parts(model, turned)),
        ("ledger", ledger, ledger_parts(run, turned)),
    ):
        spread = {name: part.std(axis=1).mean() for name, part in parts.items()}
        for name, part in parts.items():
            rows[f"{side}: {name}"] = (
                spread[name] / sum(spread.values()),
                correlation(part, crowd),
                np.abs(other[name] - part).mean() / max(np.abs(part).mean(), 1e-12),
            )
    table(
        "parts of the scores of the same users: share of the spread over the items; correlation "
        "with the log\npopularity of the items, mean over users; relative change when the items "
        f"of the newest {EVENTS} events\nchange places, last first",
        ("share", "popularity", "turned"),
        rows,
    )
    lives = ", ".join(f"{days:.2g}" for days in half_life_days(run.reader.model))
    say(f"half-lives of the ledger's facets, days: {lives}")
    return 0


# The plain form.


class Interaction(keras.Model):
    """α, β and the user-interest interaction module.

    Arguments:
        users: how many.
        item_words: words of the items' texts, int [I, L].
        words: size of the vocabulary.
    """

    def __init__(self, users: int, item_words: Any, words: int) -> None:
        super().__init__()
        self.item_words = tf.constant(item_words)
        self.alpha = self.add_weight(shape=(users,), initializer="zeros", name="alpha")
        self.beta = self.add_weight(shape=(len(item_words),), initializer="zeros", name="beta")
        small = keras.initializers.RandomNormal(stddev=0.05)
        self.interests = self.add_weight(shape=(INTERESTS, DIM), initializer=small, name="I")
        self.word = keras.layers.Embedding(words, DIM, mask_zero=True)
        self.mean = keras.layers.GlobalAveragePooling1D()
        self.norm = keras.layers.LayerNormalization()
        self.dropout = keras.layers.Dropout(DROPOUT)

    def call(self, user: Any, history: Any, training: bool = False) -> tuple[Any, Any, Any]:
        """int [B] users and [B, E] items, -1 pads -> α [B], β [I], γ [B, I]."""
        words = self.word(self.item_words)
        items = self.norm(self.mean(words, mask=self.item_words > 0))  # X, [I, D]
        real = ops.cast(history >= 0, items.dtype)[:, :, None]
        seen = ops.take(items, ops.maximum(history, 0), axis=0) * real
        profile = ops.sum(seen, axis=1) / ops.maximum(ops.sum(real, axis=1), 1.0)  # P, [B, D]
        profile = self.dropout(profile, training=training)
        degree = ops.softmax(ops.matmul(profile, ops.transpose(self.interests)))  # w, [B, M]
        mixed = ops.matmul(degree, self.interests) * profile  # Σ_m w_m I_m P, [B, D]
        gamma = ops.matmul(mixed, ops.transpose(items))
        return ops.take(self.alpha, user), self.beta + 0.0, gamma

    def penalty(self) -> Any:
        """L2 of α, β and I."""
        parts = (self.alpha, self.beta, self.interests)
        return L2 * sum(ops.sum(part**2) for part in parts)


def plain_form(run: LedgerRun, epochs: int) -> Interaction:
    """Least squares on what was taken and on as many times `NEGATIVES` items drawn at random."""
    texts, items = item_texts(run), run.data.num_items
    words = tokenizer(texts, WORDS)
    model = Interaction(run.data.num_users, words(texts).numpy(), words.vocabulary_size())
    random = np.random.default_rng(0)

    def examples(events: Told) -> list[Any]:
        drawn = random.integers(0, items, (len(events), NEGATIVES))
        asked = np.concatenate([events.items[:, None], drawn], axis=1).astype(np.int32)
        return [events.histories.users, events.histories.padded_items(EVENTS), asked]

    def loss(user: Any, history: Any, asked: Any, training: bool) -> Any:
        alpha, beta, gamma = model(user, history, training=training)
        scores = ops.take_along_axis(alpha[:, None] + beta + gamma, asked, axis=1)
        wanted = ops.one_hot(ops.zeros_like(user), NEGATIVES + 1)
        return ops.mean((scores - wanted) ** 2) + (model.penalty() if training else 0.0)

    train, validation = examples(told(run, [0])), examples(told(run, [1]))
    model(train[0][:1], train[1][:1])  # makes the weights
    fit(loss, model.trainable_variables, train, validation, epochs)
    return model


def plain_parts(model: Interaction, cases: Cases) -> dict[str, Any]:
    """Each part of the scores, [N, I]."""
    history = cases.histories.padded_items(EVENTS)
    alpha, beta, gamma = (part.numpy() for part in model(cases.histories.users, history))
    shape = gamma.shape
    return {
        "user α": np.broadcast_to(alpha[:, None], shape),
        "item β": np.broadcast_to(beta, shape),
        "interaction γ": gamma,
    }


# The ledger.


def ledger_parts(run: LedgerRun, cases: Cases) -> dict[str, Any]:
    """Each part of the scores, [N, I]: the lines, those of the events summed by facet."""
    reader, readings = run.reader, run.reader.read(cases)
    catalogue, long = reader.catalogue, lasting(half_life_days(reader.model))
    facets = np.einsum("nkd,ikd->kni", readings.facets(), catalogue.blocks)
    parts = {
        "quality": np.broadcast_to(catalogue.quality, facets.shape[1:]),
        "crowd": readings.conformity[:, None] * (readings.period @ catalogue.popularity),
        "lasting facets": facets[long].sum(axis=0),
        "momentary facets": facets[~long].sum(axis=0),
    }
    if readings.context is not None and catalogue.context is not None:
        parts["context"] = readings.context @ catalogue.context.T
    return parts


# What is measured on both.


def backwards(histories: Sequences) -> Sequences:
    """The newest events of each history with their items, actions and grades in reverse order.

    Times stay where they are, and so do older events.
    """
    cut, columns = histories.last(EVENTS), histories.columns
    newest = cut.event_rows()
    rows = np.arange(len(columns.item))
    rows[newest] = np.repeat(cut.starts + cut.stops - 1, cut.lengths) - newest
    return replace(
        histories,
        columns=replace(
            columns,
            item=columns.item[rows],
            action=columns.action[rows],
            strength=columns.strength[rows],
        ),
    )


def correlation(parts: Any, popularity: Any) -> float:
    """Over the items, mean over users; 0 for a part that is alike for all items."""
    parts, popularity = parts - parts.mean(axis=1, keepdims=True), popularity - popularity.mean()
    product = parts @ popularity
    size = np.linalg.norm(parts, axis=1) * np.linalg.norm(popularity)
    return float(np.divide(product, size, out=np.zeros_like(size), where=size > 1e-6).mean())


if __name__ == "__main__":
    raise SystemExit(main())
