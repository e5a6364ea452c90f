"""What users say is an event like any other: lines that add up, alone or among other histories."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from tests.models.harness import DAY, NUM_ACTIONS, NUM_ITEMS, packed_batch
from tests.models.test_ledger import small
from tests.training.test_ledger_objective import training_batch
from tfrec.data.cases import Cases
from tfrec.data.sequences import Columns, Sequences, Texts
from tfrec.data.user_texts import PROFILE, QUERY, UserTexts, put
from tfrec.evaluation.model_ranking import ModelRanker
from tfrec.interest.counterfactuals import reencoded_change
from tfrec.interest.reading import LedgerReader
from tfrec.models.ledger import Ledger
from tfrec.training.ledger_objective import LedgerObjective
from tfrec.training.losses import full_cross_entropy
from tfrec.training.options import LossConfig

WIDTH = 5


@pytest.fixture(scope="module")
def model() -> Ledger:
    made = small(
        text_dim=WIDTH, num_categories=0, num_actions=NUM_ACTIONS + 2, dropout=0.0, layers=1
    )
    rng = np.random.default_rng(2)
    texts = Texts(NUM_ITEMS, rng.normal(size=(4, WIDTH)).astype(np.float32), list("abcd"))
    of_user = np.array([0, -1, 1, 2, -1, 3])
    made.user_texts = UserTexts(texts, of_user, [PROFILE, QUERY], NUM_ACTIONS)
    return made


@pytest.fixture(scope="module")
def reader(model: Ledger) -> LedgerReader:
    return LedgerReader(model)


@pytest.fixture(scope="module")
def cases() -> Cases:
    """Six users with 0 to 9 events, two of them with none: more than the model reads."""
    rng = np.random.default_rng(3)
    lengths = np.array([3, 9, 0, 9, 0, 5])
    stops = np.cumsum(lengths)
    total = int(stops[-1])
    log = Columns(
        rng.integers(0, NUM_ITEMS, total).astype(np.int32),
        1_700_000_000_000 + np.cumsum(rng.integers(1, DAY, total)),
        rng.integers(0, NUM_ACTIONS, total).astype(np.int16),
        rng.integers(1, 6, total).astype(np.float32),
    )
    histories = Sequences(np.arange(6, dtype=np.int32), stops - lengths, stops, log)
    asked = np.full(6, log.timestamp.max() + DAY)
    return Cases(histories, np.zeros(6, np.int32), np.arange(7), asked)


def searched(cases: Cases, model: Ledger) -> Sequences:
    """The histories with profiles, and the words "c" searched for at the time of the request."""
    users = model.user_texts
    assert users is not None
    without = dataclasses.replace(users, of_user=np.full(6, -1))
    told = without.told(cases.histories, cases.request_times, model.max_length - 1)
    plain = dataclasses.replace(told, columns=dataclasses.replace(told.columns, texts=None))
    return put(
        plain,
        users.texts,
        np.arange(6),
        plain.lengths,
        np.full(6, 2),
        np.full(6, users.action(QUERY)),
        cases.request_times,
    )


def test_texts_that_no_event_points_to_change_nothing(model: Ledger) -> None:
    batch = packed_batch()
    texts = np.random.default_rng(0).normal(size=(3, 2, WIDTH)).astype(np.float32)
    np.testing.assert_array_equal(model(batch | {"texts": texts}), model(batch))


def test_a_text_is_read_as_an_item_of_which_nothing_else_is_known(model: Ledger) -> None:
    """Items and texts share a space, and a history may be packed with others."""
    batch = packed_batch()
    item = int(np.setdiff1d(np.arange(2, NUM_ITEMS), batch["items"])[0])
    own = np.asarray(model.tower.own)
    batch["items"][0, 2] = batch["items"][1, 3] = item
    batch["strengths"][0, 2] = batch["strengths"][1, 3] = np.nan
    model.tower.own.assign(np.where(np.arange(NUM_ITEMS) == item, 0, own))
    try:
        expected = np.asarray(model(batch))
    finally:
        model.tower.own.assign(own)
    vector = np.asarray(model.tower.texts)[item]
    texts = np.random.default_rng(0).normal(size=(3, 2, WIDTH)).astype(np.float32)
    texts[0, 1] = texts[1, 0] = vector
    batch["items"][0, 2], batch["items"][1, 3] = NUM_ITEMS + 1, NUM_ITEMS
    found = np.asarray(model(batch | {"texts": texts}))
    real = batch["segments"] > 0
    np.testing.assert_allclose(found[real], expected[real], rtol=1e-5, atol=1e-5)


def alone(cases: Cases, user: int) -> Cases:
    return cases.take(np.array([user]))


def test_lines_add_up_with_texts_and_users_are_read_alone(
    model: Ledger, reader: LedgerReader, cases: Cases
) -> None:
    items = np.tile(np.arange(NUM_ITEMS, dtype=np.int32), (6, 1))
    for histories in (cases.histories, searched(cases, model)):
        asked = dataclasses.replace(cases, histories=histories)
        readings = reader.read(asked)
        scores = readings.scores(reader.catalogue)
        lines = readings.contributions(reader.catalogue, items).sum(axis=(2, 3))
        lines += readings.quality_line(reader.catalogue, items)
        lines += readings.conformity_line(reader.catalogue, items)
        np.testing.assert_allclose(lines, scores, atol=1e-4)
        np.testing.assert_allclose(ModelRanker(model).score(asked), scores, atol=1e-4)
        np.testing.assert_array_equal(
            readings.real.sum(axis=1), reader.told(histories, cases.request_times).lengths
        )
    order = np.array([5, 2, 0, 4, 1, 3])
    np.testing.assert_allclose(
        reader.read(asked.take(order)).scores(reader.catalogue), scores[order], atol=1e-5
    )


def test_who_says_nothing_is_read_as_before(
    model: Ledger, reader: LedgerReader, cases: Cases
) -> None:
    told: NDArray[Any] = reader.read(cases).scores(reader.catalogue)
    users, model.user_texts = model.user_texts, None
    try:
        plain = reader.read(cases).scores(reader.catalogue)
    finally:
        model.user_texts = users
    assert users is not None
    silent = users.of_user < 0
    np.testing.assert_allclose(told[silent], plain[silent], atol=1e-6)
    assert (np.abs(told - plain)[~silent].max(axis=1) > 1e-3).all()


def test_deleting_a_text_is_reading_the_history_without_it(
    model: Ledger, reader: LedgerReader, cases: Cases
) -> None:
    items = np.tile(np.arange(NUM_ITEMS, dtype=np.int32), (6, 1))
    histories = searched(cases, model)
    last = np.full(6, model.max_length - 1)
    change = reencoded_change(reader, histories, cases.request_times, items, last)
    users, model.user_texts = model.user_texts, None
    try:
        shorter = cases.histories.last(model.max_length - 1)
        without = reader.read_at(shorter, cases.request_times).scores(reader.catalogue)
    finally:
        model.user_texts = users
    whole = reader.read_at(histories, cases.request_times).scores(reader.catalogue)
    np.testing.assert_allclose(change, without - whole, atol=1e-4)


def test_every_loss_reads_a_text_as_such_an_item() -> None:
    """Those that compare a line with a real deletion among them."""
    model = small(text_dim=WIDTH, num_categories=0, dropout=0.0, id_dropout=0.0, layers=1)
    batch = {name: np.array(value) for name, value in training_batch().items()}
    item = int(np.setdiff1d(np.arange(2, NUM_ITEMS), batch["items"])[0])
    model.tower.own.assign(np.arange(NUM_ITEMS) != item)
    places = ([0, 1], [1, 3])
    batch["strengths"][places] = np.nan
    batch["items"][places] = item
    on = LossConfig(deletion_rows=3, deletion_warmup=0)
    objective = LedgerObjective(full_cross_entropy(keep_seen=True), on)
    objective.start_epoch(0)
    expected = objective(model, {name: tf.constant(x) for name, x in batch.items()})
    texts = np.zeros((3, 2, WIDTH), np.float32)
    texts[0, 1] = texts[1, 0] = np.asarray(model.tower.texts)[item]
    batch["items"][places] = [NUM_ITEMS + 1, NUM_ITEMS]
    found = objective(
        model, {name: tf.constant(x) for name, x in (batch | {"texts": texts}).items()}
    )
    assert float(found["deletion"]) > 0
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_text_takes_no_item_out_of_the_choice() -> None:
    rng = np.random.default_rng(0)
    batch = {
        "items": np.array([[3, NUM_ITEMS + 1, 5, NUM_ITEMS]], np.int32),
        "segments": np.ones((1, 4), np.int32),
        "targets": np.array([[5, 5, 0, 1]], np.int32),
        "weights": np.full((1, 4), 0.25, np.float32),
    }
    states = rng.normal(size=(1, 4, 3)).astype(np.float32)
    matrix = rng.normal(size=(NUM_ITEMS, 3)).astype(np.float32)
    loss = full_cross_entropy(keep_seen=False)
    again = batch | {"items": np.array([[3, 3, 5, 5]], np.int32)}
    np.testing.assert_allclose(loss(states, matrix, batch), loss(states, matrix, again), rtol=1e-6)
