"""An index for a catalogue, made for real users of the log and measured on others of them."""

from __future__ import annotations

from math import ceil, isqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from export.graph.answers import Answers, Search
from export.graph.choice import best
from export.graph.inverted_file import InvertedFile
from export.graph.scann_search import ScannSearch
from export.index.lists import make_lists, probes_for
from export.index.options import DEPTH, IndexOptions, IndexReport, RecallError
from export.index.scann import train_scann
from export.log_requests import LogRequests
from tfrec.console import count, progress, say
from tfrec.data.sequences import Sequences
from tfrec.errors import UserError

# Below this, comparing all items takes about as long as reading a history.
_WORTH_IT = 50_000
# Users that the index has not met find a little less: probes are chosen for this much less loss.
_LOSS = 0.6
_WIDER = 1.3
_MEASURING = 250
_CELLS_PER_BATCH = 2**24
_USERS_PER_BATCH = 64

Array = npt.NDArray[Any]


class Truth(NamedTuple):
    """What exact search says of n users.

    Attributes:
        states: [n, S].
        seen: numbers of items that may not come again, int32 [n, L], -1 for none.
        items: numbers of the best 2 · depth, int32 [n, 2 · depth], -1 where no more may come.
        normaliser: log Σ exp(score / T) over all items that may come, [n].
    """

    states: Array
    seen: Array
    items: Array
    normaliser: Array


class Found(NamedTuple):
    """What an index finds of that.

    Attributes:
        recall: share of the best items, [n]. next_recall: the same of the next ones with those
            excluded, [n].
        factor: of recommended probabilities to the exact ones, [n].
    """

    recall: Array
    next_recall: Array
    factor: Array

    @property
    def worse(self) -> float:
        """The lower of the two, over all users."""
        return float(min(self.recall.mean(), self.next_recall.mean()))


def build(
    answers: Answers, requests: LogRequests, users: Sequences, options: IndexOptions, seed: int
) -> IndexReport:
    """Makes the index, lets the answers search with it, and measures it.

    Arguments:
        answers: of the run; their catalogue is indexed.
        requests: of the log.
        users: histories of real users in random order. A quarter of them, 250 at most, measures;
            the others shape the index, and as many of them say how many lists are to be read.
        options: its kind is not "exact".
        seed: of the grouping.

    Raises:
        RecallError: it does not reach the recall that is promised.
        UserError: more lists or probes than there can be, or ScaNN is not installed.
    """
    catalogue, size = answers.catalogue, answers.catalogue.size
    lists = _number_of_lists(options, size)
    if size < _WORTH_IT:
        say(
            f"--index {options.kind}: {count(size)} items are few; comparing all of them, "
            f"--index exact, is as fast below about {count(_WORTH_IT)}"
        )
    depth = min(DEPTH, answers.top_k)
    # A single user does everything.
    few, alone = min(_MEASURING, ceil(len(users) / 4)), len(users) == 1
    measuring = _truth(answers, requests, users.take(slice(few)), depth)
    choosing = measuring
    if not alone:
        choosing = _truth(answers, requests, users.take(slice(few, 2 * few)), depth)
    allowed = 1 - options.min_recall
    search: Search
    if options.kind == "ivf":
        states = _states(answers, requests, users.take(slice(0 if alone else few, None)))
        vectors = np.ascontiguousarray(catalogue.matrix.whole().numpy().T)
        made = make_lists(vectors, states, lists, seed)
        lists = len(made.means)
        storage = "int8" if options.int8_lists else catalogue.storage
        search = InvertedFile(catalogue, made, storage, answers.temperature, answers.top_k)
        probes = probes_for(made, choosing.states, choosing.items, 1 - _LOSS * allowed)
    else:
        trained = train_scann(catalogue, lists)
        search = ScannSearch(catalogue, trained, lists, answers.temperature, answers.top_k)
        probes = ceil(lists**0.5)
    probes = options.probes or probes
    while True:
        search.probes = probes = min(probes, lists)
        loss = 1 - _found(search, choosing, depth, answers.temperature).worse
        if options.probes or probes == lists or loss <= _LOSS * allowed:
            break
        probes = ceil(_WIDER * probes)
    found = _found(search, measuring, depth, answers.temperature)
    report = IndexReport(
        kind=options.kind,
        int8_lists=options.int8_lists,
        lists=lists,
        probes=probes,
        users=len(found.recall),
        depth=depth,
        recall=float(found.recall.mean()),
        next_recall=float(found.next_recall.mean()),
        probability_factor=(float(found.factor.mean()), float(found.factor.max())),
    )
    if found.worse < options.min_recall:
        raise RecallError(_too_few(report, options, found.worse))
    answers.search = search
    return report


