"""Small logs written out by hand or drawn by hypothesis, as the types that baselines read."""

import numpy as np
from hypothesis import strategies as st

from tfrec.data.cases import Cases
from tfrec.data.sequences import Columns, Sequences

HOUR_MS = 3_600_000


def sequences(histories, times=None):
    """One sequence per list of items; events an hour apart from 0 on, unless times are given."""
    lengths = np.array([len(items) for items in histories], np.int64)
    stops = np.cumsum(lengths)
    if times is None:
        times = [[HOUR_MS * n for n in range(len(items))] for items in histories]
    columns = Columns(
        item=np.array([item for items in histories for item in items], np.int32),
        timestamp=np.array([time for row in times for time in row], np.int64),
    )
    return Sequences(np.arange(len(lengths), dtype=np.int32), stops - lengths, stops, columns)


def cases(histories, targets=None, request_times=None):
    """One case per history; the target is item 0 and the time 0 unless given."""
    count = len(histories)
    return Cases(
        sequences(histories),
        np.array(targets if targets is not None else [0] * count, np.int32),
        np.arange(count + 1),
        np.array(request_times if request_times is not None else [0] * count, np.int64),
    )


def dense(histories, num_items):
    """1 where the history holds the item, float64 [len(histories), num_items]."""
    matrix = np.zeros((len(histories), num_items))
    for row, items in enumerate(histories):
        matrix[row, items] = 1
    return matrix


def random_log(users, num_items, longest, seed=0, repeats=False):
    """Histories with some structure: users walk over neighbouring items. Some may be empty."""
    random = np.random.default_rng(seed)
    out = []
    for _ in range(users):
        walk = random.integers(num_items) + np.cumsum(random.integers(-2, 3, longest))
        walk = (walk % num_items)[: random.integers(longest + 1)].tolist()
        out.append(walk if repeats else list(dict.fromkeys(walk)))
    return out


def logs(num_items, max_users=6, longest=8):
    """Hypothesis: any histories over the catalogue, repeats and empty ones included."""
    history = st.lists(st.integers(0, num_items - 1), max_size=longest)
    return st.lists(history, min_size=1, max_size=max_users)
