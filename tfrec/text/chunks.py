"""Texts longer than an encoder reads, in chunks whose vectors are averaged."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, NamedTuple

import tensorflow as tf

from tfrec.text.encoder import Encoder
from tfrec.text.pooling import pool
from tfrec.text.ragged import beside, repeated


class Chunks(NamedTuple):
    """Texts cut into pieces that an encoder can read.

    Attributes:
        tokens: int32 [C, (tokens)], special ones around each piece.
        text: which text a chunk is of, ascending, [C]. Each has at least one.
        weights: float32 [C], tokens of the chunk as shares of those of its text.
    """

    tokens: Any
    text: Any
    weights: Any


class ChunkedEncoder:
    """An encoder that reads all of a text: string [N] -> float32 [N, dim].

    A text of more tokens than the encoder reads at once is cut into as few chunks as will do, of
    about equal length. Each is read and pooled as a text of its own; the mean of these vectors,
    weighted by tokens, is the vector of the text, scaled to length 1 where the encoder does that.
    A text that fits has the vector that the encoder gives it. Everything is done by operations of
    TensorFlow, so that a SavedModel gives the same answer.

    Arguments:
        encoder: what reads a chunk.

    Example:
        >>> encoder = ChunkedEncoder(load_encoder("all-MiniLM-L6-v2"))  # doctest: +SKIP
        >>> encoder(tf.constant(["a long story " * 500])).shape         # doctest: +SKIP
        TensorShape([1, 384])
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._pooling = dataclasses.replace(encoder.pooling, normalise=False)

    @property
    def dim(self) -> int:
        return self._encoder.dim

    @property
    def fingerprint(self) -> str:
        """Another one than the encoder's: long texts have other vectors."""
        return hashlib.sha256(f"chunks {self._encoder.fingerprint}".encode()).hexdigest()

    @property
    def kept(self) -> list[Any]:
        """The encoder's."""
        return self._encoder.kept

    @property
    def weights(self) -> list[Any]:
        """The encoder's."""
        return list(self._encoder.weights)

    def __call__(self, texts: Any, training: bool = False) -> Any:
        chunks = self.chunks(texts)
        tokens = self._encoder.tokenizer.pad(chunks.tokens)
        states = self._encoder.token_states(tokens, training, unpadded=not training)
        vectors = pool(states, tokens["padding_mask"], self._pooling)
        found = tf.math.segment_sum(vectors * chunks.weights[:, tf.newaxis], chunks.text)
        if self._encoder.pooling.normalise:
            found = tf.math.l2_normalize(found, axis=-1, epsilon=1e-24)
        return tf.ensure_shape(found, [None, self.dim])

    def chunks(self, texts: Any) -> Chunks:
        """string [N] -> the chunks of the texts, C of them."""
        tokenizer = self._encoder.tokenizer
        room = tokenizer.max_length - len(tokenizer.prefix) - len(tokenizer.suffix)
        with tf.device("/CPU:0"):
            pieces = tokenizer.pieces(texts)
            lengths = tf.cast(pieces.row_lengths(), tf.int32)  # [N]
            counts = tf.maximum(-(-lengths // room), 1)
            text = tf.repeat(tf.range(tf.size(counts)), counts)  # [C]
            number = tf.range(tf.size(text)) - tf.repeat(tf.cumsum(counts, exclusive=True), counts)
            length, count = tf.gather(lengths, text), tf.gather(counts, text)
            sizes = (number + 1) * length // count - number * length // count
            cut = tf.RaggedTensor.from_row_lengths(pieces.flat_values, sizes, validate=False)
            total = cut.nrows()
            parts = [repeated(tokenizer.prefix, total), cut, repeated(tokenizer.suffix, total)]
            whole = tf.cast(tf.maximum(length, 1), tf.float32)
            weights = tf.where(length > 0, tf.cast(sizes, tf.float32) / whole, 1.0)
            return Chunks(beside(parts), text, weights)
