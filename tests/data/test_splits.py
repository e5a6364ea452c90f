"""The contract of every split, on made logs, by hand and against slow references."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from tfrec.config import to_yaml
from tfrec.data import split_cases
from tfrec.data.prepared import Meta, PreparedData
from tfrec.data.sequences import Columns, Sequences
from tfrec.data.splits import Split, SplitConfig, load_split, make_split
from tfrec.errors import UserError

TEMPORAL = ["leave-one-out", "global-time", "per-user-time", "cold-items"]
CONTIGUOUS = ["leave-one-out", "global-time", "per-user-time"]
PROTOCOLS = [*TEMPORAL, "intervened"]


def prepared(
    users: list[list[tuple[int, int]]], num_items: int | None = None, time_unit: str = "seconds"
) -> PreparedData:
    """A log from (item, time) pairs per user, in time order; a tie keeps the order written."""
    users = [sorted(events, key=lambda event: event[1]) for events in users]
    flat = [event for events in users for event in events]
    items = np.array([item for item, _ in flat], np.int32)
    count = num_items or int(items.max(initial=0)) + 1
    columns = Columns(
        item=items,
        timestamp=np.array([time for _, time in flat], np.int64),
        strength=np.arange(len(flat), dtype=np.float32),
    )
    meta = Meta("made", len(flat), len(users), count, time_unit=time_unit)
    offsets = np.cumsum([0, *map(len, users)]).astype(np.int64)
    return PreparedData(Path("made"), meta, offsets, columns)


logs = st.lists(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 40)), max_size=12),
    min_size=1,
    max_size=12,
).map(prepared)


def split_or_none(data: PreparedData, protocol: str, **options: object) -> Split | None:
    """None for a log that is too small for the protocol, which is refused with a message."""
    try:
        return make_split(data, SplitConfig(split=protocol, **options), seed=3)  # type: ignore[arg-type]
    except UserError:
        return None


def rows_of(sequences: Sequences) -> list[list[tuple[int, int]]]:
    """(item, time) of every sequence, read without the vectorised methods."""
    columns = sequences.columns
    return [
        [(int(columns.item[row]), int(columns.timestamp[row])) for row in range(start, stop)]
        for start, stop in zip(sequences.starts, sequences.stops, strict=True)
    ]


def owners(data: PreparedData) -> list[int]:
    return [u for u in range(data.num_users) for _ in range(int(np.diff(data.user_offsets)[u]))]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(deadline=None, max_examples=60)
@given(data=logs, seen_removed=st.booleans(), min_history=st.integers(0, 3))
def test_every_case_agrees_with_its_labels(
    protocol: str, data: PreparedData, seen_removed: bool, min_history: int
) -> None:
    split = split_or_none(
        data, protocol, split_validation=0.2, split_test=0.3, min_history=min_history
    )
    if split is None:
        return
    user = owners(data)
    events = [
        (user[row], int(data.columns.item[row]), int(split.label[row]))
        for row in range(data.num_events)
    ]
    assert set(split.label) <= {0, 1, 2, 3}
    train = split.train()
    learned = sorted(
        (int(u), item)
        for u, rows in zip(train.users, rows_of(train), strict=True)
        for item, _ in rows
    )
    assert learned == sorted((u, item) for u, item, label in events if label == 0)
    assert (train.lengths > 0).all()
    for subset, target_label in (("validation", 1), ("test", 2)):
        cases = split.cases(subset, seen_removed=seen_removed)  # type: ignore[arg-type]
        counts = split.case_counts(subset, seen_removed=seen_removed)  # type: ignore[arg-type]
        assert (np.diff(cases.target_offsets) > 0).all()
        assert (cases.histories.lengths >= min_history).all()
        for n, history in enumerate(rows_of(cases.histories)):
            u = cases.histories.users[n]
            targets = cases.targets[cases.target_offsets[n] : cases.target_offsets[n + 1]].tolist()
            held_out = {
                item for owner, item, label in events if owner == u and label == target_label
            }
            known = {item for item, _ in history}
            assert len(set(targets)) == len(targets)
            assert set(targets) == (held_out - known if seen_removed else held_out)
            assert all(time <= cases.request_times[n] for _, time in history)
        held_users = {u for u, _, label in events if label == target_label}
        dropped = counts["cases dropped: short history"] + counts["cases dropped: no target left"]
        assert counts["users with held-out events"] == len(held_users) == len(cases) + dropped
        held_events = sum(label == target_label for *_, label in events)
        assert counts["targets"] == len(cases.targets) <= held_events


@pytest.mark.parametrize("protocol", CONTIGUOUS)
@settings(deadline=None, max_examples=60)
@given(data=logs)
def test_contiguous_histories_are_views_that_end_at_the_first_target(
    protocol: str, data: PreparedData
) -> None:
    split = split_or_none(data, protocol, split_validation=0.2, split_test=0.3)
    if split is None:
        return
    assert split.train().columns is data.columns
    for subset, held in (("validation", 1), ("test", 2)):
        cases = split.cases(subset, seen_removed=False)  # type: ignore[arg-type]
        assert cases.histories.columns is data.columns
        assert (split.label[cases.histories.stops] == held).all()
        assert (cases.request_times == data.columns.timestamp[cases.histories.stops]).all()
        assert (split.label[cases.histories.event_rows()] < held).all()


def naive_leave_one_out(data: PreparedData) -> list[int]:
    """As SASRec's data_partition reads it: users under three events train, else [-2] and [-1]."""
    labels = []
    for length in np.diff(data.user_offsets):
        labels += [0] * length if length < 3 else [0] * (length - 2) + [1, 2]
    return labels


