from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_reference import (
    FixedScores,
    make_cases,
    metrics_of_list,
    ordered_list,
    ranking_problems,
)

from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.ranking import Ranking, rank, tie_order


@given(ranking_problems(), st.integers(0, 1000))
@settings(max_examples=200, deadline=None)
def test_equals_the_textbook(problem, seed):
    scores, histories, targets = problem
    cases = make_cases(histories, targets)
    ks = [1, 3, 10]
    found = accuracy(rank(FixedScores(scores), cases, scores.shape[1], 1, seed=seed), cases, ks)

    place = tie_order(scores.shape[1], seed).tolist()
    for n, (row, history, case) in enumerate(zip(scores.tolist(), histories, targets, strict=True)):
        ordered = ordered_list(row, history, place)
        expected: dict[str, float] = {}
        for k in ks:
            expected |= metrics_of_list(ordered, case, k)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name][n] == pytest.approx(value, rel=1e-6), name


def ranked(*cases_ranks: list[int]) -> tuple[Ranking, object]:
    """Cases whose targets came at these ranks."""
    cases = make_cases([[]] * len(cases_ranks), [list(range(len(r))) for r in cases_ranks])
    ranks = np.array([rank for ranks in cases_ranks for rank in ranks], np.int32)
    return Ranking(ranks, np.zeros((len(cases_ranks), 1), np.int32)), cases


def test_hand_worked_three_targets():
    # Targets at ranks 6, 1 and 3 (given out of order), k = 5: two hits of three, at 1 and 3.
    found = accuracy(*ranked([6, 1, 3]), [5])
    assert found["hit_rate@5"].tolist() == [1]
    assert found["precision@5"] == pytest.approx([2 / 5])
    assert found["recall@5"] == pytest.approx([2 / 3])
    # 2 · (2/5) · (2/3) / (2/5 + 2/3) = (8/15) / (16/15)
    assert found["f1@5"] == pytest.approx([1 / 2])
    assert found["mrr@5"].tolist() == [1]
    # precision at rank 1 is 1/1, at rank 3 is 2/3; three targets fit into 5
    assert found["map@5"] == pytest.approx([(1 + 2 / 3) / 3])
    # DCG = 1/log2(2) + 1/log2(4) = 1.5; ideal: ranks 1, 2, 3
    assert found["ndcg@5"] == pytest.approx([1.5 / (1 + 1 / math.log2(3) + 1 / 2)])


def test_hand_worked_one_target():
    found = accuracy(*ranked([1], [3], [10], [11]), [10])
    assert found["hit_rate@10"].tolist() == [1, 1, 1, 0]
    assert found["recall@10"].tolist() == [1, 1, 1, 0]
    assert found["ndcg@10"] == pytest.approx([1, 1 / 2, 1 / math.log2(11), 0])
    assert found["mrr@10"] == pytest.approx([1, 1 / 3, 1 / 10, 0])
    assert found["map@10"] == pytest.approx([1, 1 / 3, 1 / 10, 0])
    assert found["mrr"] == pytest.approx([1, 1 / 3, 1 / 10, 1 / 11])
    assert found["precision@10"] == pytest.approx([0.1, 0.1, 0.1, 0])
    assert found["f1@10"] == pytest.approx([2 / 11, 2 / 11, 2 / 11, 0])


def test_a_perfect_list_scores_one_with_more_targets_than_places():
    found = accuracy(*ranked([1, 2, 3, 4]), [2, 4, 10])
    for k in (2, 4, 10):
        assert found[f"ndcg@{k}"] == pytest.approx([1])
        assert found[f"map@{k}"] == pytest.approx([1])
    assert found["recall@2"] == pytest.approx([1 / 2])
    assert found["precision@10"] == pytest.approx([4 / 10])


def test_metrics_are_float32_per_case():
    found = accuracy(*ranked([1], [2, 5], [9]), [1, 10])
    assert len(found) == 1 + 7 * 2
    assert all(v.dtype == np.float32 and v.shape == (3,) for v in found.values())


def test_wrong_input_is_refused():
    ranking, cases = ranked([1], [2, 5])
    with pytest.raises(ValueError, match="cut-offs must be at least 1"):
        accuracy(ranking, cases, [10, 0])
    with pytest.raises(ValueError, match=r"\(3,\) target ranks, the cases have \(2,\) targets"):
        accuracy(ranking, make_cases([[], []], [[0], [0]]), [10])
    empty = replace(cases, target_offsets=np.array([0, 3, 3]))
    with pytest.raises(ValueError, match="case 1 has no target"):
        accuracy(ranking, empty, [10])
