"""From scores of the whole catalogue to what may come: the best items, and how probable each is."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from export.graph.catalogue import Catalogue

# Items that an index compares by their whole vectors, for every one that is recommended.
_OVERFETCH = 4
_AT_LEAST = 256


class Choice(NamedTuple):
    """What B users choose from.

    Attributes:
        scores: float32 [B, I]; -inf for an item that may not come.
        log_probabilities: of softmax(scores / T), float32 [B, I]; -inf likewise.
    """

    scores: Any
    log_probabilities: Any

    @property
    def probabilities(self) -> Any:
        """float32 [B, I]; 0 for an item that may not come."""
        return tf.exp(self.log_probabilities)


class Best(NamedTuple):
    """The first of a ranking.

    items: int32 [B, N], -1 where no more may come. scores: float32 [B, N], the lowest float32
    there: infinity has no place in JSON. probabilities: float32 [B, N], 0 there.
    """

    items: Any
    scores: Any
    probabilities: Any


def choose(state: Any, catalogue: Catalogue, temperature: float, removed: list[Any]) -> Choice:
    """Scores all items.

    Arguments:
        state: float32 [B, S].
        temperature: T.
        removed: numbers of items that may not come, int32 [B, ...], -1 for none.
    """
    lowest = tf.constant(float("-inf"))
    scores = catalogue.matrix.scores(state)
    for numbers in removed:
        cells = tf.cast(tf.where(numbers >= 0), tf.int32)  # [n, 2]: user, place
        cells = tf.stack([cells[:, 0], tf.gather_nd(numbers, cells)], axis=1)
        scores = tf.tensor_scatter_nd_update(scores, cells, tf.fill(tf.shape(cells)[:1], lowest))
    # A softmax over nothing is not defined.
    nothing = tf.reduce_all(tf.math.is_inf(scores), axis=1, keepdims=True)
    logs = tf.nn.log_softmax(tf.where(nothing, 0.0, scores / temperature))
    return Choice(scores, tf.where(nothing, lowest, logs))


def best(choice: Choice, count: int) -> Best:
    """The `count` best items, of equal ones the first in the order of ties."""
    scores, items = tf.math.top_k(choice.scores, k=count)
    there = tf.logical_not(tf.math.is_inf(scores))
    probabilities = tf.exp(tf.gather(choice.log_probabilities, items, batch_dims=1))
    return Best(
        tf.where(there, items, -1),
        tf.where(there, scores, tf.float32.min),
        tf.where(there, probabilities, 0.0),
    )


def candidates(catalogue: Catalogue, count: int) -> int:
    """How many items an index compares by their whole vectors to recommend `count`."""
    return min(max(_OVERFETCH * count, _AT_LEAST), catalogue.size)


def best_of_all(
    state: Any, removed: list[Any], catalogue: Catalogue, temperature: float, count: int
) -> Best:
    """The best items of one user: state float32 [S], numbers that may not come int32 [...]."""
    choice = choose(state[None], catalogue, temperature, [numbers[None] for numbers in removed])
    return Best(*(part[0] for part in best(choice, count)))


def entropy(choice: Choice) -> Any:
    """-Σ p log p in nats, float32 [B]."""
    finite = tf.where(tf.math.is_inf(choice.log_probabilities), 0.0, choice.log_probabilities)
    return tf.maximum(-tf.reduce_sum(choice.probabilities * finite, axis=1), 0.0)


def tail_mass(choice: Choice, head: Best) -> Any:
    """Probability of all items but the head's, float32 [B]."""
    shape = tf.shape(choice.scores)
    users = tf.broadcast_to(tf.range(shape[0])[:, None], tf.shape(head.items))
    cells = tf.stack([users, tf.maximum(head.items, 0)], axis=-1)  # [B, N, 2]
    # The tail itself is summed: 1 less the head would lose the digits of a small tail.
    taken = tf.scatter_nd(cells, tf.cast(head.items >= 0, tf.float32), shape) > 0
    return tf.reduce_sum(tf.where(taken, 0.0, choice.probabilities), axis=1)
