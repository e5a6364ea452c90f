"""Searching a large catalogue: exact, our inverted file, and ScaNN beside TFRS's brute force.

    pip install -e '.[peers]'
    python benchmarks/retrieval.py            # 1 million items
    python benchmarks/retrieval.py --quick    # 100,000

One user at a time, one thread, 100 items per answer, the sides in turn in one process; every time
is the median over users, every recall that of the ten best items beside exact search. Times are of
the processor, so that what else runs on the machine counts little. Only the search is timed, from
the user's state to items; reading the history costs the same on every side.
Ours and exact search also leave out the items of the history and give probabilities; TFRS and ScaNN
do neither. ScaNN is asked with the operations that TFRS's layer of that name calls.

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
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from results import write_section

from tfrec.console import import_tensorflow, say, size

Array = npt.NDArray[Any]

FACETS, WIDTH, PERIODS, EMBEDDING = 4, 32, 8, 128
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

    def graph(ask: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        return tf.function(ask, specs, autograph=False)  # type: ignore[no-any-return]

    brute = BruteForce(k=COUNT).index(tf.constant(world.items))
    found = {"TFRS BruteForce": Side(graph(lambda states, taken: brute(states)[1]), 0)}

    def exact(states: Any, taken: Any) -> Any:
        return best(choose(states, catalogue, TEMPERATURE, [taken]), COUNT).items

    found["exact"] = Side(graph(exact), 0)

    started = time.perf_counter()
    lists = make_lists(
        world.items, world.states[-SHAPING:], min(4 * int(number**0.5), number), seed=0
    )
    probes = probes_for(lists, tuning.states, truths[0], AIMED_AT)
    ivf = InvertedFile(catalogue, lists, probes, TEMPERATURE, COUNT)
    held = bytes_of(v for v in ivf.variables if all(v is not kept for kept in catalogue.variables))
    ask = graph(lambda states, taken: ivf.best(states, taken, taken[:, :0]).items)
    found["ivf"] = Side(ask, held)
    say(
        f"ivf: {len(lists.centroids):,} lists, {probes} read, short rows of "
        f"{lists.rows.shape[1]}; made in {time.perf_counter() - started:.0f} s"
    )

    started = time.perf_counter()
    leaves, probes = 2 * int(number**0.5), max(1, int(number**0.5) // 20)
    builder = scann_ops.builder(world.items, COUNT, "dot_product")
    builder.tree(leaves, 1, training_iterations=12).score_ah(2).reorder(4 * COUNT)
    trained = builder.build().serialize_to_module()
    say(f"ScaNN: {leaves:,} leaves; made in {time.perf_counter() - started:.0f} s")
    while True:
        ask = graph(functools.partial(ask_scann, trained, probes))
        held = bytes_of(ask.get_concrete_function().variables)
        found["ScaNN"] = Side(ask, held)
        reached = recall(found["ScaNN"], tuning, truths[1])
        say(f"ScaNN: {probes} leaves read, recall {reached:.3f}")
        if reached >= AIMED_AT or probes == leaves:
            return found
        probes = min(int(WIDER * probes) + 1, leaves)


def ask_scann(trained: Any, leaves: int, states: Any, taken: Any) -> Any:
    """What TFRS's layer does; it takes no items away."""
    from scann.scann_ops.py import scann_ops

    searcher = scann_ops.searcher_from_module(trained)
    return searcher.search_batched(states, leaves_to_search=leaves).indices


def true_head(world: World, exclude: bool) -> Array:
    """Numbers of the ten best items of each user, by NumPy."""
    head = np.empty((len(world.states), DEPTH), np.int32)
    for user, state in enumerate(world.states):
        scores = world.items @ state
        if exclude:
            scores[world.taken[user][world.taken[user] >= 0]] = -np.inf
        top = np.argpartition(-scores, DEPTH)[:DEPTH]
        head[user] = top[np.argsort(-scores[top])]
    return head


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


def table(found: dict[str, Side], times: dict[str, list[float]], recalls: dict[str, float]) -> str:
    """In Markdown."""
    slowest = times["TFRS BruteForce"]
    lines = [
        "| | processor ms | 5 % to 95 % | times as fast as brute force | recall@10 | memory beside "
        "the item matrix |",
        "|---|---|---|---|---|---|",
    ]
    for name, side in found.items():
        own = 1000 * np.array(times[name])
        ratio = np.median(np.array(slowest) / np.array(times[name]))
        low, high = np.quantile(own, [0.05, 0.95])
        lines.append(
            f"| {name} | {np.median(own):.2f} | {low:.2f} to {high:.2f} | {ratio:.1f} | "
            f"{recalls[name]:.3f} | {size(side.extra_bytes)} |"
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
    whole = make_world(items, SHAPING + 2 * flags.users, seed=0)
    measuring, tuning = whole.part(0, flags.users), whole.part(flags.users, 2 * flags.users)
    found = sides(whole, tuning, (true_head(tuning, True), true_head(tuning, False)))
    truth = {True: true_head(measuring, True), False: true_head(measuring, False)}
    recalls = {
        name: recall(side, measuring, truth[name in ("exact", "ivf")])
        for name, side in found.items()
    }
    times = timed(found, measuring)
    ours, scann = np.array(times["ivf"]), np.array(times["ScaNN"])
    body = (
        f"`python benchmarks/retrieval.py --items {items}`: {items:,} generated items in the shape "
        f"of a ledger's, {whole.items.shape[1]} numbers each ({size(whole.items.nbytes)}), "
        f"{flags.users} users, one at a time on one thread; how they are made stands at the head "
        f"of the script.\n\n{table(found, times, recalls)}\n\nThe inverted file takes "
        f"{np.median(ours / scann):.1f} times as long as ScaNN (median over users)."
    )
    say(f"\n{body}")
    if not flags.quick:
        write_section(f"Retrieval from {items:,} items", body)


if __name__ == "__main__":
    main()
