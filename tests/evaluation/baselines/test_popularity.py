import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_logs import cases, sequences

from tfrec.evaluation.baselines import Popularity, RecencyPopularity
from tfrec.evaluation.baselines.popularity import DAY_MS


def test_popularity_counts_events():
    model = Popularity()
    model.fit(sequences([[2, 2, 0], [2], []]), num_items=4)
    assert model.score(cases([[], [1]])).tolist() == [[1, 0, 3, 0]] * 2


def test_recency_by_hand():
    model = RecencyPopularity(half_life_days=1.0)
    log = sequences([[0, 1], [0, 2]], times=[[0, 2 * DAY_MS], [DAY_MS, 3 * DAY_MS]])
    model.fit(log, num_items=4)
    # At day 3 the event of day 3 itself is not yet known.
    at = [-1, 0, DAY_MS, 2 * DAY_MS, 3 * DAY_MS, 3 * DAY_MS + 1, 90 * DAY_MS]
    scores = model.score(cases([[]] * len(at), request_times=at))
    np.testing.assert_allclose(
        scores,
        [
            [0, 0, 0, 0],
            [0, 0, 0, 0],
            [1, 0, 0, 0],
            [1 / 2 + 1, 0, 0, 0],
            [1 / 4 + 1 / 2, 1, 0, 0],
            [1 / 8 + 1 / 4, 1 / 2, 1, 0],
            # Later on all fade alike, which changes no order: the counts stay as they are.
            [1 / 8 + 1 / 4, 1 / 2, 1, 0],
        ],
        rtol=1e-6,
    )


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), min_size=1, max_size=40),
    st.integers(0, 60),
)
def test_recency_is_the_direct_sum_over_earlier_events(events, hours):
    hour = DAY_MS // 24
    events.sort(key=lambda event: event[1])
    times = [[time * hour for _, time in events]]
    model = RecencyPopularity(half_life_days=0.5)
    model.fit(sequences([[item for item, _ in events]], times), num_items=5)
    (scores,) = model.score(cases([[]], request_times=[hours * hour]))
    direct = np.zeros(5)
    for item, time in events:
        if time < hours:
            direct[item] += 0.5 ** ((hours - time) / 12)
    # All scores fade alike after the last moment that was kept: compare shares.
    np.testing.assert_allclose(
        scores / max(scores.sum(), 1e-30), direct / max(direct.sum(), 1e-30), atol=1e-5
    )


def test_few_moments_lose_only_the_newest_events(monkeypatch):
    monkeypatch.setattr("tfrec.evaluation.baselines.popularity._SNAPSHOTS", 11)
    items = np.arange(1000) % 2
    model = RecencyPopularity(half_life_days=1000.0)
    model.fit(sequences([items.tolist()]), num_items=2)
    (scores,) = model.score(cases([[]], request_times=[3_600_000 * 500]))
    assert scores.sum() == pytest.approx(500, abs=110)
    assert scores.sum() <= 500
