"""Filters that count: minimum events per user or item, k-core, repeated events.

They see the log as a stream of (users, items) pieces that can be read again, and hold one counter
per user and item, never the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np

from tfrec.data.sequences import Bool, Int32, Int64

Pairs = Callable[[], Iterable[tuple[Int32, Int32]]]


def counts(pairs: Pairs, users: Bool, items: Bool) -> tuple[Int64, Int64]:
    """Events per user and per item among the chosen users and items.

    Arguments:
        pairs: gives the events, piece by piece: users int32 [n], items int32 [n].
        users, items: bool, which of them count.
    """
    per_user = np.zeros(len(users), np.int64)
    per_item = np.zeros(len(items), np.int64)
    for user, item in pairs():
        kept = users[user] & items[item]
        add_counts(per_user, user[kept])
        add_counts(per_item, item[kept])
    return per_user, per_item


def add_counts(counters: Int64, numbers: Int32) -> None:
    """Adds 1 to the counter of every number, in place."""
    if len(numbers):
        # Sorted pieces touch few users: the cost must not be that of all the counters.
        least = int(numbers.min())
        found = np.bincount(numbers - least)
        counters[least : least + len(found)] += found


def k_core(pairs: Pairs, users: Bool, items: Bool, k: int) -> tuple[Bool, Bool]:
    """The largest set of users and items with at least k events each inside the set.

    Drops users and items below k, counts again, until nothing changes.
    V. Batagelj, M. Zaversnik, An O(m) Algorithm for Cores Decomposition of Networks, 2003.

    Arguments:
        pairs, users, items: as in `counts`.
        k: events that each user and item must have.

    Returns:
        bool masks over users and items.

    Example:
        >>> log = (np.array([0, 0, 1, 1, 2], np.int32), np.array([0, 1, 0, 1, 1], np.int32))
        >>> everyone = np.ones(3, bool), np.ones(2, bool)
        >>> [mask.tolist() for mask in k_core(lambda: [log], *everyone, k=2)]
        [[True, True, False], [True, True]]
    """
    while True:
        per_user, per_item = counts(pairs, users, items)
        kept_users, kept_items = users & (per_user >= k), items & (per_item >= k)
        if (kept_users == users).all() and (kept_items == items).all():
            return users, items
        users, items = kept_users, kept_items


def distinct_pairs(user: Int32, item: Int32, keep: Literal["first", "last"]) -> Bool:
    """Which events stay when each user keeps one event per item.

    Arguments:
        user, item: int32 [N], all events of a user together, oldest first.
        keep: the first or the last of the repeated ones.

    Returns:
        bool [N].

    Example:
        >>> distinct_pairs(np.array([0, 0, 0]), np.array([5, 7, 5]), "last").tolist()
        [False, True, True]
    """
    key = user.astype(np.int64) << 32 | item
    if keep == "last":
        key = key[::-1]
    kept = np.zeros(len(key), bool)
    kept[np.unique(key, return_index=True)[1]] = True
    return kept[::-1] if keep == "last" else kept
