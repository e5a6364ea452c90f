"""Arrays as float16 and int8: how far off they are, what reads them, and what the command says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from export.__main__ import main
from export.assembly import assemble
from export.graph.item_matrix import ItemMatrix
from export.graph.stored import Stored, StoredWeights
from export.options import Options, Storage
from tests.export.asked_requests import random_request
from tests.export.small_runs import IDS, TOP_K, Model
from tfrec.interest.readouts import Readouts
from tfrec.trained import load_trained

NUMBERS = st.floats(-60_000, 60_000, width=32)
ARRAYS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=3), elements=NUMBERS)


@settings(deadline=None)
@given(ARRAYS)
def test_int8_is_off_by_half_a_step_of_its_row_and_column(values: Any) -> None:
    found = Stored(values, "int8", "some").whole().numpy().reshape(len(values), -1)
    flat = values.reshape(len(values), -1).astype(np.float64)
    column = np.abs(flat).max(axis=0)
    row = np.abs(flat / np.where(column > 0, column, 1)).max(axis=1)
    step = row[:, None] * column / 127
    assert (np.abs(found - flat) <= 0.501 * step + 1e-30).all()


@settings(deadline=None)
@given(ARRAYS)
def test_float16_is_that_of_numpy(values: Any) -> None:
    found = Stored(values, "float16", "some").whole().numpy()
    np.testing.assert_array_equal(found, values.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_rows_are_rows_of_the_whole(storage: Any) -> None:
    values = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    values[3] = 0
    stored = Stored(values, storage, "some")
    numbers = np.array([[8, 0], [3, 3]], np.int32)
    np.testing.assert_array_equal(stored.rows(numbers), stored.whole().numpy()[numbers])
    assert not stored.rows([3]).numpy().any()


@settings(deadline=None)
@given(hnp.arrays(np.float32, (7, 5), elements=NUMBERS), st.sampled_from(get_args(Storage)))
def test_an_item_matrix_reads_what_lies_in_it_in_every_way(values: Any, storage: Storage) -> None:
    matrix = ItemMatrix(values, storage)
    whole = matrix.whole().numpy().astype(np.float64)
    same = Stored(values, storage, "some").whole().numpy()
    np.testing.assert_allclose(whole.T, same, rtol=1e-6)
    numbers = np.array([[6, 0], [3, 3]], np.int32)
    np.testing.assert_allclose(matrix.vectors(numbers), same[numbers], rtol=1e-6)
    rng = np.random.default_rng(0)
    states, weights = rng.normal(size=(2, 3, 5)), rng.random((3, 7))
    magnitude = np.abs(values).max(initial=1e-30) * 1e-4
    for found, expected in (
        (matrix.scores(tf.constant(states[0], tf.float32)), states[0] @ whole),
        (matrix.mean(tf.constant(weights, tf.float32)), weights @ whole.T),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=magnitude)


def test_layers_traced_in_the_scope_read_what_is_stored() -> None:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Embedding(40, 32), keras.layers.Dense(48, bias_initializer="normal")]
    model = keras.Sequential(layers)
    x = np.random.default_rng(0).integers(0, 40, (3, 7))
    before = model(x).numpy()
    scope = StoredWeights(model.variables, "int8")
    with scope:
        graph = tf.function(model).get_concrete_function(tf.TensorSpec([None, None], tf.int32))
    table, kernel = (Stored(w.numpy(), "int8", "w").whole().numpy() for w in model.weights[:2])
    expected = table[x] @ kernel + model.weights[2].numpy()
    np.testing.assert_allclose(graph(tf.constant(x, tf.int32)), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected - before).max() > 1e-5
    read = {np.prod(one.shape): one.dtype.name for one in graph.variables}
    assert read[40 * 32] == read[32 * 48] == "int8"
    assert set(read.values()) == {"int8", "float32"}  # scales and the bias
    np.testing.assert_array_equal(model(x), before)  # outside, the layers are what they were


def test_a_ledger_read_from_int8_answers_nearly_the_same(ledger: Model) -> None:
    """Item vectors, the sequence model and the text encoder, with the graphs run as they come."""
    config = ledger.exported.config
    trained = load_trained(ledger.run, config)
    readouts = Readouts.load(ledger.run)
    assembled = assemble(config, trained, readouts, Options(TOP_K, storage="int8"))
    request = random_request(IDS, ledger.exported.sizes.facets, 6, 10, seed=1)
    asked = {name: tf.constant(value) for name, value in request.full.items()}
    with assembled.weights:
        found = assembled.answers["explain"](**asked, candidate_items=tf.constant([IDS] * 6))
        text = assembled.answers["embed_text"](texts=tf.constant(["The 3th <b>moon</b>"]))
    expected = ledger.served.ask("explain_full", **request.full, candidate_items=[IDS] * 6)
    for name in ("score", "event_contributions"):
        off = np.abs(found[name].numpy() - expected[name]).max()
        assert 0 < off < 0.03 * np.abs(expected[name]).max()
    assert np.abs(found["residual_error"].numpy()).max() < 1e-4  # lines still add up
    exact = ledger.served.ask("embed_text", texts=["The 3th <b>moon</b>"])["embedding"]
    off = np.abs(text["embedding"].numpy() - exact).max()
    assert 0 < off < 0.1 * np.abs(exact).max()


def test_the_command_says_what_a_smaller_version_costs(
    sasrec: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(sasrec.run), str(tmp_path / "shop"), "--quantize", "int8"]) == 0
    said = capsys.readouterr().out
    assert "FAIL" not in said
    results = json.loads((sasrec.run / "results.json").read_text())
    [model] = [line for line in results["models"] if line["kind"] == "model"]
    [line] = [line for line in said.splitlines() if line.startswith("NDCG@10, ")]
    assert line.split()[-2] == f"{model['metrics']['ndcg@10']['value']:.4f}"
    assert "int8 changes NDCG@10 by " in said
    card = (tmp_path / "shop" / "1" / "assets.extra" / "MODEL_CARD.md").read_text()
    assert "This version holds int8, in " in card
    reader = tf.train.load_checkpoint(str(tmp_path / "shop" / "1" / "variables" / "variables"))
    kept = reader.get_variable_to_dtype_map()
    sizes = {name: np.prod(shape) for name, shape in reader.get_variable_to_shape_map().items()}
    assert max(sizes[name] for name, kind in kept.items() if kind == tf.float32) < 1024
    assert tf.int8 in kept.values()
