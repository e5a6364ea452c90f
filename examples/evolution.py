"""Interest evolution: how does what somebody wants change?

    python examples/evolution.py            (--quick for a smaller world)

The plain form is a small classifier that never stops learning. It reads the words of what the user
did last and says which category comes next:

    Input(None) -> Embedding(20000, 64, mask_zero) -> GlobalAveragePooling1D
                -> Dense(128, relu) -> Dense(C, softmax)

with categorical cross-entropy and Adam at 1e-3. The loop is: an event comes, the model answers,
the answer is compared with what the user did, the gradient tape gives the gradient of the loss, one
step is taken. C is the number of categories, here 8 topics. An item of two topics counts half for
each.

The stream is cut into slices of time. Each slice is first predicted and then learned from, so
every prediction is of the future (prequential evaluation: Gama, Sebastião & Rodrigues, "On
evaluating stream learning algorithms", 2013). The classifier is shown with its updates and
without.

The ledger's weights stand still. What moves is the history: each event joins it at once, and older
ones lose weight. Its answer is its distribution over the items, summed by category.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from text_encoder import WORDS, tokenizer
from world import Told, item_texts, keras, open_run, parser, table, tf, told

from tfrec.console import say
from tfrec.errors import command
from tfrec.interest.asking.load import LedgerRun
from tfrec.interest.distribution import distribution
from tfrec.models.build import category_matrix

EVENTS, LENGTH, SLICES, BATCH = 5, 96, 8, 32


@command
def main(argv: Sequence[str]) -> int:
    flags = parser(__doc__).parse_args(argv)
    run = open_run(flags)
    past, stream = told(run, [0, 1]), told(run, [2])
    shares = np.asarray(category_matrix(run.data))  # [I, C]
    labels = shares[stream.items]

    texts = item_texts(run)
    words = tokenizer(texts, LENGTH)
    known, coming = (words(user_texts(texts, part)).numpy() for part in (past, stream))
    classifier = Classifier(shares.shape[1])
    for epoch in range(2 if flags.quick else 8):
        loss = np.mean([classifier.train_step(*b) for b in batches(known, shares[past.items])])
        say(f"before the stream, epoch {epoch + 1}  loss {loss:.4f}")

    frozen, slices = classifier.predict(coming), np.array_split(np.arange(len(stream)), SLICES)
    online = []
    for part in slices:
        loss, answer = classifier.evaluate_step(coming[part], labels[part])
        online.append(answer)
        for batch in batches(coming[part], labels[part]):
            classifier.train_step(*batch)
    ledger = from_ledger(run, stream, shares)
    common = np.broadcast_to(shares[past.items].mean(axis=0), labels.shape)

    answers = {
        "plain, online": np.concatenate(online),
        "plain, frozen": frozen,
        "ledger": ledger,
        "frequencies": common,
    }
    rows: dict[str, Sequence[float]] = {}
    for name, chosen in [("all slices", np.arange(len(stream))), *by_slice(slices)]:
        asked = [answer[chosen] for answer in answers.values()]
        rows[f"log-loss, {name}"] = [log_loss(a, labels[chosen]) for a in asked]
    for name, chosen in [("all slices", np.arange(len(stream))), *by_slice(slices)]:
        asked = [answer[chosen] for answer in answers.values()]
        rows[f"accuracy, {name}"] = [accuracy(a, labels[chosen]) for a in asked]
    table(
        f"{len(stream):,} test events in {SLICES} slices of time, the category of each predicted "
        "just before it\nfrom all that its user did before; accuracy: the most probable category "
        "is one of the item's",
        tuple(answers),
        rows,
    )
    return 0


def user_texts(texts: Sequence[str], events: Told) -> list[str]:
    """Per event the texts of what its user took last, the newest first."""
    padded = events.histories.padded_items(EVENTS)[:, ::-1]
    return [" ".join(texts[item] for item in row if item >= 0) for row in padded]


class Classifier:
    """The plain form with its two steps."""

    def __init__(self, categories: int) -> None:
        self.model = keras.Sequential(
            [
                keras.Input((None,), dtype="int32"),
                keras.layers.Embedding(WORDS, 64, mask_zero=True),
                keras.layers.GlobalAveragePooling1D(),
                keras.layers.Dense(128, activation="relu"),
                keras.layers.Dense(categories, activation="softmax"),
            ]
        )
        self.loss = keras.losses.CategoricalCrossentropy()
        self.optimizer = keras.optimizers.Adam(1e-3)
        self.optimizer.build(self.model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def train_step(self, words: Any, labels: Any) -> Any:
        """Forward, loss against what happened, backward, update."""
        with tf.GradientTape() as tape:
            loss = self.loss(labels, self.model(words, training=True))
        weights = self.model.trainable_variables
        gradients = tape.gradient(loss, weights)
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return loss

    def evaluate_step(self, words: Any, labels: Any) -> tuple[float, Any]:
        """Loss and answers, nothing learned."""
        answer = self.predict(words)
        return float(self.loss(labels, answer)), answer

    def predict(self, words: Any) -> Any:
        """int [N, L] -> probabilities [N, C]."""
        return self.model(words, training=False).numpy()


def batches(words: Any, labels: Any) -> list[tuple[Any, Any]]:
    """In the order of time."""
    return [
        (tf.constant(words[n : n + BATCH]), tf.constant(labels[n : n + BATCH]))
        for n in range(0, len(words), BATCH)
    ]


def from_ledger(run: LedgerRun, events: Told, shares: Any) -> Any:
    """Probability of each category, [N, C]."""
    parts = []
    for start in range(0, len(events), 512):
        asked = events.take(slice(start, start + 512))
        found = distribution(
            run.reader.read_at(asked.histories, asked.times),
            run.reader.catalogue,
            run.readouts.temperature,
            top_k=1,
            item_categories=shares,
            removed=asked.histories,
        )
        parts.append(found.category_mass)
    return np.concatenate(parts)


def by_slice(slices: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(f"slice {number}", rows) for number, rows in enumerate(slices, 1)]


def log_loss(answers: Any, labels: Any) -> float:
    """Mean of -Σ_c share_c log p_c."""
    return float(-(labels * np.log(np.maximum(answers, 1e-12))).sum(axis=1).mean())


def accuracy(answers: Any, labels: Any) -> float:
    """How often the most probable category is one of the item's."""
    return float((labels[np.arange(len(labels)), answers.argmax(axis=1)] > 0).mean())


if __name__ == "__main__":
    raise SystemExit(main())
