"""What is read of a user is what the model ranks with, line by line."""

import numpy as np
import pytest

from tests.models.harness import NUM_ACTIONS, NUM_ITEMS
from tests.models.test_ledger import small
from tfrec.data.cases import Cases
from tfrec.data.sequences import Columns, Sequences
from tfrec.evaluation.model_ranking import ModelRanker
from tfrec.interest.reading import LedgerReader, matrix

DAY = 86_400_000


def some_cases(users: int = 40, seed: int = 0) -> Cases:
    """Histories of 0 to 9 events, longer and shorter than the model reads."""
    rng = np.random.default_rng(seed)
    lengths = np.concatenate([[0, 9], rng.integers(0, 10, users - 2)])
    stops = np.cumsum(lengths)
    events = int(stops[-1])
    columns = Columns(
        item=rng.integers(0, NUM_ITEMS, events).astype(np.int32),
        timestamp=1_700_000_000_000 + np.cumsum(rng.integers(0, DAY, events)),
        action=rng.integers(0, NUM_ACTIONS, events).astype(np.int16),
        strength=np.where(rng.random(events) < 0.2, np.nan, rng.integers(1, 6, events)).astype(
            np.float32
        ),
    )
    histories = Sequences(np.arange(users, dtype=np.int32), stops - lengths, stops, columns)
    targets = rng.integers(0, NUM_ITEMS, users).astype(np.int32)
    asked = 1_700_000_000_000 + np.full(users, events * DAY, np.int64)
    return Cases(histories, targets, np.arange(users + 1), asked)


@pytest.fixture(scope="module", params=["softmax", "pointwise", "residual", "topics"])
def reader(request: pytest.FixtureRequest) -> LedgerReader:
    changes: dict[str, dict[str, object]] = {
        "residual": {"residual": True},
        "topics": {"facets": 4, "topics": 1, "weights": "root"},
    }
    chosen = changes.get(request.param, {"weights": request.param})
    return LedgerReader(small(dropout=0.0, **chosen))


def test_states_and_scores_are_those_that_rank_the_catalogue(reader: LedgerReader) -> None:
    cases = some_cases()
    readings = reader.read(cases)
    ranker = ModelRanker(reader.model)
    np.testing.assert_allclose(readings.states(), ranker.states(cases), atol=2e-5)
    np.testing.assert_allclose(
        readings.scores(reader.catalogue), ranker.score(cases), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        matrix(reader.catalogue), np.asarray(reader.model.item_matrix()), atol=1e-6
    )


def test_no_users_have_no_states(reader: LedgerReader) -> None:
    readings = reader.read(some_cases()).take(slice(0, 0))
    assert readings.states().shape == (0, reader.model.state_dim)
    assert readings.scores(reader.catalogue).shape == (0, NUM_ITEMS)


def test_all_lines_sum_to_the_score(reader: LedgerReader) -> None:
    readings = reader.read(some_cases())
    items = np.random.default_rng(1).integers(0, NUM_ITEMS, (len(readings), 5)).astype(np.int32)
    lines = readings.contributions(reader.catalogue, items)
    total = (
        lines.sum(axis=(2, 3))
        + readings.quality_line(reader.catalogue, items)
        + readings.conformity_line(reader.catalogue, items)
        + readings.context_line(reader.catalogue, items)
    )
    scores = np.take_along_axis(readings.scores(reader.catalogue), items, axis=1)
    np.testing.assert_allclose(total, scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        lines.sum(axis=2), readings.facet_scores(reader.catalogue, items), rtol=1e-4, atol=1e-4
    )
    assert np.abs(lines[~readings.real[:, None, :].repeat(5, axis=1)]).max() == 0


def test_lines_are_centred_over_the_catalogue(reader: LedgerReader) -> None:
    """A line says why this item rather than a typical one."""
    readings = reader.read(some_cases())
    everything = np.broadcast_to(np.arange(NUM_ITEMS, dtype=np.int32), (len(readings), NUM_ITEMS))
    lines = readings.contributions(reader.catalogue, everything)
    np.testing.assert_allclose(lines.mean(axis=1), 0, atol=1e-4)


def test_a_gain_moves_the_score_by_its_line_and_nothing_else(reader: LedgerReader) -> None:
    cases = some_cases()
    readings = reader.read(cases)
    rng = np.random.default_rng(2)
    items = rng.integers(0, NUM_ITEMS, (len(readings), 1)).astype(np.int32)
    facet_gain = rng.uniform(0, 3, (len(readings), readings.gates.shape[1])).astype(np.float32)
    conformity_gain = rng.uniform(0, 2, len(readings)).astype(np.float32)
    lines = readings.contributions(reader.catalogue, items)[:, 0]  # [N, L, K]

    def score(changed: object) -> np.ndarray:
        return np.take_along_axis(changed.scores(reader.catalogue), items, axis=1)[:, 0]

    louder = score(readings.with_gains(facet_gain=facet_gain)) - score(readings)
    np.testing.assert_allclose(
        louder, ((facet_gain - 1) * lines.sum(axis=1)).sum(axis=-1), rtol=1e-3, atol=1e-4
    )
    forgotten = np.ones(readings.items.shape, np.float32)
    forgotten[:, -1] = 0
    change = score(readings.with_gains(event_gain=forgotten)) - score(readings)
    np.testing.assert_allclose(change, -lines[:, -1].sum(axis=-1), rtol=1e-3, atol=1e-4)
    crowd = readings.conformity_line(reader.catalogue, items)[:, 0]
    change = score(readings.with_gains(conformity_gain=conformity_gain)) - score(readings)
    np.testing.assert_allclose(change, (conformity_gain - 1) * crowd, rtol=1e-3, atol=1e-4)


def test_an_empty_history_leaves_quality_and_crowd(reader: LedgerReader) -> None:
    readings = reader.read(some_cases().take(slice(0, 1)))
    assert not readings.real.any()
    everything = np.arange(NUM_ITEMS, dtype=np.int32)[None]
    expected = (
        readings.quality_line(reader.catalogue, everything)
        + readings.conformity_line(reader.catalogue, everything)
        + readings.context_line(reader.catalogue, everything)
    )
    scores = readings.scores(reader.catalogue)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_the_order_of_a_batch_changes_nothing(reader: LedgerReader) -> None:
    cases = some_cases()
    order = np.random.default_rng(3).permutation(len(cases))
    straight = reader.read(cases).states()[order]
    np.testing.assert_allclose(reader.read(cases.take(order)).states(), straight, atol=1e-6)
