"""Batches hold every example once, in the right place, whatever step one starts from."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.data.batches import Batch, TrainingBatches
from tfrec.data.sequences import Columns, Sequences

HISTORIES = st.lists(st.integers(0, 30), min_size=1, max_size=25)


def sequences(lengths: list[int]) -> Sequences:
    """Histories whose items are all different, so that an example identifies itself."""
    stops = np.cumsum(lengths)
    total = int(stops[-1])
    columns = Columns(np.arange(total, dtype=np.int32), np.arange(total, dtype=np.int64))
    return Sequences(np.arange(len(lengths), dtype=np.int32), stops - lengths, stops, columns)


def epoch(batches: TrainingBatches, number: int = 0, step: int = 0) -> list[Batch]:
    return list(itertools.islice(batches.stream(number, step), batches.steps_per_epoch - step))


@given(HISTORIES, st.integers(1, 5), st.integers(2, 9))
def test_an_epoch_is_every_next_item_example_once(
    lengths: list[int], batch_size: int, max_length: int
) -> None:
    train = sequences(lengths)
    if max(lengths) < 2:
        with pytest.raises(ValueError, match="no training sequence"):
            TrainingBatches(train, sum(lengths), max_length, batch_size, seed=0)
        return
    batches = TrainingBatches(train, sum(lengths), max_length, batch_size, seed=0)
    pairs = []
    for batch in epoch(batches):
        real = batch["weights"] > 0
        assert batch["items"].shape == (batches.batch_size, max_length)
        assert np.isclose(batch["weights"].sum(), 1)
        assert (real == (batch["items"] >= 0)).all()
        assert (real == (batch["segments"] > 0)).all()
        pairs += zip(batch["items"][real].tolist(), batch["targets"][real].tolist(), strict=True)
    expected = []
    for start, stop in zip(train.starts.tolist(), train.stops.tolist(), strict=True):
        kept = range(max(start, stop - max_length - 1), stop)
        expected += list(itertools.pairwise(kept))
    assert sorted(pairs) == expected
    assert batches.examples_per_epoch == len(expected)


@given(HISTORIES)
def test_a_row_keeps_histories_apart_and_counts_from_the_newest(lengths: list[int]) -> None:
    if max(lengths) < 2:
        return
    train = sequences(lengths)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    for batch in epoch(TrainingBatches(train, sum(lengths), 8, 3, seed=1)):
        for items, segments, positions in zip(
            batch["items"], batch["segments"], batch["positions"], strict=True
        ):
            for segment in range(1, segments.max() + 1):
                inside = segments == segment
                assert len(set(owner[items[inside]])) == 1
                assert (np.diff(items[inside]) == 1).all()
                assert positions[inside].tolist() == list(range(inside.sum()))[::-1]


@given(st.integers(0, 2), st.integers(0, 6))
def test_a_stream_started_anywhere_goes_on_the_same(number: int, step: int) -> None:
    train = sequences([7, 3, 9, 2, 8, 5, 5, 6, 4, 9])
    batches = TrainingBatches(train, 58, 6, 1, seed=3, negatives=4, uniforms=True)
    step = min(step, batches.steps_per_epoch - 1)
    whole, tail = epoch(batches, number), epoch(batches, number, step)
    for ours, theirs in zip(tail, whole[step:], strict=True):
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_every_token_knows_when_it_happened_and_when_the_next_one_did() -> None:
    columns = Columns(
        item=np.arange(5, dtype=np.int32),
        timestamp=np.array([10, 20, 40, 70, 110]),
        action=np.array([0, 1, 0, 1, 2], np.int16),
        strength=np.array([1, np.nan, 3, 4, 5], np.float32),
    )
    log = Sequences(np.zeros(1, np.int32), np.array([0]), np.array([5]), columns)
    (batch,) = epoch(TrainingBatches(log, 5, 6, 1, seed=0, uniforms=True))
    real = batch["segments"] > 0
    assert batch["times"][real].tolist() == [10, 20, 40, 70]
    assert batch["request_times"][real].tolist() == [20, 40, 70, 110]
    assert batch["actions"][real].tolist() == [0, 1, 0, 1]
    assert batch["target_actions"][real].tolist() == [1, 0, 1, 2]
    np.testing.assert_array_equal(batch["strengths"][real], [1, np.nan, 3, 4])
    np.testing.assert_array_equal(batch["target_strengths"][real], [np.nan, 3, 4, 5])
    assert np.isnan(batch["strengths"][~real]).all()
    uniforms = batch["uniforms"]
    assert uniforms.shape == real.shape
    assert ((uniforms >= 0) & (uniforms < 1)).all()


def test_epochs_differ_and_seeds_differ() -> None:
    train = sequences([5] * 40)

    def items(seed: int, number: int) -> list[int]:
        batches = TrainingBatches(train, 200, 8, 2, seed=seed)
        return [int(item) for batch in epoch(batches, number) for item in batch["items"].ravel()]

    assert items(0, 0) == items(0, 0)
    assert items(0, 0) != items(0, 1)
    assert items(0, 0) != items(1, 0)


def test_rows_are_dealt_evenly_and_for_every_replica() -> None:
    train = sequences([9] * 10)
    batches = TrainingBatches(train, 90, 8, batch_size=9, seed=0, multiple_of=2)
    assert batches.steps_per_epoch == 2
    assert batches.batch_size == 6  # 5 rows each, rounded up to two replicas
    assert [int((b["segments"] > 0).any(1).sum()) for b in epoch(batches)] == [5, 5]


@pytest.mark.parametrize(
    ("histories", "rows", "steps"),
    [(3, 1, 3), (150, 1, 150), (450, 4, 113), (900, 8, 113), (9000, 22, 410)],
)
def test_without_a_batch_size_a_small_log_has_small_batches(
    histories: int, rows: int, steps: int
) -> None:
    train = sequences([9] * histories)  # each fills a row
    batches = TrainingBatches(train, 9 * histories, 8, batch_size=0, seed=0)
    assert (batches.batch_size, batches.steps_per_epoch) == (rows, steps)


def test_negatives_follow_their_probabilities() -> None:
    weights: npt.NDArray[np.float64] = np.array([0.0, 1.0, 3.0, 0.0, 4.0])
    batches = TrainingBatches(
        sequences([5]), 5, 8, 1, 0, negatives=20_000, negative_probabilities=weights
    )
    drawn = np.bincount(next(batches.stream(0, 0))["negatives"].ravel(), minlength=5) / 20_000
    assert drawn == pytest.approx(weights / weights.sum(), abs=0.02)
    assert drawn[0] == drawn[3] == 0
