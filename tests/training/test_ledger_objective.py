"""The ledger's losses: each reaches what it should, none when switched off."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.models.harness import LENGTH, NUM_ITEMS, packed_batch
from tests.models.test_ledger import small
from tfrec.training.ledger_objective import (
    DELETION_FLOOR,
    LedgerObjective,
    deletion_consistency,
)
from tfrec.training.losses import full_cross_entropy
from tfrec.training.options import LossConfig

# The exposure loss needs a target mix: tests/training/test_exposure.py.
STRENGTHS = [
    field.name
    for field in dataclasses.fields(LossConfig)
    if field.name.endswith("_loss") and field.name != "exposure_loss"
]


def training_batch(seed: int = 0) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(seed)
    batch = packed_batch(seed)
    real = batch["segments"] > 0
    batch["targets"] = np.where(real, rng.integers(0, NUM_ITEMS, real.shape), 0).astype(np.int32)
    batch["target_strengths"] = np.where(real, rng.integers(1, 6, real.shape), np.nan).astype(
        np.float32
    )
    batch["weights"] = (real / real.sum()).astype(np.float32)
    batch["negatives"] = rng.integers(0, NUM_ITEMS, (3, 4)).astype(np.int32)
    batch["uniforms"] = rng.random(real.shape, np.float32)
    return {name: tf.constant(value) for name, value in batch.items()}


def config(**changes: float) -> LossConfig:
    return LossConfig(**(dict.fromkeys(STRENGTHS, 0.0) | {"quality_decay": 0.0} | changes))


def test_all_losses_together_reach_every_weight_and_compile() -> None:
    model = small(facets=5, topics=2, text_dim=5)
    on = config(**dict.fromkeys(STRENGTHS, 1.0), deletion_rows=3, quality_decay=1.0)
    objective = LedgerObjective(full_cross_entropy(keep_seen=False), on)
    objective.start_epoch(9)
    batch = training_batch()
    # Without dropout, so that eager and graph see the same.
    model.dropout.rate = model.history.dropout.rate = 0.0
    for block in model.history.blocks:
        block.dropout.rate = block.attention.dropout.rate = 0.0
    model.tower.id_dropout = 0.0
    with tf.GradientTape() as tape:
        eager = objective(model, batch)
        total = tf.add_n(list(eager.values()))
    gradients = tape.gradient(total, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, f"no gradient reaches {variable.path}"
        gradient = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(gradient).all(), variable.path
        assert np.abs(gradient).max() > 0, f"{variable.path} gets zeros"
    compiled = tf.function(lambda b: objective(model, b), jit_compile=True)(batch)
    assert set(compiled) == set(eager)
    assert len(eager) == 12
    # All rows are checked, and no dropout tells the two passes apart.
    assert float(eager["clean ranking"]) == pytest.approx(0.25 * float(eager["ranking"]), rel=1e-4)
    for name, value in eager.items():
        np.testing.assert_allclose(compiled[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_loss_is_there_only_when_it_is_switched_on(name: str) -> None:
    if name == "balance_loss":
        pytest.skip("its term is 0 while all facets are in use")
    model, batch = small(facets=5, topics=2, text_dim=5), training_batch()
    objective = LedgerObjective(full_cross_entropy(keep_seen=False), config(**{name: 1.0}))
    objective.start_epoch(9)
    terms = objective(model, batch)
    assert set(terms) - {"ranking", "quality", "clean ranking"} == {
        name.removesuffix("_loss").replace("_", " ")
    }
    assert float(terms[name.removesuffix("_loss").replace("_", " ")]) != 0


def test_strengths_change_from_epoch_to_epoch() -> None:
    on = LossConfig(conformity_loss=0.5, conformity_decay=0.9, deletion_loss=2.0, deletion_warmup=4)
    objective = LedgerObjective(full_cross_entropy(keep_seen=False), on)
    objective.start_epoch(3)
    assert float(objective.conformity_strength) == pytest.approx(0.5 * 0.9**3)
    for epoch, risen in enumerate([0, 0.25, 0.5, 0.75, 1, 1]):
        objective.start_epoch(epoch)
        assert float(objective.deletion_strength) == pytest.approx(2 * risen)
    objective = LedgerObjective(
        full_cross_entropy(keep_seen=False), config(deletion_loss=2.0, deletion_warmup=0)
    )
    objective.start_epoch(0)
    assert float(objective.deletion_strength) == 2


def test_deletion_consistency_is_the_gap_between_line_and_real_deletion() -> None:
    """Against histories that are really shortened and read one at a time."""
    model = small(weights="sink")
    batch = training_batch()
    matrix = tf.constant(np.asarray(model.item_matrix()))
    got = float(deletion_consistency(model, batch, matrix, rows=99)[0])

    tokens = {name: batch[name].numpy() for name in packed_batch()}
    uniforms, targets = batch["uniforms"].numpy(), batch["targets"].numpy()
    items = np.asarray(matrix, np.float64)
    squares = []  # of gap, line and change: of the next item, and of a mean item
    for row, columns in ((0, range(6)), (1, range(2)), (1, range(2, 5)), (2, range(2))):
        columns = list(columns)
        gone = columns[int(np.argmax(uniforms[row, columns]))]
        for asked in [c for c in columns if c >= gone]:
            known = [c for c in columns if c <= asked]
            full, reading = read_one(model, tokens, row, known, asked)
            short, _ = read_one(model, tokens, row, [c for c in known if c != gone], asked)
            place = LENGTH - len(known) + known.index(gone)
            weight = reading.weights.numpy()[0, :, -1, place]
            gate = reading.gates.numpy()[0, -1]
            value = reading.values.numpy()[0, place]
            line = np.zeros(full.shape)
            line[: value.size] = ((gate * weight)[:, None] * value).reshape(-1)
            scores = np.stack([items @ x for x in (full - short - line, line, full - short)])
            own = scores[:, targets[row, asked]] ** 2
            squares.append([own, np.mean(scores**2, axis=1)])
    wrong, said, real = np.moveaxis(np.array(squares), -1, 0)  # each [requests, 2]
    size = said + real
    expected = np.mean(wrong / (size + DELETION_FLOOR * size.mean(axis=0)), axis=0)
    assert got == pytest.approx(np.mean(expected), rel=1e-3)


def read_one(
    model: object, tokens: dict[str, np.ndarray], row: int, columns: list[int], asked: int
) -> tuple[np.ndarray, object]:
    """The state of one history alone in a row, its newest event last, asked at `asked`'s time."""
    alone = {}
    for name, array in tokens.items():
        fill = {"items": -1, "strengths": np.nan}.get(name, 0)
        alone[name] = np.full((1, LENGTH), fill, array.dtype)
        if columns:
            alone[name][0, LENGTH - len(columns) :] = array[row, columns]
    alone["segments"][0, LENGTH - max(len(columns), 1) :] = 1
    alone["request_times"][0, -1] = tokens["request_times"][row, asked]
    reading = model.read({name: tf.constant(value) for name, value in alone.items()})  # type: ignore[attr-defined]
    return reading.state().numpy()[0, -1].astype(np.float64), reading  # type: ignore[attr-defined]


