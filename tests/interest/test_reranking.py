from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from tfrec.interest.reranking import category_divergence, list_distribution, rerank


def plain_divergence(p, q, alpha):
    return sum(
        a * math.log(a / ((1 - alpha) * b + alpha * a)) for a, b in zip(p, q, strict=True) if a > 0
    )


def plain_objective(chosen, scores, categories, p, lam, alpha):
    """Steck's objective of a set of items, from its definition."""
    q = [sum(categories[i][c] for i in chosen) / len(chosen) for c in range(len(p))]
    return (1 - lam) * sum(scores[i] for i in chosen) - lam * plain_divergence(p, q, alpha)


def greedy_values(scores, categories, p, chosen, lam, alpha, blocked):
    """Objective of the list so far with each allowed item added."""
    return {
        i: plain_objective([*chosen, i], scores, categories, p, lam, alpha)
        for i in range(len(scores))
        if i not in chosen and not blocked[i]
    }


def problem(seed, users=4, items=7, groups=3, shared=False):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(users, items))
    shape = (items,) if shared else (users, items)
    categories = rng.dirichlet(np.full(groups, 0.3), shape)
    categories[rng.random(shape) < 0.15] = 0  # items without a category
    wanted = rng.dirichlet(np.full(groups, 0.5), users)
    wanted[:, 0] = np.where(rng.random(users) < 0.3, 0, wanted[:, 0])  # a category never met
    wanted /= wanted.sum(axis=1, keepdims=True)
    blocked = rng.random((users, items)) < 0.25
    return scores, categories, wanted, blocked


@given(
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    st.sampled_from([0.01, 0.3]),
    st.booleans(),
)
@settings(deadline=None, max_examples=50)
def test_every_choice_is_greedy_best(seed, lam, alpha, shared):
    scores, categories, wanted, blocked = problem(seed, shared=shared)
    found = rerank(scores, categories, wanted, 7, lam, alpha, blocked)
    for n in range(len(scores)):
        mine = categories if shared else categories[n]
        chosen: list[int] = []
        for place in range(7):
            values = greedy_values(scores[n], mine, wanted[n], chosen, lam, alpha, blocked[n])
            if not values:
                assert found[n, place:].tolist() == [-1] * (7 - place)
                break
            item = int(found[n, place])
            # Rounding may order items whose values are equal; a worse one it may not take.
            assert values[item] == pytest.approx(max(values.values()), abs=1e-9)
            chosen.append(item)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_lambda_zero_is_the_order_of_the_scores(seed):
    scores, categories, wanted, _ = problem(seed)
    scores = np.round(scores, 1)  # with ties: the first candidate first
    expected = np.argsort(-scores, axis=1, kind="stable")
    assert rerank(scores, categories, wanted, 7, 0.0).tolist() == expected.tolist()
    huge = scores * 1e300
    assert rerank(huge, categories, wanted, 3, 0.0).tolist() == expected[:, :3].tolist()


@pytest.mark.parametrize("lam", [0.0, 0.4, 1.0])
def test_blocked_items_never_appear(lam):
    scores, categories, wanted, blocked = problem(3, users=30)
    by_mask = rerank(scores, categories, wanted, 7, lam, blocked=blocked)
    shown = by_mask >= 0
    assert shown.sum(axis=1).tolist() == (~blocked).sum(axis=1).tolist()
    rows = np.nonzero(shown)[0]
    assert not blocked[rows, by_mask[shown]].any()
    for row in by_mask:  # nor does one twice
        assert len(set(row[row >= 0].tolist())) == (row >= 0).sum()

    by_score = rerank(np.where(blocked, -np.inf, scores), categories, wanted, 7, lam)
    np.testing.assert_array_equal(by_score, by_mask)
    same = rerank(scores, categories, wanted, 5, lam, blocked=blocked[0])
    full = np.broadcast_to(blocked[0], blocked.shape)
    np.testing.assert_array_equal(
        same, rerank(scores, categories, wanted, 5, lam, blocked=full.copy())
    )
    assert (rerank(scores, categories, wanted, 2, lam, blocked=np.ones(7, bool)) == -1).all()


