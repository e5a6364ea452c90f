"""Small SavedModels of the two forms that TensorFlow Hub has for texts, written by TensorFlow."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text

from tests.text.tiny_tokenizers import bert_vocabulary

DIM, LENGTH = 16, 32
_STRINGS = tf.TensorSpec([None], tf.string)
_PIECES = tf.RaggedTensorSpec([None, None, None], tf.int32, 2)
_PARTS = ("input_word_ids", "input_mask", "input_type_ids")


class Preprocessing(tf.Module):
    """Strings -> what a BERT reads, with the functions that TensorFlow Hub's has beside."""

    def __init__(self, vocabulary: Path, numbers: dict[str, int]) -> None:
        super().__init__()
        file = tf.lookup.TextFileInitializer(
            *(str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
        )
        self._tokenizer = tensorflow_text.BertTokenizer(
            tf.lookup.StaticVocabularyTable(file, 1), lower_case=True, token_out_type=tf.int32
        )
        self._around = numbers["[CLS]"], numbers["[SEP]"]

    @tf.function(input_signature=[_STRINGS])
    def __call__(self, texts: Any) -> Any:
        return self._pack(self._tokenizer.tokenize(texts), LENGTH)

    @tf.function(input_signature=[_STRINGS])
    def tokenize(self, texts: Any) -> Any:
        return self._tokenizer.tokenize(texts)

    @tf.function(input_signature=[[_PIECES], tf.TensorSpec([], tf.int32)])
    def bert_pack_inputs(self, inputs: Any, seq_length: Any) -> Any:
        return self._pack(inputs[0], seq_length)

    def _pack(self, pieces: Any, length: Any) -> Any:
        cut = pieces.merge_dims(1, 2)[:, : length - 2]
        ids, types = tensorflow_text.combine_segments([cut], *self._around)
        ids, mask = tensorflow_text.pad_model_inputs(ids, length)
        types, _ = tensorflow_text.pad_model_inputs(types, length)
        return dict(zip(_PARTS, (ids, mask, types), strict=True))


class Transformer(tf.Module):
    """One head of attention, with dropout in training."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        made = np.random.default_rng(0).normal
        self.embeddings = tf.Variable(made(0, 1, (tokens, DIM)).astype(np.float32))
        self.query = tf.Variable(made(0, 0.3, (DIM, DIM)).astype(np.float32))
        self.pooler = tf.Variable(made(0, 0.3, (DIM, DIM)).astype(np.float32))
        self.calls = tf.Variable(0, trainable=False)

    @tf.function
    def __call__(self, inputs: Any, training: bool = False) -> Any:
        states = tf.gather(self.embeddings, inputs["input_word_ids"])
        if training:
            states = tf.nn.dropout(states, 0.5)
        padding = 1 - tf.cast(inputs["input_mask"], tf.float32)[:, None]
        alike = tf.matmul(states @ self.query, states, transpose_b=True)
        states = states + tf.nn.softmax(alike - 1e9 * padding) @ states
        return {"sequence_output": states, "pooled_output": tf.tanh(states[:, 0] @ self.pooler)}


class Words(tf.Module):
    """Strings -> the mean of the embeddings of their words."""

    def __init__(self, vocabulary: Path, tokens: int) -> None:
        super().__init__()
        file = tf.lookup.TextFileInitializer(
            *(str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
        )
        self.table = tf.lookup.StaticVocabularyTable(file, 1)
        made = np.random.default_rng(0).normal(0, 1, (tokens + 1, DIM))
        self.embeddings = tf.Variable(made.astype(np.float32))

    @tf.function(input_signature=[_STRINGS])
    def __call__(self, texts: Any) -> Any:
        words = self.table.lookup(tf.strings.split(tf.strings.lower(texts)))
        return tf.reduce_mean(tf.gather(self.embeddings, words), axis=1)


def write_bert(folder: Path, length: int | None = None) -> Path:
    """A folder with preprocess/ and encoder/, the latter for rows of one length or of any."""
    vocabulary = bert_vocabulary()
    numbers = {token: number for number, token in enumerate(vocabulary)}
    preprocessing = Preprocessing(_file(folder, vocabulary), numbers)
    encoder = Transformer(len(vocabulary) + 1)
    like = dict.fromkeys(_PARTS, tf.TensorSpec([None, length], tf.int32))
    for training in (False, True):
        encoder.__call__.get_concrete_function(like, training=training)
    tf.saved_model.save(preprocessing, str(folder / "preprocess"))
    tf.saved_model.save(encoder, str(folder / "encoder"))
    (folder / "vocab.txt").unlink()
    return folder


def write_words(folder: Path) -> Path:
    """A SavedModel that reads strings."""
    vocabulary = bert_vocabulary()
    file = _file(folder.with_name(folder.name + "-made"), vocabulary)
    tf.saved_model.save(Words(file, len(vocabulary)), str(folder))
    file.unlink()
    return folder


def _file(folder: Path, vocabulary: tuple[str, ...]) -> Path:
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return folder / "vocab.txt"
