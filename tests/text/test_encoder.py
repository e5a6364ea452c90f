"""Encoders of every family against a NumPy transformer, and what they promise as Keras models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from tests.text.numpy_transformer import token_vectors
from tests.text.tiny_checkpoints import (
    DIM,
    PREFIXES,
    fast_tokenizer,
    write_checkpoint,
    write_sentence_files,
)
from tfrec.text.encoder import Encoder, load_encoder

FAMILIES = ["bert", "distilbert", "roberta", "gpt2"]
TEXTS = [
    "Toy Story (1995)",
    "Amélie",
    "one flew over the cuckoo's nest",
    "霸王别姬",
    "a",
    "able man",
]


def ids_of(family: str, texts: list[str], length: int) -> list[list[int]]:
    fast = fast_tokenizer(family)
    fast.enable_truncation(length)
    return [encoding.ids for encoding in fast.encode_batch(texts)]


def reference(
    family: str, made: tuple[Any, Any], texts: list[str], mode: str, prefix: str = ""
) -> NDArray[np.float64]:
    config, tensors = made
    rows = []
    for ids in ids_of(family, texts, 48):
        states = token_vectors(tensors, config, ids, prefix)
        pooled = {
            "mean": states.mean(0),
            "max": states.max(0),
            "cls": states[0],
            "last": states[-1],
        }
        rows.append(pooled[mode])
    return np.stack(rows)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    made = {}
    for family in FAMILIES:
        folder = tmp_path_factory.mktemp(family)
        made[family] = (folder, write_checkpoint(folder, family))
    return made


@pytest.fixture(scope="module")
def encoders(folders: dict[str, tuple[Path, Any]]) -> dict[str, Encoder]:
    return {family: load_encoder(folder) for family, (folder, _) in folders.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_the_numpy_transformer(
    family: str, folders: Any, encoders: dict[str, Encoder]
) -> None:
    mode = "last" if family == "gpt2" else "mean"
    expected = reference(family, folders[family][1], TEXTS, mode)
    found = encoders[family](tf.constant(TEXTS)).numpy()
    assert found.shape == (len(TEXTS), DIM)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "activation"),
    [
        ("bert", "gelu_new"),
        ("bert", "relu"),
        ("roberta", "gelu_new"),
        ("distilbert", "relu"),
        ("gpt2", "gelu"),
    ],
)
def test_activation_and_prefix_are_those_of_the_checkpoint(
    tmp_path: Path, family: str, activation: str
) -> None:
    name = {"distilbert": "activation", "gpt2": "activation_function"}.get(family, "hidden_act")
    made = write_checkpoint(tmp_path, family, PREFIXES[family], **{name: activation})
    mode = "last" if family == "gpt2" else "mean"
    expected = reference(family, made, TEXTS[:2], mode, PREFIXES[family])
    found = load_encoder(tmp_path)(tf.constant(TEXTS[:2])).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("flag", "mode"), [("cls_token", "cls"), ("max_tokens", "max")])
def test_pooling_and_length_come_from_the_folder(tmp_path: Path, flag: str, mode: str) -> None:
    made = write_checkpoint(tmp_path, "bert")
    write_sentence_files(tmp_path, flag, max_seq_length=10)
    encoder = load_encoder(tmp_path)
    assert encoder.tokenizer.max_length == 10
    assert load_encoder(tmp_path, max_length=7).tokenizer.max_length == 7
    expected = reference("bert", made, TEXTS[:1], mode)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = encoder(tf.constant(TEXTS[:1])).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_has_the_same_vector_in_any_company(
    family: str, encoders: dict[str, Encoder]
) -> None:
    encoder = encoders[family]
    together = encoder(tf.constant([*TEXTS, "long " * 40])).numpy()[:-1]
    alone = np.concatenate([encoder(tf.constant([text])).numpy() for text in TEXTS])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_without_words_and_no_texts_at_all(family: str, encoders: dict[str, Encoder]) -> None:
    encoder = encoders[family]
    vectors = encoder(tf.constant(["", " ", "\x00"])).numpy()
    assert np.isfinite(vectors).all()
    if family == "gpt2":
        # Nothing marks the ends of its texts, so there is no token to read.
        np.testing.assert_array_equal(vectors[0], 0)
    assert encoder(tf.constant([], tf.string)).shape == (0, DIM)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_saved_and_loaded_it_is_the_same(
    tmp_path: Path, family: str, encoders: dict[str, Encoder]
) -> None:
    encoder = encoders[family]
    encoder.save(tmp_path / "own")
    loaded = load_encoder(tmp_path / "own")
    assert loaded.fingerprint == encoder.fingerprint
    texts = tf.constant(TEXTS)
    np.testing.assert_array_equal(loaded(texts).numpy(), encoder(texts).numpy())
    shorter = load_encoder(tmp_path / "own", max_length=5)
    assert shorter.fingerprint != encoder.fingerprint
    assert shorter.tokenize(texts)["token_ids"].shape[1] == 5


def test_the_fingerprint_follows_weights_tokenizer_and_pooling(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "bert")
    encoder = load_encoder(tmp_path)
    seen = {encoder.fingerprint, load_encoder(tmp_path).fingerprint}
    assert len(seen) == 1
    weight = encoder.trainable_variables[0]
    weight.assign(weight + 1e-3)
    seen.add(encoder.fingerprint)
    write_sentence_files(tmp_path, "mean_tokens", normalise=False)
    assert load_encoder(tmp_path).fingerprint in seen  # the same as without these files
    write_sentence_files(tmp_path, "mean_tokens")
    seen.add(load_encoder(tmp_path).fingerprint)
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    seen.add(load_encoder(tmp_path).fingerprint)
    assert len(seen) == 4


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_every_weight_and_dropout_only_training(family: str, folders: Any) -> None:
    encoder = load_encoder(folders[family][0])
    texts = tf.constant(TEXTS)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(encoder(texts, training=True) ** 3)
    gradients = tape.gradient(loss, [v.value for v in encoder.trainable_variables])
    assert np.isfinite(loss)
    for variable, gradient in zip(encoder.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        # No key's bias changes a softmax over keys.
        if "key/bias" not in variable.path and "segment" not in variable.path:
            assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path
    plain = encoder(texts).numpy()
    np.testing.assert_array_equal(plain, encoder(texts).numpy())
    assert np.abs(encoder(texts, training=True).numpy() - plain).max() > 1e-3


def test_tokenising_in_a_data_pipeline_is_the_same(encoders: dict[str, Encoder]) -> None:
    encoder = encoders["roberta"]
    batches = tf.data.Dataset.from_tensor_slices(TEXTS).batch(3).map(encoder.tokenize)
    found = np.concatenate([encoder.encode_tokens(tokens).numpy() for tokens in batches])
    expected = encoder(tf.constant(TEXTS)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_lengths_are_multiples_of_eight_up_to_the_greatest(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "bert")
    encoder = load_encoder(tmp_path, max_length=20)
    widths = [
        encoder.tokenize(tf.constant([text]))["token_ids"].shape[1]
        for text in ("a", "a " * 6, "a " * 7, "a " * 15, "a " * 90)
    ]
    assert widths == [8, 8, 16, 20, 20]


def test_a_saved_model_takes_strings_in_a_fresh_process(
    tmp_path: Path, encoders: dict[str, Encoder]
) -> None:
    """One of WordPiece and one of byte pairs."""
    families = ["bert", "gpt2"]

    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoders = [encoders[family] for family in families]

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def vectors(self, texts: Any) -> Any:
            return tf.stack([encoder(texts) for encoder in self.encoders])

    tf.saved_model.save(Served(), str(tmp_path / "model"))
    np.save(tmp_path / "texts.npy", np.array(TEXTS))
    program = f"""
import numpy as np, tensorflow as tf, tensorflow_text
folder = {str(tmp_path)!r}
model = tf.saved_model.load(folder + "/model")
texts = np.load(folder + "/texts.npy")
np.save(folder + "/vectors.npy", model.vectors(tf.constant(texts)).numpy())
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    expected = [encoders[family](tf.constant(TEXTS)).numpy() for family in families]
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), expected, rtol=1e-5, atol=1e-5)
