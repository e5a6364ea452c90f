"""The encoder's gradient, the table that it keeps, and a training that is stopped on its way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.text.tiny_checkpoints import DIM, write_checkpoint
from tfrec.errors import Interrupted
from tfrec.models.item_tower import ItemTower
from tfrec.text.encoder import load_encoder
from tfrec.text.tuning.batches import TEXT_ARRAYS, TextBatches
from tfrec.text.tuning.options import TuningConfig
from tfrec.text.tuning.tokens import tokenize_catalogue
from tfrec.text.tuning.weights import trained_weights
from tfrec.training.loop import fit
from tfrec.training.losses import full_cross_entropy
from tfrec.training.objective import RankingObjective
from tfrec.training.options import TrainingConfig
from tfrec.training.text_alignment import id_text_alignment
from tfrec.training.text_optimizer import with_encoder
from tfrec.training.text_tuning import TunedObjective, TunedTexts, estimated

ITEMS = 6
TEXTS = ["so soon", "no", "", "a longer text than those", "so", "soon no"]
LORA = TuningConfig(text_tuning="lora", lora_rank=2, lora_alpha=4, text_learning_rate=0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("encoder")
    write_checkpoint(made, "bert")
    return made


class Events:
    """Two rows of four events, others in every step."""

    same_shapes = True
    seed = 0
    batch_size = 2
    steps_per_epoch = 3
    examples_per_epoch = 24

    def stream(self, epoch: int, step: int) -> Iterator[dict[str, Any]]:
        while True:
            random = np.random.default_rng([epoch, step])
            yield {
                "items": random.integers(0, ITEMS, (2, 4)).astype(np.int32),
                "targets": random.integers(0, ITEMS, (2, 4)).astype(np.int32),
                "weights": np.full((2, 4), 1 / 8, np.float32),
                "segments": np.ones((2, 4), np.int32),
                "uniforms": random.random((2, 4), np.float32),
            }
            step += 1
            if step == self.steps_per_epoch:
                epoch, step = epoch + 1, 0


class LastItem(keras.Model):  # type: ignore[misc]
    """Scores items by how like the newest one they are: a tower and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = ItemTower(ITEMS, 8, text_dim=DIM, id_dropout=0.0)
        self.tower.build()
        self.built = True

    def call(self, batch: dict[str, Any], training: bool = False) -> Any:
        return tf.gather(self.tower(training=training), batch["items"])

    def item_matrix(self) -> Any:
        return self.tower()


class RankingAndAlignment(RankingObjective):
    """The two ways in which texts are read: of all items, and of some."""

    def __call__(self, model: Any, batch: dict[str, Any]) -> dict[str, Any]:
        terms = super().__call__(model, batch)
        return terms | {"text": id_text_alignment(model.tower, batch["uniforms"])}


class Tuning:
    """A small model and LoRA of a small encoder, as fresh as a seed makes them."""

    def __init__(self, folder: Path, texts_per_step: int) -> None:
        keras.utils.set_random_seed(0)
        self.encoder = load_encoder(folder)
        self.weights = trained_weights(self.encoder, LORA)
        random = np.random.default_rng(0)
        for weight in self.weights:  # a B of 0 would hide the gradient of A
            weight.assign(random.normal(size=weight.shape, scale=0.2))
        reader = LastItem()
        reader.tower.ids.assign(random.normal(size=(ITEMS, 8)))
        reader.tower.text_projection.assign(random.normal(size=(DIM, 8)))
        tokens = tokenize_catalogue(TEXTS, self.encoder.tokenizer)
        self.model = TunedTexts(reader, self.encoder, self.weights, tokens, batch_size=2)
        self.model.refresh()
        self.batches = TextBatches(Events(), tokens, texts_per_step)
        self.ranking = RankingAndAlignment(full_cross_entropy(keep_seen=True))
        self.objective = TunedObjective(self.ranking)

    def loss(self, batch: dict[str, Any]) -> Any:
        """Of the table as it is kept."""
        events = {name: array for name, array in batch.items() if name not in TEXT_ARRAYS}
        return sum(self.ranking(self.model.reader, events).values())

    def gradient(self, batch: dict[str, Any]) -> list[Any]:
        tensors = {name: tf.constant(array) for name, array in batch.items()}
        with tf.GradientTape() as tape:
            loss = sum(self.objective(self.model, tensors).values())
        np.testing.assert_allclose(loss, self.loss(tensors), rtol=1e-5)
        return [np.asarray(found) for found in tape.gradient(loss, self.weights)]


