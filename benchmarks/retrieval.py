"""Searching a large catalogue: exact, our inverted file, and ScaNN beside TFRS's brute force.

    pip install -e '.[peers]'
    python benchmarks/retrieval.py            # 1 million items, and a tenth of them for the slope
    python benchmarks/retrieval.py --quick    # 100,000 alone

One user at a time, one thread, 100 items per answer, the sides in turn in one process; every time
is the median over users, every recall that of the ten best items beside exact search. Times are of
the processor, so that what else runs on the machine counts little. Only the search is timed, from
the user's state to items; reading the history costs the same on every side.
Ours and exact search also leave out the items of the history and give probabilities; TFRS and ScaNN
do neither. ScaNN is asked with the operations that TFRS's layer of that name calls. What ten times
as many items would take is calculated: the time as a power of the number of items, the memory in
proportion to it.

The catalogue has the shape of a ledger's trained with --dim 128: 4 facets of 32 numbers, popularity
in 8 periods, quality. Items belong to topics, topics to broader ones, of sizes that fall as a power
of their rank; item embeddings of 128 numbers spread along directions of falling strength around
their topic; the facets are linear images of them, centred. Popularity has a heavy tail. A user has
taken 5 to 50 items of up to four topics; each facet is their mean with weights from even to steep,
with noise. As in a ledger trained on MovieLens-1M, scores have a standard deviation of 5.9 around a
user's mean, and some 33 directions hold 95 % of the variance of all scores.

What it must reach: the inverted file 10 times as fast as brute force at recall@10 of .95, and half
as fast as ScaNN at the same recall.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from results import write_section

from tfrec.console import import_tensorflow, say, size

if TYPE_CHECKING:
    from export.graph.inverted_file import InvertedFile
    from export.options import Storage

Array = npt.NDArray[Any]

FACETS, WIDTH, PERIODS, EMBEDDING = 4, 32, 8, 128
NUMBERS = FACETS * WIDTH + PERIODS + 1
# Strength of the n-th direction of the embeddings: n to this power.
FALL = -0.25
SCORE_SPREAD = 5.9
COUNT, DEPTH, TEMPERATURE = 100, 10, 1.1
WANTED = 0.95
# Of the index on the users that shaped it; those who measure it lose a little more.
AIMED_AT = 0.97
HISTORY = 50
# Users whose states shape the lists.
SHAPING = 1000
# Users whose scores NumPy holds at once.
AT_ONCE = 10
# Sides that do not leave out the items of the history.
UNFILTERED = ("TFRS BruteForce", "ScaNN")
# More leaves are read until ScaNN finds enough.
WIDER = 1.5


class World(NamedTuple):
    """items [I, S], states [n, S] of users, and the items that they have taken [n, 50], -1 pads."""

    items: Array
    states: Array
    taken: Array

    def part(self, start: int, stop: int) -> World:
        """Some users."""
        return World(self.items, self.states[start:stop], self.taken[start:stop])


def make_world(items: int, users: int, seed: int) -> World:
    """See the head of this file."""
    rng = np.random.default_rng(seed)
    strength = (1.0 + np.arange(EMBEDDING)) ** FALL
    broad = rng.normal(size=(round(items**0.4), EMBEDDING)) * strength
    topics = round(items**0.6)
    centres = broad[rng.integers(len(broad), size=topics)]
    centres = centres + 0.8 * rng.normal(size=(topics, EMBEDDING)) * strength
    sizes = rng.permutation((1 + np.arange(topics)) ** -0.7)
    topic = np.sort(rng.choice(topics, items, p=sizes / sizes.sum()))
    embedded = rng.standard_normal((items, EMBEDDING), np.float32)
    embedded *= (0.7 * strength).astype(np.float32)
    embedded += centres.astype(np.float32)[topic]
    embedded *= EMBEDDING**0.5 / np.linalg.norm(embedded, axis=1, keepdims=True)
    images = rng.normal(size=(EMBEDDING, FACETS * WIDTH)) / EMBEDDING**0.5
    blocks = embedded @ images.astype(np.float32)
    blocks -= blocks.mean(axis=0)
    crowd = np.log(1 + rng.pareto(1.1, items))[:, None] + 0.3 * rng.normal(size=(items, PERIODS))
    quality = 0.5 * rng.normal(size=(items, 1))
    matrix = np.concatenate([blocks, crowd - crowd.mean(), quality], axis=1).astype(np.float32)

    first = np.searchsorted(topic, np.arange(topics + 1))
    states, taken = np.zeros((users, matrix.shape[1])), np.full((users, HISTORY), -1, np.int32)
    for user in range(users):
        liked = topic[rng.choice(items, rng.integers(1, 5))]
        of = rng.choice(liked, rng.integers(5, HISTORY + 1))
        own = first[of] + (rng.random(len(of)) ** 2 * (first[of + 1] - first[of])).astype(int)
        taken[user, : len(own)] = own
        weights = rng.random((FACETS, len(own))) ** (1 + 2 * np.arange(FACETS)[:, None])
        weights *= 2 * rng.beta(4, 4, (FACETS, 1)) / weights.sum(axis=1, keepdims=True)
        facets = np.einsum("kn,nkd->kd", weights, blocks[own].reshape(-1, FACETS, WIDTH))
        states[user, : FACETS * WIDTH] = facets.ravel()
    states[:, : FACETS * WIDTH] += 0.15 * blocks.std() * rng.normal(size=(users, FACETS * WIDTH))
    some = states @ matrix[rng.choice(items, 2000)].T
    states *= SCORE_SPREAD / some.std(axis=1).mean()
    states[:, -2] = rng.gamma(4, 0.05, users)  # the crowd of the newest period
    states[:, -1] = 1
    return World(matrix, states.astype(np.float32), taken)


class Side(NamedTuple):
    """ask: states [B, S] and taken items [B, 50] -> numbers of items [B, 100]. extra_bytes: held
    beside the item matrix."""

    ask: Callable[[Any, Any], Any]
    extra_bytes: int


def bytes_of(variables: Iterable[Any]) -> int:
    """Numbers only: the partition of ScaNN's that is a text is small."""
    return sum(value.nbytes for value in (v.numpy() for v in variables) if hasattr(value, "nbytes"))


