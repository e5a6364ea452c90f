"""Silencing an event moves the score by its lines; encoding again is a plain reading of less."""

import numpy as np
import pytest

from tests.interest.test_reading import some_cases
from tests.models.test_ledger import small
from tfrec.data.cases import Cases
from tfrec.data.sequences import Columns, Sequences
from tfrec.evaluation.faithfulness import deletion_changes
from tfrec.interest.counterfactuals import frozen_change, reencoded_change, rescorer
from tfrec.interest.reading import LedgerReader


@pytest.fixture(scope="module")
def reader() -> LedgerReader:
    return LedgerReader(small(dropout=0.0))


@pytest.fixture(scope="module")
def cases() -> Cases:
    """Users with at least one event, some with more than the model reads."""
    made = some_cases(30)
    return made.take(np.flatnonzero(made.histories.lengths))


def some_events(reader: LedgerReader, cases: Cases) -> np.ndarray:
    """A column with an event for each user: the oldest read, the newest and ones between."""
    length = reader.model.max_length
    counts = np.minimum(cases.histories.lengths, length)
    places = np.arange(len(cases)) % counts
    return length - counts + places


def some_items(cases: Cases, many: int = 3) -> np.ndarray:
    rng = np.random.default_rng(4)
    return rng.integers(0, 23, (len(cases), many)).astype(np.int32)


def plain(reader: LedgerReader, cases: Cases, user: int, rows: list[int]) -> np.ndarray:
    """Scores of the catalogue for a log in which the user did nothing but these events."""
    old = cases.histories.columns
    log = Columns(old.item[rows], old.timestamp[rows], old.action[rows], old.strength[rows])
    alone = Sequences(np.zeros(1, np.int32), np.array([0]), np.array([len(rows)]), log)
    return reader.read_at(alone, cases.request_times[[user]]).scores(reader.catalogue)[0]


def rows_of(cases: Cases, user: int) -> list[int]:
    return list(range(cases.histories.starts[user], cases.histories.stops[user]))


def test_the_frozen_change_is_minus_the_lines_of_the_event(
    reader: LedgerReader, cases: Cases
) -> None:
    readings, items = reader.read(cases), some_items(cases)
    event = some_events(reader, cases)
    lines = readings.contributions(reader.catalogue, items)  # [N, M, L, K]
    change = frozen_change(reader, readings, items, event)
    for user, column in enumerate(event):
        np.testing.assert_allclose(
            change[user], -lines[user, :, column].sum(axis=-1), rtol=1e-3, atol=1e-4
        )
    assert np.abs(change).max() > 0.01


def test_the_reencoded_change_is_that_of_the_shorter_history(
    reader: LedgerReader, cases: Cases
) -> None:
    items, event = some_items(cases), some_events(reader, cases)
    change = reencoded_change(reader, cases.histories, cases.request_times, items, event)
    length = reader.model.max_length
    longer = 0
    for user, column in enumerate(event):
        rows = rows_of(cases, user)
        longer += len(rows) > length
        without = [row for place, row in enumerate(rows) if place - len(rows) != column - length]
        assert len(without) == len(rows) - 1
        difference = plain(reader, cases, user, without) - plain(reader, cases, user, rows)
        np.testing.assert_allclose(change[user], difference[items[user]], rtol=1e-3, atol=1e-4)
    assert longer >= 3  # histories whose window lets an older event in


def test_the_two_changes_differ(reader: LedgerReader, cases: Cases) -> None:
    """Else one of them would not need a name: the weights of the others react to a deletion."""
    items, event = some_items(cases), some_events(reader, cases)
    frozen = frozen_change(reader, reader.read(cases), items, event)
    again = reencoded_change(reader, cases.histories, cases.request_times, items, event)
    assert np.abs(frozen - again).mean() > 0.01


def test_a_column_without_event_is_refused(reader: LedgerReader) -> None:
    cases = some_cases(3)  # the first user has no history
    items, event = some_items(cases), np.full(3, reader.model.max_length - 1)
    with pytest.raises(ValueError, match="column with an event for each of 3 users"):
        frozen_change(reader, reader.read(cases), items, event)
    with pytest.raises(ValueError, match="column with an event for each of 3 users"):
        reencoded_change(reader, cases.histories, cases.request_times, items, event)


def test_rescoring_reads_only_what_is_kept(reader: LedgerReader, cases: Cases) -> None:
    items = some_items(cases, 1)[:, 0]
    scorer = rescorer(reader, cases, items)
    rng = np.random.default_rng(7)
    keep = rng.random((len(cases), reader.model.max_length)) < 0.5
    keep[0] = False
    keep[1] = True
    scores, ranks = scorer.rescore(keep), scorer.ranks(keep)
    for user, item in enumerate(items):
        rows = rows_of(cases, user)[-reader.model.max_length :]
        kept = [row for row, k in zip(rows, keep[user, -len(rows) :], strict=True) if k]
        expected = plain(reader, cases, user, kept)
        np.testing.assert_allclose(scores[user], expected[item], rtol=1e-3, atol=1e-4)
        seen = {int(cases.histories.columns.item[row]) for row in rows_of(cases, user)} - {item}
        better = sum(expected[other] > expected[item] for other in set(range(23)) - seen)
        assert ranks[user] == 1 + better


def test_equal_scores_rank_as_in_the_evaluation(reader: LedgerReader) -> None:
    """Without any line all items are equal; then no two items share a rank."""
    cases = some_cases(2).take(np.zeros(23, np.int64))
    silent = LedgerReader(reader.model)
    flat = {
        name: np.zeros_like(getattr(silent.catalogue, name)) for name in ("quality", "popularity")
    }
    silent.catalogue = type(silent.catalogue)(silent.catalogue.blocks, context=None, **flat)
    scorer = rescorer(silent, cases, np.arange(23, dtype=np.int32))
    ranks = scorer.ranks(np.zeros((23, silent.model.max_length), bool))
    assert sorted(ranks.tolist()) == list(range(1, 24))


def test_the_real_change_of_an_event_is_what_faithfulness_measures(
    reader: LedgerReader, cases: Cases
) -> None:
    short = cases.take(np.flatnonzero(cases.histories.lengths <= reader.model.max_length))
    items = some_items(short, 1)
    real = reader.read(short).real
    changes = deletion_changes(rescorer(reader, short, items[:, 0]).rescore, real)
    event = some_events(reader, short)
    again = reencoded_change(reader, short.histories, short.request_times, items, event)[:, 0]
    np.testing.assert_allclose(-changes[np.arange(len(short)), event], again, rtol=1e-3, atol=1e-4)
    assert (changes[~real] == 0).all()


def test_one_item_per_case(reader: LedgerReader, cases: Cases) -> None:
    with pytest.raises(ValueError, match=r"items must be \[\d+\], got \(2,\)"):
        rescorer(reader, cases, np.zeros(2, np.int32))
