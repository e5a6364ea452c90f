"""Which weights are trained, LoRA against NumPy, its file, and rates by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.text.tiny_checkpoints import LAYERS, write_checkpoint
from tfrec.errors import UserError
from tfrec.text.encoder import Encoder, load_encoder
from tfrec.text.tuning.adapters import apply_adapters, save_adapters
from tfrec.text.tuning.options import TuningConfig
from tfrec.text.tuning.weights import depth, trained_weights
from tfrec.training.text_optimizer import with_encoder

FAMILIES = ["bert", "distilbert", "roberta", "gpt2"]
TOKENS = {
    "token_ids": tf.constant([[3, 5, 4, 0], [2, 6, 7, 1]]),
    "padding_mask": tf.constant([[True, True, True, False], [True] * 4]),
}
LORA = TuningConfig(text_tuning="lora", lora_rank=3, lora_alpha=6)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {family: tmp_path_factory.mktemp(family) for family in FAMILIES}
    for family, folder in made.items():
        write_checkpoint(folder, family)
    return made


def filled(encoder: Encoder) -> dict[str, Any]:
    """Random LoRA matrices, as training would leave them, by their paths."""
    random = np.random.default_rng(0)
    weights = trained_weights(encoder, LORA)
    for weight in weights:
        weight.assign(random.normal(size=weight.shape, scale=0.5).astype(np.float32))
    return {weight.path: weight.numpy() for weight in weights}


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_begins_as_the_encoder_was_and_is_saved_as_the_sum(
    folders: dict[str, Path], family: str, tmp_path: Path
) -> None:
    plain, encoder = load_encoder(folders[family]), load_encoder(folders[family])
    before = plain.encode_tokens(TOKENS).numpy()
    weights = trained_weights(encoder, LORA)
    assert len(weights) == LAYERS * 2 * 2  # of query and value: an A and a B
    np.testing.assert_array_equal(encoder.encode_tokens(TOKENS), before)

    encoder = load_encoder(folders[family])
    matrices = filled(encoder)
    tuned = encoder.encode_tokens(TOKENS).numpy()
    assert np.abs(tuned - before).max() > 0.1
    encoder.save(tmp_path / "encoder")
    merged = load_encoder(tmp_path / "encoder")
    own = {weight.path: weight.numpy() for weight in merged.backbone.variables}
    begun = {weight.path: weight.numpy() for weight in plain.backbone.variables}
    changed = set()
    for path in matrices:
        layer, _, name = path.rpartition("/")
        if name == "lora_kernel_a":
            product = np.einsum("dhr,rk->dhk", matrices[path], matrices[f"{layer}/lora_kernel_b"])
            kernel = f"{layer}/kernel"
            np.testing.assert_allclose(own[kernel], begun[kernel] + 2 * product, atol=1e-6)
            changed.add(kernel)
    assert len(changed) == 2 * LAYERS
    for path in begun.keys() - changed:
        if "seed_generator" not in path:
            np.testing.assert_array_equal(own[path], begun[path])
    np.testing.assert_allclose(merged.encode_tokens(TOKENS), tuned, atol=1e-4)

    save_adapters(encoder, LORA, tmp_path / "adapters.safetensors")
    again = apply_adapters(plain, tmp_path / "adapters.safetensors")
    np.testing.assert_array_equal(again.encode_tokens(TOKENS), tuned)


def test_last_layers_and_full(folders: dict[str, Path]) -> None:
    for family in FAMILIES:
        encoder = load_encoder(folders[family])
        last = {w.path for w in trained_weights(encoder, TuningConfig(text_tuning="last:1"))}
        assert {path.split("/")[0] for path in last} == {"transformer_layer_1"} | (
            {"layer_norm"} if family == "gpt2" else set()
        )
        full = trained_weights(encoder, TuningConfig(text_tuning="full"))
        depths = [depth(weight, LAYERS) for weight in full]
        assert depths == sorted(depths)
        assert set(depths) == {0, 1, 2}
        everything = {
            weight.path
            for weight in encoder.backbone.variables
            if "seed_generator" not in weight.path and not weight.path.startswith("pooled_dense")
        }
        assert {weight.path for weight in full} == everything


def test_what_the_encoder_lacks_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    encoder = load_encoder(folders["gpt2"])
    with pytest.raises(UserError, match=r"--lora-targets q_proj: .* attention_output, .* query, v"):
        trained_weights(encoder, TuningConfig(text_tuning="lora", lora_targets=["q_proj"]))
    with pytest.raises(UserError, match=r"the encoder has 2 layers. Take at most last:2"):
        trained_weights(encoder, TuningConfig(text_tuning="last:3"))
    filled(encoder)
    with pytest.raises(UserError, match="has LoRA matrices already"):
        filled(encoder)
    file = tmp_path / "adapters.safetensors"
    save_adapters(encoder, LORA, file)
    with pytest.raises(UserError, match="was not trained beside this encoder"):
        apply_adapters(load_encoder(folders["bert"]), file)
    with pytest.raises(UserError, match="there is no file"):
        apply_adapters(load_encoder(folders["bert"]), tmp_path / "nothing")
    file.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="holds no LoRA matrices"):
        apply_adapters(load_encoder(folders["bert"]), file)


def step(
    folder: Path, gradient: float, **options: float
) -> tuple[list[Any], list[np.ndarray[Any, Any]], float]:
    """One step of full tuning: the encoder's weights, what they were, and a weight of the ledger.

    Every gradient is the same number.
    """
    encoder = load_encoder(folder)
    config = TuningConfig(text_tuning="full", text_learning_rate=0.1, **options)  # type: ignore[arg-type]
    weights = trained_weights(encoder, config)
    own = keras.Variable([1.0])
    ledger = keras.optimizers.SGD(1.0)
    ledger.build([own])
    optimizer = with_encoder(ledger, 1, encoder, weights, config, total_steps=1000)
    before = [weight.numpy() for weight in weights]
    optimizer.apply_gradients((gradient * tf.ones_like(w), w) for w in [own, *weights])
    return weights, before, float(own.numpy()[0])


def test_lower_layers_learn_more_slowly(folders: dict[str, Path]) -> None:
    """Adam's first step is the learning rate, whatever the gradient: it shows every rate."""
    options = {"text_layer_decay": 0.5, "text_warmup": 0.0, "text_weight_decay": 0.0}
    weights, before, own = step(folders["bert"], 1.0, **options)
    assert own == 0.0
    for weight, old in zip(weights, before, strict=True):
        rate = 0.1 * 0.5 ** (LAYERS - depth(weight, LAYERS))
        np.testing.assert_allclose(old - weight.numpy(), rate, rtol=1e-3)


def test_biases_and_norms_do_not_decay(folders: dict[str, Path]) -> None:
    weights, before, own = step(folders["bert"], 0.0, text_warmup=0.0, text_weight_decay=0.5)
    assert own == 1.0
    for weight, old in zip(weights, before, strict=True):
        shrunken = not np.array_equal(weight.numpy(), old)
        assert shrunken == (weight.name in ("kernel", "embeddings")), weight.path