def recall(side: Side, world: World, truth: Array) -> float:
    """Recall@10 of users beside the true first ten."""
    import tensorflow as tf

    found = [
        side.ask(tf.constant(world.states[n : n + 1]), tf.constant(world.taken[n : n + 1])).numpy()
        for n in range(len(world.states))
    ]
    there = truth[:, :, None] == np.concatenate(found)[:, None, :DEPTH]
    return float(there.any(axis=2).mean())


def sides(world: World, tuning: World, truths: tuple[Array, Array]) -> dict[str, Side]:
    """All that are compared. truths: of the tuning users, without and with their histories."""
    import tensorflow as tf
    from scann.scann_ops.py import scann_ops
    from tensorflow_recommenders.layers.factorized_top_k import BruteForce

    from export.graph.catalogue import Catalogue
    from export.graph.choice import best, choose
    from export.graph.inverted_file import InvertedFile
    from export.index.lists import make_lists, probes_for

    number = len(world.items)
    order = np.arange(number, dtype=np.int32)
    ids = [f"i{n}" for n in range(number)]
    catalogue = Catalogue(ids, world.items, [], np.zeros((number, 0), np.float32), order)
    specs = [tf.TensorSpec([None, world.items.shape[1]]), tf.TensorSpec([None, HISTORY], tf.int32)]

    def graph(ask: Callable[[Any, Any], Any]) -> Any:
        return tf.function(ask, specs, autograph=False).get_concrete_function()

    brute = BruteForce(k=COUNT).index(tf.constant(world.items))
    found = {"TFRS BruteForce": Side(graph(lambda states, taken: brute(states)[1]), 0)}

    def exact(states: Any, taken: Any) -> Any:
        return best(choose(states, catalogue, TEMPERATURE, [taken]), COUNT).items

    all_items = graph(exact)
    found["exact"] = Side(all_items, 0)

    started = time.perf_counter()
    count = min(4 * int(number**0.5), number)
    lists = make_lists(world.items, world.states[-SHAPING:], count, seed=0)
    probes = probes_for(lists, tuning.states, truths[0], AIMED_AT)
    say(
        f"ivf: {len(lists.means):,} lists, {probes} read; made in "
        f"{time.perf_counter() - started:.0f} s"
    )
    storages: dict[str, Storage] = {"ivf": "float32", "ivf, lists in int8": "int8"}
    for name, storage in storages.items():
        search = InvertedFile(catalogue, lists, storage, TEMPERATURE, COUNT)
        search.probes = probes
        ask = graph(functools.partial(ask_lists, search))
        held = bytes_of(
            v for v in ask.variables if all(v is not one for one in all_items.variables)
        )
        found[name] = Side(ask, held)

    started = time.perf_counter()
    leaves, probes = 2 * int(number**0.5), max(1, int(number**0.5) // 20)
    builder = scann_ops.builder(world.items, COUNT, "dot_product")
    builder.tree(leaves, 1, training_iterations=12).score_ah(2).reorder(4 * COUNT)
    trained = builder.build().serialize_to_module()
    say(f"ScaNN: {leaves:,} leaves; made in {time.perf_counter() - started:.0f} s")
    while True:
        ask = graph(functools.partial(ask_scann, trained, probes))
        found["ScaNN"] = Side(ask, bytes_of(ask.variables))
        reached = recall(found["ScaNN"], tuning, truths[1])
        say(f"ScaNN: {probes} leaves read, recall {reached:.3f}")
        if reached >= AIMED_AT or probes == leaves:
            return found
        probes = min(int(WIDER * probes) + 1, leaves)


def ask_lists(search: InvertedFile, states: Any, taken: Any) -> Any:
    """With the items of the history left out."""
    return search.best(states, taken, taken[:, :0]).items


def ask_scann(trained: Any, leaves: int, states: Any, taken: Any) -> Any:
    """What TFRS's layer does; it takes no items away."""
    from scann.scann_ops.py import scann_ops

    searcher = scann_ops.searcher_from_module(trained)
    return searcher.search_batched(states, leaves_to_search=leaves).indices


def true_heads(world: World) -> tuple[Array, Array]:
    """Numbers of the ten best items of each user by NumPy: without the history, and of all."""
    found = []
    for start in range(0, len(world.states), AT_ONCE):
        part = world.part(start, start + AT_ONCE)
        scores = part.states @ part.items.T
        every = head(scores)
        users, places = np.nonzero(part.taken >= 0)
        scores[users, part.taken[users, places]] = -np.inf
        found.append((head(scores), every))
    first, second = (np.concatenate(side) for side in zip(*found, strict=True))
    return first, second


def head(scores: Array) -> Array:
    """The columns of the ten highest of each row, in any order."""
    return np.asarray(np.argpartition(scores, -DEPTH, axis=1)[:, -DEPTH:])


def timed(found: dict[str, Side], world: World) -> dict[str, list[float]]:
    """Processor seconds per answer: one user after another, the sides in turn for each."""
    import tensorflow as tf

    times: dict[str, list[float]] = {name: [] for name in found}
    for user in range(-3, len(world.states)):  # the first three are warm-up
        state = tf.constant(world.states[user % len(world.states)][None])
        taken = tf.constant(world.taken[user % len(world.states)][None])
        for name, side in found.items():
            started = time.process_time()
            side.ask(state, taken).numpy()
            if user >= 0:
                times[name].append(time.process_time() - started)
    return times


class Measured(NamedTuple):
    """Of one side: milliseconds of each user, recall@10, bytes beside the item matrix."""

    times: Array
    recall: float
    extra_bytes: int

    @property
    def median(self) -> float:
        return float(np.median(self.times))


def measure(items: int, users: int) -> dict[str, Measured]:
    """Every side over a catalogue of this size."""
    whole = make_world(items, SHAPING + 2 * users, seed=0)
    measuring, tuning = whole.part(0, users), whole.part(users, 2 * users)
    found = sides(whole, tuning, true_heads(tuning))
    unseen, every = true_heads(measuring)
    times = timed(found, measuring)
    return {
        name: Measured(
            1000 * np.array(times[name]),
            recall(side, measuring, every if name in UNFILTERED else unseen),
            side.extra_bytes,
        )
        for name, side in found.items()
    }


def table(found: dict[str, Measured]) -> str:
    """In Markdown."""
    slowest = found["TFRS BruteForce"].times
    lines = [
        "| | processor ms | 5 % to 95 % | times as fast as brute force | recall@10 | memory beside "
        "the item matrix |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        low, high = np.quantile(one.times, [0.05, 0.95])
        lines.append(
            f"| {name} | {one.median:.2f} | {low:.2f} to {high:.2f} | "
            f"{np.median(slowest / one.times):.1f} | {one.recall:.3f} | {size(one.extra_bytes)} |"
        )
    return "\n".join(lines)


def ten_times(fewer: dict[str, Measured], more: dict[str, Measured], items: int) -> str:
    """What ten times as many items would take, in Markdown."""
    lines = [
        f"| {10 * items:,} items, calculated | times slower from {items // 10:,} to {items:,} | "
        "processor ms | memory beside the item matrix |",
        "|---|---|---|---|",
    ]
    for name, one in more.items():
        factor = one.median / fewer[name].median
        lines.append(
            f"| {name} | {factor:.2f} | {factor * one.median:.1f} | {size(10 * one.extra_bytes)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000, help="default 1,000,000")
    parser.add_argument("--quick", action="store_true", help="100,000 items, and nothing written")
    parser.add_argument("--users", type=int, default=100, help="that measure (default 100)")
    flags = parser.parse_args()
    items = 100_000 if flags.quick else flags.items

    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TFRS
    tf = import_tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    fewer = None if flags.quick else measure(items // 10, flags.users)
    found = measure(items, flags.users)
    ratio = np.median(found["ivf"].times / found["ScaNN"].times)
    parts = [
        f"`python benchmarks/retrieval.py --items {items}`: {items:,} generated items in the shape "
        f"of a ledger's, {NUMBERS} numbers each ({size(4 * NUMBERS * items)}), {flags.users} "
        "users, one at a time on one thread; how they are made stands at the head of the script.",
        table(found),
        f"The inverted file takes {ratio:.1f} times as long as ScaNN (median over users).",
    ]
    if fewer is not None:
        parts += [f"The same with {items // 10:,} items:", table(fewer)]
        parts.append(ten_times(fewer, found, items))
    body = "\n\n".join(parts)
    say(f"\n{body}")
    if not flags.quick:
        write_section(f"Retrieval from {items:,} items", body)


if __name__ == "__main__":
    main()
