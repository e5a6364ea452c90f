"""Interest distribution: what does somebody want overall?

    python examples/distribution.py         (--quick for a smaller world)

The plain form is a language model with a softmax over the items. It is trained in two steps:

1. Masked words: 15 % of the words of a text are hidden, and the model guesses them from the rest,
   L = -(1/M) Σ_m log P(word_m | the words around it). It reads the catalogue and the users' texts.
2. Fine-tuning: v(x) is the model's vector of the text x of a user, w_y the vector of item y,

       p(y | x) = exp(w_y · v(x)) / Σ_y' exp(w_y' · v(x))

   and the loss is -log p of the item that the user took next.

The text of a user is the titles of what they took last. A list of recommendations is the most
probable items; precision, recall and F1 ask how many of them were taken.

The ledger's distribution is the softmax of its scores, divided by a temperature that was fitted on
validation events. So that the comparison is one of models, the plain form gets one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from text_encoder import TextEncoder, tokenizer
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
    texts,
    tf,
    told,
)

from tfrec.console import say
from tfrec.data.cases import Cases
from tfrec.data.sequences import Sequences
from tfrec.errors import command
from tfrec.interest.asking.load import LedgerRun
from tfrec.interest.distribution import distribution

ops = keras.ops
EVENTS, WORDS = 8, 48  # titles in a user's text, words of a text
HIDDEN = 0.15


@command
def main(argv: Sequence[str]) -> int:
    flags = parser(__doc__).parse_args(argv)
    run = open_run(flags)
    task = RecommendationTask(run)
    task.pretrain(epochs=2 if flags.quick else 15)
    task.fit(told(run, [0]), told(run, [1]), epochs=3 if flags.quick else 25)

    cases, before = run.split.cases("test"), run.split.cases("validation")
    names = ("plain form", "ledger", "popularity")

    def popular(histories: Sequences) -> Any:
        return log_probabilities(popularity(run), histories)

    plain, common = (
        tempered(ask(cases.histories), ask(before.histories), before)
        for ask in (task.evaluate_recommendations, popular)
    )
    found = (plain, from_ledger(run), common)
    measured = [ranking_metrics(logs, cases) for logs in found]
    table(
        f"{len(cases):,} users asked once, before their first of {len(cases.targets):,} test "
        f"events; all {run.data.num_items:,} items but those taken before",
        names,
        {name: [one[name] for one in measured] for name in measured[0]},
    )
    user = int(cases.histories.lengths.argmax())
    query = task.user_texts(cases.histories.take(slice(user, user + 1)))[0]
    titles = texts(run, "title")
    say(f"\nfor the text {query!r} the plain form recommends")
    for item, chance in task.generate_recommendations(query, top=3):
        say(f"  {chance:.3f}  {titles[item]}")
    return 0


class RecommendationTask:
    """A text encoder and an item matrix: from the words of a user to a distribution over items."""

    def __init__(self, run: LedgerRun) -> None:
        self.titles = texts(run, "title")
        users = self.user_texts(run.split.train())
        self.corpus = item_texts(run) + users
        self.words = tokenizer(self.corpus, WORDS)
        size = self.words.vocabulary_size()
        self.encoder = TextEncoder(size, WORDS)
        self.guess = keras.layers.Dense(size)
        self.items = keras.layers.Dense(run.data.num_items)  # w, and how common an item is
        for head in (self.guess, self.items):
            head(self.encoder(self.words(users[:1])))

    def user_texts(self, histories: Sequences) -> list[str]:
        """Titles of the newest events, the newest first."""
        padded = histories.padded_items(EVENTS)[:, ::-1]
        return [". ".join(self.titles[item] for item in row if item >= 0) for row in padded]

    def forward(self, words: Any, training: bool = False) -> Any:
        """int [B, L] -> logits [B, I]."""
        return self.items(self.encoder.vector(words, training=training))

    def loss(self, words: Any, items: Any, training: bool = True) -> Any:
        """-log p(y | x), mean over the batch."""
        logits = self.forward(words, training)
        return ops.mean(ops.sparse_categorical_crossentropy(items, logits, from_logits=True))

    def masked_word_loss(self, words: Any, training: bool = True) -> Any:
        """-log p of the hidden words, mean over them."""
        hide = (tf.random.uniform(tf.shape(words)) < HIDDEN) & (words > 0)
        shown = tf.where(hide, tf.cast(self.encoder.mask_word, words.dtype), words)
        logits = self.guess(self.encoder(shown, training=training))
        losses = ops.sparse_categorical_crossentropy(words, logits, from_logits=True)
        hidden = ops.cast(hide, losses.dtype)
        return ops.sum(losses * hidden) / ops.maximum(ops.sum(hidden), 1.0)

    def pretrain(self, epochs: int) -> None:
        """Masked words of the catalogue and of every user's text."""
        weights = self.encoder.trainable_variables + self.guess.trainable_variables
        words = self.words(self.corpus).numpy()
        fit(self.masked_word_loss, weights, [words], None, epochs, "words")

    def fit(self, train: Told, validation: Told, epochs: int) -> None:
        """Fine-tunes on the items that were taken."""
        weights = self.encoder.trainable_variables + self.items.trainable_variables
        data, held = (
            (self.words(self.user_texts(part.histories)).numpy(), part.items)
            for part in (train, validation)
        )
        fit(self.loss, weights, data, held, epochs, "items")

    def generate_recommendations(self, query: str, top: int) -> list[tuple[int, float]]:
        """The most probable items for any text, with their probabilities."""
        chances = ops.softmax(self.forward(self.words([query])))[0].numpy()
        return [(int(item), float(chances[item])) for item in np.argsort(-chances)[:top]]

    def evaluate_recommendations(self, histories: Sequences) -> Any:
        """log p over the items that are not in the history, [N, I]."""
        words = self.words(self.user_texts(histories))
        return log_probabilities(self.forward(words).numpy(), histories)


def tempered(logs: Any, before: Any, cases: Cases) -> Any:
    """log p at the temperature that suits the validation cases best, which have log p `before`."""
    from scipy.special import log_softmax

    def loss(temperature: float) -> float:
        given = log_softmax(before / temperature, axis=1)
        return -given[cases.target_cases(), cases.targets].mean()

    return log_softmax(logs / min(np.geomspace(0.25, 4.0, 49), key=loss), axis=1)


def from_ledger(run: LedgerRun) -> Any:
    """log p of the same cases, [N, I]."""
    cases, items = run.split.cases("test"), run.data.num_items
    found = distribution(
        run.reader.read(cases),
        run.reader.catalogue,
        run.readouts.temperature,
        top_k=items,
        removed=cases.histories,
    )
    logs = np.full((len(cases), items + 1), -np.inf)  # a place more, for "no item"
    np.put_along_axis(logs, found.items, found.log_probabilities, axis=1)
    return logs[:, :items]


if __name__ == "__main__":
    raise SystemExit(main())