def _number_of_lists(options: IndexOptions, size: int) -> int:
    lists = options.lists or max(1, min(4 * isqrt(size), size // 2))
    for flag, value, most in (("lists", lists, size), ("probes", options.probes or 1, lists)):
        if value > most:
            raise UserError(f"--{flag} {value} must be between 1 and {count(most)}")
    return lists


def _states(answers: Answers, requests: LogRequests, users: Sequences) -> Array:
    """States of users, [n, S]."""

    @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def read(items: Any, times: Any) -> Any:
        return answers.ask(items, times).user.state

    starts = progress(range(0, len(users), _USERS_PER_BATCH), "reading histories")
    parts = (users.take(slice(n, n + _USERS_PER_BATCH)) for n in starts)
    return np.concatenate([read(*_request(requests, part)) for part in parts])


def _truth(answers: Answers, requests: LogRequests, users: Sequences, depth: int) -> Truth:
    """Asks exact search, a batch of users at a time."""
    size = answers.catalogue.size

    @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def ask(items: Any, times: Any) -> Truth:
        asked = answers.ask(items, times)
        choice = answers.choice(asked)
        head = best(choice, min(2 * depth, size))
        scores = choice.scores / answers.temperature
        return Truth(
            asked.user.state, answers.seen(asked), head.items, tf.reduce_logsumexp(scores, axis=1)
        )

    at_once = max(1, min(_USERS_PER_BATCH, _CELLS_PER_BATCH // size))
    starts = progress(range(0, len(users), at_once), "asking users of the log")
    parts = [ask(*_request(requests, users.take(slice(n, n + at_once)))) for n in starts]
    states, seen, items, normaliser = zip(*parts, strict=True)
    # Histories of a batch are as wide as its longest one.
    width = max(part.shape[1] for part in seen)
    even = [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=-1) for part in seen]
    return Truth(*(np.concatenate(column) for column in (states, even, items, normaliser)))


def _request(requests: LogRequests, users: Sequences) -> tuple[Any, Any]:
    """Ids and times of the histories, as tensors."""
    asked = requests.short(users)
    return tf.constant(asked["history_items"]), tf.constant(asked["history_times"])


def _found(search: Search, truth: Truth, depth: int, temperature: float) -> Found:
    """Asks the index."""
    numbers = tf.TensorSpec([None, None], tf.int32)
    state = tf.TensorSpec([None, truth.states.shape[1]], tf.float32)
    graph = tf.function(search.best, [state, numbers, numbers], autograph=False)
    ask = graph.get_concrete_function()
    first, then = truth.items[:, :depth], truth.items[:, depth:]
    found = ask(tf.constant(truth.states), tf.constant(truth.seen), tf.constant(first[:, :0]))
    again = ask(tf.constant(truth.states), tf.constant(truth.seen), tf.constant(first))
    exact = found.scores.numpy()[:, 0] / temperature - truth.normaliser
    factor = np.exp(np.log(found.probabilities.numpy()[:, 0]) - exact)
    return Found(
        _share(found.items.numpy()[:, :depth], first), _share(again.items.numpy(), then), factor
    )


def _share(found: Array, truth: Array) -> Array:
    """Share of the true items that were found, [n]; 1 where there is none to find."""
    real = truth >= 0
    there = (truth[:, :, None] == found[:, None]).any(axis=2) & real
    return np.asarray(np.where(real.any(axis=1), there.sum(axis=1) / real.sum(axis=1).clip(1), 1.0))


def _too_few(report: IndexReport, options: IndexOptions, recall: float) -> str:
    advice = "take more --probes" if options.probes else "take --index exact"
    return (
        f"recall@{report.depth} of the index is {recall:.3f} with {report.probes} of "
        f"{report.lists} lists read, and --min-recall is {options.min_recall}: {advice}, or "
        "promise less"
    )
