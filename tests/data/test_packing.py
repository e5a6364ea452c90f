"""Packing loses nothing, overlaps nothing and wastes little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.data.packing import pack

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=60)


@given(LENGTHS, st.integers(0, 5))
def test_every_sequence_stands_once_and_none_overlap(lengths: list[int], seed: int) -> None:
    packing = pack(np.array(lengths), row_length=12)
    shuffled = packing.sequences(np.random.default_rng(seed))
    for in_slot in (packing.sequences(), shuffled):
        assert sorted(in_slot.tolist()) == list(range(len(lengths)))
        assert np.array(lengths)[in_slot].tolist() == packing.length.tolist()
    taken = np.zeros((packing.num_rows, 12), int)
    for row in range(packing.num_rows):
        slots, where = packing.slots(np.array([row]))
        assert (where == 0).all()
        for slot in slots:
            start = packing.offset[slot]
            assert start + packing.length[slot] <= 12
            taken[row, start : start + packing.length[slot]] += 1
    assert taken.max() == 1
    assert taken.sum() == sum(lengths)


@given(LENGTHS)
def test_two_half_empty_rows_never_remain(lengths: list[int]) -> None:
    # Best fit leaves at most one row half empty: two such rows would have been one.
    packing = pack(np.array(lengths), row_length=12)
    fill = np.add.reduceat(packing.length, packing.row_starts[:-1])
    assert (fill <= 6).sum() <= 1


def test_shuffling_moves_sequences() -> None:
    packing = pack(np.full(100, 3), row_length=12)
    first = packing.sequences(np.random.default_rng(0))
    assert first.tolist() != packing.sequences(np.random.default_rng(1)).tolist()
    assert first.tolist() == packing.sequences(np.random.default_rng(0)).tolist()


def test_a_length_beyond_the_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1 to 13, not 1\.\.12"):
        pack(np.array([1, 13]), row_length=12)
