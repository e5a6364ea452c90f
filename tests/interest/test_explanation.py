"""Ledgers of users are those of the served scores, and say what the log says."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.interest.test_reading import some_cases
from tests.models.harness import NUM_ACTIONS, NUM_ITEMS
from tests.models.test_ledger import small
from tfrec.data.cases import Cases
from tfrec.data.prepared import ITEMS, Meta, PreparedData
from tfrec.evaluation.model_ranking import ModelRanker
from tfrec.interest.explanation import explain, item_names
from tfrec.interest.ledger_lines import LedgerLines
from tfrec.interest.reading import LedgerReader

FACETS = ["near", "far"]
ACTIONS = ["view", "cart", "buy"]


@pytest.fixture(scope="module")
def reader() -> LedgerReader:
    return LedgerReader(small(dropout=0.0, residual=True))


def data_of(cases: Cases, folder: Path, **catalogue: list[str]) -> PreparedData:
    """The log of the cases as if it had been prepared, with a catalogue of items i0, i1, …"""
    ids = [f"i{number}" for number in range(NUM_ITEMS)]
    pa.parquet.write_table(pa.table({"item_id": ids, **catalogue}), folder / ITEMS)
    histories = cases.histories
    texts = [name for name in catalogue if name != "categories"]
    meta = Meta("test", histories.num_events, len(cases), NUM_ITEMS, ACTIONS, text_columns=texts)
    offsets = np.concatenate([[0], histories.stops])
    return PreparedData(folder, meta, offsets, histories.columns)


def ledgers_of(reader: LedgerReader, cases: Cases, folder: Path) -> list[list[LedgerLines]]:
    data = data_of(cases, folder, title=[f"Title {n}" for n in range(NUM_ITEMS)])
    readings = reader.read(cases)
    items = np.random.default_rng(5).integers(0, NUM_ITEMS, (len(cases), 3)).astype(np.int32)
    return explain(reader, data, cases.histories, readings, items, cases.request_times, FACETS)


def test_lines_sum_to_the_score_that_ranks_the_catalogue(
    reader: LedgerReader, tmp_path: Path
) -> None:
    cases = some_cases()
    served = ModelRanker(reader.model).score(cases)
    for row, ledgers in zip(served, ledgers_of(reader, cases, tmp_path), strict=True):
        for ledger in ledgers:
            expected = row[int(ledger.item[1:])]
            assert ledger.score == pytest.approx(expected, rel=1e-4, abs=1e-4)
            assert abs(ledger.residual_error) < 1e-4
            assert sum(line.value for line in ledger.lines()) == pytest.approx(expected, abs=1e-3)


def test_events_are_those_of_the_log(reader: LedgerReader, tmp_path: Path) -> None:
    assert len(ACTIONS) == NUM_ACTIONS
    cases = some_cases()
    columns, longest = cases.histories.columns, reader.model.max_length
    for user, ledgers in enumerate(ledgers_of(reader, cases, tmp_path)):
        start, stop = cases.histories.starts[user], cases.histories.stops[user]
        rows = range(max(start, stop - longest), stop)
        for ledger in ledgers:
            assert ledger.request_time == cases.request_times[user]
            assert ledger.title == f"Title {ledger.item[1:]}"
            assert ledger.facets == FACETS
            assert len(ledger.events) == len(rows)
            for event, row in zip(ledger.events, rows, strict=True):
                strength = columns.strength[row]  # type: ignore[index]
                assert event.item == f"i{columns.item[row]}"
                assert event.title == f"Title {columns.item[row]}"
                assert event.action == ACTIONS[columns.action[row]]  # type: ignore[index]
                assert event.time == columns.timestamp[row]
                assert event.strength is None if np.isnan(strength) else event.strength == strength


def test_each_event_has_its_own_lines(reader: LedgerReader, tmp_path: Path) -> None:
    """Changing what one event is changes the model's value of it: lines follow their event."""
    cases = some_cases()
    readings = reader.read(cases)
    item = np.full((len(cases), 1), 7, np.int32)
    data = data_of(cases, tmp_path)
    ledgers = explain(reader, data, cases.histories, readings, item, cases.request_times, FACETS)
    for user, [ledger] in enumerate(ledgers):
        columns = np.flatnonzero(readings.items[user] >= 0)
        for place, column in enumerate(columns):
            for facet in range(2):
                expected = (
                    readings.gates[user, facet]
                    * readings.weights[user, facet, column]
                    * readings.values[user, column, facet]
                    @ reader.catalogue.blocks[7, facet]
                )
                found = ledger.contributions[place, facet]
                assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_gains_show_in_the_ledgers(reader: LedgerReader, tmp_path: Path) -> None:
    cases = some_cases(5)
    data = data_of(cases, tmp_path)
    item = np.full((len(cases), 1), 3, np.int32)
    plain = reader.read(cases)
    louder = plain.with_gains(facet_gain=np.array([2, 0], np.float32), conformity_gain=0.5)

    def ledgers(readings):  # type: ignore[no-untyped-def]
        return explain(reader, data, cases.histories, readings, item, cases.request_times, FACETS)

    for [before], [after] in zip(ledgers(plain), ledgers(louder), strict=True):
        expected = before.with_gains(facet_gain=[2, 0], conformity_gain=0.5)
        np.testing.assert_allclose(after.contributions, expected.contributions, atol=1e-5)
        assert after.score == pytest.approx(expected.score, abs=1e-4)


