"""The forward pass without padding gives what the backbone of keras-hub gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfrec.text.architecture import Architecture
from tfrec.text.unpadded import BACKBONES, unpadded_states

SIZES = {"vocabulary_size": 50, "num_layers": 2, "num_heads": 2, "hidden_dim": 8}
LENGTH = 7


def made(kind: str, activation: str = "gelu") -> Any:
    """A backbone in which no weight has the value that leaves it without effect."""
    arguments = SIZES | {"intermediate_dim": 16, "max_sequence_length": LENGTH + 2}
    backbone = Architecture(kind, arguments, activation, 1e-6).build()
    random = np.random.default_rng(0)
    for weight in backbone.trainable_weights:
        weight.assign(random.normal(0.2, 0.5, weight.shape))
    return backbone


def tokens(kind: str, rows: int, seed: int = 1) -> dict[str, Any]:
    """Texts of 1 to `LENGTH` tokens, and the longest there may be."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, LENGTH + 1, rows)
    lengths[:1] = LENGTH
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int32)
    ids = random.integers(0, 50, (rows, LENGTH)).astype(np.int32)
    found = {"token_ids": tf.constant(ids), "padding_mask": tf.constant(mask)}
    if kind == "BertBackbone":
        found["segment_ids"] = tf.zeros_like(found["token_ids"])
    return found


def padded(backbone: Any, given: dict[str, Any]) -> Any:
    states = backbone(given, training=False)
    return states["sequence_output"] if isinstance(states, dict) else states


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu"])
@pytest.mark.parametrize("kind", BACKBONES)
def test_real_tokens_get_the_same_states(kind: str, activation: str) -> None:
    backbone, given = made(kind, activation), tokens(kind, 9)
    real = given["padding_mask"].numpy() > 0
    expected = padded(backbone, given).numpy()[real]
    graph = tf.function(lambda one: unpadded_states(backbone, one))
    for found in (unpadded_states(backbone, given), graph(given)):
        assert found.shape == (9, LENGTH, 8)
        np.testing.assert_allclose(found.numpy()[real], expected, rtol=1e-4, atol=1e-5)
    assert np.std(expected) > 0.1


@pytest.mark.parametrize("kind", BACKBONES)
def test_padding_changes_nothing(kind: str) -> None:
    backbone, given = made(kind), tokens(kind, 4)
    real = given["padding_mask"]
    other = given | {"token_ids": tf.where(real > 0, given["token_ids"], 7)}
    one, two = (unpadded_states(backbone, each).numpy() for each in (given, other))
    np.testing.assert_array_equal(one[real.numpy() > 0], two[real.numpy() > 0])


@pytest.mark.parametrize("rows", [0, 1])
def test_no_texts_and_no_tokens(rows: int) -> None:
    given = tokens("BertBackbone", rows)
    given["padding_mask"] = tf.zeros_like(given["padding_mask"])
    found = unpadded_states(made("BertBackbone"), given)
    assert found.shape == (rows, LENGTH, 8)
    assert np.isfinite(found.numpy()).all()


def test_low_rank_matrices_count() -> None:
    backbone, given = made("BertBackbone"), tokens("BertBackbone", 3)
    before = unpadded_states(backbone, given).numpy()
    layer = backbone.get_layer("transformer_layer_1")
    for dense in (layer._self_attention_layer._value_dense, layer._feedforward_output_dense):
        dense.enable_lora(2)
        dense.lora_kernel_b.assign(np.full(dense.lora_kernel_b.shape, 0.1))
    real = given["padding_mask"].numpy() > 0
    found = unpadded_states(backbone, given).numpy()[real]
    np.testing.assert_allclose(found, padded(backbone, given).numpy()[real], rtol=1e-4, atol=1e-5)
    assert np.abs(found - before[real]).max() > 1e-3
