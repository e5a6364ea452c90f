"""What a fresh ledger takes from the training events."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from tests.evaluation.baselines.small_logs import sequences
from tests.interest.test_readouts import world
from tests.models.harness import NUM_ITEMS
from tfrec.data.options import SplitConfig
from tfrec.data.prepared import ITEMS
from tfrec.data.sequences import count_items
from tfrec.data.splits import make_split
from tfrec.data.strengths import item_strengths, strength_scale
from tfrec.models.build import MANY_EVENTS, build_model, cold_items, dropout_rate
from tfrec.models.expected_popularity import fit_popularity
from tfrec.models.options import ModelConfig


def test_a_fresh_ledger_knows_the_scale_of_strengths_and_what_items_get(tmp_path: Path) -> None:
    names = pyarrow.table({"item_id": [str(n) for n in range(NUM_ITEMS)]})
    pyarrow.parquet.write_table(names, tmp_path / ITEMS)
    data = replace(world(), folder=tmp_path)
    train = make_split(data, SplitConfig(), 0).train()
    config = ModelConfig(dim=8, layers=1, facets=2, facet_dim=4, max_length=9)
    model = build_model(config, data, train)
    scale = strength_scale(train)
    assert not scale.logarithmic
    rows = np.float32([1, 4, np.nan])
    expected = np.nan_to_num(scale.standardised(rows))
    np.testing.assert_allclose(model.standardised(rows), expected, atol=1e-6)
    planted = item_strengths(train, NUM_ITEMS, scale)
    assert np.std(planted) > 0.01
    np.testing.assert_array_equal(model.strength.by_item, planted)


def test_cold_items_are_those_that_something_else_than_an_event_can_place(tmp_path: Path) -> None:
    shelves = [["a"] if n % 2 else [] for n in range(NUM_ITEMS)]
    names = pyarrow.table(
        {"item_id": [str(n) for n in range(NUM_ITEMS)], "categories": shelves},
    )
    pyarrow.parquet.write_table(names, tmp_path / ITEMS)
    data = replace(world(), folder=tmp_path)
    train = make_split(data, SplitConfig(split="cold-items", split_test=0.3), 0).train()
    taken = count_items(train, NUM_ITEMS) > 0
    assert not taken.all()
    config = ModelConfig(dim=8, layers=1, facets=2, facet_dim=4, max_length=9)
    model = build_model(config, data, train)
    shelved = np.array([bool(shelf) for shelf in shelves])
    expected = ~taken & shelved
    assert expected.any()
    np.testing.assert_array_equal(cold_items(model), expected)
    texts = np.eye(NUM_ITEMS, 3, dtype=np.float32)
    model = build_model(config, data, train, texts)
    np.testing.assert_array_equal(cold_items(model), ~taken & (shelved | texts.any(axis=1)))
    popularity, cold = np.asarray(model.items.popularity), cold_items(model)
    parts = [np.asarray(model.tower.categories), texts]
    line = fit_popularity(popularity, parts, cold)
    told = line.of([part[cold] for part in parts])
    assert np.ptp(told) > 0.01
    np.testing.assert_allclose(popularity[:, cold], told.T, atol=1e-5)
    targets = np.asarray(model.strength.target_vectors)
    assert not targets[cold].any()
    assert targets[~cold].all()
    vectors = np.eye(NUM_ITEMS, 2, k=-3, dtype=np.float32)
    model = build_model(config, data, train, vectors=vectors)
    np.testing.assert_array_equal(cold_items(model), ~taken & (shelved | vectors.any(axis=1)))
    np.testing.assert_array_equal(model.tower.vectors, vectors)
    sasrec = build_model(replace(config, model="sasrec"), data, train)
    assert cold_items(sasrec) is None


def test_short_histories_get_more_dropout_unless_a_rate_is_given() -> None:
    long, short = [0] * MANY_EVENTS, [0] * (MANY_EVENTS - 1)
    rates = [
        dropout_rate(ModelConfig(dropout=given), sequences(histories))
        for given, histories in (
            (None, [long, long]),
            (None, [long, [], long]),  # who has no training event says nothing of the others
            (None, [long, short]),
            (0.3, [short]),
            (0.0, [long]),
        )
    ]
    assert rates == [0.2, 0.2, 0.5, 0.3, 0.0]
