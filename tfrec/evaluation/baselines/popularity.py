"""What everybody takes: the floor that any recommender must leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Int64, Sequences
from tfrec.evaluation.baselines.baseline import Memo
from tfrec.evaluation.baselines.interactions import chunks

DAY_MS = 86_400_000
_SNAPSHOTS = 1024
_SNAPSHOT_CELLS = 1 << 24


@dataclass(eq=False)
class Popularity:
    """Training events per item, the same for everybody.

    Example:
        >>> from tfrec.data.sequences import Columns
        >>> log = Columns(np.array([2, 2, 0], np.int32), np.arange(3))
        >>> users = Sequences(np.arange(2), np.array([0, 1]), np.array([1, 3]), log)
        >>> cases = Cases(users, np.array([1, 1], np.int32), np.arange(3), np.array([9, 9]))
        >>> model = Popularity()
        >>> model.fit(users, num_items=3)
        >>> model.score(cases).tolist()
        [[1.0, 0.0, 2.0], [1.0, 0.0, 2.0]]
    """

    name: ClassVar[str] = "Popularity"
    GRID: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    _counts: Float32 = field(init=False, repr=False)

    def fit(self, train: Sequences, num_items: int, memo: Memo | None = None) -> None:
        counts = np.zeros(num_items, np.int64)
        for piece in chunks(train):
            counts += np.bincount(piece.items(), minlength=num_items)
        self._counts = counts.astype(np.float32)

    def score(self, cases: Cases) -> Float32:
        return np.tile(self._counts, (len(cases), 1))

    def needed_bytes(self, train: Sequences, num_items: int) -> int:
        return 8 * num_items


@dataclass(eq=False)
class RecencyPopularity:
    """Training events per item, an event losing half its weight every `half_life_days`.

    Counted at the request time of the case, from earlier events only, as a server would: in
    leave-one-out most requests lie far before the end of the log, and what was popular there is
    neither known nor relevant yet. It is the one baseline that reads the request time.

    Counts are kept at up to 1,024 moments with equally many events between them; a request sees
    the newest moment that is not after it. (All counts fade alike between two moments, so their
    order would only change by the events in between.) Before the first event all scores are 0.

    Arguments:
        half_life_days: time after which an event counts half.
    """

    name: ClassVar[str] = "Popularity, recency-weighted"
    GRID: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "half_life_days": (0.5, 1.0, 3.0, 7.0, 30.0, 90.0, 365.0)
    }

    half_life_days: float = 30.0
    _moments: Int64 = field(init=False, repr=False)  # [snapshots], ascending
    _counts: Float32 = field(init=False, repr=False)  # [snapshots, num_items]

    def fit(self, train: Sequences, num_items: int, memo: Memo | None = None) -> None:
        snapshots = max(2, min(_SNAPSHOTS, _SNAPSHOT_CELLS // num_items))
        self._moments = _event_quantiles(train, snapshots)
        counts = np.zeros((len(self._moments), num_items))
        for piece in chunks(train):
            times = np.asarray(piece.columns.timestamp[piece.event_rows()])
            # The first moment after the event: a request at the same instant must not see it.
            seen_from = np.searchsorted(self._moments, times, side="right")
            age = self._moments[seen_from] - times
            np.add.at(counts, (seen_from, piece.items()), self._weight(age))
        fading = self._weight(np.diff(self._moments))
        for now in range(1, len(counts)):
            counts[now] += counts[now - 1] * fading[now - 1]
        self._counts = counts.astype(np.float32)

    def score(self, cases: Cases) -> Float32:
        seen = np.searchsorted(self._moments, cases.request_times, side="right") - 1
        scores = self._counts[np.maximum(seen, 0)]
        scores[seen < 0] = 0.0
        return scores

    def needed_bytes(self, train: Sequences, num_items: int) -> int:
        return 2 * 12 * max(2 * num_items, min(_SNAPSHOTS * num_items, _SNAPSHOT_CELLS))

    def _weight(self, age_ms: Int64) -> npt.NDArray[np.float64]:
        weights: npt.NDArray[np.float64] = np.exp2(-age_ms / (self.half_life_days * DAY_MS))
        return weights


def _event_quantiles(train: Sequences, count: int) -> Int64:
    """Up to `count` distinct moments with equally many events between them.

    Each is the millisecond after an event, the last one after all events.
    """
    rows = train.event_rows()
    if not len(rows):
        return np.zeros(1, np.int64)
    times = np.sort(train.columns.timestamp[rows[:: 1 + len(rows) // 1_000_000]])
    cuts = times[np.linspace(0, len(times) - 1, count - 1).astype(np.int64)]
    newest = train.columns.timestamp[train.stops[train.lengths > 0] - 1]
    return np.unique(np.append(cuts, newest.max())) + 1
