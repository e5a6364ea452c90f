"""Texts that are too long for an encoder, read in chunks: against NumPy, text by text."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.text.numpy_transformer import token_vectors
from tests.text.tiny_checkpoints import fast_tokenizer, write_checkpoint, write_sentence_files
from tfrec.text.catalogue_vectors import vectors_of
from tfrec.text.chunks import ChunkedEncoder
from tfrec.text.encoder import load_encoder
from tfrec.text.opening import open_encoder
from tfrec.text.options import TextConfig

LENGTH = 10
TEXTS = ["a", "", "one flew over the cuckoo's nest " * 4, "able man " * 7, "Amélie 霸王别姬 " * 9]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("bert")
    made = write_checkpoint(folder, "bert")
    write_sentence_files(folder, "mean_tokens", normalise=True)
    return folder, made


def cut(text: str) -> list[list[int]]:
    """Token ids in as few pieces as fit beside [CLS] and [SEP], as equal as can be."""
    ids = fast_tokenizer("bert").encode(text, add_special_tokens=False).ids
    count = max(1, -(-len(ids) // (LENGTH - 2)))
    ends = [number * len(ids) // count for number in range(count + 1)]
    return [ids[begin:end] for begin, end in itertools.pairwise(ends)]


def expected(bert: tuple[Path, Any], text: str) -> Any:
    config, tensors = bert[1]
    cls, *_, sep = fast_tokenizer("bert").encode("a").ids
    pieces = cut(text)
    means = [token_vectors(tensors, config, [cls, *ids, sep], "").mean(axis=0) for ids in pieces]
    weights = [len(ids) for ids in pieces] if pieces[0] else [1]
    vector = np.average(means, axis=0, weights=weights)
    return vector / np.linalg.norm(vector)


def test_a_vector_is_the_mean_over_chunks_by_their_tokens(bert: tuple[Path, Any]) -> None:
    encoder = load_encoder(bert[0], LENGTH)
    chunked = ChunkedEncoder(encoder)
    assert [len(cut(text)) > 1 for text in TEXTS] == [False, False, True, True, True]
    found = tf.function(chunked, input_signature=[tf.TensorSpec([None], tf.string)])(
        tf.constant(TEXTS)
    )
    np.testing.assert_allclose(found, [expected(bert, text) for text in TEXTS], atol=2e-5)
    plain = encoder(tf.constant(TEXTS)).numpy()
    np.testing.assert_allclose(found[:2], plain[:2], atol=1e-6)
    assert np.abs(found[2] - plain[2]).max() > 0.01
    assert chunked(tf.constant([], tf.string)).shape == (0, chunked.dim)


WORDS = st.lists(st.sampled_from(["one", "nest", "able", "a"]), max_size=40)


@settings(deadline=None, max_examples=25)
@given(st.lists(WORDS, min_size=1, max_size=5))
def test_chunks_hold_all_tokens_in_order(bert: tuple[Path, Any], words: list[list[str]]) -> None:
    encoder = load_cached(bert[0])
    texts = [" ".join(some) for some in words]
    chunks = ChunkedEncoder(encoder).chunks(tf.constant(texts))
    rows, of = chunks.tokens.to_list(), chunks.text.numpy()
    cls, *_, sep = fast_tokenizer("bert").encode("a").ids
    for number, text in enumerate(texts):
        mine = [row for row, at in zip(rows, of, strict=True) if at == number]
        assert [row[1:-1] for row in mine] == cut(text)
        assert all(row[0] == cls and row[-1] == sep and len(row) <= LENGTH for row in mine)
        weights = chunks.weights.numpy()[of == number]
        assert weights.sum() == pytest.approx(1, abs=1e-5)


_CACHED: dict[Path, Any] = {}


def load_cached(folder: Path) -> Any:
    return _CACHED.setdefault(folder, load_encoder(folder, LENGTH))


def test_the_option_decides_and_the_cache_keeps_both(
    bert: tuple[Path, Any], tmp_path: Path
) -> None:
    config = {"text_encoder": str(bert[0]), "text_max_length": LENGTH}
    whole = TextConfig(**config, long_texts="chunks")  # type: ignore[arg-type]
    begun = TextConfig(**config)  # type: ignore[arg-type]
    assert isinstance(open_encoder(whole), ChunkedEncoder)
    assert not isinstance(open_encoder(begun), ChunkedEncoder)
    found, cut_off = (vectors_of(TEXTS, some, tmp_path) for some in (whole, begun))
    np.testing.assert_allclose(found[2], expected(bert, TEXTS[2]), atol=2e-5)
    assert not found[1].any()
    assert np.abs(found[2] - cut_off[2]).max() > 0.01
    np.testing.assert_array_equal(vectors_of(TEXTS, whole, tmp_path), found)
