from __future__ import annotations

import math

import numpy as np
import pytest
from ranking_reference import FixedScores, make_cases

from tfrec.evaluation.measure import evaluate
from tfrec.evaluation.ranking import rank
from tfrec.evaluation.results import Interval, Results

COUNTS = np.array([60, 20, 10, 10, 0])


def random_problem(count: int = 60, num_items: int = 40):
    rng = np.random.default_rng(2)
    orders = [rng.permutation(num_items).tolist() for _ in range(count)]
    cases = make_cases(
        [order[: case % 8] for case, order in enumerate(orders)],
        [order[10 : 11 + case % 3] for case, order in enumerate(orders)],
    )
    scores = rng.integers(0, 15, (count, num_items)).astype(np.float32)
    counts = rng.geometric(0.05, num_items) - 1
    return rank(FixedScores(scores), cases, num_items, 10), cases, counts


def test_hand_worked():
    # Histories {0}, {1}; best remaining items in order: case 0 gets 1 2 3 4, case 1 gets 4 3 2 0.
    scores = np.array([[9, 4, 3, 2, 1], [0, 9, 1, 2, 3]], np.float32)
    cases = make_cases([[0], [1]], [[2], [0]])
    ranking = rank(FixedScores(scores), cases, 5, top_k=2)
    assert ranking.top_items.tolist() == [[1, 2], [4, 3]]
    assert ranking.target_ranks.tolist() == [2, 4]

    result, per_case = evaluate(
        ranking, cases, COUNTS, [2], 0, name="hand", kind="baseline", settings={"n": 1}
    )

    value = {name: interval.value for name, interval in result.metrics.items()}
    assert value["hit_rate@2"] == 1 / 2
    assert value["ndcg@2"] == pytest.approx(1 / math.log2(3) / 2)
    assert value["mrr"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert value["coverage@2"] == pytest.approx(4 / 5)
    assert value["gini@2"] == pytest.approx((-4 * 0 - 2 + 0 + 2 + 4) / 4 / 4)
    assert value["long_tail_share@2"] == pytest.approx((1 / 2 + 1) / 2)
    assert value["average_popularity@2"] == pytest.approx((15 + 5) / 2)
    # histories have 60 and 20: (15 + 5 - 80) / 80
    assert value["popularity_lift@2"] == pytest.approx(-0.75)
    bits = [-math.log2(count / 105) for count in (21, 11, 1, 11)]
    assert value["novelty@2"] == pytest.approx(sum(bits) / 4)
    assert (result.name, result.kind, result.settings) == ("hand", "baseline", {"n": 1})
    assert per_case["mrr"].tolist() == [0.5, 0.25]


def test_the_table_is_the_mean_of_its_cases():
    ranking, cases, counts = random_problem()
    result, per_case = evaluate(ranking, cases, counts, [1, 5, 10], 0, name="m")
    for name, values in per_case.items():
        assert values.shape == (60,)
        assert values.dtype == np.float32
        interval = result.metrics[name]
        assert interval.value == pytest.approx(float(values.mean()), rel=1e-5)
        assert interval.low <= interval.value <= interval.high
    without_cases = {name.split("@")[0] for name in result.metrics.keys() - per_case.keys()}
    assert without_cases == {"coverage", "gini", "popularity_lift"}
    for k in (1, 5, 10):
        for name in (f"coverage@{k}", f"gini@{k}"):
            exact = result.metrics[name]
            assert exact == Interval(exact.value, exact.value, exact.value)
        lift = result.metrics[f"popularity_lift@{k}"]
        assert lift.low < lift.value < lift.high


def test_same_seed_same_result_and_it_survives_json(tmp_path):
    ranking, cases, counts = random_problem()
    result, _ = evaluate(ranking, cases, counts, [10], 3, name="m", fit_seconds=1.5)
    again, _ = evaluate(ranking, cases, counts, [10], 3, name="m", fit_seconds=1.5)
    assert again == result
    table = Results("protocol", "test", len(cases), "ndcg@10", [result])
    table.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json").models == [result]


def test_without_histories_there_is_no_lift():
    cases = make_cases([[], []], [[2], [0]])
    ranking = rank(FixedScores(np.eye(2, 5, dtype=np.float32)), cases, 5, top_k=2)
    result, per_case = evaluate(ranking, cases, COUNTS, [2], 0, name="m")
    assert "popularity_lift@2" not in result.metrics
    assert result.metrics.keys() >= per_case.keys()


def test_wrong_input_is_refused():
    ranking, cases, counts = random_problem()
    with pytest.raises(ValueError, match="m: there are no cases"):
        evaluate(ranking, cases.take(slice(0, 0)), counts, [10], 0, name="m")
    with pytest.raises(ValueError, match="m: the ranking has 60 cases, expected 59"):
        evaluate(ranking, cases.take(slice(0, 59)), counts, [10], 0, name="m")
    with pytest.raises(ValueError, match="cut-off 20 needs the top 20 items, got the top 10"):
        evaluate(ranking, cases, counts, [20], 0, name="m")