@given(data=logs)
def test_leave_one_out_is_the_classic_reading(data: PreparedData) -> None:
    split = split_or_none(data, "leave-one-out")
    expected = naive_leave_one_out(data)
    if split is None:
        assert 2 not in expected
    else:
        assert split.label.tolist() == expected


def test_leave_one_out_by_hand() -> None:
    data = prepared([[(5, 1), (6, 2), (7, 2), (8, 2)], [(1, 1), (2, 2)], [(3, 1), (4, 2), (3, 3)]])
    split = make_split(data, SplitConfig(), seed=0)
    # Ties keep the order of the log: 6, 7 and 8 share a moment.
    assert split.label.tolist() == [0, 0, 1, 2, 0, 0, 0, 1, 2]
    test = split.cases("test")
    assert test.histories.users.tolist() == [0]
    assert test.histories.items().tolist() == [5, 6, 7]
    assert test.targets.tolist() == [8]
    # User 2 takes item 3 again: it cannot be ranked once seen items are removed.
    assert split.case_counts("test")["targets dropped: already in the history"] == 1
    assert split.case_counts("test")["cases dropped: no target left"] == 1
    again = split.cases("test", seen_removed=False)
    assert again.targets.tolist() == [8, 3]
    assert split.cases("validation").targets.tolist() == [7, 4]
    assert split.train().users.tolist() == [0, 1, 2]
    assert split.counts["train events"] == 5
    assert split.counts["test cases"] == 1


@settings(deadline=None)
@given(data=logs)
def test_global_time_has_one_moment_for_everybody(data: PreparedData) -> None:
    split = split_or_none(data, "global-time", split_validation=0.2, split_test=0.3)
    if split is None:
        return
    time = data.columns.timestamp
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        assert time[split.label == earlier].max() < time[split.label == later].min()
    # The cut is the event at the quantile; ties can only move events to the later side.
    in_order = np.sort(time)
    assert time[split.label >= 1].min() == in_order[data.num_events - round(data.num_events * 0.5)]
    assert time[split.label == 2].min() == in_order[data.num_events - round(data.num_events * 0.3)]


def test_global_time_cuts_wide_ranges_exactly() -> None:
    random = np.random.default_rng(0)
    times = np.sort(random.integers(-(10**12), 2 * 10**12, (20, 50)), axis=1)
    data = prepared([[(i, int(t)) for i, t in enumerate(row)] for row in times])
    split = make_split(data, SplitConfig(split="global-time"), seed=0)
    assert np.bincount(split.label).tolist() == [800, 100, 100]


def test_cold_users_are_kept_only_on_request() -> None:
    data = prepared([[(i, i) for i in range(8)], [(1, 20), (2, 21)], [(3, 5), (4, 22)]])
    options = {"split": "global-time", "split_validation": 0.1, "split_test": 0.25}
    split = make_split(data, SplitConfig(**options), seed=0)  # type: ignore[arg-type]
    assert split.cases("test").histories.users.tolist() == [2]
    assert split.case_counts("test")["cases dropped: short history"] == 1
    with_cold = make_split(data, SplitConfig(**options, min_history=0), seed=0)  # type: ignore[arg-type]
    cases = with_cold.cases("test")
    assert cases.histories.users.tolist() == [1, 2]
    assert cases.histories.lengths.tolist() == [0, 1]
    assert cases.targets.tolist() == [1, 2, 4]


