"""Labels of events -> training sequences and evaluation cases.

Leave-one-out and the two time splits cut each user's events into train | validation | test, so
every history is a view over the memory-mapped columns. Cold items and the intervened split take
events out of the middle: the events that remain are copied into compact columns first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Bool, Int64, Sequences
from tfrec.data.split_labels import TRAIN, VALIDATION, Labels, user_of

CONTIGUOUS = ("leave-one-out", "global-time", "per-user-time")
# Rows of history that the search for repeated items looks at in one go.
_CHUNK = 1 << 20
# Bytes of the table in which that search marks them.
_MARKS = 1 << 24


def train_sequences(data: PreparedData, label: Labels, protocol: str) -> Sequences:
    """The events labelled TRAIN of every user who has any."""
    histories = _histories(data, label, protocol, (TRAIN,))
    return histories.take(histories.lengths > 0)


def build_cases(
    data: PreparedData,
    label: Labels,
    protocol: str,
    *,
    target_label: int,
    min_history: int,
    seen_removed: bool,
) -> tuple[Cases, dict[str, int]]:
    """The cases whose targets carry `target_label`, and what was dropped on the way.

    Returns:
        The cases, in user order, and counts: users with held-out events, targets and cases
        dropped by reason, cases and targets left.
    """
    rows = np.flatnonzero(label == target_label)
    users = user_of(rows, data.user_offsets)
    case_users, first = np.unique(users, return_index=True)
    case = np.repeat(np.arange(len(case_users)), np.diff(np.append(first, len(rows))))
    histories = _case_histories(data, label, protocol, target_label, case_users, rows[first])
    targets = np.asarray(data.columns.item[rows])
    counts = {"users with held-out events": len(case_users)}

    long_enough = histories.lengths >= min_history
    counts["cases dropped: short history"] = int((~long_enough).sum())
    keep = long_enough[case]
    repeated = ~_first_of_case(case, targets, data.num_items)
    counts["targets dropped: repeated in the case"] = int((keep & repeated).sum())
    keep &= ~repeated
    if seen_removed:
        seen = np.zeros(len(targets), bool)
        seen[keep] = _in_history(histories, case[keep], targets[keep], data.num_items)
        counts["targets dropped: already in the history"] = int(seen.sum())
        keep &= ~seen

    per_case = np.bincount(case[keep], minlength=len(case_users))
    kept = per_case > 0
    counts["cases dropped: no target left"] = int((long_enough & ~kept).sum())
    times = np.asarray(data.columns.timestamp[rows])
    kept_rows = np.flatnonzero(keep)
    first_target = kept_rows[np.unique(case[keep], return_index=True)[1]]
    histories = histories.take(kept)
    cases = Cases(
        histories,
        targets[keep],
        np.concatenate([np.zeros(1, np.int64), np.cumsum(per_case[kept])]),
        _not_before(histories, times[first_target]),
    )
    return cases, counts | {"cases": len(cases), "targets": len(cases.targets)}


def _not_before(histories: Sequences, times: Int64) -> Int64:
    """Nobody asks before what they know: the newest event of a history, where it is later."""
    known = histories.lengths > 0
    newest = histories.stops[known] - 1
    times = times.copy()
    times[known] = np.maximum(times[known], histories.columns.timestamp[newest])
    return times


def _case_histories(
    data: PreparedData,
    label: Labels,
    protocol: str,
    target_label: int,
    users: Int64,
    first_target: Int64,
) -> Sequences:
    """What is known about `users` before their targets; the first one is row `first_target`."""
    if protocol in CONTIGUOUS:
        # The rows before the first target are exactly the earlier parts.
        return Sequences(
            users.astype(np.int32), data.user_offsets[users], first_target, data.columns
        )
    if protocol == "cold-items":
        warm = _histories(data, label, protocol, (TRAIN,))
        cold_before = np.searchsorted(np.flatnonzero(label != TRAIN), first_target)
        return Sequences(
            users.astype(np.int32), warm.starts[users], first_target - cold_before, warm.columns
        )
    known = (TRAIN,) if target_label == VALIDATION else (TRAIN, VALIDATION)
    return _histories(data, label, protocol, known).take(users)


def _histories(
    data: PreparedData, label: Labels, protocol: str, known: tuple[int, ...]
) -> Sequences:
    """Per user, the events with a known label."""
    is_known = np.isin(label, known)
    unknown = user_of(np.flatnonzero(~is_known), data.user_offsets)
    lengths = np.diff(data.user_offsets) - np.bincount(unknown, minlength=data.num_users)
    users = np.arange(data.num_users, dtype=np.int32)
    if protocol in CONTIGUOUS:
        starts, columns = np.asarray(data.user_offsets[:-1]), data.columns
    else:
        starts, columns = np.cumsum(lengths) - lengths, data.columns.take(is_known)
    return Sequences(users, starts, starts + lengths, columns)


def _first_of_case(case: Int64, items: npt.NDArray[np.int32], num_items: int) -> Bool:
    """True at the first mention of an item inside its case."""
    first = np.zeros(len(items), bool)
    first[np.unique(case * num_items + items, return_index=True)[1]] = True
    return first


def _in_history(
    histories: Sequences, case: Int64, items: npt.NDArray[np.int32], num_items: int
) -> Bool:
    """True where a target is among the items of its own case's history. `case` is ascending."""
    found = np.zeros(len(items), bool)
    ends = np.cumsum(histories.lengths)
    # One table of marks for a block of users at a time; what was marked is wiped again.
    marked = np.zeros((max(1, min(len(histories), _MARKS // num_items)), num_items), bool)
    start = 0
    while start < len(histories):
        before = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, before + _CHUNK, side="right"))
        stop = min(max(stop, start + 1), start + len(marked))
        block = histories.take(slice(start, stop))
        known = np.repeat(np.arange(stop - start), block.lengths), block.items()
        asked = slice(*np.searchsorted(case, [start, stop]))
        marked[known] = True
        found[asked] = marked[case[asked] - start, items[asked]]
        marked[known] = False
        start = stop
    return found
