"""A user asked at several times: with what was known then, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interest.test_reading import some_cases
from tests.models.harness import NUM_ITEMS
from tests.models.test_ledger import small
from tfrec.data.sequences import Columns, Sequences
from tfrec.interest import evolution as module
from tfrec.interest.distribution import distribution
from tfrec.interest.evolution import (
    default_times,
    draw_categories,
    draw_shares,
    events_before,
    evolve,
)
from tfrec.interest.fitting.calibrators import Temperature
from tfrec.interest.reading import LedgerReader
from tfrec.interest.telling import pictures

DAY = 86_400_000
T = Temperature(1.2)
SHARES = np.random.default_rng(5).dirichlet(np.ones(4), NUM_ITEMS)
HISTORIES = some_cases(8).histories


@pytest.fixture(scope="module", params=[True, False], ids=["with request time", "without"])
def reader(request: pytest.FixtureRequest) -> LedgerReader:
    model = small(dropout=0.0, layers=1, request_time=request.param)
    # One period of popularity, so that the crowd itself stands still.
    model.items.set_popularity([0, 1], np.tile(np.asarray(model.items.popularity)[:1], (2, 1)))
    return LedgerReader(model)


def own_span(user: int) -> tuple[int, int]:
    stamps = HISTORIES.columns.timestamp[HISTORIES.starts[user] : HISTORIES.stops[user]]
    return int(stamps[0]), int(stamps[-1])


def test_before_the_first_event_is_an_empty_history(reader) -> None:
    first, _ = own_span(1)
    times = np.array([first - 5 * DAY, first])  # an event is not known at its own time
    one = HISTORIES.take(slice(1, 2))
    found = evolve(reader, one, T, times, SHARES)
    empty = Sequences(one.users.repeat(2), np.zeros(2, int), np.zeros(2, int), one.columns)
    expected = distribution(reader.read_at(empty, times), reader.catalogue, T, 1, SHARES)
    assert found.events.tolist() == [[0, 0]]
    np.testing.assert_allclose(found.category_probabilities[0], expected.category_mass, atol=1e-6)
    np.testing.assert_allclose(found.line_shares[0], expected.line_shares, atol=1e-6)
    assert (found.facet_shares == 0).all()


def test_after_the_last_event_is_the_plain_reading(reader) -> None:
    times = np.full((len(HISTORIES), 1), HISTORIES.columns.timestamp.max() + DAY)
    found = evolve(reader, HISTORIES, T, times, SHARES)
    readings = reader.read_at(HISTORIES, times[:, 0])
    expected = distribution(readings, reader.catalogue, T, 1, SHARES)
    np.testing.assert_array_equal(found.events[:, 0], HISTORIES.lengths)
    np.testing.assert_allclose(
        found.category_probabilities[:, 0], expected.category_mass, atol=1e-6
    )
    np.testing.assert_allclose(found.facet_shares[:, 0], expected.line_shares[:, :2], atol=1e-6)
    np.testing.assert_allclose(found.crowd_share[:, 0], expected.line_shares[:, 3], atol=1e-6)
    np.testing.assert_allclose(found.entropy[:, 0], expected.entropy, atol=1e-5)


def test_what_a_user_had_by_then_can_be_left_out(reader) -> None:
    one = HISTORIES.take(slice(1, 2))
    start = int(one.starts[0])
    moments = one.columns.timestamp[[start + 2, start + 4]].astype(np.int64)
    found = evolve(reader, one, T, moments, SHARES, seen=True)
    for place, events in enumerate((2, 4)):
        assert found.events[0, place] == events
        known = Sequences(one.users, one.starts, one.starts + events, one.columns)
        readings = reader.read_at(known, moments[place : place + 1])
        expected = distribution(readings, reader.catalogue, T, 1, SHARES, removed=known)
        np.testing.assert_allclose(found.entropy[0, place], expected.entropy[0], atol=1e-5)
        np.testing.assert_allclose(
            found.category_probabilities[0, place], expected.category_mass[0], atol=1e-6
        )


def test_in_between_is_a_log_that_ends_there(reader) -> None:
    """The events of later days are not in the log at all, and the answer is the same."""
    start, stop = int(HISTORIES.starts[1]), int(HISTORIES.stops[1])
    middle = int(HISTORIES.columns.timestamp[start + 4])
    found = evolve(reader, HISTORIES.take(slice(1, 2)), T, np.array([middle]), SHARES)
    log = HISTORIES.columns
    early = Columns(
        log.item[start : start + 4],
        log.timestamp[start : start + 4],
        log.action[start : start + 4],
        log.strength[start : start + 4],
    )
    one = Sequences(np.zeros(1, np.int32), np.array([0]), np.array([4]), early)
    readings = reader.read_at(one, np.array([middle]))
    expected = distribution(readings, reader.catalogue, T, 1, SHARES)
    assert stop - start == 9
    np.testing.assert_allclose(found.line_shares[0], expected.line_shares, atol=1e-6)


def test_interests_age_when_the_model_knows_the_time_of_the_request(reader) -> None:
    _, last = own_span(1)
    times = last + np.array([1, 30 * DAY, 900 * DAY])
    found = evolve(reader, HISTORIES.take(slice(1, 2)), T, times, SHARES)
    assert found.events.tolist() == [[9, 9, 9]]
    change = np.abs(np.diff(found.facet_shares[0], axis=0)).max(axis=1)
    if reader.model.request_time:
        assert (change > 1e-3).all()
    else:
        np.testing.assert_allclose(change, 0, atol=1e-6)


def test_blocks_and_company_change_nothing(reader, monkeypatch) -> None:
    filled = HISTORIES.take(np.flatnonzero(HISTORIES.lengths))
    times = default_times(filled, 5)
    together = evolve(reader, filled, T, times, SHARES)
    monkeypatch.setattr(module, "_READ_AT_ONCE", 7)
    pieces = evolve(reader, filled, T, times, SHARES)
    np.testing.assert_allclose(pieces.line_shares, together.line_shares, atol=1e-6)
    alone = evolve(reader, filled.take(slice(2, 3)), T, None, SHARES)
    assert alone.times.shape == (1, module.POINTS)
    ends = evolve(reader, filled.take(slice(2, 3)), T, alone.times[:, [0, -1]], SHARES)
    np.testing.assert_allclose(alone.entropy[0, [0, -1]], ends.entropy[0], atol=1e-5)
    np.testing.assert_allclose(together.entropy[2, [0, -1]], alone.entropy[0, [0, -1]], atol=1e-5)
    np.testing.assert_allclose(together.category_probabilities.sum(axis=2), 1, atol=1e-6)
    np.testing.assert_allclose(together.line_shares.sum(axis=2), 1)


def test_pictures_show_one_user(reader, tmp_path: Path, monkeypatch) -> None:
    found = evolve(reader, HISTORIES.take(np.array([1, 3])), T, [[0, 5 * DAY]] * 2, SHARES)
    drawn = []
    monkeypatch.setattr(pictures, "draw_evolution", lambda *arguments: drawn.append(arguments))
    draw_categories(found, list("ABCD"), "a.svg", user=1)
    draw_shares(found, ["long", "short"], "b.svg", user=1, language="zh")
    (times, parts, names, *rest), (_, shares, lines, *_) = drawn
    np.testing.assert_array_equal(times, found.times[1])
    np.testing.assert_array_equal(parts, found.category_probabilities[1])
    assert [names, *rest] == [list("ABCD"), "a.svg", "en"]
    # The small model has no context line, so there is no area for it.
    np.testing.assert_array_equal(shares, found.line_shares[1, :, :-1])
    assert lines[:2] == ["long", "short"]
    assert len(lines) == len(set(lines)) == 4
    monkeypatch.undo()
    draw_shares(found, ["long", "short"], tmp_path / "shares.svg")
    assert (tmp_path / "shares.svg").stat().st_size > 1000


@given(st.integers(0, 10_000))
@settings(max_examples=50)
def test_events_before_equals_a_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 5, 4)
    stamps = np.concatenate([np.sort(rng.integers(-20, 20, n)) for n in lengths]) * 10**11
    columns = Columns(np.zeros(len(stamps), np.int32), stamps.astype(np.int64))
    stops = np.cumsum(lengths)
    order = rng.permutation(4)
    histories = Sequences(np.arange(4, dtype=np.int32), stops - lengths, stops, columns).take(order)
    times = rng.integers(-30, 30, (4, 6)) * 10**11
    found = events_before(histories, times)
    for user in range(4):
        own = stamps[histories.starts[user] : histories.stops[user]]
        assert found[user].tolist() == [int((own < t).sum()) for t in times[user]]


def test_default_times_run_from_the_first_event_to_the_moment_that_knows_all() -> None:
    one = HISTORIES.take(slice(1, 2))
    first, last = own_span(1)
    times = default_times(one, 7)
    assert times[0, 0] == first
    assert times[0, -1] == last + 1
    assert np.ptp(np.diff(times[0])) <= 1
    assert events_before(one, times)[0, [0, -1]].tolist() == [0, 9]
    assert default_times(one, 3, until=last + 9 * DAY)[0, -1] == last + 9 * DAY
    with pytest.raises(ValueError, match="history 0 is empty"):
        default_times(HISTORIES)
    with pytest.raises(ValueError, match="points must be at least 2"):
        default_times(one, 1)


def test_times_must_fit(reader) -> None:
    with pytest.raises(ValueError, match=r"times must be \[T\] or \[8, T\], got \(2, 3\)"):
        evolve(reader, HISTORIES, T, np.zeros((2, 3), np.int64))
