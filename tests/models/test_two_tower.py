"""Two-tower: the model's contract, unit vectors, and a user tower that reads the mean."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.models.harness import LENGTH, NUM_ITEMS, packed_batch, run_model_checks
from tfrec.models.two_tower import TwoTower

CATEGORIES = np.eye(4, dtype=np.float32)[np.arange(NUM_ITEMS) % 4]


def small(with_categories: bool = True) -> TwoTower:
    keras.utils.set_random_seed(3)
    categories = CATEGORIES if with_categories else None
    model = TwoTower(NUM_ITEMS, 8, 16, LENGTH, 0.3, temperature=0.1, categories=categories)
    model.build()
    return model


@pytest.mark.parametrize("with_categories", [True, False])
def test_two_tower_keeps_every_promise(with_categories: bool, tmp_path: Path) -> None:
    run_model_checks(small(with_categories), tmp_path)


def test_vectors_have_unit_length_over_the_temperature() -> None:
    model = small()
    batch = packed_batch()
    states = np.asarray(model(batch))[batch["segments"] > 0]
    np.testing.assert_allclose(np.linalg.norm(states, axis=-1), 1, atol=1e-5)
    lengths = np.linalg.norm(np.asarray(model.item_matrix()), axis=-1)
    np.testing.assert_allclose(lengths, 10, rtol=1e-4)


def test_the_order_of_the_history_is_not_read() -> None:
    model, batch = small(), packed_batch()
    swapped = {name: value.copy() for name, value in batch.items()}
    swapped["items"][0] = swapped["items"][0, ::-1]
    before, after = np.asarray(model(batch)), np.asarray(model(swapped))
    np.testing.assert_allclose(after[0, -1], before[0, -1], atol=1e-5)


def test_categories_move_an_item() -> None:
    model = small()
    before = np.asarray(model.item_matrix())
    kernel = model.category_embedding.kernel
    kernel.assign(kernel + keras.ops.one_hot([0], 4)[0][:, None])
    moved = np.abs(np.asarray(model.item_matrix()) - before).max(axis=1) > 1e-3
    assert moved.tolist() == (CATEGORIES[:, 0] > 0).tolist()