@pytest.fixture(scope="module")
def tuning(folder: Path) -> Tuning:
    return Tuning(folder, texts_per_step=ITEMS)


def test_the_gradient_is_what_moving_a_weight_does(tuning: Tuning) -> None:
    batch = next(tuning.batches.stream(0, 0))
    found = tuning.gradient(batch)
    random = np.random.default_rng(1)
    direction = [random.normal(size=weight.shape) for weight in tuning.weights]
    begun = [weight.numpy() for weight in tuning.weights]
    losses = []
    for step in (0.003, -0.003):
        for weight, at, move in zip(tuning.weights, begun, direction, strict=True):
            weight.assign(at + step * move)
        tuning.model.refresh()
        losses.append(float(tuning.loss(batch)))
    for weight, at in zip(tuning.weights, begun, strict=True):
        weight.assign(at)
    tuning.model.refresh()
    slope = sum((one * move).sum() for one, move in zip(found, direction, strict=True))
    assert abs(slope) > 0.05
    assert (losses[0] - losses[1]) / 0.006 == pytest.approx(slope, rel=0.02)


def test_some_texts_pass_on_the_gradient_of_all(tuning: Tuning) -> None:
    """Of the table, as NumPy shares it out, and through the encoder of strings."""
    batch = next(tuning.batches.stream(0, 0))
    items = batch["text_items"].ravel()
    weights = np.array([0, 0, 0, 1, 3, 2], np.float32)[items]  # as if three were drawn
    weights[np.flatnonzero(items == items[0])[1:]] = 0
    found = tuning.gradient(batch | {"text_weights": weights.reshape(2, -1)})

    events = {name: tf.constant(x) for name, x in batch.items() if name not in TEXT_ARRAYS}
    tower = tuning.model.reader.tower
    table = tf.constant(tower.texts.numpy())
    with tf.GradientTape() as tape:
        tape.watch(table)
        with tower.reading(table):
            loss = sum(tuning.ranking(tuning.model.reader, events).values())
    of_table = tape.gradient(loss, table).numpy()
    wanted = np.zeros_like(of_table)
    np.add.at(wanted, items, weights[:, None] * of_table[items])
    lacking = of_table[[0, 1, 3, 4, 5]].sum(axis=0) - wanted.sum(axis=0)
    np.add.at(wanted, items, weights[:, None] / weights.sum() * lacking)
    with tf.GradientTape() as tape:
        vectors = tuning.encoder(tf.constant(TEXTS))
    expected = tape.gradient(vectors, tuning.weights, tf.constant(wanted))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_what_is_passed_on_has_the_sum_of_all_and_is_all_where_all_are_drawn(seed: int) -> None:
    random = np.random.default_rng(seed)
    gradients = random.normal(size=(7, 2)).astype(np.float32)
    known = (np.arange(7) != random.integers(7)).astype(np.float32)
    with_text = np.flatnonzero(known)
    drawn = random.permutation(with_text)[: random.integers(1, 7)]
    weights = random.uniform(1, 3, len(drawn)).astype(np.float32)
    found = np.asarray(estimated(gradients, known, drawn, weights))
    np.testing.assert_allclose(found.sum(axis=0), gradients[with_text].sum(axis=0), atol=1e-4)
    everything = estimated(gradients, known, with_text, np.ones(6, np.float32))
    np.testing.assert_allclose(everything, gradients[with_text], atol=1e-5)


