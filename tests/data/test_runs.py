"""The external sort against one stable sort in memory."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfrec.data.runs import Runs

FIELDS = [("user", "i4"), ("timestamp", "i8"), ("place", "i4")]
# Seconds, milliseconds and spans too wide to share a number with user and row.
TIMES = st.one_of(
    st.integers(0, 5).map(lambda t: t * 1000), st.integers(0, 5), st.integers(-(2**62), 2**62)
)
EVENTS = st.lists(st.tuples(st.integers(0, 100), TIMES), max_size=80)


@given(EVENTS, st.integers(1, 80), st.integers(1, 80), st.sampled_from([0, 2_000_000]))
def test_sorted_as_in_memory(tmp_path_factory, events, chunk, size, first_user):
    runs = Runs(tmp_path_factory.mktemp("runs") / "runs.bin", FIELDS)
    users = np.array([user + first_user for user, _ in events], np.int32)
    times = np.array([time for _, time in events], np.int64)
    places = np.arange(len(events), dtype=np.int32)
    for start in range(0, len(events), chunk):
        rows = slice(start, start + chunk)
        runs.add({"user": users[rows], "timestamp": times[rows], "place": places[rows]})
    pieces = list(runs.sorted(size))
    found = np.concatenate(pieces) if pieces else np.empty(0, FIELDS)
    order = np.lexsort((places, times, users))
    assert found["place"].tolist() == order.tolist()
    assert found["timestamp"].tolist() == times[order].tolist()
    # Whole users: none is split over two pieces.
    seen = [set(piece["user"].tolist()) for piece in pieces]
    assert sum(map(len, seen)) == len(set(users.tolist()))


def test_many_short_runs_with_small_buffers(tmp_path):
    random = np.random.default_rng(0)
    runs = Runs(tmp_path / "runs.bin", FIELDS)
    users = random.integers(0, 500, 50_000).astype(np.int32)
    times = random.integers(0, 1000, 50_000)
    for start in range(0, 50_000, 1_000):
        rows = slice(start, start + 1_000)
        place = np.arange(start, start + 1_000, dtype=np.int32)
        runs.add({"user": users[rows], "timestamp": times[rows], "place": place})
    pieces = list(runs.sorted(size=5_000))
    assert len(pieces) > 5
    assert np.concatenate(pieces)["place"].tolist() == np.lexsort((times, users)).tolist()
