"""Facets of a model and of users, and interventions that move scores by their lines alone."""

from dataclasses import replace

import numpy as np
import pytest

from tests.interest.test_reading import some_cases
from tests.models.harness import NUM_ITEMS
from tests.models.test_ledger import small
from tfrec.interest.disentanglement import (
    disentangle,
    facet_reports,
    half_life_days,
    item_values,
    lasting,
    without_crowd,
    without_history,
)
from tfrec.interest.distribution import distribution
from tfrec.interest.facet_names import separation
from tfrec.interest.fitting.calibrators import Temperature
from tfrec.interest.reading import LedgerReader, Readings
from tfrec.interest.swap import SwapTest, swap_test

USERS = 30
SHARES = np.eye(4)[np.arange(NUM_ITEMS) % 4]
# Half-lives of hours and of ages; nothing but the age of an event decides its weight.
MOMENTARY, LASTING = 0, 1


@pytest.fixture(scope="module")
def reader() -> LedgerReader:
    model = small(residual=True, dropout=0.0, layers=1)
    weights = model.facet_weights
    for part in (weights.query.kernel, weights.query.bias, weights.by_action, weights.by_strength):
        part.assign(0 * part)
    weights.log_order.assign(np.full((2, 1, 1), -20.0))
    weights.log_decay.assign(np.log([4.0, 0.01]).reshape(2, 1, 1))
    weights.log_scale.assign(np.log([0.5, 50.0]).reshape(2, 1, 1))
    model.gate.kernel.assign(0 * model.gate.kernel)
    return LedgerReader(model)


@pytest.fixture(scope="module")
def readings(reader: LedgerReader) -> Readings:
    return reader.read(some_cases(USERS))


def test_without_the_crowd_scores_change_by_its_line(reader, readings) -> None:
    everything = np.broadcast_to(np.arange(NUM_ITEMS, dtype=np.int32), (USERS, NUM_ITEMS))
    crowd = readings.conformity_line(reader.catalogue, everything)
    change = without_crowd(readings).scores(reader.catalogue) - readings.scores(reader.catalogue)
    assert np.abs(crowd).max() > 0.1
    np.testing.assert_allclose(change, -crowd, atol=1e-4)


def test_without_history_scores_change_by_all_event_lines(reader, readings) -> None:
    everything = np.broadcast_to(np.arange(NUM_ITEMS, dtype=np.int32), (USERS, NUM_ITEMS))
    lines = readings.contributions(reader.catalogue, everything).sum(axis=(2, 3))
    change = without_history(readings).scores(reader.catalogue) - readings.scores(reader.catalogue)
    assert np.abs(lines).max() > 0.1
    np.testing.assert_allclose(change, -lines, atol=1e-4)
    nothing = without_history(without_crowd(readings))
    scores = replace(nothing, context=0 * nothing.context).scores(reader.catalogue)
    np.testing.assert_allclose(scores, np.tile(reader.catalogue.quality, (USERS, 1)), atol=1e-5)


def test_the_parts_of_users(reader, readings) -> None:
    found = distribution(readings, reader.catalogue, Temperature(1.0), 1)
    lives = half_life_days(reader.model)
    np.testing.assert_allclose(lives, [0.5 * (2**0.25 - 1), 50 * (2.0**100 - 1)], rtol=1e-3)
    parts = disentangle(readings, found, lives)
    assert parts.lasting.tolist() == [False, True]
    np.testing.assert_array_equal(parts.user_facets, readings.facets())
    np.testing.assert_array_equal(parts.long, found.line_shares[:, LASTING])
    np.testing.assert_array_equal(parts.short, found.line_shares[:, MOMENTARY])
    np.testing.assert_array_equal(parts.crowd, found.line_shares[:, 3])
    quality, context = found.line_shares[:, 2], found.line_shares[:, 4]
    np.testing.assert_allclose(parts.long + parts.short + parts.crowd + quality + context, 1)
    free = distribution(without_crowd(readings), reader.catalogue, Temperature(1.0), 1)
    assert (disentangle(without_crowd(readings), free, lives).crowd == 0).all()
    with pytest.raises(ValueError, match="30 users and 2 facets"):
        disentangle(
            readings,
            distribution(readings.take(slice(0, 3)), reader.catalogue, Temperature(1.0), 1),
            lives,
        )


def test_lasting_is_the_upper_half_of_the_scale() -> None:
    assert lasting(np.array([1.0, 100.0, 9.0, 11.0])).tolist() == [False, True, False, True]
    assert lasting(np.array([3.0])).tolist() == [True]
    assert lasting(np.array([3.0, 3.0])).tolist() == [True, True]


def test_reports_say_what_the_arrays_say(reader) -> None:
    names = ["A", "B", "C", "D"]
    plain = facet_reports(reader)
    assert [report.name for report in plain] == ["momentary", "lasting"]
    assert [report.lasting for report in plain] == [False, True]
    assert all(report.categories == [] for report in plain)
    reports = facet_reports(reader, SHARES, names, top=3)
    values, blocks = item_values(reader.model), reader.catalogue.blocks
    separated = separation(values, blocks, SHARES)
    for facet, report in enumerate(reports):
        norms = [float(np.linalg.norm(blocks[i, facet])) for i in range(NUM_ITEMS)]
        assert report.items == sorted(range(NUM_ITEMS), key=lambda i: -norms[i])[:3]
        told = {
            names[c]: e
            for c, e in enumerate(separated.effect[facet])
            if separated.surplus[facet, c] > 0
        }
        assert dict(report.categories).items() <= told.items()
        effects = [effect for _, effect in report.categories]
        assert effects == sorted(told.values(), reverse=True)[:3]


def test_item_values_are_the_values_of_plain_events(reader) -> None:
    """v_fs of an event is ψ times the value of its item."""
    readings = reader.read(some_cases(USERS))
    values = item_values(reader.model)
    users, places = np.nonzero(readings.real)
    ours = values[readings.items[users, places]].reshape(len(users), -1)
    theirs = readings.values[users, places].reshape(len(users), -1)
    psi = (theirs * ours).sum(axis=1) / (ours**2).sum(axis=1)
    np.testing.assert_allclose(theirs, psi[:, None] * ours, atol=1e-5)


def test_old_events_move_the_lasting_facet_and_new_ones_the_momentary(reader) -> None:
    histories = some_cases(USERS).histories
    newest = histories.columns.timestamp[np.maximum(histories.stops - 1, 0)]
    asked = newest + 3_600_000
    found = swap_test(reader, histories, asked, recent=1)
    # Ages decide all weights here.
    assert found.old[LASTING] > 3 * found.old[MOMENTARY]
    assert found.recent[MOMENTARY] > 3 * found.old[MOMENTARY]
    assert found.old_share[LASTING] > 0.5 > 2 * found.old_share[MOMENTARY]
    again = swap_test(reader, histories, asked, recent=1)
    np.testing.assert_array_equal(again.old, found.old)


def test_a_swap_needs_old_events(reader) -> None:
    cases = some_cases(USERS)
    with pytest.raises(ValueError, match="more than 9 events"):
        swap_test(reader, cases.histories, cases.request_times, recent=9)
    still = SwapTest(np.array([0.0, 3.0]), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(still.old_share, [0.5, 0.75])