def test_per_user_time_shares() -> None:
    data = prepared([[(i, i) for i in range(n)] for n in (2, 3, 10, 40)])
    split = make_split(
        data, SplitConfig(split="per-user-time", split_validation=0.1, split_test=0.2), seed=0
    )
    parts = [
        np.bincount(split.label[start:stop], minlength=3).tolist()
        for start, stop in zip(data.user_offsets[:-1], data.user_offsets[1:], strict=True)
    ]
    assert parts == [[2, 0, 0], [1, 1, 1], [7, 1, 2], [28, 4, 8]]
    assert split.describe() == f"per-user-time 70/10/20, split {split.hash}"


@settings(deadline=None)
@given(data=logs)
def test_cold_items_are_unknown_to_training_and_histories(data: PreparedData) -> None:
    split = split_or_none(data, "cold-items", split_validation=0.2, split_test=0.3)
    if split is None:
        return
    item = data.columns.item
    cold = set(item[split.label != 0].tolist())
    assert not cold & set(split.train().items().tolist())
    tested = set(split.cases("test").targets.tolist())
    validated = set(split.cases("validation").targets.tolist())
    assert not tested & validated
    assert tested | validated <= cold
    for subset, label in (("validation", 1), ("test", 2)):
        cases = split.cases(subset)  # type: ignore[arg-type]
        assert not cold & set(cases.histories.items().tolist())
        # One case a user: the last event on a cold item of this part.
        assert len(set(cases.histories.users.tolist())) == len(cases) == len(cases.targets)
        for row in np.flatnonzero(split.label == label):
            of_user = np.array(owners(data)) == owners(data)[row]
            later = of_user & (np.arange(len(item)) > row)
            assert not np.isin(item[later], item[split.label == label]).any()


def test_cold_history_is_what_came_before_the_target() -> None:
    # The first user takes the items upwards, the second downwards.
    data = prepared([[(i, i) for i in range(8)], [(7 - i, 100 + i) for i in range(8)]])
    config = SplitConfig("cold-items", split_validation=0.15, split_test=0.15, min_history=0)
    split = make_split(data, config, seed=1)
    cases = split.cases("test")
    (target,) = set(cases.targets.tolist())
    (other,) = set(split.cases("validation").targets.tolist())
    up = [(i, i) for i in range(target) if i != other]
    down = [(i, 107 - i) for i in range(7, target, -1) if i != other]
    assert rows_of(cases.histories) == [up, down]
    assert cases.request_times.tolist() == [target, 107 - target]


