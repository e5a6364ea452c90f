"""Training histories with what users say: profiles in front, searches before what they find."""

from __future__ import annotations

import numpy as np

from tfrec.data.packing import Packing
from tfrec.data.sequences import Columns, Float32, Int64, Sequences, Texts
from tfrec.data.user_texts import PROFILE, QUERY, PracticeQueries, UserTexts, put


class Telling:
    """Puts texts into the histories of training batches.

    A profile stands first, at the time of the oldest event that is read. Searches for words of an
    item stand before some of its events, at their times: which events and which words is drawn for
    every batch anew, how many of a history's events only once, so that rows stay packed.

    Arguments:
        users: the profiles.
        queries: the searches; None for none.

    Example:
        >>> telling = Telling(users, None)                                 # doctest: +SKIP
        >>> batches = TrainingBatches(train, 9, 50, 8, 0, telling=telling)  # doctest: +SKIP
    """

    def __init__(self, users: UserTexts, queries: PracticeQueries | None) -> None:
        self._users = users
        self._queries = queries
        texts = users.texts
        if queries is not None:
            own: Float32 = texts.vectors.reshape(len(texts.words), queries.vectors.shape[1])
            texts = Texts(
                texts.first,
                np.concatenate([own, queries.vectors]),
                [*texts.words, *queries.words],
            )
        self._texts = texts
        # Of the fitted sequences: searches, all texts, and tokens.
        self._searched = self._said = self._tokens = np.zeros(0, np.int64)

    def fit(self, train: Sequences, max_length: int, seed: int) -> tuple[Sequences, Int64]:
        """Plans for the training events of a run.

        Arguments:
            train: training sequences.
            max_length: tokens that a history may have, one less than its events.
            seed: of how many searches each history gets.

        Returns:
            What is read of the sequences that are long enough, and how many events each has with
            its texts.
        """
        own = self._users.count(train.users)
        share = 0.0 if self._queries is None else self._queries.share
        most = (max_length + 1 - own - (share > 0)) / (1 + share)
        kept = train.last(np.floor(most).astype(np.int64))
        searched = np.zeros(len(kept), np.int64)
        if self._queries is not None:
            drawn = np.random.default_rng([seed, len(QUERY)]).random(len(kept))
            searched = np.floor(share * kept.lengths + drawn).astype(np.int64)
            owner = np.repeat(np.arange(len(kept)), kept.lengths)
            known = self._queries.of_item[kept.items(), 0] >= 0
            searched = np.minimum(searched, np.bincount(owner[known], minlength=len(kept)))
        events = kept.lengths + own + searched
        enough = (kept.lengths > 0) & (events >= 2)
        self._searched, self._said = searched[enough], (own + searched)[enough]
        self._tokens = events[enough] - 1
        return kept.take(enough), events[enough]

    def most_per_row(self, packing: Packing) -> int:
        """No row of a packing of the fitted sequences has more texts."""
        # Whatever histories of the same length come to stand there.
        most = np.zeros(packing.row_length + 1, np.int64)
        np.maximum.at(most, self._tokens, self._said)
        return max(1, int(np.add.reduceat(most[packing.length], packing.row_starts[:-1]).max()))

    def told(self, sequences: Sequences, rows: Int64, generator: np.random.Generator) -> Sequences:
        """Some of the fitted sequences with their texts, over columns of their own."""
        block, searched = sequences.take(rows), self._searched[rows]
        count = len(block)
        profiles = self._users.of_user[block.users]
        owner = np.flatnonzero(profiles >= 0)
        before, text = np.zeros(len(owner), np.int64), profiles[owner]
        action = np.full(len(owner), self._action(PROFILE))
        if self._queries is not None:
            searching, place, item = self._draw(block, searched, generator)
            which = generator.integers(self._queries.of_item.shape[1], size=len(item))
            found = len(self._users.texts.words) + self._queries.of_item[item, which]
            owner = np.concatenate([owner, searching])
            before = np.concatenate([before, place])
            text = np.concatenate([text, found])
            action = np.concatenate([action, np.full(len(item), self._action(QUERY))])
        order = np.lexsort((before, owner))  # stable: a profile comes before a search at its place
        owner, before, text, action = (x[order] for x in (owner, before, text, action))
        times = block.columns.timestamp[block.starts[owner] + before] if count else before
        return put(block, self._texts, owner, before, text, action, times)

    def _action(self, kind: str) -> int:
        return self._users.action(kind) if kind in self._users.kinds else 0

    def _draw(
        self, block: Sequences, searched: Int64, generator: np.random.Generator
    ) -> tuple[Int64, Int64, Int64]:
        """Which history, before which of its events, and for which item is searched."""
        assert self._queries is not None
        owner = np.repeat(np.arange(len(block)), block.lengths)
        items = block.items()
        keys = generator.random(len(items)) + (self._queries.of_item[items, 0] < 0)
        order = np.lexsort((keys, owner))
        first = np.cumsum(block.lengths) - block.lengths
        rank = np.arange(len(items)) - first[owner]
        taken = np.sort(order[rank < searched[owner]])
        return owner[taken], taken - first[owner[taken]], items[taken].astype(np.int64)


def next_items(columns: Columns) -> Int64:
    """For every event its own row if it is of an item, else that of the next one that is, [E]."""
    assert columns.texts is not None
    rows = np.arange(len(columns.item))
    rows = np.where(columns.item < columns.texts.first, rows, len(rows))
    found: Int64 = np.minimum.accumulate(rows[::-1])[::-1]
    return found
