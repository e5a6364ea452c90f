from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_reference import FixedScores, make_cases, ordered_list, ranking_problems

from tfrec.evaluation import ranking as ranking_module
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.ranking import _smallest, rank, tie_order


@given(
    ranking_problems(),
    st.integers(1, 45),
    st.booleans(),
    st.integers(0, 2**32),
    st.sampled_from([None, 1, 2]),
)
@settings(max_examples=200, deadline=None)
def test_equals_sorting_every_list(problem, top_k, remove_seen, seed, batch_size):
    scores, histories, targets = problem
    num_items = scores.shape[1]
    cases = make_cases(histories, targets)

    found = rank(FixedScores(scores), cases, num_items, top_k, remove_seen, seed, batch_size)

    place = tie_order(num_items, seed).tolist()
    ranks, tops = [], []
    for row, history, case in zip(scores.tolist(), histories, targets, strict=True):
        ordered = ordered_list(row, history if remove_seen else [], place)
        ranks += [ordered.index(item) + 1 for item in case]
        tops.append((ordered[:top_k] + [-1] * top_k)[:top_k])
    assert found.target_ranks.tolist() == ranks
    assert found.top_items.tolist() == tops
    assert found.target_ranks.dtype == found.top_items.dtype == np.int32


def test_hand_worked_with_a_tie():
    # Items 1 and 2 tie at .8. Item 0 is best but seen. Allowed, best first: the tied pair in the
    # order of the permutation, then 3 (.7), 5 (.3), 4 (.1).
    scores = np.array([[0.9, 0.8, 0.8, 0.7, 0.1, 0.3]], np.float32)
    cases = make_cases([[0]], [[2, 4]])
    for seed in range(20):
        pair = sorted([1, 2], key=lambda item: tie_order(6, seed)[item])
        found = rank(FixedScores(scores), cases, 6, top_k=3, seed=seed)
        assert found.top_items.tolist() == [[*pair, 3]]
        assert found.target_ranks.tolist() == [pair.index(2) + 1, 5]
    seen_kept = rank(FixedScores(scores), cases, 6, top_k=1, remove_seen=False)
    assert seen_kept.top_items.tolist() == [[0]]


def test_lists_and_ranks_agree_on_a_large_catalogue():
    rng = np.random.default_rng(3)
    num_items = 5003
    scores = rng.integers(0, 40, (50, num_items)).astype(np.float32)  # about 125 items per value
    targets = [[int(item)] for item in rng.integers(0, num_items, 50)]
    histories = [
        [int(item) for item in rng.integers(0, num_items, 80) if item != target]
        for (target,) in targets
    ]
    found = rank(FixedScores(scores), make_cases(histories, targets), num_items, top_k=700)
    inside = found.target_ranks <= 700
    assert 0 < inside.sum() < 50
    for row, (target,) in enumerate(targets):
        where = np.flatnonzero(found.top_items[row] == target).tolist()
        assert where == ([found.target_ranks[row] - 1] if inside[row] else [])
        assert not set(found.top_items[row].tolist()) & set(histories[row])


def test_slices_of_a_batch_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, (23, 50)).astype(np.float32)
    targets = [[case, (case + 7) % 50][: 1 + case % 2] for case in range(23)]
    cases = make_cases([[48, 49]] * 23, targets)
    whole = rank(FixedScores(scores), cases, 50, 10)
    for cells in (1, 150, 50 * 22):
        monkeypatch.setattr(ranking_module, "_CELLS_PER_SLICE", cells)
        sliced = rank(FixedScores(scores), cases, 50, 10, batch_size=9)
        assert np.array_equal(sliced.target_ranks, whole.target_ranks)
        assert np.array_equal(sliced.top_items, whole.top_items)


