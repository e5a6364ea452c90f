"""SASRec: the model's contract, and its arithmetic against an independent NumPy forward pass."""

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.harness import LENGTH, NUM_ITEMS, packed_batch, run_model_checks
from tfrec.models.sasrec import SASRec
from tfrec.models.transformer import CausalSelfAttention

Array = NDArray[np.float64]


def small(**changes: float) -> SASRec:
    keras.utils.set_random_seed(3)
    options = {"dim": 8, "layers": 2, "heads": 2, "max_length": LENGTH, "dropout": 0.3} | changes
    model = SASRec(NUM_ITEMS, **options)  # type: ignore[arg-type]
    model.build()
    return model


def test_sasrec_keeps_every_promise(tmp_path: Path) -> None:
    run_model_checks(small(), tmp_path)


def norm(x: Array, layer: keras.layers.Layer) -> Array:
    gamma, beta = (np.asarray(v, np.float64) for v in (layer.gamma, layer.beta))
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * gamma + beta


def dense(x: Array, layer: keras.layers.Layer) -> Array:
    return x @ np.asarray(layer.kernel, np.float64) + np.asarray(layer.bias, np.float64)


def reference(model: SASRec, history: list[int]) -> Array:
    """One history at a time, from the equations of Kang & McAuley §III, pre-norm."""
    table = np.asarray(model.item_embedding.embeddings, np.float64)
    places = np.asarray(model.position_embedding.embeddings, np.float64)
    n = len(history)
    x = norm(table[history] + places[np.arange(n)[::-1]], model.input_norm)
    for block in model.blocks:
        attention = block.attention
        projected = dense(norm(x, block.attention_norm), attention.project)
        q, k, v = np.split(projected, 3, axis=-1)
        heads = []
        for part in np.split(np.arange(model.dim), model.heads):
            logits = q[:, part] @ k[:, part].T / np.sqrt(len(part))
            logits[np.triu_indices(n, 1)] = -np.inf
            weights = np.exp(logits - logits.max(-1, keepdims=True))
            heads.append(weights / weights.sum(-1, keepdims=True) @ v[:, part])
        x = x + dense(np.concatenate(heads, -1), attention.merge)
        hidden = np.maximum(dense(norm(x, block.feed_norm), block.expand), 0)
        x = x + dense(hidden, block.contract)
    return norm(x, model.norm)


def test_states_equal_a_plain_numpy_forward_pass() -> None:
    model = small()
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:  # fresh biases and norms would hide mistakes
        variable.assign(rng.normal(0, 0.5, variable.shape))
    batch = packed_batch()
    states = np.asarray(model(batch))
    for row, part in ((0, slice(0, 6)), (1, slice(0, 2)), (1, slice(2, 5)), (2, slice(0, 2))):
        expected = reference(model, batch["items"][row, part].tolist())
        np.testing.assert_allclose(states[row, part], expected, rtol=1e-4, atol=1e-4)


def test_order_matters() -> None:
    model = small()
    batch = packed_batch()
    swapped = {name: value.copy() for name, value in batch.items()}
    swapped["items"][0, :2] = swapped["items"][0, 1::-1]
    assert np.abs(np.asarray(model(batch))[0, -1] - np.asarray(model(swapped))[0, -1]).max() > 1e-3


def test_dropout_only_in_training() -> None:
    model, batch = small(), packed_batch()
    np.testing.assert_array_equal(np.asarray(model(batch)), np.asarray(model(batch)))
    first, second = (np.asarray(model(batch, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0.01


def test_mixed_precision_keeps_weights_in_float32() -> None:
    exact = np.asarray(small()(packed_batch()))
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = small()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    states = model(packed_batch())
    assert keras.backend.standardize_dtype(states.dtype) == "bfloat16"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    np.testing.assert_allclose(np.asarray(states, np.float32), exact, atol=0.15)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="dim 8 is not a multiple of heads 3"):
        CausalSelfAttention(8, 3)
