"""An index finds what exact search finds, in graphs, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from export.graph.catalogue import Catalogue
from export.graph.inverted_file import InvertedFile
from export.graph.scann_search import ScannSearch
from export.index.lists import Lists, make_lists, probes_for
from export.index.scann import train_scann
from export.options import Storage

ITEMS, WIDTH, USERS, TEMPERATURE = 4000, 40, 200, 1.3
Float32 = NDArray[np.float32]


def world(items: int, seed: int = 0) -> tuple[Float32, Float32]:
    """Items around topics with an own bias each, and users who like one topic."""
    rng = np.random.default_rng(seed)
    strength = (1.0 + np.arange(WIDTH)) ** -0.3
    topics = rng.normal(size=(max(items // 50, 2), WIDTH)) * strength
    matrix = topics[rng.integers(len(topics), size=items)]
    matrix = matrix + 0.5 * rng.normal(size=matrix.shape) * strength
    matrix[:, -1] = rng.exponential(size=items)
    states = topics[rng.integers(len(topics), size=USERS)]
    states = states + 0.5 * rng.normal(size=states.shape) * strength
    states[:, -1] = 1
    return matrix.astype(np.float32), states.astype(np.float32)


def catalogue_of(matrix: Float32) -> Catalogue:
    ids = [f"i{n}" for n in range(len(matrix))]
    order = np.arange(len(matrix), dtype=np.int32)
    return Catalogue(ids, matrix, [], np.zeros((len(matrix), 0), np.float32), order)


def inverted(
    matrix: Float32, lists: Lists, probes: int, count: int, storage: Storage = "float32"
) -> Any:
    """A graph that searches so many lists for so many items."""
    search = InvertedFile(catalogue_of(matrix), lists, storage, TEMPERATURE, count)
    search.probes = probes
    return graph(search)


def exact(matrix: Float32, state: Float32, removed: Any, count: int) -> NDArray[np.int64]:
    """The best that may come, of equal ones the first."""
    scores = (matrix @ state).astype(np.float64)
    scores[removed] = -np.inf
    order = np.argsort(-scores, kind="stable")[:count]
    return order[np.isfinite(scores[order])]


def asked(search: Any, states: Float32, seen: Any = (), excluded: Any = ()) -> Any:
    """items, scores and probabilities; what may not come is the same for all users."""
    rows = [np.tile(np.array(one, np.int32), (len(states), 1)) for one in (seen, excluded)]
    return [part.numpy() for part in search(tf.constant(states), *map(tf.constant, rows))]


def graph(search: Any) -> Any:
    return tf.function(search.best, autograph=False, reduce_retracing=True)


@pytest.fixture(scope="module")
def large() -> tuple[Float32, Float32, Catalogue, Lists]:
    matrix, states = world(ITEMS)
    return matrix, states, catalogue_of(matrix), make_lists(matrix, states[100:], 250, seed=0)


@pytest.fixture(scope="module")
def small() -> tuple[Float32, Float32, Any]:
    """300 items, of which about 30 are read and 8 recommended."""
    matrix, states = world(300, seed=1)
    lists = make_lists(matrix, states, 30, seed=0)
    return matrix, states, inverted(matrix, lists, 3, 8)


def test_lists_hold_every_item_once_and_their_means_say_what_they_promise(large: Any) -> None:
    matrix, states, _, lists = large
    assert sorted(lists.numbers) == list(range(ITEMS))
    promise = states[:100] @ lists.means.T
    for number, start in enumerate(lists.starts[:-1]):
        inside = lists.numbers[start : lists.starts[number + 1]]
        assert (np.diff(inside) > 0).all()
        scores = states[:100] @ matrix[inside].T
        np.testing.assert_allclose(promise[:, number], scores.mean(axis=1), atol=1e-4)


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_a_tenth_of_the_catalogue_holds_what_new_users_want(large: Any, storage: Storage) -> None:
    """Whatever the lists hold, the scores are those of the catalogue."""
    matrix, states, _, lists = large
    truth = np.array([exact(matrix, state, [], 10) for state in states])
    probes = probes_for(lists, states[100:], truth[100:], 0.97)
    assert probes < len(lists.means) / 10
    search = inverted(matrix, lists, probes, 10, storage)
    items, scores, _ = asked(search, states[:100])
    assert (truth[:100, :, None] == items[:, None]).any(axis=2).mean() >= 0.95
    np.testing.assert_allclose(
        scores, np.einsum("us,uns->un", states[:100], matrix[items]), rtol=1e-4, atol=1e-4
    )


def test_reading_every_list_is_exact_search_with_its_probabilities() -> None:
    matrix, states = world(200, seed=2)
    matrix[50:60] = matrix[50]  # equal scores keep the order of ties
    lists = make_lists(matrix, states, 12, seed=0)
    search = inverted(matrix, lists, len(lists.means), 30)
    seen = [3, 50, 199, 3, -1]
    items, scores, probabilities = asked(search, states[:40], seen, [7])
    for row, state in enumerate(states[:40]):
        gone = [3, 50, 199, 7]
        assert items[row].tolist() == exact(matrix, state, gone, 30).tolist()
        logits = (matrix @ state).astype(np.float64) / TEMPERATURE
        logits[gone] = -np.inf
        weights = np.exp(logits - logits.max())
        np.testing.assert_allclose(
            probabilities[row], (weights / weights.sum())[items[row]], rtol=1e-4
        )
    assert (np.diff(scores, axis=1) <= 0).all()


@settings(max_examples=40, deadline=None)
@given(
    user=st.integers(0, USERS - 1),
    seen=st.lists(st.integers(-1, 299), max_size=40),
    best=st.integers(0, 300),
    others=st.lists(st.integers(-1, 299), max_size=20),
)
def test_what_may_not_come_never_shortens_or_worsens(
    small: Any, user: int, seen: list[int], best: int, others: list[int]
) -> None:
    """The user's own best items are excluded, too: nothing, a page of them, the whole catalogue."""
    matrix, states, search = small
    state = states[user : user + 1]
    first = exact(matrix, state[0], [], 300)[:best].tolist()
    excluded = first + others
    pad = [-1] * (320 - len(excluded))  # one shape, one graph
    items, scores, probabilities = asked(
        search, state, seen + [-1] * (40 - len(seen)), excluded + pad
    )
    gone = np.unique([n for n in seen + excluded if n >= 0]).astype(int)
    truth = exact(matrix, state[0], gone, 8)
    real = items[0] >= 0
    assert real.sum() == min(8, 300 - len(gone)) == len(truth)
    assert not set(items[0][real]) & set(gone)
    assert len(set(items[0][real])) == real.sum()
    np.testing.assert_allclose(scores[0][real], matrix[items[0][real]] @ state[0], rtol=1e-3)
    assert (probabilities[0][real] > 0).all()
    assert probabilities[0].sum() < 1.02  # short rows leave out a little
    if best > 60:  # more than what the index read: the catalogue was compared
        assert items[0][real].tolist() == truth.tolist()


def test_scann_finds_most_and_filters(large: Any) -> None:
    pytest.importorskip("scann", reason="has no build for this platform")
    matrix, states, catalogue, _ = large
    trained = train_scann(catalogue, 60)
    scann = ScannSearch(catalogue, trained, 60, TEMPERATURE, 10)
    scann.probes = 30
    search = graph(scann)
    truth = np.array([exact(matrix, state, [], 10) for state in states[:50]])
    items, scores, _ = asked(search, states[:50])
    assert (truth[:, :, None] == items[:, None]).any(axis=2).mean() >= 0.9
    np.testing.assert_allclose(
        scores, np.einsum("us,uns->un", states[:50], matrix[items]), rtol=1e-4, atol=1e-4
    )
    gone = truth[0].tolist()
    items, _, _ = asked(search, states[:1], gone[:5], gone[5:])
    assert not set(items[0]) & set(gone)
    hidden = exact(matrix, states[0], [], 400)
    items, _, _ = asked(search, states[:1], [], hidden)
    assert items[0].tolist() == exact(matrix, states[0], hidden, 10).tolist()