def test_xla_and_bfloat16_only_change_the_arithmetic(folder: Path, tuning: Tuning) -> None:
    batch = next(tuning.batches.stream(0, 0))
    exact = tuning.gradient(batch)

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def compiled(batch: dict[str, Any]) -> Any:
        with tf.GradientTape() as tape:
            loss = sum(tuning.objective(tuning.model, batch).values())
        return tape.gradient(loss, tuning.weights)

    for found, expected in zip(compiled(batch), exact, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)

    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        half = Tuning(folder, texts_per_step=ITEMS)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    tensors = {name: tf.constant(array) for name, array in batch.items()}
    with tf.GradientTape() as tape:
        loss = sum(
            tf.cast(term, tf.float32) for term in half.objective(half.model, tensors).values()
        )
    rough = [np.asarray(found) for found in tape.gradient(loss, half.weights)]
    assert {found.dtype.name for found in rough} == {"float32"}
    a, b = (np.concatenate([part.ravel() for part in parts]) for parts in (exact, rough))
    assert a @ b / np.sqrt((a @ a) * (b @ b)) > 0.97


def test_the_table_keeps_what_was_encoded(folder: Path) -> None:
    tuning = Tuning(folder, texts_per_step=2)
    tower = tuning.model.reader.tower
    expected = tuning.encoder(tf.constant(TEXTS)).numpy()
    expected[2] = 0  # an item without a text
    np.testing.assert_allclose(tower.texts, expected, atol=1e-5)
    tower.texts.assign(0 * expected)
    batch = next(tuning.batches.stream(0, 0))
    drawn = set(batch["text_items"].ravel())
    assert len(drawn) == 2
    tuning.objective(tuning.model, {name: tf.constant(array) for name, array in batch.items()})
    for item in range(ITEMS):
        kept = expected[item] if item in drawn else 0 * expected[item]
        np.testing.assert_allclose(tower.texts[item], kept, atol=1e-5)


def test_stopped_inside_an_epoch_it_ends_the_same(folder: Path, tmp_path: Path) -> None:
    config = TrainingConfig(epochs=2, steps_per_call=1, xla="off")

    def run(at: Path, stop_in_step: int) -> list[Any]:
        at.mkdir(exist_ok=True)
        tuning = Tuning(folder, texts_per_step=3)
        own = keras.optimizers.Adam(0.01)
        own.build(tuning.model.reader.trainable_variables)
        count = len(tuning.model.reader.trainable_variables)
        optimizer = with_encoder(own, count, tuning.encoder, tuning.weights, LORA, 6)
        steps = []

        def validate() -> dict[str, float]:
            return {"ndcg@10": float(np.square(tuning.model.reader.tower.texts).sum())}

        class Stopping(TunedObjective):
            def start_epoch(self, epoch: int) -> None:
                steps.append(epoch)
                if epoch == stop_in_step:
                    os.kill(os.getpid(), signal.SIGTERM)

        fit(
            tuning.model,
            optimizer,
            Stopping(tuning.ranking),
            tuning.batches,
            tuning.model.validation(validate),
            "ndcg@10",
            config,
            at,
            tf.distribute.get_strategy(),
            lambda epochs: None,
        )
        assert np.isfinite(tuning.model.reader.tower.texts.numpy()).all()
        return [np.asarray(variable.numpy()) for variable in tuning.model.variables]

    whole = run(tmp_path / "whole", stop_in_step=-1)
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", stop_in_step=1)
    again = run(tmp_path / "stopped", stop_in_step=-1)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)
    begun = Tuning(folder, texts_per_step=3)
    moved = [np.abs(a.numpy() - b).max() for a, b in zip(begun.model.variables, whole, strict=True)]
    assert min(moved[-len(begun.weights) :]) > 1e-3  # every LoRA matrix has learned
