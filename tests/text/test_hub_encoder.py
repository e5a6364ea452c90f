"""Encoders of TensorFlow Hub: both forms, where they come from, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.text.tiny_saved_models import DIM, LENGTH, write_bert, write_words
from tfrec.errors import UserError
from tfrec.text.hub_encoder import load_hub
from tfrec.text.hub_files import HubModel, find_hub
from tfrec.text.options import TextConfig
from tfrec.text.pretraining.options import PretrainingConfig

TEXTS = ["The quick brown fox", "naïve café, 東京", "x", "jumped over the lazy dog " * 20]
HANDLE = "somebody/tiny/tensorFlow2/words/2"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("hub") / "bert")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words(tmp_path_factory.mktemp("hub") / "words")


def states(bert: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the SavedModels themselves make of the texts: token vectors, mask, pooled."""
    tokens = tf.saved_model.load(str(bert / "preprocess"))(tf.constant(TEXTS))
    found = tf.saved_model.load(str(bert / "encoder"))(tokens, training=False)
    mask = tokens["input_mask"].numpy() > 0
    return found["sequence_output"].numpy(), mask, found["pooled_output"].numpy()


def test_bert_is_the_mean_of_its_tokens(bert: Path) -> None:
    every, mask, _ = states(bert)
    assert mask.sum(axis=1).min() == 3
    assert mask.sum(axis=1).max() == LENGTH
    expected = np.stack([row[real].mean(axis=0) for row, real in zip(every, mask, strict=True)])
    encoder = load_hub(f"tfhub:{bert}")
    assert encoder.dim == DIM
    np.testing.assert_allclose(encoder(tf.constant(TEXTS)), expected, rtol=1e-5, atol=1e-5)
    apart = load_hub(f"tfhub:{bert / 'preprocess'}, {bert / 'encoder'}")
    np.testing.assert_allclose(apart(tf.constant(TEXTS)), expected, rtol=1e-5, atol=1e-5)
    assert apart.fingerprint == encoder.fingerprint


def test_the_folder_says_how_tokens_are_pooled(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "bert")
    every, _, pooled = states(bert)
    length = np.linalg.norm(pooled, axis=1, keepdims=True)
    seen = []
    for mode, normalise, expected in (
        ("cls", False, every[:, 0]),
        ("pooled_output", True, pooled / length),
    ):
        said = json.dumps({"mode": mode, "normalise": normalise})
        (tmp_path / "bert" / "pooling.json").write_text(said)
        encoder = load_hub(f"tfhub:{tmp_path / 'bert'}")
        np.testing.assert_allclose(encoder(tf.constant(TEXTS)), expected, rtol=1e-5, atol=1e-5)
        seen.append(encoder.fingerprint)
    assert seen[0] != seen[1]


def test_fewer_tokens_are_read_where_the_preprocessing_can(bert: Path, words: Path) -> None:
    encoders = load_hub(f"tfhub:{bert}"), load_hub(f"tfhub:{bert}", 12)
    whole, cut = (encoder(tf.constant(TEXTS)).numpy() for encoder in encoders)
    np.testing.assert_allclose(cut[2], whole[2], rtol=1e-5, atol=1e-5)
    assert np.abs(cut[3] - whole[3]).max() > 1e-3
    assert encoders[0].fingerprint != encoders[1].fingerprint
    with pytest.raises(UserError, match="leaves no room"):
        load_hub(f"tfhub:{bert}", 2)
    with pytest.raises(UserError, match=r"words has no choice .* leave out --text-max-length"):
        load_hub(f"tfhub:{words}", 12)


def test_an_encoder_that_reads_strings(words: Path, tmp_path: Path) -> None:
    expected = tf.saved_model.load(str(words))(tf.constant(TEXTS))
    encoder = load_hub(f"tfhub:{words}")
    np.testing.assert_array_equal(encoder(tf.constant(TEXTS)), expected)
    # The same files elsewhere are the same encoder, others are not.
    shutil.copytree(words, tmp_path / "words")
    there = encoder.fingerprint
    assert load_hub(f"tfhub:{tmp_path / 'words'}").fingerprint == there
    vocabulary = tmp_path / "words" / "assets" / "vocab.txt"
    vocabulary.write_bytes(vocabulary.read_bytes().replace(b"\nx\n", b"\nxyzzy\n"))
    assert load_hub(f"tfhub:{tmp_path / 'words'}").fingerprint != there


