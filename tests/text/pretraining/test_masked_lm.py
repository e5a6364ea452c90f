"""The model that guesses masked tokens against NumPy, with heads of Hugging Face's checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from tests.text.numpy_transformer import ACTIVATIONS, token_vectors
from tests.text.tiny_checkpoints import DIM, PREFIXES, fast_tokenizer, write_checkpoint
from tfrec.errors import UserError
from tfrec.text.encoder import load_encoder
from tfrec.text.pretraining.head import assign_head, read_head, save_head
from tfrec.text.pretraining.masked_lm import MaskedLM
from tfrec.training.masked_objective import make_adamw, masked_loss

# Dense layer, norm and bias as transformers' BertForMaskedLM and the others of its kind name them.
NAMES = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"),
    "roberta": ("lm_head.dense", "lm_head.layer_norm"),
    "distilbert": ("vocab_transform", "vocab_layer_norm"),
}
BIASES = {
    "bert": "cls.predictions.bias",
    "roberta": "lm_head.bias",
    "distilbert": "vocab_projector.bias",
}


def write_with_head(folder: Path, family: str, **changes: Any) -> tuple[Any, Any]:
    config, tensors = write_checkpoint(folder, family, PREFIXES[family], **changes)
    random = np.random.default_rng(5)
    dense, norm = NAMES[family]
    head = {
        f"{dense}.weight": random.normal(size=(DIM, DIM)),
        f"{dense}.bias": random.normal(size=DIM),
        f"{norm}.weight": random.normal(1, 0.3, DIM),
        f"{norm}.bias": random.normal(size=DIM),
        BIASES[family]: random.normal(size=config["vocab_size"]),
    }
    tensors |= {name: value.astype(np.float32) for name, value in head.items()}
    save_file(tensors, folder / "model.safetensors")
    return config, tensors


def masked_lm(folder: Path) -> MaskedLM:
    model = MaskedLM(load_encoder(folder))
    model.build()
    head = read_head(str(folder))
    if head is not None:
        assign_head(model.head, head, str(folder))
    return model


def batch_of(family: str) -> tuple[dict[str, Any], list[list[int]]]:
    texts = [encoding.ids for encoding in fast_tokenizer(family).encode_batch(["one flew", "a"])]
    width = max(map(len, texts))
    ids, mask = np.ones((2, width), np.int32), np.zeros((2, width), np.int32)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    places = np.array([1, width + 1, 2, 0], np.int32)
    weights = np.array([0.5, 0.25, 0.25, 0], np.float32)
    targets = np.array([7, 9, 11, 0], np.int32)
    batch = {"token_ids": ids, "padding_mask": mask, "places": places}
    batch |= {"targets": targets, "weights": weights}
    return {name: tf.constant(value) for name, value in batch.items()}, texts


@pytest.mark.parametrize(
    ("family", "activation"), [("bert", "gelu_new"), ("roberta", "gelu"), ("distilbert", "relu")]
)
def test_logits_and_loss_are_those_of_numpy(tmp_path: Path, family: str, activation: str) -> None:
    name = "activation" if family == "distilbert" else "hidden_act"
    config, tensors = write_with_head(tmp_path, family, **{name: activation})
    batch, texts = batch_of(family)
    prefix = PREFIXES[family]
    dense, norm = NAMES[family]
    width = batch["token_ids"].shape[1]
    places = [divmod(place, width) for place in batch["places"].numpy()]
    states = np.stack(
        [token_vectors(tensors, config, texts[row], prefix)[column] for row, column in places]
    )
    x = ACTIVATIONS[activation](states @ tensors[f"{dense}.weight"].T + tensors[f"{dense}.bias"])
    x = x - x.mean(axis=1, keepdims=True)
    epsilon = 1e-12 if family == "distilbert" else config["layer_norm_eps"]
    x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + epsilon)
    x = x * tensors[f"{norm}.weight"] + tensors[f"{norm}.bias"]
    table = tensors[f"{prefix}embeddings.word_embeddings.weight"]
    expected = x @ table.T + tensors[BIASES[family]]

    model = masked_lm(tmp_path)
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        logits = model(batch)
        value = masked_loss(logits, batch)
    found = logits.numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)
    chosen = expected[np.arange(4), batch["targets"].numpy()]
    loss = batch["weights"].numpy() @ (np.log(np.exp(expected).sum(axis=1)) - chosen)
    assert float(value) == pytest.approx(loss, rel=1e-4)
    gradients = tape.gradient(value, [variable.value for variable in variables])
    assert all(gradient is not None for gradient in gradients)
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign_sub(1e-3 * tf.convert_to_tensor(gradient))
    assert float(masked_loss(model(batch), batch)) < float(value)


def test_other_names_of_the_bias_and_no_head_at_all(tmp_path: Path) -> None:
    write_with_head(tmp_path / "other", "bert")
    tensors = load_file(tmp_path / "other" / "model.safetensors")
    bias = tensors.pop("cls.predictions.bias")
    save_file(
        tensors | {"cls.predictions.decoder.bias": bias}, tmp_path / "other" / "model.safetensors"
    )
    head = read_head(str(tmp_path / "other"))
    assert head is not None
    np.testing.assert_array_equal(head[-1], bias)
    write_checkpoint(tmp_path / "none", "bert")
    assert read_head(str(tmp_path / "none")) is None


def test_a_head_goes_on_beside_an_encoder_of_our_own(tmp_path: Path) -> None:
    write_with_head(tmp_path / "bert", "bert")
    model = masked_lm(tmp_path / "bert")
    save_head([weight.numpy() for weight in model.head], tmp_path / "own")
    model.encoder.save(tmp_path / "own")
    batch, _ = batch_of("bert")
    again = masked_lm(tmp_path / "own")
    np.testing.assert_array_equal(again(batch), model(batch))
    with pytest.raises(UserError, match="not of one model"):
        assign_head(again.head, [weight[:-1] for weight in read_head(str(tmp_path / "own"))], "x")  # type: ignore[union-attr]
    (tmp_path / "own" / "masked_lm_head.npz").write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot be read"):
        read_head(str(tmp_path / "own"))


def test_a_decoder_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "gpt2")
    with pytest.raises(UserError, match="GPT-2 reads from left to right"):
        MaskedLM(load_encoder(tmp_path))


def test_weights_decay_but_biases_and_norms_do_not(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "bert")
    variables = masked_lm(tmp_path).trainable_variables
    before = [variable.numpy() for variable in variables]
    optimizer = make_adamw(variables, peak=0.1, warmup_steps=0, total_steps=10, decay=0.5)
    zeros = [tf.zeros(variable.shape) for variable in variables]
    optimizer.apply_gradients(zip(zeros, variables, strict=True))
    shrunken = 0
    for variable, value in zip(variables, before, strict=True):
        matrix = variable.name in ("kernel", "embeddings", "position_embeddings")
        shrunken += matrix
        np.testing.assert_allclose(
            variable.numpy(),
            value * (1 - 0.1 * 0.5) if matrix else value,
            rtol=1e-5,
            err_msg=variable.path,
        )
    assert shrunken == 3 + 2 * 6 + 1
