from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_reference import make_cases

from tfrec.evaluation import beyond_accuracy as beyond

# Items 0 … 4 with 60, 20, 10, 10 and 0 of 100 training events.
COUNTS = np.array([60, 20, 10, 10, 0])
TOP = np.array([[0, 1, 4], [0, 2, -1]], np.int32)


def test_hand_worked_exposure():
    exposed = beyond.exposure(TOP, 3, 5)
    assert exposed.tolist() == [2, 1, 1, 0, 1]
    assert beyond.coverage(exposed) == 4 / 5
    # shares ascending 0 .2 .2 .2 .4 with weights -4 -2 0 2 4: (-.4 + .4 + 1.6) / (5 - 1)
    assert beyond.gini(exposed) == pytest.approx(0.4)
    assert beyond.exposure(TOP, 1, 5).tolist() == [2, 0, 0, 0, 0]
    assert beyond.gini(beyond.exposure(TOP, 1, 5)) == pytest.approx(1)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=12).filter(any))
def test_gini_equals_mean_difference(exposed):
    # The other definition: mean absolute difference over all pairs, divided by twice the mean;
    # over pairs of different items it is the one with 1 / (n - 1).
    n = len(exposed)
    pairs = [abs(a - b) for i, a in enumerate(exposed) for j, b in enumerate(exposed) if i != j]
    expected = sum(pairs) / (n * (n - 1)) / (2 * sum(exposed) / n)
    assert beyond.gini(np.array(exposed)) == pytest.approx(expected, abs=1e-12)


def test_gini_without_exposure():
    assert beyond.gini(np.zeros(4, np.int64)) == 0
    assert beyond.gini(np.array([5])) == 0


def test_hand_worked_head():
    # 60 + 20 reach 80 of 100: items 0 and 1. For half, item 0 alone. For .85 one of the two items
    # with 10 would do; equals go in together.
    assert beyond.head(COUNTS).tolist() == [True, True, False, False, False]
    assert beyond.head(COUNTS, 0.5).tolist() == [True, False, False, False, False]
    assert beyond.head(COUNTS, 0.85).tolist() == [True, True, True, True, False]
    assert not beyond.head(np.zeros(3, np.int64)).any()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=15), st.floats(0.05, 1))
def test_head_equals_walking_down_the_ranking(counts, share):
    total = sum(counts)
    expected = [sum(other for other in counts if other > c) < share * total for c in counts]
    inside = beyond.head(np.array(counts), share)
    assert inside.tolist() == expected
    assert np.array(counts)[inside].sum() >= share * total - 1e-9


def test_hand_worked_list_means():
    assert beyond.long_tail_share(TOP, COUNTS, 3) == pytest.approx([1 / 3, 1 / 2])
    assert beyond.average_popularity(TOP, COUNTS, 3) == pytest.approx([80 / 3, 35])
    # one event more each: 61, 21, 11, 11, 1 of 105
    bits = [-math.log2(count / 105) for count in (61, 21, 11, 11, 1)]
    expected = [(bits[0] + bits[1] + bits[4]) / 3, (bits[0] + bits[2]) / 2]
    assert beyond.novelty(TOP, COUNTS, 3) == pytest.approx(expected)
    assert beyond.novelty(TOP, COUNTS, 1) == pytest.approx([bits[0], bits[0]])


def test_hand_worked_popularity_lift():
    cases = make_cases([[1, 2], [], [3, 3, 4, 0]], [[0], [0], [1]])
    history = beyond.history_popularity(cases.histories, COUNTS)
    np.testing.assert_allclose(history, [15, np.nan, 20])
    # Only cases 0 and 2 have a taste: (60 - 15 + 40 - 20) / (15 + 20)
    above, below = beyond.popularity_lift(np.array([60, 60, 40], np.float32), history)
    assert above.sum() / below.sum() == pytest.approx(65 / 35)


@given(
    st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=12), st.integers(1, 9)
)
@settings(deadline=None)
def test_history_popularity_in_chunks_of_any_size(histories, chunk):
    cases = make_cases(histories, [[0]] * len(histories))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beyond, "_EVENTS_PER_CHUNK", chunk)
        found = beyond.history_popularity(cases.histories, COUNTS)
    expected = [sum(int(COUNTS[item]) for item in h) / len(h) if h else math.nan for h in histories]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="cut-off 4 needs the top 4 items, got the top 3"):
        beyond.exposure(TOP, 4, 5)
    with pytest.raises(ValueError, match="cut-off 0"):
        beyond.novelty(TOP, COUNTS, 0)
    with pytest.raises(ValueError, match="case 1 has no recommended item"):
        beyond.novelty(np.array([[1], [-1]], np.int32), COUNTS, 1)