def test_arguments_are_left_as_they_were():
    scores, categories, wanted, blocked = problem(5)
    copies = [array.copy() for array in (scores, categories, wanted, blocked)]
    rerank(scores, categories, wanted, 3, 0.5, blocked=blocked)
    for array, copy in zip((scores, categories, wanted, blocked), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_lists_take_on_the_proportions_of_the_history():
    # Seventy and thirty of a hundred, in Steck's example: ten items should be seven and three,
    # though the first fifty by score are all of one kind.
    categories = np.repeat(np.eye(2), 50, axis=0)
    scores = np.linspace(1, 0, 100)[None, :]
    wanted = np.array([[0.7, 0.3]])
    plain = rerank(scores, categories, wanted, 10, 0.0)
    assert list_distribution(plain, categories).tolist() == [[1.0, 0.0]]
    calibrated = rerank(scores, categories, wanted, 10, 0.99)
    assert list_distribution(calibrated, categories)[0] == pytest.approx([0.7, 0.3])
    # Inside each kind the order by score stays.
    row = calibrated[0]
    assert sorted(row[row < 50]) == row[row < 50].tolist() == list(range(7))
    assert row[row >= 50].tolist() == [50, 51, 52]


def test_users_without_a_history_keep_the_order_of_the_scores():
    scores, categories, _, _ = problem(6)
    found = rerank(scores, categories, np.zeros((4, 3)), 7, 0.8)
    np.testing.assert_array_equal(found, np.argsort(-scores, axis=1))


def test_a_shorter_list_is_the_beginning_of_a_longer_one():
    scores, categories, wanted, blocked = problem(8, users=20)
    longest = rerank(scores, categories, wanted, 7, 0.6, blocked=blocked)
    for k in range(1, 7):
        shorter = rerank(scores, categories, wanted, k, 0.6, blocked=blocked)
        np.testing.assert_array_equal(shorter, longest[:, :k])


def test_divergence_falls_as_lambda_rises():
    scores, categories, wanted, _ = problem(9, users=400, items=30)
    means = []
    for lam in (0.0, 0.3, 0.6, 0.9, 1.0):
        lists = rerank(scores, categories, wanted, 5, lam)
        means.append(category_divergence(wanted, list_distribution(lists, categories)).mean())
    assert means == sorted(means, reverse=True)
    assert means[-1] < means[0] / 4


@given(st.integers(0, 10_000), st.floats(0.001, 0.999))
@settings(deadline=None, max_examples=50)
def test_divergence_equals_the_definition(seed, alpha):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(4, 0.3), (2, 6))
    p[rng.random(p.shape) < 0.2] = 0
    found = category_divergence(p, q, alpha)
    expected = [plain_divergence(a, b, alpha) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(
        found, rel_entr(p, (1 - alpha) * q + alpha * p).sum(axis=1), atol=1e-12
    )


def test_divergence_by_hand():
    # A list of one kind only for a user of two: .5 log(.5 / .995) + .5 log(.5 / .005).
    expected = 0.5 * math.log(0.5 / 0.995) + 0.5 * math.log(100)
    found = category_divergence(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    assert found == pytest.approx([expected])


def test_list_distribution_leaves_out_absent_items():
    categories = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    chosen = np.array([[0, 2, -1], [-1, -1, -1]], np.int32)
    expected = [[0.75, 0.25], [0, 0]]
    assert list_distribution(chosen, categories).tolist() == expected
    per_user = np.stack([categories, categories[::-1]])
    assert list_distribution(chosen, per_user).tolist() == expected
    second = np.array([[1, 2, -1], [1, 2, -1]], np.int32)  # user 1 meets them in reverse order
    assert list_distribution(second, per_user).tolist() == [[0.25, 0.75], [0.5, 0.5]]


def test_mistakes_are_named():
    scores, categories, wanted, blocked = problem(7)
    with pytest.raises(ValueError, match=r"\(7, 3\) or \(4, 7, 3\), got \(4, 6, 3\)"):
        rerank(scores, categories[:, :6], wanted, 3, 0.5)
    with pytest.raises(ValueError, match=r"\(4, 7\) and \(3, 3\)"):
        rerank(scores, categories, wanted[:3], 3, 0.5)
    with pytest.raises(ValueError, match="k must be 1 … 7"):
        rerank(scores, categories, wanted, 8, 0.5)
    with pytest.raises(ValueError, match="lam"):
        rerank(scores, categories, wanted, 3, 1.5)
    with pytest.raises(ValueError, match="alpha"):
        rerank(scores, categories, wanted, 3, 0.5, alpha=0.0)
    with pytest.raises(ValueError, match="bool"):
        rerank(scores, categories, wanted, 3, 0.5, blocked=blocked[:, :5])
    with pytest.raises(ValueError, match="finite"):
        rerank(np.where(blocked, np.nan, scores), categories, wanted, 3, 0.5)
    with pytest.raises(ValueError, match="rows of history_distribution"):
        rerank(scores, categories, wanted * 2, 3, 0.5)
    with pytest.raises(ValueError, match="rows of candidate_categories"):
        rerank(scores, categories - 0.1, wanted, 3, 0.5)
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(3, 3\)"):
        category_divergence(wanted, wanted[:3])
