"""What users say of themselves and search for, as events of their histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfrec.data.sequences import Columns, Float32, Int32, Int64, Sequences, Texts

PROFILE, QUERY = "profile", "query"


@dataclass(frozen=True, eq=False)
class UserTexts:
    """The texts of a run's users, and the actions that stand for saying them.

    Attributes:
        texts: all of them.
        of_user: row of each user's profile in `texts`, -1 for none, int64 [U].
        kinds: which of `PROFILE` and `QUERY` the model reads. Their actions are numbered behind
            those of the log, in this order.
        actions: size of the log's action vocabulary, at least 1.
    """

    texts: Texts
    of_user: Int64
    kinds: Sequence[str]
    actions: int

    def action(self, kind: str) -> int:
        """The number of a kind's action."""
        return self.actions + list(self.kinds).index(kind)

    def count(self, users: Int32) -> Int64:
        """How many events a user's own texts are: 1 with a profile, int64 [N]."""
        found: Int64 = (self.of_user[users] >= 0).astype(np.int64)
        return found

    def told(self, histories: Sequences, request_times: Int64, length: int) -> Sequences:
        """Histories with the profile in front, at the time of the oldest event that is read.

        A profile is always read: beside it stand the newest `length` - 1 events. The profile of a
        user without events is as old as the request. Histories that hold texts already stay.

        Arguments:
            histories: N sequences. request_times: unix milliseconds, [N].
            length: events that are read.

        Example:
            >>> texts = Texts(9, np.zeros((1, 4), np.float32), ["likes opera"])
            >>> users = UserTexts(texts, np.array([-1, 0]), [PROFILE], 1)
            >>> log = Columns(np.array([3, 1, 2], np.int32), np.arange(3))
            >>> ids = np.arange(2, dtype=np.int32)
            >>> two = Sequences(ids, np.array([0, 1]), np.array([1, 3]), log)
            >>> users.told(two, np.array([5, 5]), length=2).padded_items(2).tolist()
            [[-1, 3], [9, 2]]
        """
        if histories.columns.texts is not None or PROFILE not in self.kinds:
            return histories
        rows = self.of_user[histories.users]
        owner = np.flatnonzero(rows >= 0)
        cut = histories.last(length - (rows >= 0))
        times = np.asarray(request_times, np.int64)[owner]
        some = cut.lengths[owner] > 0
        times[some] = cut.columns.timestamp[cut.starts[owner[some]]]
        action = np.full(len(owner), self.action(PROFILE))
        return put(cut, self.texts, owner, np.zeros_like(owner), rows[owner], action, times)


@dataclass(frozen=True, eq=False)
class PracticeQueries:
    """Searches for items, from which a model learns to read queries.

    Attributes:
        vectors: of the searches, float32 [K, text_dim]. words: the searches, K.
        of_item: rows of `vectors` by which each item may be searched for, -1 for none, [I, n].
        share: of the events, before which an epoch puts a search.
    """

    vectors: Float32
    words: Sequence[str]
    of_item: Int64
    share: float


def put(
    histories: Sequences,
    texts: Texts,
    owner: Int64,
    before: Int64,
    text: Int64,
    action: Int64,
    times: Int64,
) -> Sequences:
    """Histories with M more events, over columns of their own.

    Arguments:
        histories: N sequences, without texts.
        texts: what is said.
        owner: whose event each is, in [0, N), not falling, [M].
        before: the event of that history which it stands before, or the history's length to
            stand last; not falling inside a history, [M].
        text: which row of `texts`, [M].
        action: its number, [M].
        times: unix milliseconds, [M].
    """
    rows, log = histories.event_rows(), histories.columns
    ends = np.cumsum(histories.lengths)
    places = (ends - histories.lengths)[owner] + before
    actions = np.zeros(len(rows), np.int16) if log.action is None else log.action[rows]
    columns = Columns(
        item=np.insert(log.item[rows], places, (texts.first + text).astype(np.int32)),
        timestamp=np.insert(np.asarray(log.timestamp[rows], np.int64), places, times),
        action=np.insert(actions, places, action.astype(np.int16)),
        strength=None
        if log.strength is None
        else np.insert(log.strength[rows], places, np.float32(np.nan)),
        texts=texts,
    )
    lengths = histories.lengths + np.bincount(owner, minlength=len(histories))
    stops = np.cumsum(lengths)
    return replace(histories, starts=stops - lengths, stops=stops, columns=columns)


def of_items(histories: Sequences) -> Sequences:
    """The same histories without what was said."""
    texts = histories.columns.texts
    if texts is None:
        return histories
    rows, log = histories.event_rows(), histories.columns
    owner = np.repeat(np.arange(len(histories)), histories.lengths)
    kept = log.item[rows] < texts.first
    lengths = np.bincount(owner[kept], minlength=len(histories))
    stops = np.cumsum(lengths)
    columns = replace(log.take(rows[kept]), texts=None)
    return replace(histories, starts=stops - lengths, stops=stops, columns=columns)
