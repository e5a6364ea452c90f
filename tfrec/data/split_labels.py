"""The five protocols: a label for every event of a log."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Int64
from tfrec.errors import UserError

Labels = npt.NDArray[np.int8]

TRAIN, VALIDATION, TEST, LEFT_OUT = 0, 1, 2, 3
# So that rare items keep events to train on.
MAX_INTERVENED_PROBABILITY = 0.9
_CHUNK = 1 << 20
_BINS = 1 << 16


def label_events(
    data: PreparedData,
    protocol: str,
    validation: float,
    test: float,
    random: np.random.Generator,
) -> Labels:
    """Labels every event TRAIN, VALIDATION, TEST or LEFT_OUT.

    Arguments:
        data: E events.
        protocol: a value of `SplitConfig.split`.
        validation, test: shares held out, of events or (cold items) of items.
        random: used by cold-items and intervened.

    Returns:
        int8 [E].
    """
    if protocol == "leave-one-out":
        return _leave_one_out(data.user_offsets)
    if protocol == "per-user-time":
        return _per_user_time(data.user_offsets, validation, test)
    if protocol == "global-time":
        return _global_time(data, validation, test)
    if protocol == "cold-items":
        return _cold_items(data, validation, test, random)
    return _intervened(data, validation, test, random)


def user_of(rows: Int64, offsets: Int64) -> Int64:
    """The user that each event row belongs to."""
    return np.searchsorted(offsets, rows, side="right") - 1


def _leave_one_out(offsets: Int64) -> Labels:
    """The last event of a user is test, the one before it validation (Kang and McAuley, "SASRec",
    ICDM 2018, section IV-A). Users with fewer than three events only train."""
    label = np.zeros(offsets[-1], np.int8)
    ends = offsets[1:][np.diff(offsets) >= 3]
    label[ends - 1] = TEST
    label[ends - 2] = VALIDATION
    return label


def _per_user_time(offsets: Int64, validation: float, test: float) -> Labels:
    """The last share of each user's events, rounded, at least one; users with fewer than three
    events only train, and every other user keeps at least one event to train on."""
    lengths = np.diff(offsets)
    held = lengths >= 3
    tests = np.where(held, np.maximum(1, np.rint(lengths * test).astype(np.int64)), 0)
    tests = np.minimum(tests, np.maximum(lengths - 2, 0))
    validations = np.where(held, np.maximum(1, np.rint(lengths * validation).astype(np.int64)), 0)
    validations = np.minimum(validations, np.maximum(lengths - 1 - tests, 0))
    # Per user: so many TRAIN, then so many VALIDATION, then so many TEST.
    runs = np.stack([lengths - validations - tests, validations, tests], axis=1)
    parts = np.tile(np.array([TRAIN, VALIDATION, TEST], np.int8), len(lengths))
    return np.repeat(parts, runs.ravel())


def _global_time(data: PreparedData, validation: float, test: float) -> Labels:
    """Two cuts in time, placed by event count; events at the same moment fall on the same side."""
    if data.meta.time_unit == "none":
        raise UserError(
            f"{data.folder} has no timestamps (the order of the file stands in for them), so it "
            "cannot be cut at one moment for everybody. Use --split leave-one-out or per-user-time"
        )
    timestamps = data.columns.timestamp
    cuts = [
        _value_at_rank(timestamps, len(timestamps) - round(len(timestamps) * share))
        for share in (validation + test, test)
    ]
    label = np.zeros(len(timestamps), np.int8)
    for start in range(0, len(label), _CHUNK):
        block = timestamps[start : start + _CHUNK]
        label[start : start + _CHUNK] = (block >= cuts[0]).astype(np.int8) + (block >= cuts[1])
    return label


def _value_at_rank(values: Int64, rank: int) -> int:
    """The value that sorting would put at `rank`, without a sorted copy: each pass counts the
    values in 65,536 bins and goes on inside the bin that holds the rank."""
    low = min(int(values[s : s + _CHUNK].min()) for s in range(0, len(values), _CHUNK))
    high = max(int(values[s : s + _CHUNK].max()) for s in range(0, len(values), _CHUNK))
    while low < high:
        width = -(-(high - low + 1) // _BINS)
        counts = np.zeros(_BINS, np.int64)
        for start in range(0, len(values), _CHUNK):
            block = np.asarray(values[start : start + _CHUNK])
            block = block[(block >= low) & (block <= high)]
            counts += np.bincount((block - low) // width, minlength=_BINS)
        # `rank` counts from `low`: what lies below it has been subtracted.
        before = np.cumsum(counts) - counts
        chosen = int(np.searchsorted(before + counts, rank, side="right"))
        rank -= int(before[chosen])
        low, high = low + chosen * width, min(high, low + (chosen + 1) * width - 1)
    return low


def _cold_items(
    data: PreparedData, validation: float, test: float, random: np.random.Generator
) -> Labels:
    """A seeded share of the items that have events is held out of training and of every history.

    A user's last event on an item held out for test is a test case, likewise for validation; other
    events on held-out items are left out. Training may hold events later than a case: this protocol
    asks about unknown items, not about an unknown future.
    """
    item = np.asarray(data.columns.item)
    known = np.flatnonzero(np.bincount(item, minlength=data.num_items))
    drawn = random.permutation(known)
    tests = max(1, round(len(known) * test))
    validations = max(1, round(len(known) * validation))
    part_of_item = np.zeros(data.num_items, np.int8)
    part_of_item[drawn[:tests]] = TEST
    part_of_item[drawn[tests : tests + validations]] = VALIDATION
    part = part_of_item[item]
    label = np.where(part == TRAIN, TRAIN, LEFT_OUT).astype(np.int8)
    for held_out in (VALIDATION, TEST):
        rows = np.flatnonzero(part == held_out)
        user = user_of(rows, data.user_offsets)
        last = np.append(user[1:] != user[:-1], True)[: len(rows)]
        label[rows[last]] = held_out
    return label


def _intervened(
    data: PreparedData, validation: float, test: float, random: np.random.Generator
) -> Labels:
    """A test whose items are close to uniform: what people want where popularity does not decide.

    After Zheng et al., "DICE" (WWW 2021, arXiv 2006.11011, section 4.1): events are drawn with
    probability proportional to 1 / popularity of their item and dealt at random to test,
    validation and, as many as to validation, back to training; all others train too. The paper's
    60 + 10 % train, 10 % validation and 20 % test are shares 0.1 and 0.2. Two differences: the
    number drawn is exact only on average (each event by its own coin), and the cap for rare items
    is a probability, where the authors' code caps the weight at a percentile. The draw does not
    look at time: histories hold events from after the targets, and the request follows them.
    """
    item = np.asarray(data.columns.item)
    popularity = np.bincount(item, minlength=data.num_items)
    drawn = 2 * validation + test
    probability = _capped_inverse(popularity, drawn * len(item))[item]
    rows = np.flatnonzero(random.random(len(item)) < probability)
    label = np.zeros(len(item), np.int8)
    label[rows] = random.choice(
        np.array([TRAIN, VALIDATION, TEST], np.int8),
        size=len(rows),
        p=np.array([validation, validation, test]) / drawn,
    )
    return label


def _capped_inverse(popularity: Int64, expected: float) -> npt.NDArray[np.float64]:
    """Per item min(cap, c / popularity), with the c that draws `expected` events on average."""
    counts = np.sort(popularity[popularity > 0])
    # An item of n events gives min(cap * n, c). Drawn in all when c is the cap of item j:
    full = MAX_INTERVENED_PROBABILITY * counts
    drawn = np.cumsum(full) - full + full * np.arange(len(counts), 0, -1)
    first = int(np.searchsorted(drawn, expected))
    if first == len(counts):
        raise UserError(
            "an intervened split draws twice --split-validation plus --split-test of all events, "
            f"and can draw at most {MAX_INTERVENED_PROBABILITY:.0%}. Lower them"
        )
    below = float(full[:first].sum())
    per_item = (expected - below) / (len(counts) - first)
    with np.errstate(divide="ignore"):
        return np.minimum(MAX_INTERVENED_PROBABILITY, per_item / popularity)
