"""Removing events from packed rows, against Python lists from which elements are deleted."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from tfrec.training.deletion_consistency import draw_deletions, remove_one_event

Batch = dict[str, NDArray[Any]]
MOVED = ("items", "timestamps", "features")


def pack_lists(rows: list[list[list[int]]], length: int) -> Batch:
    """Rows of histories (oldest event first), padded on the right; other arrays follow the item."""
    shape = (len(rows), length)
    batch: Batch = {
        "items": np.full(shape, -1, np.int32),
        "segments": np.zeros(shape, np.int32),
        "positions": np.zeros(shape, np.int32),
        "timestamps": np.zeros(shape, np.int64),
        "features": np.zeros((*shape, 2), np.float32),
        "weights": np.random.default_rng(0).random(shape).astype(np.float32),
    }
    for b, histories in enumerate(rows):
        column = 0
        for number, history in enumerate(histories, start=1):
            for age, item in zip(range(len(history) - 1, -1, -1), history, strict=True):
                batch["items"][b, column] = item
                batch["segments"][b, column] = number
                batch["positions"][b, column] = age
                batch["timestamps"][b, column] = 10**12 + item
                batch["features"][b, column] = item, -item
                column += 1
    return batch


def unpack(batch: Batch, name: str) -> list[dict[int, list[Any]]]:
    """Per row and history number the values, oldest first."""
    rows: list[dict[int, list[Any]]] = []
    for b in range(len(batch["segments"])):
        row: dict[int, list[Any]] = {}
        for column, number in enumerate(batch["segments"][b]):
            if number:
                row.setdefault(int(number), []).append(batch[name][b, column].tolist())
        rows.append(row)
    return rows


def to_numpy(batch: dict[str, Any]) -> Batch:
    return {name: np.asarray(keras.ops.convert_to_numpy(x)) for name, x in batch.items()}


@st.composite
def packings(draw: st.DrawFn) -> tuple[list[list[list[int]]], list[list[int | None]]]:
    """Two rows of up to 10 tokens, and which event of each history goes, if any."""
    rows, choices = [], []
    for _ in range(2):
        left, histories, chosen = 10, [], []
        for size in draw(st.lists(st.integers(1, 6), max_size=5)):
            if size > left:
                break
            left -= size
            histories.append([draw(st.integers(0, 99)) for _ in range(size)])
            chosen.append(draw(st.none() | st.integers(0, size - 1)))
        rows.append(histories)
        choices.append(chosen)
    return rows, choices


@settings(deadline=None, max_examples=50)
@given(packings())
def test_like_deleting_from_lists(
    packing: tuple[list[list[list[int]]], list[list[int | None]]],
) -> None:
    rows, choices = packing
    batch = pack_lists(rows, length=10)
    deleted = np.zeros((2, 10), bool)
    shorter_rows = []
    for b, (histories, chosen) in enumerate(zip(rows, choices, strict=True)):
        column, shorter = 0, {}
        for number, (history, event) in enumerate(zip(histories, chosen, strict=True), start=1):
            kept = list(history)
            if event is not None:
                deleted[b, column + event] = True
                del kept[event]
            if kept:
                shorter[number] = kept
            column += len(history)
        shorter_rows.append(shorter)

    result = to_numpy(remove_one_event(batch, deleted, MOVED))

    assert unpack(result, "items") == shorter_rows
    for b, shorter in enumerate(shorter_rows):
        for number, kept in shorter.items():
            assert unpack(result, "timestamps")[b][number] == [10**12 + item for item in kept]
            assert unpack(result, "features")[b][number] == [[i, -i] for i in kept]
            assert unpack(result, "positions")[b][number] == list(range(len(kept)))[::-1]
    # Every history still ends in the column where it ended; freed columns are padding.
    assert ((result["segments"] == 0) == (result["items"] == -1)).all()
    newest = (batch["segments"] > 0) & (batch["positions"] == 0) & (result["segments"] > 0)
    assert (result["segments"][newest] == batch["segments"][newest]).all()
    assert (result["positions"] == batch["positions"]).all()
    assert (result["weights"] == batch["weights"]).all()
    assert (result["segments"] > 0).sum() == (batch["segments"] > 0).sum() - deleted.sum()
    for name, x in batch.items():
        assert result[name].dtype == x.dtype


def test_padding_on_the_left_and_between_and_any_numbers() -> None:
    """Nothing depends on where padding stands, nor on numbers that ascend."""
    batch = {
        "segments": np.array([[0, 7, 7, 7, 0, 3, 3, 5]], np.int32),
        "items": np.array([[-1, 10, 11, 12, -1, 20, 21, 30]], np.int32),
    }
    deleted = np.zeros((1, 8), bool)
    deleted[0, [0, 2, 6, 7]] = True  # padding, a middle event, a newest event, an only event
    result = to_numpy(remove_one_event(batch, deleted, ("items",)))
    assert result["segments"].tolist() == [[0, 0, 7, 7, 0, 0, 3, 0]]
    assert result["items"].tolist() == [[-1, -1, 10, 12, -1, -1, 20, -1]]


def test_compiled_is_eager() -> None:
    batch = pack_lists([[[1, 2, 3, 4], [5, 6]], [[7], [8, 9, 10]]], length=8)
    uniforms = np.random.default_rng(1).random((2, 8)).astype(np.float32)

    def step(batch: dict[str, Any], uniforms: Any) -> dict[str, Any]:
        deleted = draw_deletions(batch["segments"], uniforms)
        return remove_one_event(batch, deleted, MOVED) | {"deleted": deleted}

    tensors = {name: tf.constant(x) for name, x in batch.items()}
    eager = to_numpy(step(tensors, tf.constant(uniforms)))
    compiled = to_numpy(tf.function(step, jit_compile=True)(tensors, tf.constant(uniforms)))
    assert eager["deleted"].sum() == 3  # all but the history of one event
    for name, x in eager.items():
        np.testing.assert_array_equal(compiled[name], x)


@settings(deadline=None, max_examples=50)
@given(packings(), st.integers(0, 2**31), st.booleans())
def test_draws_one_event_but_never_the_newest(
    packing: tuple[list[list[list[int]]], object], seed: int, ties: bool
) -> None:
    rows, _ = packing
    batch = pack_lists(rows, length=10)
    uniforms = np.random.default_rng(seed).random((2, 10)).astype(np.float32)
    if ties:
        uniforms = np.round(uniforms)
    drawn = np.asarray(draw_deletions(batch["segments"], uniforms))
    for b, histories in enumerate(rows):
        for number, history in enumerate(histories, start=1):
            inside = batch["segments"][b] == number
            assert drawn[b, inside].sum() == (len(history) > 1)
            assert not drawn[b, inside][-1]
    assert not drawn[batch["segments"] == 0].any()


def test_draws_uniformly() -> None:
    sizes, draws = (6, 2, 4), 4000
    row = np.repeat([1, 2, 3], sizes).astype(np.int32)
    uniforms = np.random.default_rng(2).random((draws, len(row))).astype(np.float32)
    drawn = np.asarray(draw_deletions(np.tile(row, (draws, 1)), uniforms)).sum(axis=0)
    for number, size in enumerate(sizes, start=1):
        counts = drawn[row == number]
        assert counts[-1] == 0
        assert counts.sum() == draws
        if size > 2:
            assert stats.chisquare(counts[:-1]).pvalue > 0.01
    # The draws of two histories in a row do not know of each other.
    one = np.asarray(draw_deletions(np.tile(row, (draws, 1)), uniforms))
    table = np.zeros((5, 3))
    np.add.at(table, (one[:, :5].argmax(1), one[:, 8:11].argmax(1)), 1)
    assert stats.chi2_contingency(table).pvalue > 0.01


def test_mistakes_are_named() -> None:
    batch = pack_lists([[[1, 2]]], length=3)
    none = np.zeros((1, 3), bool)
    with pytest.raises(ValueError, match=r"\(1, 3\) and \(1, 4\)"):
        remove_one_event(batch, np.zeros((1, 4), bool), ("items",))
    with pytest.raises(ValueError, match="positions"):
        remove_one_event(batch, none, ("items", "positions"))
    with pytest.raises(ValueError, match="colour"):
        remove_one_event(batch, none, ("colour",))
    with pytest.raises(ValueError, match=r"\(1, 3\) and \(2, 3\)"):
        draw_deletions(batch["segments"], np.zeros((2, 3), np.float32))
