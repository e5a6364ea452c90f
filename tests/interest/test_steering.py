from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.errors import UserError
from tfrec.interest.ledger_lines import Event, LedgerLines
from tfrec.interest.steering import LESS, Feedback, gains

EVENTS = [Event(item, item.upper(), "view", None, n) for n, item in enumerate(["a", "b", "a"])]
FACETS = ["Space", "Love", ""]


def make_ledger(contributions, item="x", events=None, facets=None):
    contributions = np.array(contributions, np.float64)
    events = EVENTS if events is None else events
    score = 1.0 + 0.5 + contributions.sum()
    return LedgerLines(item, item, 9, events, facets or FACETS, contributions, 1.0, 0.5, 0.0, score)


X = make_ledger([[1, 0, 0], [0, 0, 3], [0, 3.5, 0]])
Y = make_ledger([[2, 0, 0], [0, -1, 0], [0, 1, 0]], "y")


def test_no_feedback_changes_nothing():
    found = gains(Feedback(), [X, Y])
    np.testing.assert_array_equal(found.facet_gain, np.ones(3))
    np.testing.assert_array_equal(found.event_gain, np.ones(3))
    assert found.conformity_gain == 1
    assert X.with_gains(*found).score == X.score


@pytest.mark.parametrize(
    ("item", "facet"),
    [
        ("x", 1),  # per facet 1, 3.5, 3
        ("y", 0),  # 2, 0, 0
        ("b", 2),  # over both ledgers 0, -1, 3
        ("a", 1),  # 1 + 2, 3.5 + 1, 0
    ],
)
def test_less_like_an_item_lowers_the_facet_that_speaks_for_it(item, facet):
    found = gains(Feedback(less_like=[item]), [X, Y])
    expected = np.ones(3)
    expected[facet] = LESS
    np.testing.assert_array_equal(found.facet_gain, expected)
    for ledger in (X, Y):
        change = ledger.with_gains(*found).score - ledger.score
        assert change == pytest.approx((LESS - 1) * ledger.contributions[:, facet].sum())


def test_less_like_twice_is_less_again():
    assert gains(Feedback(less_like=["x", "x"]), [X]).facet_gain.tolist() == [1, LESS**2, 1]


def test_an_item_that_nothing_speaks_for_lowers_nothing():
    against = make_ledger(-np.ones((3, 3)))
    assert gains(Feedback(less_like=["x"]), [against]).facet_gain.tolist() == [1, 1, 1]
    empty = make_ledger(np.zeros((0, 3)), events=[])
    assert gains(Feedback(less_like=["x"]), [empty]).facet_gain.tolist() == [1, 1, 1]


@given(st.floats(1, 5), st.floats(0, 1), st.floats(0, 3), st.booleans())
def test_wishes_multiply_line_by_line(more, less, crowd, forget):
    wish = Feedback([], {"Space": more}, {"Space": less, "Love": less}, "a" * forget, crowd)
    moved = X.with_gains(*gains(wish, [X]))
    facet = np.array([more * less, less, 1.0])
    event = np.array([1 - forget, 1.0, 1 - forget])
    expected = 1.0 + 0.5 * crowd + (event[:, None] * facet * X.contributions).sum()
    assert moved.score == pytest.approx(expected)


def test_forgetting_an_item_forgets_all_its_events():
    assert gains(Feedback(forget=["a"]), [X]).event_gain.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("feedback", "message"),
    [
        (Feedback(more_facets={"spaec": 2}), "facet 'spaec' is not .*; did you mean 'Space'"),
        (Feedback(less_facets={"": 0.5}), "facet '' is not one of the model's facets"),
        (Feedback(less_like=["X"]), "less_like: item 'X' is not recommended .*mean 'x'"),
        (Feedback(forget=["x"]), "forget: item 'x' is not in the history"),
        (Feedback(more_facets={"Love": 0.5}), "more of facet 'Love': .* at least 1, got 0.5"),
        (Feedback(less_facets={"Love": 2}), "less of facet 'Love': .* from 0 to 1, got 2"),
        (Feedback(crowd=-1), "crowd: the factor must be at least 0, got -1"),
        (Feedback(crowd=float("nan")), "crowd: .* got nan"),
    ],
)
def test_mistakes_of_users_are_named(feedback, message):
    with pytest.raises(UserError, match=message):
        gains(feedback, [X, Y])


def test_nothing_to_forget_is_said():
    empty = make_ledger(np.zeros((0, 3)), events=[])
    with pytest.raises(UserError, match="'a' is not in the history; there are none"):
        gains(Feedback(forget=["a"]), [empty])


def test_ledgers_of_two_histories_are_refused():
    other = make_ledger(np.zeros((1, 3)), "z", EVENTS[:1])
    with pytest.raises(ValueError, match="'x' and 'z' differ in events or facets"):
        gains(Feedback(), [X, other])
    with pytest.raises(ValueError, match="at least one ledger"):
        gains(Feedback(), [])
