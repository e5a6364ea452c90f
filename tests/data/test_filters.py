"""Counting filters against a naive pandas reference."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tfrec.data.filters import add_counts, counts, distinct_pairs, k_core

LOGS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), min_size=1, max_size=60)


def arrays(log):
    pairs = np.array(log, np.int32)
    return pairs[:, 0], pairs[:, 1]


def naive_core(log, k):
    frame = pd.DataFrame(log, columns=["user", "item"])
    while len(frame):
        per_user = frame.groupby("user")["item"].transform("size")
        per_item = frame.groupby("item")["user"].transform("size")
        kept = frame[(per_user >= k) & (per_item >= k)]
        if len(kept) == len(frame):
            break
        frame = kept
    return set(frame["user"]), set(frame["item"])


@given(LOGS, st.integers(1, 4), st.integers(1, 60))
def test_k_core_in_pieces(log, k, piece):
    users, items = arrays(log)

    def pairs():
        for start in range(0, len(users), piece):
            yield users[start : start + piece], items[start : start + piece]

    kept_users, kept_items = k_core(pairs, np.ones(8, bool), np.ones(10, bool), k)
    expected_users, expected_items = naive_core(log, k)
    assert set(np.flatnonzero(kept_users)) == expected_users
    assert set(np.flatnonzero(kept_items)) == expected_items


@given(LOGS, st.integers(0, 255), st.integers(0, 1023))
def test_counts_among_the_chosen(log, user_bits, item_bits):
    users, items = arrays(log)
    chosen_users = np.array([user_bits >> n & 1 for n in range(8)], bool)
    chosen_items = np.array([item_bits >> n & 1 for n in range(10)], bool)
    per_user, per_item = counts(lambda: [(users, items)], chosen_users, chosen_items)
    inside = [(u, i) for u, i in log if chosen_users[u] and chosen_items[i]]
    assert per_user.tolist() == [sum(u == n for u, _ in inside) for n in range(8)]
    assert per_item.tolist() == [sum(i == n for _, i in inside) for n in range(10)]


@given(LOGS, st.sampled_from(["first", "last"]))
def test_one_event_per_user_and_item(log, keep):
    users, items = arrays(log)
    frame = pd.DataFrame({"user": users, "item": items})
    expected = ~frame.duplicated(keep=keep)
    assert distinct_pairs(users, items, keep).tolist() == expected.tolist()


def test_adding_nothing_changes_nothing():
    counters = np.array([1, 2])
    add_counts(counters, np.empty(0, np.int32))
    assert counters.tolist() == [1, 2]
