"""Interest intensity: how strongly will somebody want what they take?

    python examples/intensity.py            (--quick for a smaller world)

The plain form is a regression on text. A language model reads what is written about the user and
what is written about the item,

    v_u = LM(text of the user)      v_i = LM(text of the item)

their similarity is the interest, I_ui = sim(v_u, v_i), as a dot product and as a cosine, and a
regression head with one output predicts log(1 + y) of the strength y; loss and metric are the mean
squared error. Behaviour enters as words: the user's text is what they did last, "buy 5 the quiet
comet": action, grade and title.

The ledger predicts a grade from the sum of its lines. Its read-out gives a chance to every grade,
and what minimises the squared error of log(1 + y) is the mean of log(1 + y) over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from text_encoder import TextEncoder, tokenizer
from training_loop import fit
from world import Told, item_texts, keras, open_run, parser, table, texts, told

from tfrec.errors import command
from tfrec.interest.asking.load import LedgerRun
from tfrec.interest.intensity import intensity
from tfrec.interest.strength_lines import StrengthWeights

ops = keras.ops
EVENTS, WORDS = 6, 48  # newest events in the user's text, words of a text


@command
def main(argv: Sequence[str]) -> int:
    flags = parser(__doc__).parse_args(argv)
    run = open_run(flags)
    parts = [told(run, [label]) for label in (0, 1, 2)]
    labels = [log_strength(part) for part in parts]
    plain = plain_form(run, parts, labels, epochs=4 if flags.quick else 20)
    ledger = from_ledger(run, parts[2])
    mean = np.full(len(labels[2]), labels[0].mean())

    errors = np.stack([plain, ledger, mean]) - labels[2]
    table(
        f"{len(parts[2]):,} test events, each predicted just before it from all that its user did "
        "before",
        ("plain form", "ledger", "training mean"),
        {
            "MSE of log1p(y)": (errors**2).mean(axis=1),
            "MAE of log1p(y)": np.abs(errors).mean(axis=1),
        },
    )
    return 0


def log_strength(events: Told) -> Any:
    """The label: log(1 + y), [N]."""
    return np.log1p(np.asarray(events.columns.strength[events.rows], np.float64))


# The texts. An item's is its title and description. A user's is written from the events before
# the one to predict, the newest first, so that a text too long loses the oldest.


def user_texts(run: LedgerRun, events: Told) -> list[str]:
    """One text per event: action, grade and title of what its user did before."""
    columns, titles = events.columns, texts(run, "title")
    newest = events.histories.last(EVENTS)
    return [
        " ".join(
            f"{run.data.meta.actions[columns.action[row]]} {columns.strength[row]:.0f} "
            f"{titles[columns.item[row]]}"
            for row in range(stop - 1, start - 1, -1)
        )
        for start, stop in zip(newest.starts, newest.stops, strict=True)
    ]


# The model. One encoder reads both texts; the head sees both vectors and both similarities.


class TextRegression(keras.Model):
    """(words of the user, words of the item), int [B, L] each -> log(1 + y), [B, 1]."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.encoder = TextEncoder(words, WORDS)
        self.head = keras.layers.Dense(1)

    def call(self, pair: Any, training: bool = False) -> Any:
        v_u, v_i = (self.encoder.vector(words, training=training) for words in pair)
        dot = ops.sum(v_u * v_i, axis=1, keepdims=True)
        cosine = ops.sum(ops.normalize(v_u) * ops.normalize(v_i), axis=1, keepdims=True)
        return self.head(ops.concatenate([v_u, v_i, dot, cosine], axis=1))


def plain_form(run: LedgerRun, parts: list[Told], labels: list[Any], epochs: int) -> Any:
    """Trains on the first part, stops by the second and predicts the third, [N]."""
    of_users = [user_texts(run, part) for part in parts]
    of_items = item_texts(run)
    words = tokenizer(of_items + of_users[0], WORDS)
    item_words = words(of_items).numpy()
    data = [
        (words(said).numpy(), item_words[part.items], label)
        for said, part, label in zip(of_users, parts, labels, strict=True)
    ]
    model = TextRegression(words.vocabulary_size())
    model([array[:1] for array in data[0][:2]])  # makes the weights
    # The head begins at the mean, so that the first epochs are not spent on finding it.
    model.head.bias.assign(labels[0].mean(keepdims=True))

    def loss(user: Any, item: Any, label: Any, training: bool) -> Any:
        predicted = model((user, item), training=training)[:, 0]
        return ops.mean((predicted - ops.cast(label, predicted.dtype)) ** 2)

    fit(loss, model.trainable_variables, data[0], data[1], epochs)
    return model(data[2][:2]).numpy()[:, 0]


def from_ledger(run: LedgerRun, events: Told) -> Any:
    """E[log(1 + y)] from the chances of the grades, [N]."""
    reader, readouts = run.reader, run.readouts
    grades = np.log1p(readouts.grades.values)
    readings = reader.read_at(events.histories, events.times)
    weights = StrengthWeights.of(reader.model)
    found = intensity(readings, reader.catalogue, weights, readouts, events.items[:, None])
    return found.grade_probabilities[:, 0] @ grades


if __name__ == "__main__":
    raise SystemExit(main())
