"""Stored answers beside new ones: tied items may change places, others may not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from export.probe.model import Tensors
from export.probe.replay import ties_settled


def ranked(levels: list[int], items: list[int]) -> Tensors:
    """One row of items with their levels as scores, tied within 1e-6 where levels are equal."""
    order = sorted(range(len(items)), key=lambda at: -levels[items[at]])
    names = [f"i{items[at]}".encode() for at in order]
    scores = [levels[items[at]] + 1e-6 * (len(order) - n) for n, at in enumerate(order)]
    return {
        "items": np.array([names, [b""] * len(names)], object),
        "scores": np.array([scores, [0.0] * len(names)], np.float32),
        "temperature": np.array([1.0], np.float32),
    }


@given(st.data())
def test_tied_items_take_the_places_they_had(data: st.DataObject) -> None:
    levels = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=8))
    numbers = list(range(len(levels)))
    one = ranked(levels, data.draw(st.permutations(numbers)))
    other = ranked(levels, data.draw(st.permutations(numbers)))
    settled = ties_settled(one, other)
    np.testing.assert_array_equal(settled["items"], other["items"])
    np.testing.assert_allclose(settled["scores"], other["scores"], atol=1e-4)
    np.testing.assert_array_equal(settled["temperature"], one["temperature"])


@given(st.data())
def test_other_items_and_other_scores_stay_where_they_are(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 8))
    one = ranked(list(range(count)), list(range(count)))  # no ties
    swapped = {name: array.copy() for name, array in one.items()}
    at = data.draw(st.integers(0, count - 2))
    swapped["items"][0, [at, at + 1]] = swapped["items"][0, [at + 1, at]]
    settled = ties_settled(one, swapped)
    np.testing.assert_array_equal(settled["items"], one["items"])
    foreign = {name: array.copy() for name, array in one.items()}
    foreign["items"][0, at] = b"stranger"
    np.testing.assert_array_equal(ties_settled(one, foreign)["items"], one["items"])
