"""Popularity by period: what happened before counts, what comes later does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.data.popularity import CARRIED_OVER, popularity_by_period
from tfrec.data.sequences import Columns, Sequences


def log(items: list[int], times: list[int]) -> Sequences:
    columns = Columns(np.array(items, np.int32), np.array(times, np.int64))
    return Sequences(np.zeros(1, np.int32), np.array([0]), np.array([len(items)]), columns)


def test_against_counting_by_hand() -> None:
    found = popularity_by_period(log([0, 0, 0, 1, 1, 2], [1, 2, 3, 4, 5, 6]), 4, periods=2)
    assert found.starts.tolist() == [1, 4]
    prior = np.array([3, 2, 1, 0]) / 2 + 1
    first = np.log(prior)
    second = np.log(prior + CARRIED_OVER * np.array([3, 0, 0, 0]))
    expected = [first - first.mean(), second - second.mean()]
    np.testing.assert_allclose(found.logarithm, expected, rtol=1e-6)


def test_a_cold_item_is_as_popular_as_a_typical_other_one() -> None:
    events = log([0, 0, 0, 1, 1, 2], [1, 2, 3, 4, 5, 6])
    cold = np.array([False, False, False, True])
    found = popularity_by_period(events, 4, 2, cold).logarithm
    np.testing.assert_array_equal(found[:, 3], 0)
    np.testing.assert_allclose(found[:, :3], popularity_by_period(events, 3, 2).logarithm)


def test_one_time_makes_one_period() -> None:
    found = popularity_by_period(log([0, 1, 1], [5, 5, 5]), 2, periods=8)
    assert found.starts.tolist() == [5]
    assert found.logarithm[0, 1] > found.logarithm[0, 0]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)), min_size=1, max_size=60),
    st.integers(1, 9),
)
def test_periods_rise_and_every_period_is_centred(
    events: list[tuple[int, int]], periods: int
) -> None:
    events = sorted(events, key=lambda event: event[1])
    items, times = map(list, zip(*events, strict=True))
    found = popularity_by_period(log(items, times), 6, periods)
    assert 1 <= len(found.starts) <= periods
    assert found.starts[0] == times[0]
    assert (np.diff(found.starts) > 0).all()
    assert np.isfinite(found.logarithm).all()
    np.testing.assert_allclose(found.logarithm.mean(axis=1), 0, atol=1e-5)


def test_no_periods_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        popularity_by_period(log([0], [0]), 1, periods=0)