def test_a_handle_is_what_kagglehub_has_of_it(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    cached = tmp_path / "models" / HANDLE
    shutil.copytree(words, cached)
    cached.with_name("2.complete").touch()
    for name in (HANDLE, f"https://www.kaggle.com/models/{HANDLE}"):
        assert find_hub(f"tfhub:{name}") == HubModel(None, cached)


def test_a_download_that_fails_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    # Nobody listens there.
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"tiny/.* cannot be downloaded .*give its folder"):
        load_hub(f"tfhub:{HANDLE}")


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _with_signature_only(folder: Path) -> None:
    """As Keras exports a model."""
    made = tf.Module()
    made.scale = tf.Variable(1.0)
    graph = tf.function(lambda x: {"y": made.scale * x}).get_concrete_function(
        tf.TensorSpec([None], tf.float32)
    )
    shutil.rmtree(folder)
    tf.saved_model.save(made, str(folder), signatures=graph)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda at: shutil.rmtree(at / "preprocess"), "preprocess/saved_model.pb is missing"),
        (lambda at: (at / "encoder" / "saved_model.pb").unlink(), "encoder/saved_model.pb is miss"),
        (lambda at: shutil.rmtree(at / "encoder" / "variables"), "variables/variables.*copy or"),
        (lambda at: _half(at / "encoder" / "saved_model.pb"), "encoder cannot be read .*parse"),
        (lambda at: _half(next(at.glob("encoder/*/*.data*"))), "encoder cannot be read"),
        (lambda at: _half(at / "encoder/variables/variables.index"), "encoder cannot be read"),
        (lambda at: shutil.rmtree(at / "preprocess/assets"), "preprocess cannot be read.*vocab"),
        (lambda at: _with_signature_only(at / "encoder"), "encoder cannot be called"),
        (lambda at: (at / "pooling.json").write_text('{"mode": "sum"}'), "pooling.json holds"),
    ],
)
def test_a_damaged_folder_is_named(
    bert: Path, tmp_path: Path, harm: Callable[[Path], object], said: str
) -> None:
    shutil.copytree(bert, tmp_path / "bert")
    harm(tmp_path / "bert")
    with pytest.raises(UserError, match=said):
        load_hub(f"tfhub:{tmp_path / 'bert'}")


def test_what_is_no_encoder_of_texts_is_refused(bert: Path, words: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"encoder cannot read texts .*of two forms"):
        load_hub(f"tfhub:{bert / 'encoder'}")
    with pytest.raises(UserError, match=r"preprocess makes .*of two forms|cannot read texts"):
        load_hub(f"tfhub:{bert / 'preprocess'}")
    with pytest.raises(UserError, match="cannot read texts"):
        load_hub(f"tfhub:{bert / 'preprocess'},{words}")
    with pytest.raises(UserError, match=r"no saved_model\.pb\. Supported are"):
        load_hub(f"tfhub:{tmp_path}")
    with pytest.raises(UserError, match="there is no folder nowhere"):
        load_hub("tfhub:nowhere")
    with pytest.raises(UserError, match="moved to Kaggle"):
        load_hub("tfhub:https://tfhub.dev/google/universal-sentence-encoder/4")
    with pytest.raises(UserError, match="names no one or two"):
        load_hub("tfhub:a,b,c")


def test_what_learns_reads_rows_of_any_length(bert: Path, tmp_path: Path) -> None:
    load_hub(f"tfhub:{bert}").must_learn()
    encoder = load_hub(f"tfhub:{write_bert(tmp_path / 'fixed', length=LENGTH)}")
    with pytest.raises(UserError, match="encoder cannot be trained, it reads rows of one length"):
        encoder.must_learn()


def test_what_is_refused_before_any_work() -> None:
    with pytest.raises(UserError, match="--long-texts chunks cannot cut"):
        TextConfig(text_encoder="tfhub:a", long_texts="chunks")
    with pytest.raises(UserError, match="a name is missing"):
        TextConfig(text_encoder="tfhub:")
    with pytest.raises(UserError, match="--encoder tfhub:a"):
        PretrainingConfig(encoder="tfhub:a")
