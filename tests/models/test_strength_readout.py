"""Residual grades, habit, graded facets and liking against plain loops over one history."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from tests.models.harness import packed_batch
from tests.models.test_ledger import small
from tfrec.models.ledger import Ledger

Array = NDArray[np.float64]
PRIOR = 5


@pytest.fixture(scope="module")
def model() -> Ledger:
    model = small()
    model.strength_scale.assign([0.0, 2.5, 1.5])
    return model


def batch_with_gaps() -> dict[str, NDArray[Any]]:
    """Two histories in one row, an event without a strength, one without an item."""
    batch = packed_batch(7)
    batch["strengths"][0, 2] = np.nan
    batch["items"][1, 3] = -1
    return batch


def said(model: Ledger, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    reading = model.read(batch)
    parts = batch["items"], reading.grades, reading.habit, reading.known
    return {
        "grades": reading.grades,
        "habit": reading.habit,
        "liking": model.strength.liking(*parts),
        "newest": model.strength.newest_liking(*parts),
        "graded": reading.graded(),
        "weights": reading.weights,
        "values": reading.values,
        "gates": reading.gates,
    }


def expected(model: Ledger, batch: dict[str, NDArray[Any]], row: int, request: int) -> Any:
    """Event by event: the grades that the request knows, their habit, liking and graded facets."""
    of_item, x, y = (
        np.asarray(table, np.float64)
        for table in (
            model.strength.by_item,
            model.strength.grade_vectors,
            model.strength.event_vectors,
        )
    )
    grades = {}
    for s in range(request + 1):
        item, strength = batch["items"][row, s], batch["strengths"][row, s]
        same = batch["segments"][row, s] == batch["segments"][row, request]
        if same and item >= 0 and not np.isnan(strength):
            grades[s] = (strength - 2.5) / 1.5 - of_item[item]
    habit = sum(grades.values()) / (len(grades) + PRIOR)
    events = {
        s: ((e - habit) * x[batch["items"][row, s]] + y[batch["items"][row, s]])
        / np.sqrt(len(grades) + PRIOR)
        for s, e in grades.items()
    }
    return grades, habit, events


def test_an_event_says_what_lies_above_its_item_and_its_user(model: Ledger) -> None:
    batch = batch_with_gaps()
    found = {name: np.asarray(part) for name, part in said(model, batch).items()}
    checked = 0
    for row, request in np.argwhere(batch["segments"] > 0):
        grades, habit, events = expected(model, batch, row, request)
        assert found["habit"][row, request] == pytest.approx(habit, abs=1e-5)
        np.testing.assert_allclose(
            found["liking"][row, request], sum(events.values(), np.zeros(16)), atol=1e-5
        )
        graded = np.zeros(found["graded"].shape[2:])
        for s, e in grades.items():
            assert found["grades"][row, s] == pytest.approx(e, abs=1e-5)
            read = found["weights"][row, :, request, s, None] * found["values"][row, s]
            graded += (e - habit) * found["gates"][row, request, :, None] * read
        np.testing.assert_allclose(found["graded"][row, request], graded, atol=1e-4)
        checked += len(grades)
    assert checked > 20
    assert found["grades"][0, 2] == found["grades"][1, 3] == 0


def test_every_event_has_its_own_summand_at_the_newest_request(model: Ledger) -> None:
    batch = batch_with_gaps()
    newest = np.asarray(said(model, batch)["newest"])
    _, _, events = expected(model, batch, 0, 5)
    assert set(events) == {0, 1, 3, 4, 5}
    for s in range(6):
        np.testing.assert_allclose(newest[0, s], events.get(s, np.zeros(16)), atol=1e-5)


def test_the_compiled_readout_says_the_same(model: Ledger) -> None:
    batch = {name: tf.constant(part) for name, part in batch_with_gaps().items()}
    plain = said(model, batch)
    compiled = tf.function(lambda b: said(model, b), jit_compile=True)(batch)
    for name, part in plain.items():
        np.testing.assert_allclose(compiled[name], part, atol=1e-4, err_msg=name)


def test_without_a_history_there_is_neither_habit_nor_liking(model: Ledger) -> None:
    batch = packed_batch()
    batch["items"][:] = -1
    batch["strengths"][:] = 4.0  # beside no item
    found = said(model, batch)
    for name in ("grades", "habit", "liking", "newest", "graded"):
        assert np.abs(np.asarray(found[name])).max() == 0, name
