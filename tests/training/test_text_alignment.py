"""Ids and texts of items are pulled together: against NumPy, and as a term of the ledger's loss."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.harness import NUM_ITEMS
from tests.models.test_ledger import small
from tests.training.test_ledger_objective import config, training_batch
from tfrec.models.item_tower import ItemTower
from tfrec.training.ledger_objective import LedgerObjective
from tfrec.training.losses import full_cross_entropy
from tfrec.training.text_alignment import ITEMS, TEMPERATURE, id_text_alignment

COUNT, TEXT = 12, 6


@pytest.fixture
def tower() -> ItemTower:
    keras.utils.set_random_seed(0)
    made = ItemTower(COUNT, 8, text_dim=TEXT)
    made.build()
    random = np.random.default_rng(0)
    for weight in made.trainable_variables:
        weight.assign(random.normal(size=weight.shape))
    texts = random.normal(size=(COUNT, TEXT))
    texts[3] = 0  # nothing is known of it
    made.texts.assign(texts)
    return made


def expected(tower: ItemTower, items: list[int]) -> float:
    """Both directions, item by item, over distinct ones that have a text."""
    texts = np.asarray(tower.texts, float)
    cold = np.asarray(tower.cold) > 0
    chosen = sorted({item for item in items if texts[item].any() and not cold[item]})
    a = np.asarray(tower.ids, float)[chosen]
    b = texts[chosen] @ np.asarray(tower.text_projection, float)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    logits = a @ b.T / TEMPERATURE
    losses = [np.log(np.exp(some).sum(axis=1)) - np.diag(logits) for some in (logits, logits.T)]
    return float(np.mean(losses))


def test_loss_is_that_of_distinct_items_with_texts(tower: ItemTower) -> None:
    items = [5, 3, 5, 0, 11, 3, 7, 7]
    uniforms = (np.array(items, np.float32).reshape(2, 4) + 0.5) / COUNT
    found = float(id_text_alignment(tower, tf.constant(uniforms)))
    assert found == pytest.approx(expected(tower, items), rel=1e-4)
    tower.cold.assign(np.arange(COUNT) == 7)  # its id is noise
    found = float(id_text_alignment(tower, tf.constant(uniforms)))
    assert found == pytest.approx(expected(tower, items), rel=1e-4)
    nothing = float(id_text_alignment(tower, tf.fill([1, 2], 3.5 / COUNT)))
    assert nothing == 0


def test_no_more_than_so_many_are_compared(tower: ItemTower) -> None:
    uniforms = np.full((2, ITEMS), 0.5 / COUNT, np.float32)
    uniforms[0, :2] = 1.5 / COUNT, 2.5 / COUNT
    uniforms[1] = 8.5 / COUNT  # beyond what is looked at
    found = float(id_text_alignment(tower, tf.constant(uniforms)))
    assert found == pytest.approx(expected(tower, [0, 1, 2]), rel=1e-4)


def test_it_teaches_texts_to_find_their_items(tower: ItemTower) -> None:
    optimizer = keras.optimizers.Adam(0.1)
    generator = np.random.default_rng(1)
    variables = [tower.ids, tower.text_projection]

    @tf.function
    def gradients(uniforms: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = id_text_alignment(tower, uniforms)
        return tape.gradient(loss, [variable.value for variable in variables])  # type: ignore[no-any-return]

    def found() -> int:
        texts = np.asarray(tower.texts) @ np.asarray(tower.text_projection)
        ids = np.asarray(tower.ids)
        ids /= np.linalg.norm(ids, axis=1, keepdims=True)
        return int(((texts @ ids.T).argmax(axis=1) == np.arange(COUNT)).sum())

    before = found()
    for _ in range(60):
        uniforms = tf.constant(generator.random((4, 8), np.float32))
        optimizer.apply_gradients(zip(gradients(uniforms), variables, strict=True))
    assert before < COUNT // 2
    assert found() >= COUNT - 1  # one has no text


def test_it_is_a_term_of_the_ledger_where_there_are_texts() -> None:
    model = small(text_dim=TEXT)
    texts = np.random.default_rng(0).normal(size=(NUM_ITEMS, TEXT))
    model.tower.texts.assign(texts)
    batch = training_batch()
    on = LedgerObjective(full_cross_entropy(keep_seen=False), config(text_loss=0.5), replicas=2)
    terms = on(model, batch)
    whole = float(id_text_alignment(model.tower, batch["uniforms"]))
    assert float(terms["text"]) == pytest.approx(0.25 * whole)
    off = LedgerObjective(full_cross_entropy(keep_seen=False), config())
    assert "text" not in off(model, batch)