def test_a_user_without_history(reader: LedgerReader, tmp_path: Path) -> None:
    cases = some_cases().take(slice(0, 1))
    for ledger in ledgers_of(reader, cases, tmp_path)[0]:
        assert ledger.events == []
        assert ledger.contributions.shape == (0, 2)
        scalars = ledger.quality + ledger.conformity + ledger.context
        assert ledger.score == pytest.approx(scalars, abs=1e-5)


def test_a_log_without_times_has_none_in_its_ledgers(reader: LedgerReader, tmp_path: Path) -> None:
    cases = some_cases(5)
    data = data_of(cases, tmp_path)
    untimed = PreparedData(
        tmp_path, Meta(**{**vars(data.meta), "time_unit": "none"}), data.user_offsets, data.columns
    )
    items = np.zeros((len(cases), 1), np.int32)
    readings = reader.read(cases)
    for [ledger] in explain(
        reader, untimed, cases.histories, readings, items, cases.request_times, FACETS
    ):
        assert ledger.request_time == 0
        assert {event.time for event in ledger.events} <= {0}


def test_readings_of_other_histories_are_refused(reader: LedgerReader, tmp_path: Path) -> None:
    cases = some_cases(6)
    data, readings = data_of(cases, tmp_path), reader.read(cases)
    items = np.zeros((6, 1), np.int32)
    other = cases.take(np.arange(6)[::-1])
    with pytest.raises(ValueError, match="not of these histories"):
        explain(reader, data, other.histories, readings, items, cases.request_times, FACETS)
    with pytest.raises(ValueError, match=r"items must be \[6, M\], got \(5, 1\)"):
        explain(reader, data, cases.histories, readings, items[:5], cases.request_times, FACETS)


def test_titles_come_from_the_column_that_is_one(tmp_path: Path) -> None:
    cases = some_cases(3)
    abouts = [f"about {n}" for n in range(NUM_ITEMS)]
    titles = ["" if n == 1 else f"Title {n}" for n in range(NUM_ITEMS)]

    def names(**catalogue: list[str]) -> list[tuple[str, str]]:
        return item_names(data_of(cases, tmp_path, **catalogue), [1, 2])

    assert names(about=abouts, title=titles) == [("i1", "i1"), ("i2", "Title 2")]
    assert names(about=abouts) == [("i1", "about 1"), ("i2", "about 2")]
    assert names() == [("i1", "i1"), ("i2", "i2")]