@given(st.integers(1, 300), st.integers(1, 60), st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_smallest_equals_sorting(num_items, k, seed):
    k = min(k, num_items)
    rng = np.random.default_rng(seed)
    keys = np.stack([rng.permutation(num_items) for _ in range(3)]) - num_items // 2
    assert np.array_equal(_smallest(keys, k), np.sort(keys, axis=1)[:, :k])


@given(ranking_problems())
@settings(max_examples=60, deadline=None)
def test_a_monotone_transform_of_scores_changes_nothing(problem):
    scores, histories, targets = problem
    cases = make_cases(histories, targets)
    codes = np.unique(scores, return_inverse=True)[1]  # 0.0 and -0.0 are one level
    cubes = (codes.reshape(scores.shape).astype(np.float32) - 3) ** 3
    before = rank(FixedScores(scores), cases, scores.shape[1], 5)
    after = rank(FixedScores(cubes), cases, scores.shape[1], 5)
    assert np.array_equal(before.target_ranks, after.target_ranks)
    assert np.array_equal(before.top_items, after.top_items)


@given(ranking_problems(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_permuting_cases_permutes_the_result(problem, random):
    scores, histories, targets = problem
    order = list(range(len(histories)))
    random.shuffle(order)
    straight = rank(FixedScores(scores), make_cases(histories, targets), scores.shape[1], 4)
    shuffled_cases = make_cases([histories[n] for n in order], [targets[n] for n in order])
    shuffled = rank(FixedScores(scores[order]), shuffled_cases, scores.shape[1], 4)
    assert np.array_equal(shuffled.top_items, straight.top_items[order])
    by_case = np.split(straight.target_ranks, np.cumsum([len(case) for case in targets])[:-1])
    assert shuffled.target_ranks.tolist() == [r for n in order for r in by_case[n].tolist()]


@pytest.mark.parametrize("target", [0, 25, 49])
def test_equal_scores_say_nothing(target):
    # Whatever its place in the catalogue, an item among 50 equals is in the top 10 one time in
    # five. 2,000 orders: standard deviation .009, four of them allowed.
    cases = make_cases([[]], [[target]])
    silent = FixedScores(np.zeros((1, 50), np.float32))
    hits = [
        accuracy(rank(silent, cases, 50, 10, seed=seed), cases, [10])["hit_rate@10"][0]
        for seed in range(2000)
    ]
    assert abs(np.mean(hits) - 10 / 50) < 0.036


def test_equal_scores_hit_exactly_k_of_the_catalogue_when_every_item_is_asked_for():
    cases = make_cases([[]] * 50, [[item] for item in range(50)])
    silent = FixedScores(np.full((50, 50), 2.5, np.float32))
    for seed in range(5):
        ranking = rank(silent, cases, 50, 10, seed=seed)
        assert accuracy(ranking, cases, [10])["hit_rate@10"].sum() == 10


def test_tie_order_is_a_permutation_of_its_own_per_seed():
    assert sorted(tie_order(100, 7).tolist()) == list(range(100))
    assert np.array_equal(tie_order(100, 7), tie_order(100, 7))
    assert not np.array_equal(tie_order(100, 7), tie_order(100, 8))
    # A world simulated from the same seed draws permutations too; ours must not be one of them.
    assert not np.array_equal(tie_order(100, 7), np.random.default_rng(7).permutation(100))


def test_progress_counts_cases():
    cases = make_cases([[]] * 7, [[0]] * 7)
    done: list[int] = []
    scorer = FixedScores(np.zeros((7, 3), np.float32))
    rank(scorer, cases, 3, 1, batch_size=3, progress=done.append)
    assert done == [3, 3, 1]


def test_no_cases():
    cases = make_cases([[]], [[0]]).take(slice(0, 0))
    found = rank(FixedScores(np.zeros((1, 3), np.float32)), cases, 3, 2)
    assert found.target_ranks.shape == (0,)
    assert found.top_items.shape == (0, 2)


@pytest.mark.parametrize("nan", [np.nan, -np.nan])
def test_nan_names_scorer_and_case(nan):
    scores = np.zeros((3, 4), np.float32)
    scores[2, 1] = nan
    cases = make_cases([[]] * 3, [[0]] * 3)
    with pytest.raises(ValueError, match=r"fixed scores gave NaN scores for case 2 \(user 102\)"):
        rank(FixedScores(scores), cases, 4, 2, batch_size=2)


def test_target_in_the_history_is_refused():
    cases = make_cases([[3], [1, 2]], [[0], [0, 2]])
    scorer = FixedScores(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"case 1 \(user 101\): target item 2 is in the history"):
        rank(scorer, cases, 4, 2)
    assert rank(scorer, cases, 4, 2, remove_seen=False).target_ranks.min() >= 1


def test_wrong_scores_are_refused():
    cases = make_cases([[]], [[0]])
    with pytest.raises(ValueError, match=r"expected scores float32 \(1, 4\), got float64 \(1, 4\)"):
        rank(FixedScores(np.zeros((1, 4))), cases, 4, 2)
    with pytest.raises(ValueError, match=r"got float32 \(1, 3\)"):
        rank(FixedScores(np.zeros((1, 3), np.float32)), cases, 4, 2)
    with pytest.raises(ValueError, match="top_k"):
        rank(FixedScores(np.zeros((1, 4), np.float32)), cases, 4, 0)


def test_the_layout_of_scores_does_not_matter():
    scores = np.random.default_rng(0).integers(0, 9, (7, 30)).astype(np.float32)
    cases = make_cases([[28, 29]] * 7, [[case] for case in range(7)])
    rows = rank(FixedScores(scores), cases, 30, 4)

    class ByColumn(FixedScores):
        def score(self, cases):
            return np.asfortranarray(super().score(cases))

    columns = rank(ByColumn(scores), cases, 30, 4)
    assert np.array_equal(rows.target_ranks, columns.target_ranks)
    assert np.array_equal(rows.top_items, columns.top_items)


def test_scores_are_left_as_they_were():
    scores = np.array([[1.0, -0.0, -2.0]], np.float32)
    before = scores.tobytes()
    rank(FixedScores(scores), make_cases([[1]], [[0]]), 3, 2)
    assert scores.tobytes() == before
