"""Texts of a request as vectors."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrec.text.cleaning import Cleaning, clean_in_graph
from tfrec.text.encoder import TextEncoder


class Texts(NamedTuple):
    """vectors: float32 [N, text_dim], 0 where nothing is said. known: bool [N], where it is."""

    vectors: Any
    known: Any


class TextReader:
    """Cleans texts and encodes them.

    One graph that all signatures share: an encoder is larger than everything else they do.

    Arguments:
        encoder: that the run was trained on.
        cleaning: how texts were cleaned for it.
    """

    def __init__(self, encoder: TextEncoder, cleaning: Cleaning) -> None:
        self._encoder = encoder
        self._cleaning = cleaning
        strings = tf.TensorSpec([None], tf.string)
        self._read = tf.function(self._texts, input_signature=[strings], autograph=False)

    def __call__(self, texts: Any) -> Texts:
        """string [N] -> `Texts`."""
        return Texts(*self._read(texts))

    def _texts(self, texts: Any) -> Texts:
        plain = clean_in_graph(texts, self._cleaning)
        known = tf.strings.length(plain) > 0
        return Texts(tf.where(known[:, None], self._encoder(plain), 0.0), known)
