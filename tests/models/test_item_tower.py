"""The item tower against plain NumPy, and whose id may be dropped."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.test_sasrec import norm
from tfrec.models.item_tower import ItemTower

ITEMS, DIM, CATEGORIES, TEXT, VECTOR = 400, 8, 3, 5, 4


def tower(
    num_categories: int, text_dim: int, id_dropout: float = 0.5, vector_dim: int = 0
) -> ItemTower:
    keras.utils.set_random_seed(0)
    made = ItemTower(ITEMS, DIM, num_categories, text_dim, id_dropout, vector_dim)
    made.build()
    random = np.random.default_rng(0)
    for weight in made.trainable_variables:
        weight.assign(random.normal(size=weight.shape))
    if num_categories:
        shares = random.dirichlet(np.ones(num_categories), ITEMS)
        shares[::10] = 0  # items of no category
        made.categories.assign(shares)
    if text_dim:
        texts = random.normal(size=(ITEMS, text_dim))
        texts[::20] = 0  # items without a text
        made.texts.assign(texts)
    if vector_dim:
        vectors = random.normal(size=(ITEMS, vector_dim))
        vectors[::30] = 0  # items that have none
        made.vectors.assign(vectors)
    return made


def side(made: ItemTower) -> NDArray[np.float64]:
    total = np.zeros((ITEMS, DIM))
    if made.num_categories:
        total += np.asarray(made.categories, float) @ np.asarray(made.category_embedding, float)
    if made.text_dim:
        total += np.asarray(made.texts, float) @ np.asarray(made.text_projection, float)
    if made.vector_dim:
        total += np.asarray(made.vectors, float) @ np.asarray(made.vector_projection, float)
    return total


def told(made: ItemTower) -> NDArray[np.float64]:
    """What stands in for an item that has taught nothing."""
    about = side(made)
    return np.where(about.any(1)[:, None], float(made.trust) * norm(about, made.norm), 0.0)


def expected(made: ItemTower, events: NDArray[np.int64]) -> NDArray[np.float64]:
    about = side(made)
    whole = norm(np.asarray(made.ids, float) + about, made.norm)
    if not about.any():
        return whole
    share = (events / (events + 3))[:, None]
    return share * whole + (1 - share) * told(made)


@pytest.mark.parametrize(
    ("categories", "text", "vector"),
    [(0, 0, 0), (CATEGORIES, 0, 0), (0, TEXT, 0), (0, 0, VECTOR), (CATEGORIES, TEXT, VECTOR)],
)
def test_a_vector_is_between_the_items_own_and_what_is_told_of_it(
    categories: int, text: int, vector: int
) -> None:
    made = tower(categories, text, vector_dim=vector)
    many = np.full(ITEMS, 10**9)
    np.testing.assert_allclose(np.asarray(made()), expected(made, many), rtol=1e-4, atol=1e-4)
    events = np.arange(ITEMS) % 20
    made.set_events(events, events == 0)
    np.testing.assert_allclose(np.asarray(made()), expected(made, events), rtol=1e-4, atol=1e-4)


def test_training_drops_ids_of_about_the_share_of_items_anew_each_time() -> None:
    made = tower(CATEGORIES, TEXT, id_dropout=0.3)
    whole, without = np.asarray(made()), told(made)
    drops = []
    for _ in range(2):
        found = np.asarray(made(training=True))
        kept = np.isclose(found, whole, atol=1e-3).all(axis=1)
        dropped = np.isclose(found, without, atol=1e-3).all(axis=1)
        assert (kept | dropped).all()
        known = side(made).any(axis=1)
        assert 0.2 < dropped[known].mean() < 0.4
        drops.append(dropped)
    assert (drops[0] != drops[1]).any()


def test_an_item_of_which_nothing_else_is_known_keeps_its_id() -> None:
    made = tower(CATEGORIES, TEXT, id_dropout=0.9)
    unknown = ~side(made).any(axis=1)
    assert unknown.any()
    found, whole = np.asarray(made(training=True)), np.asarray(made())
    np.testing.assert_allclose(found[unknown], whole[unknown], rtol=1e-4, atol=1e-4)


def test_an_item_without_training_events_is_what_is_said_of_it() -> None:
    made = tower(CATEGORIES, TEXT, id_dropout=0.0)
    cold = np.arange(ITEMS) % 3 == 0
    made.set_events(np.where(cold, 0, 9), cold)
    for training in (False, True):
        found = np.asarray(made(training=training))
        np.testing.assert_allclose(found[cold], told(made)[cold], rtol=1e-4, atol=1e-4)


def test_without_side_information_training_drops_nothing() -> None:
    made = tower(0, 0, id_dropout=0.9)
    np.testing.assert_array_equal(np.asarray(made(training=True)), np.asarray(made()))
