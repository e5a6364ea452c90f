"""Ranking in the graph equals ranking in NumPy: same ranks, same lists, ties included."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tfrec.data.cases import Cases
from tfrec.data.sequences import Columns, Sequences
from tfrec.evaluation import model_ranking
from tfrec.evaluation.model_ranking import ModelRanker
from tfrec.evaluation.ranking import rank
from tfrec.models.sasrec import SASRec

NUM_ITEMS, LENGTH = 40, 8


def some_cases(count: int = 70, targets: int = 1, seed: int = 0) -> Cases:
    """Histories of 0 to 15 distinct items, then targets that are not among them."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 16, count)
    drawn = [rng.permutation(NUM_ITEMS) for _ in range(count)]
    items = np.concatenate([d[:n] for d, n in zip(drawn, lengths, strict=True)]).astype(np.int32)
    wanted = np.concatenate([d[n : n + targets] for d, n in zip(drawn, lengths, strict=True)])
    stops = np.cumsum(lengths)
    columns = Columns(items, np.arange(len(items), dtype=np.int64))
    histories = Sequences(np.arange(count, dtype=np.int32), stops - lengths, stops, columns)
    offsets = np.arange(count + 1) * targets
    return Cases(histories, wanted.astype(np.int32), offsets, np.zeros(count, np.int64))


@pytest.fixture
def model() -> SASRec:
    keras.utils.set_random_seed(0)
    model = SASRec(NUM_ITEMS, dim=8, layers=1, max_length=LENGTH, dropout=0.0)
    model.build()
    table = np.random.default_rng(1).normal(size=(NUM_ITEMS, 8))
    table[10:20] = table[10]  # ten items that always tie
    model.item_embedding.embeddings.assign(table)
    return model


@pytest.mark.parametrize("targets", [1, 4])
@pytest.mark.parametrize("remove_seen", [True, False])
@pytest.mark.parametrize("cells", [NUM_ITEMS, 2**22])
def test_it_equals_the_numpy_ranking(
    model: SASRec, targets: int, remove_seen: bool, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_ranking, "_CELLS_PER_BLOCK", cells)
    cases, ranker = some_cases(targets=targets), ModelRanker(model)
    fast = ranker.rank(cases, 10, remove_seen=remove_seen, seed=5)
    plain = rank(ranker, cases, NUM_ITEMS, 10, remove_seen=remove_seen, seed=5)
    np.testing.assert_array_equal(fast.target_ranks, plain.target_ranks)
    np.testing.assert_array_equal(fast.top_items, plain.top_items)


def test_a_history_is_scored_the_same_in_any_company(model: SASRec) -> None:
    cases, ranker = some_cases(), ModelRanker(model)
    together = ranker.states(cases)
    for row in (0, 13, 69):
        alone = ranker.states(cases.take(slice(row, row + 1)))
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)


def test_only_the_newest_events_are_read(model: SASRec) -> None:
    cases, ranker = some_cases(), ModelRanker(model)
    cut = ranker.states(replace(cases, histories=cases.histories.last(LENGTH)))
    np.testing.assert_allclose(cut, ranker.states(cases), atol=1e-5)


def test_a_catalogue_smaller_than_the_list_is_padded(model: SASRec) -> None:
    cases, ranker = some_cases(count=5), ModelRanker(model)
    ranking = ranker.rank(cases, NUM_ITEMS + 10)
    assert ranking.top_items.shape == (5, NUM_ITEMS + 10)
    free = NUM_ITEMS - cases.histories.lengths
    assert ((ranking.top_items >= 0).sum(axis=1) == free).all()


def test_a_target_that_cannot_be_found_is_refused(model: SASRec) -> None:
    cases = some_cases()
    row = int(np.argmax(cases.histories.lengths > 0))
    cases.targets[row] = cases.histories.take(slice(row, row + 1)).items()[0]
    with pytest.raises(ValueError, match="its own history"):
        ModelRanker(model).rank(cases, 10)


def test_a_diverged_model_is_refused(model: SASRec) -> None:
    model.item_embedding.embeddings.assign(np.full((NUM_ITEMS, 8), np.nan))
    with pytest.raises(ValueError, match="diverged"):
        ModelRanker(model).rank(some_cases(), 10)
