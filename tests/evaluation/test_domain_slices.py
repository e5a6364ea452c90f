"""Ranking among the items of a domain, and who is cold there, against slow references."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranking_reference import FixedScores, make_cases, ordered_list, ranking_problems

from tfrec.data.cases import Cases
from tfrec.data.domains import Domains
from tfrec.data.prepared import ITEMS, Meta, PreparedData
from tfrec.data.sequences import Bool, Columns
from tfrec.data.splits import SplitConfig, make_split
from tfrec.evaluation.domains import domain_slices, unasked_domains
from tfrec.evaluation.model_ranking import ModelRanker
from tfrec.evaluation.ranking import Ranking, rank, tie_order
from tfrec.models.sasrec import SASRec


@given(ranking_problems(), st.integers(1, 45), st.booleans(), st.integers(0, 2**32))
def test_candidates_are_the_list(problem, top_k, remove_seen, seed):
    scores, histories, targets = problem
    num_items = scores.shape[1]
    candidates = np.random.default_rng(seed).random(num_items) < 0.5
    candidates[[item for case in targets for item in case]] = True
    closed = np.flatnonzero(~candidates).tolist()
    cases = make_cases(histories, targets)
    found = rank(
        FixedScores(scores), cases, num_items, top_k, remove_seen, seed, candidates=candidates
    )
    place = tie_order(num_items, seed).tolist()
    ranks, tops = [], []
    for row, history, case in zip(scores.tolist(), histories, targets, strict=True):
        ordered = ordered_list(row, [*closed, *(history if remove_seen else [])], place)
        ranks += [ordered.index(item) + 1 for item in case]
        tops.append((ordered[:top_k] + [-1] * top_k)[:top_k])
    assert found.target_ranks.tolist() == ranks
    assert found.top_items.tolist() == tops


@pytest.mark.parametrize("remove_seen", [True, False])
def test_the_graph_ranks_candidates_as_numpy_does(remove_seen: bool) -> None:
    keras.utils.set_random_seed(0)
    model = SASRec(12, dim=4, layers=1, max_length=4, dropout=0.0)
    model.build()
    table = np.random.default_rng(1).normal(size=(12, 4))
    table[3:8] = table[3]  # five items that always tie, on both sides
    model.item_embedding.embeddings.assign(table)
    candidates = np.arange(12) % 2 == 1
    cases = make_cases([[0, 3], [2, 4, 1], [], [11]], [[5], [7, 11], [1], [9]])
    ranker = ModelRanker(model)
    fast = ranker.rank(cases, 9, remove_seen=remove_seen, seed=5, candidates=candidates)
    plain = rank(ranker, cases, 12, 9, remove_seen=remove_seen, seed=5, candidates=candidates)
    np.testing.assert_array_equal(fast.target_ranks, plain.target_ranks)
    np.testing.assert_array_equal(fast.top_items, plain.top_items)
    assert set(fast.top_items.ravel().tolist()) <= {-1, 1, 3, 5, 7, 9, 11}
    with pytest.raises(ValueError, match="no candidate"):
        ranker.rank(cases, 9, candidates=~candidates)
    with pytest.raises(ValueError, match="no candidate"):
        rank(ranker, cases, 12, 9, candidates=~candidates)


def test_rows_by_hand() -> None:
    # Books are 0 to 2, films 3 to 6. Every score falls with the number of the item, so all books
    # stand before all films, and the first film has rank 4 among all and rank 1 among films.
    among = Domains(["books", "films"], np.array([0, 0, 0, 1, 1, 1, 1], np.int32))
    scores = FixedScores(np.tile(-np.arange(7, dtype=np.float32), (5, 1)))
    cases = make_cases(
        [[0], [0, 3], [], [4], [1, 2]],  # the last two targets of case 3 are of both domains
        [[3], [4], [5], [2, 3], [6]],
    )
    films_asked: list[int] = []

    def within(part: Cases, candidates: Bool) -> Ranking:
        films_asked.append(len(part))
        return rank(scores, part, 7, 5, candidates=candidates)

    found = domain_slices(within, cases, among, [1], seed=0)
    assert films_asked == [1, 5]
    value = {
        name: {row.label: (row.cases, row.metrics["hit_rate@1"].value) for row in rows}
        for name, rows in found.items()
    }
    assert value == {
        "domain, ranked within it": {"books": (1, 0.0), "films": (5, 0.6)},
        "history in books, ranked within it": {"none, some elsewhere": (1, 0.0)},
        # Film 4 is first for who has seen 3, film 3 for whom has seen 4: both are found. Of those
        # who have only books, one takes film 3; the one without a history takes 5.
        "history in films, ranked within it": {
            "some": (2, 1.0),
            "none, some elsewhere": (2, 0.5),
            "none at all": (1, 0.0),
        },
    }


def joined(folder: Path, names: list[str] | None) -> PreparedData:
    """Ten users who take item 0, 1, 2 and last 3."""
    folder.mkdir()
    table = {"item_id": ["a", "b", "c", "d"]} | ({"domain": names} if names else {})
    pyarrow.parquet.write_table(pyarrow.table(table), folder / ITEMS)
    columns = Columns(np.tile(np.arange(4, dtype=np.int32), 10), np.tile(np.arange(4), 10))
    return PreparedData(folder, Meta("made", 40, 10, 4), np.arange(0, 41, 4), columns)


def test_a_domain_without_a_case_is_named(tmp_path: Path) -> None:
    def unasked(names: list[str] | None, folder: str) -> list[str]:
        data = joined(tmp_path / folder, names)
        return unasked_domains(data, make_split(data, SplitConfig(), seed=0), "test", True)

    assert unasked(["books", "films", "films", "films"], "two") == ["books"]
    assert unasked(["films", "films", "films", "films"], "good") == []
    assert unasked(None, "one") == []
