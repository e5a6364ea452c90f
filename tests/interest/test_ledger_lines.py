from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.interest.ledger_lines import Event, LedgerLines


@st.composite
def ledgers(draw, least_events=0):
    events = draw(st.integers(least_events, 6))
    facets = draw(st.integers(1, 4))
    number = st.floats(-8, 8, width=32)
    cells = draw(st.lists(number, min_size=events * facets, max_size=events * facets))
    quality, conformity, context = draw(number), draw(number), draw(number)
    contributions = np.array(cells, np.float32).reshape(events, facets)
    total = sum(cells) + quality + conformity + context
    return LedgerLines(
        item="wanted",
        title="The wanted one",
        request_time=10**12,
        events=[Event(f"i{n}", f"Item {n}", "view", None, 10**11 * n) for n in range(events)],
        facets=[f"facet {n}" for n in range(facets)],
        contributions=contributions,
        quality=quality,
        conformity=conformity,
        context=context,
        score=total + draw(st.sampled_from([0.0, 1e-6, 0.5])),
    )


gains = st.floats(0, 4)


@given(ledgers())
def test_lines_are_all_summands_largest_first(ledger):
    lines = ledger.lines()
    sizes = [abs(line.value) for line in lines]
    assert sizes == sorted(sizes, reverse=True)
    assert len(lines) == ledger.contributions.size + 3
    for line in lines:
        if line.kind == "event":
            assert line.value == ledger.contributions[line.event, line.facet]
        else:
            assert line.value == getattr(ledger, line.kind)
            assert line.event is None
            assert line.facet is None
    places = {(line.kind, line.event, line.facet) for line in lines}
    assert len(places) == len(lines)


@given(ledgers())
def test_sums_agree_with_the_lines(ledger):
    lines = ledger.lines()
    assert ledger.total() == pytest.approx(sum(line.value for line in lines), abs=1e-9)
    assert ledger.total() + ledger.residual_error == pytest.approx(ledger.score, abs=1e-9)
    for event, value in enumerate(ledger.per_event()):
        expected = sum(line.value for line in lines if line.event == event)
        assert value == pytest.approx(expected, abs=1e-9)
    for facet, value in enumerate(ledger.per_facet()):
        expected = sum(line.value for line in lines if line.facet == facet)
        assert value == pytest.approx(expected, abs=1e-9)


@given(ledgers())
def test_shares_are_parts_of_the_absolute_lines(ledger):
    lines, shares = ledger.lines(), ledger.shares()
    whole = sum(abs(line.value) for line in lines)
    assert ledger.weight() == pytest.approx(whole)
    for kind, share in shares.kinds.items():
        part = sum(abs(line.value) for line in lines if line.kind == kind)
        assert share * whole == pytest.approx(part, abs=1e-9)
    assert sum(shares.kinds.values()) == pytest.approx(1 if whole else 0)
    for facet, share in enumerate(shares.facets):
        part = sum(abs(line.value) for line in lines if line.facet == facet)
        assert share * whole == pytest.approx(part, abs=1e-9)
    assert shares.facets.sum() == pytest.approx(shares.kinds["event"])


@given(ledgers(), gains, st.data())
def test_a_facet_gain_moves_the_score_by_its_lines(ledger, gain, data):
    facet = data.draw(st.integers(0, len(ledger.facets) - 1))
    gain_of = np.ones(len(ledger.facets))
    gain_of[facet] = gain
    moved = ledger.with_gains(facet_gain=gain_of)
    expected = (gain - 1) * sum(x.value for x in ledger.lines() if x.facet == facet)
    assert moved.score - ledger.score == pytest.approx(expected, abs=1e-9)
    others = np.arange(len(ledger.facets)) != facet
    np.testing.assert_array_equal(moved.contributions[:, others], ledger.contributions[:, others])