def test_intervened_test_is_close_to_uniform_and_as_large_as_asked() -> None:
    random = np.random.default_rng(0)
    items, users = 60, 400
    weight = 1 / np.arange(1, items + 1)
    keys = random.gumbel(size=(users, items)) + np.log(weight)
    chosen = np.argsort(-keys, axis=1)[:, :20]
    data = prepared([[(int(item), t) for t, item in enumerate(row)] for row in chosen])
    config = SplitConfig(split="intervened", split_validation=0.1, split_test=0.2)
    split = make_split(data, config, seed=0)
    shares = np.bincount(split.label) / data.num_events
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.01)

    def spread(rows: np.ndarray) -> float:
        counts = np.bincount(data.columns.item[rows], minlength=items)
        return float(counts.std() / counts.mean())

    everything, test = spread(np.arange(data.num_events)), spread(split.label == 2)
    assert test < 0.35 * everything
    # Rare items keep events to train on.
    kept = np.bincount(data.columns.item[split.label == 0], minlength=items)
    assert kept.min() > 0
    # Test histories hold the validation events, validation histories do not.
    validation = split.cases("validation").histories
    assert validation.num_events < split.cases("test").histories.num_events
    with pytest.raises(UserError, match="can draw at most 90%"):
        make_split(data, SplitConfig("intervened", split_validation=0.35, split_test=0.3), seed=0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_seed_and_hash(protocol: str, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    log = [
        [(int(item), int(t)) for item, t in zip(random.permutation(30)[:15], times, strict=True)]
        for times in np.sort(random.choice(10_000, (20, 15), replace=False), axis=1)
    ]
    data = prepared(log, num_items=30)
    config = SplitConfig(split=protocol)  # type: ignore[arg-type]
    split = make_split(data, config, seed=5)
    assert split.hash == make_split(prepared(log, num_items=30), config, seed=5).hash
    other_seed = make_split(data, config, seed=6).hash
    assert (other_seed != split.hash) == (protocol in ("cold-items", "intervened"))
    moved = [list(events) for events in log]
    (first, first_time), (second, second_time) = moved[3][4:6]
    moved[3][4:6] = [(second, first_time), (first, second_time)]
    assert make_split(prepared(moved, num_items=30), config, seed=5).hash != split.hash
    assert "split_test: 0.1" in to_yaml(config)

    split.save(tmp_path)
    loaded = load_split(tmp_path, data)
    assert (loaded.label == split.label).all()
    assert (loaded.config, loaded.seed, loaded.hash) == (config, 5, split.hash)
    assert (loaded.cases("test").targets == split.cases("test").targets).all()
    with pytest.raises(UserError, match="of other data"):
        load_split(tmp_path, prepared(moved, num_items=30))
    (tmp_path / "split.npy").write_bytes(b"half")
    with pytest.raises(UserError, match="is damaged"):
        load_split(tmp_path, data)
    (tmp_path / "split.json").unlink()
    with pytest.raises(UserError, match="holds no complete split"):
        load_split(tmp_path, data)


@pytest.mark.parametrize("protocol", ["leave-one-out", "global-time", "per-user-time"])
@settings(deadline=None, max_examples=30)
@given(data=logs, order=st.randoms(use_true_random=False))
def test_order_of_users_does_not_matter(protocol: str, data: PreparedData, order: object) -> None:
    split = split_or_none(data, protocol, split_validation=0.2, split_test=0.3)
    if split is None:
        return
    log = rows_of(data.sequences())
    permutation = list(range(len(log)))
    order.shuffle(permutation)  # type: ignore[attr-defined]
    shuffled = prepared([log[u] for u in permutation], num_items=data.num_items)
    other = make_split(shuffled, split.config, seed=3)
    original = [split.label[a:b].tolist() for a, b in zip(*bounds(data), strict=True)]
    assert [original[u] for u in permutation] == [
        other.label[a:b].tolist() for a, b in zip(*bounds(shuffled), strict=True)
    ]


def bounds(data: PreparedData) -> tuple[list[int], list[int]]:
    return data.user_offsets[:-1].tolist(), data.user_offsets[1:].tolist()


def test_taking_cases_keeps_them_together() -> None:
    data = prepared([[(i, i) for i in range(n)] for n in (10, 20, 30)])
    cases = make_split(data, SplitConfig(split="per-user-time"), seed=0).cases("test")
    turned = cases.take(np.array([2, 0]))
    assert turned.histories.users.tolist() == [2, 0]
    assert turned.targets.tolist() == [27, 28, 29, 9]
    assert turned.target_cases().tolist() == [0, 0, 0, 1]


def test_repeats_are_found_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    log = [list(zip(random.integers(0, 9, 14), range(14), strict=True)) for _ in range(50)]
    config = SplitConfig(split="per-user-time", split_test=0.3)
    whole = make_split(prepared(log), config, seed=0)
    monkeypatch.setattr(split_cases, "_CHUNK", 37)
    monkeypatch.setattr(split_cases, "_MARKS", 30)
    in_blocks = make_split(prepared(log), config, seed=0)
    assert whole.counts == in_blocks.counts
    assert whole.counts["test targets dropped: already in the history"] > 20
    assert (whole.cases("test").targets == in_blocks.cases("test").targets).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_test": 0.0}, "--split-test is 0.0"),
        ({"split_validation": 1.5}, "--split-validation is 1.5"),
        ({"split_validation": 0.5, "split_test": 0.5}, "leave nothing to train on"),
        ({"min_history": -1}, "--min-history is -1"),
    ],
)
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    data = prepared([[(0, 0), (1, 1), (2, 2)]])
    with pytest.raises(UserError, match=message):
        make_split(data, SplitConfig(**options), seed=0)  # type: ignore[arg-type]


def test_logs_that_cannot_be_split() -> None:
    with pytest.raises(UserError, match="no events"):
        make_split(prepared([[]]), SplitConfig(), seed=0)
    with pytest.raises(UserError, match="leaves no validation events"):
        make_split(prepared([[(0, 0), (1, 1)]]), SplitConfig(), seed=0)
    same_moment = prepared([[(0, 7), (1, 7), (2, 7)], [(0, 7)]])
    with pytest.raises(UserError, match="leaves no train events"):
        make_split(same_moment, SplitConfig(split="global-time"), seed=0)
    without_time = prepared([[(0, 0), (1, 1), (2, 2)]], time_unit="none")
    with pytest.raises(UserError, match="no timestamps"):
        make_split(without_time, SplitConfig(split="global-time"), seed=0)