def test_liking_vectors_decay_where_a_target_has_a_strength() -> None:
    model, batch = small(dropout=0.0), training_batch()
    model.tower.id_dropout = 0.0
    objective = LedgerObjective(full_cross_entropy(keep_seen=False), config(strength_loss=1.0))
    strength = model.strength
    # An item that asks for nothing: what is left of x and y is their decay.
    strength.target_vectors.assign(tf.zeros_like(strength.target_vectors))
    events = strength.grade_vectors, strength.event_vectors
    sizes = sum(np.square(np.asarray(table)).sum(axis=1) for table in events)
    wanted = batch["target_strengths"].numpy()
    wanted[0, 1] = np.nan
    batch["target_strengths"] = tf.constant(wanted)
    with_vectors = float(objective(model, batch)["strength"])
    for table in events:
        table.assign(tf.zeros_like(table))
    without = float(objective(model, batch)["strength"])
    shares = batch["weights"].numpy() * ~np.isnan(wanted)
    expected = 0.02 * (shares * sizes[batch["targets"].numpy()]).sum()
    assert with_vectors - without == pytest.approx(expected, rel=1e-3)


def test_a_log_without_strengths_trains_none() -> None:
    model, batch = small(dropout=0.0), training_batch()
    objective = LedgerObjective(full_cross_entropy(keep_seen=False), config(strength_loss=1.0))
    batch["target_strengths"] = tf.fill(batch["targets"].shape, np.float32(np.nan))
    assert float(objective(model, batch)["strength"]) == 0
