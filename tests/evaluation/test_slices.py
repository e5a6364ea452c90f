from __future__ import annotations

import math

import numpy as np
import pytest
from ranking_reference import make_cases

from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.ranking import Ranking
from tfrec.evaluation.slices import slices

# Of 100 training events item 0 has 50 (head), item 1 30 (mid), items 2 and 3 10 each (tail);
# item 4 has none.
COUNTS = np.array([50, 30, 10, 10, 0])


def sliced(histories, targets, ranks, ks=(10,), counts=COUNTS):
    cases = make_cases(histories, targets)
    ranking = Ranking(np.array(ranks, np.int32), np.zeros((len(cases), 10), np.int32))
    found = slices(ranking, cases, counts, ks, seed=0)
    return {name: {row.label: row for row in rows} for name, rows in found.items()}


def test_by_history_length():
    lengths = [0, 1, 5, 6, 20, 21, 50, 51, 200, 201, 900]
    ranks = [1, 1, 11, 2, 11, 11, 11, 3, 3, 1, 1]
    rows = sliced([[0] * n for n in lengths], [[1]] * 11, ranks)["history length"]
    assert {label: row.cases for label, row in rows.items()} == {
        "0": 1,
        "1-5": 2,
        "6-20": 2,
        "21-50": 2,
        "51-200": 2,
        ">200": 2,
    }
    assert rows["1-5"].metrics["hit_rate@10"].value == pytest.approx(1 / 2)
    assert rows["6-20"].metrics["ndcg@10"].value == pytest.approx((1 / math.log2(3) + 0) / 2)
    assert rows["21-50"].metrics["hit_rate@10"].value == 0
    assert rows[">200"].metrics["ndcg@10"].value == pytest.approx(1)


def test_by_popularity_and_new_items():
    targets = [[0], [1], [2], [3], [4], [4]]
    found = sliced([[]] * 6, targets, [1, 2, 3, 11, 4, 11])
    popularity = found["target popularity"]
    assert {label.split(" ")[0]: row.cases for label, row in popularity.items()} == {
        "head": 1,
        "mid": 1,
        "tail": 2,
    }
    assert popularity["tail (20 %)"].metrics["ndcg@10"].value == pytest.approx((0.5 + 0) / 2)
    assert found["new items"]["new"].cases == 2
    assert found["new items"]["new"].metrics["hit_rate@10"].value == pytest.approx(1 / 2)
    assert found["new items"]["in training"].metrics["hit_rate@10"].value == pytest.approx(3 / 4)


def test_without_new_items_there_is_no_such_slice():
    assert "new items" not in sliced([[]], [[3]], [1])


def test_a_case_counts_with_its_chosen_targets_alone():
    # Case 0 wants items 0 (rank 1) and 2 (rank 3), case 1 wants item 3 (rank 2).
    found = sliced([[], []], [[0, 2], [3]], [1, 3, 2])["target popularity"]
    assert found["head (50 % of events)"].cases == 1
    assert found["head (50 % of events)"].metrics["ndcg@10"].value == pytest.approx(1)
    tail = found["tail (20 %)"]
    assert tail.cases == 2
    # one target each, at ranks 3 and 2 of the full lists
    assert tail.metrics["ndcg@10"].value == pytest.approx((0.5 + 1 / math.log2(3)) / 2)


def test_slices_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    histories = [[0] * int(n) for n in rng.integers(0, 300, 200)]
    targets = [[int(item)] for item in rng.integers(0, 5, 200)]
    ranks = rng.integers(1, 30, 200)
    cases = make_cases(histories, targets)
    whole = accuracy(Ranking(ranks.astype(np.int32), np.zeros((200, 1), np.int32)), cases, [5, 10])
    found = sliced(histories, targets, ranks, ks=(5, 10))
    parts = [
        list(found["history length"].values()),
        [*found["target popularity"].values(), found["new items"]["new"]],
        list(found["new items"].values()),
    ]
    for rows in parts:
        assert sum(row.cases for row in rows) == 200
        for name in ("hit_rate@5", "ndcg@5", "hit_rate@10", "ndcg@10"):
            total = sum(row.cases * row.metrics[name].value for row in rows)
            assert total / 200 == pytest.approx(whole[name].mean(), rel=1e-6)
            assert all(
                row.metrics[name].low <= row.metrics[name].value <= row.metrics[name].high
                for row in rows
            )