@given(ledgers(least_events=1), st.data())
def test_an_event_gain_of_zero_forgets_the_event(ledger, data):
    event = data.draw(st.integers(0, len(ledger.events) - 1))
    gain = np.ones(len(ledger.events))
    gain[event] = 0
    moved = ledger.with_gains(event_gain=gain)
    forgotten = sum(x.value for x in ledger.lines() if x.event == event)
    assert moved.score - ledger.score == pytest.approx(-forgotten, abs=1e-9)
    assert not moved.contributions[event].any()


@given(ledgers(), gains)
def test_a_conformity_gain_moves_only_the_crowd(ledger, gain):
    moved = ledger.with_gains(conformity_gain=gain)
    expected = (gain - 1) * ledger.conformity
    assert moved.score - ledger.score == pytest.approx(expected, abs=1e-9)
    np.testing.assert_array_equal(moved.contributions, ledger.contributions)


@given(ledgers(), st.data())
def test_all_gains_at_once_multiply_line_by_line(ledger, data):
    events, facets = ledger.contributions.shape
    facet_gain = np.array(data.draw(st.lists(gains, min_size=facets, max_size=facets)))
    event_gain = np.array(data.draw(st.lists(gains, min_size=events, max_size=events)))
    crowd = data.draw(gains)
    moved = ledger.with_gains(facet_gain, event_gain, crowd)
    change = (crowd - 1) * ledger.conformity
    for s in range(events):
        for f in range(facets):
            line = float(ledger.contributions[s, f])
            assert moved.contributions[s, f] == pytest.approx(
                event_gain[s] * facet_gain[f] * line, abs=1e-9
            )
            change += (event_gain[s] * facet_gain[f] - 1) * line
    assert moved.score - ledger.score == pytest.approx(change, abs=1e-9)
    assert moved.residual_error == pytest.approx(ledger.residual_error, abs=1e-9)
    assert (moved.quality, moved.context) == (ledger.quality, ledger.context)


@given(ledgers())
def test_json_is_plain_and_complete(ledger):
    found = json.loads(json.dumps(ledger.to_json(), allow_nan=False))
    assert list(found) == [
        "item",
        "title",
        "request_time",
        "score",
        "total",
        "residual_error",
        "quality",
        "conformity",
        "context",
        "facets",
        "shares",
        "events",
    ]
    parts = found["quality"] + found["conformity"] + found["context"]
    parts += sum(value for event in found["events"] for value in event["contributions"])
    assert parts == pytest.approx(found["total"], abs=1e-9)
    assert found["total"] + found["residual_error"] == pytest.approx(found["score"], abs=1e-9)
    assert [event["item"] for event in found["events"]] == [e.item for e in ledger.events]


def _one(contributions, **other):
    fields = {"quality": 0.0, "conformity": 0.0, "context": 0.0, "score": 0.0, **other}
    event = Event("i", "I", "", float("nan"), 0)
    return LedgerLines("x", "X", 0, [event], ["f", "g"], contributions, **fields)


def test_json_has_no_nan():
    ledger = _one(np.zeros((1, 2), np.float32), quality=np.float32(0.5))
    assert ledger.to_json()["events"][0]["strength"] is None
    assert json.loads(json.dumps(ledger.to_json(), allow_nan=False))["quality"] == 0.5


def test_wrong_shapes_and_numbers_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2\), got \(2, 1\)"):
        _one(np.zeros((2, 1), np.float32))
    with pytest.raises(ValueError, match="'x' holds a number that is not finite"):
        _one(np.array([[np.nan, 0]], np.float32))
    with pytest.raises(ValueError, match="not finite"):
        _one(np.zeros((1, 2), np.float32), score=float("inf"))
    ledger = _one(np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match=r"facet_gain must have the shape \(2,\), got \(1,\)"):
        ledger.with_gains(facet_gain=[1.0])
    with pytest.raises(ValueError, match=r"event_gain must have the shape \(1,\), got \(2,\)"):
        ledger.with_gains(event_gain=[1.0, 1.0])
