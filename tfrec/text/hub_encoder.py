"""Text encoders of TensorFlow Hub: SavedModels, strings -> vectors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # type: ignore[import-untyped]  # noqa: F401  registers its ops

from tfrec.atomic import write_text
from tfrec.errors import UserError
from tfrec.text.hub_files import ENCODER, POOLED, POOLING, PREPROCESSING, HubModel, find_hub
from tfrec.text.pooling import Pooling, pool

# What BERT's preprocessing gives and its encoder takes.
_IDS, _MASK, _TYPES = "input_word_ids", "input_mask", "input_type_ids"
_STATES = "sequence_output"
# Where an encoder that reads strings gives several outputs.
_DEFAULT = "default"
# Two special tokens and one of the text.
_SHORTEST = 3
_TRACES = ("Graph execution error", "Detected at node", "<stack traces")
_FORMS = (
    "Supported are TensorFlow 2 SavedModels of two forms: strings [N] -> vectors [N, dim], and "
    f"BERT's preprocessing, strings [N] -> {_IDS}, {_MASK} and {_TYPES} [N, length], with its "
    f"encoder, these -> {_STATES} [N, length, dim] or {POOLED} [N, dim]"
)


class HubEncoder:
    """SavedModels as an encoder: string [N] -> float32 [N, dim].

    Either one that reads strings, or BERT's preprocessing and encoder: then a vector is the mean of
    the token vectors, padding left out, unless the folder says otherwise; of an encoder without
    token vectors it is the encoder's own.

    Arguments:
        model: where they are.
        max_length: tokens that are kept of a text; by default what the preprocessing was made for,
            to which it pads the shortest text.

    Raises:
        UserError: a SavedModel that cannot be read or has another form, or that has no choice of
            the length.

    Example:
        >>> encoder = load_hub("tfhub:models/nnlm")  # doctest: +SKIP
        >>> encoder(tf.constant(["hot coffee", "cold tea"])).shape  # doctest: +SKIP
        TensorShape([2, 128])
    """

    def __init__(self, model: HubModel, max_length: int | None = None) -> None:
        self._model = model
        self._max_length = max_length
        self._preprocessing: Any = None
        if model.preprocessing is not None:
            self._preprocessing = _load(model.preprocessing)
        self._encoder = _load(model.encoder)
        self._keywords = {"training": False} if _takes_training(self._encoder) else {}
        self._check_length()
        self._dim = int(self._tried().shape[1])

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def fingerprint(self) -> str:
        """Of the files, not of what was loaded from them."""
        return hashlib.sha256(f"{self._model.digest} {self._max_length}".encode()).hexdigest()

    @property
    def kept(self) -> list[Any]:
        """Tables of tokens, with the files that they are filled from."""
        kinds = (tf.saved_model.experimental.TrackableResource, tf.saved_model.Asset)
        roots = filter(None, (self._preprocessing, self._encoder))
        found = [part for root in roots for part in tf.train.TrackableView(root).descendants()]
        return [part for part in found if isinstance(part, kinds)]

    @property
    def weights(self) -> list[Any]:
        """None that could be stored in fewer bits: the graphs were made for these."""
        return []

    @property
    def tokenizer(self) -> HubEncoder:
        """Itself: preprocessing is a part of it."""
        return self

    @property
    def pad_id(self) -> int:
        """Any: padding is masked."""
        return 0

    @property
    def variables(self) -> list[Any]:
        """What the encoder may learn by."""
        found = tf.train.TrackableView(self._encoder).descendants()
        return [part for part in found if isinstance(part, tf.Variable) and part.trainable]

    def __call__(self, texts: Any, training: bool = False) -> Any:
        return tf.ensure_shape(self._vectors(texts), [None, self._dim])

    def ragged(self, texts: Any) -> Any:
        """string [N] -> int32 [N, (tokens)], special ones included."""
        tokens = self._tokens(texts)
        return tf.ragged.boolean_mask(tokens[_IDS], tf.cast(tokens[_MASK], tf.bool))

    def encode_tokens(self, tokens: dict[str, Any], training: bool = False) -> Any:
        """`token_ids` int32 and `padding_mask` bool [N, length] -> float32 [N, dim]."""
        ids = tokens["token_ids"]
        mask = tf.cast(tokens["padding_mask"], ids.dtype)
        read = self._read({_IDS: ids, _MASK: mask, _TYPES: tf.zeros_like(ids)})
        return tf.ensure_shape(read, [None, self._dim])

    def must_learn(self) -> None:
        """Training reads tokens in rows as long as it likes, and changes variables.

        Raises:
            UserError: the encoder is not made for that.
        """
        where = self._model.encoder
        if self._preprocessing is None:
            raise UserError(
                f"{where} reads strings and has no tokens to learn from: leave out --text-tuning, "
                "or take an encoder with its preprocessing"
            )
        if not self.variables:
            raise UserError(f"{where} has no variables to train: leave out --text-tuning")
        text = tf.constant(["a longer text"])
        ids = self.ragged(text).to_tensor()
        try:
            found = self.encode_tokens({"token_ids": ids, "padding_mask": tf.ones_like(ids)})
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise UserError(
                f"{where} cannot be trained, it reads rows of one length only ({_reason(error)}): "
                "leave out --text-tuning"
            ) from None
        if not np.allclose(found, self(text), rtol=1e-2, atol=1e-3):
            raise UserError(
                f"{where} cannot be trained, its vectors depend on padding or on input_type_ids: "
                "leave out --text-tuning"
            )

    def save(self, folder: Path) -> None:
        """Writes a folder that `load_hub` reads, with the variables as they are now.

        Raises:
            UserError: it cannot be written.
        """
        try:
            assert self._model.preprocessing is not None  # without it, there is nothing to learn
            tf.saved_model.save(self._encoder, str(folder / ENCODER))
            there = folder / PREPROCESSING
            shutil.copytree(self._model.preprocessing, there, dirs_exist_ok=True)
            if self._model.pooling is not None:
                said = json.dumps(dataclasses.asdict(self._model.pooling))
                write_text(folder / POOLING, said + "\n")
        except (OSError, tf.errors.OpError) as error:
            raise UserError(f"cannot write an encoder to {folder}: {_reason(error)}") from None

    def _vectors(self, texts: Any) -> Any:
        if self._preprocessing is None:
            found = self._encoder(texts, **self._keywords)
            if isinstance(found, list | tuple) and len(found) == 1:
                found = found[0]
            return tf.cast(found[_DEFAULT] if isinstance(found, dict) else found, tf.float32)
        return self._read(self._tokens(texts))

    def _read(self, tokens: dict[str, Any]) -> Any:
        found = self._encoder(tokens, **self._keywords)
        pooling = self._model.pooling or Pooling("mean" if _STATES in found else POOLED)
        if pooling.mode != POOLED:
            return pool(found[_STATES], tf.cast(tokens[_MASK], tf.bool), pooling)
        vectors = tf.cast(found[POOLED], tf.float32)
        return tf.math.l2_normalize(vectors, axis=-1) if pooling.normalise else vectors

    def _tokens(self, texts: Any) -> Any:
        made = self._preprocessing
        if self._max_length is None:
            return made(texts)
        return made.bert_pack_inputs([made.tokenize(texts)], tf.constant(self._max_length))

    def _check_length(self) -> None:
        if self._max_length is None:
            return
        where = self._model.preprocessing or self._model.encoder
        if not all(hasattr(self._preprocessing, name) for name in ("tokenize", "bert_pack_inputs")):
            raise UserError(
                f"{where} has no choice of how many tokens are read (tokenize and "
                "bert_pack_inputs): leave out --text-max-length"
            )
        if self._max_length < _SHORTEST:
            raise UserError(
                f"--text-max-length {self._max_length} leaves no room for a text between two "
                f"special tokens, expected {_SHORTEST} or more"
            )

    def _tried(self) -> Any:
        """The vectors of two texts: what cannot be used is seen here."""
        where = " with ".join(str(folder) for folder in self._model[:2] if folder is not None)
        try:
            found = self._vectors(tf.constant(["a", "longer text"]))
        except (ValueError, TypeError, KeyError, AttributeError, tf.errors.OpError) as error:
            raise UserError(f"{where} cannot read texts ({_reason(error)}). {_FORMS}") from None
        if found.shape.rank != 2 or found.shape[0] != 2:
            raise UserError(f"{where} makes {found.shape} of two texts. {_FORMS}")
        return found


def load_hub(where: str, max_length: int | None = None) -> HubEncoder:
    """Reads the encoder that "tfhub:<...>" names, see `tfrec.text.hub_files.find_hub`.

    Raises:
        UserError: see there and `HubEncoder`.
    """
    return HubEncoder(find_hub(where), max_length)


def _load(folder: Path) -> Any:
    try:
        loaded = tf.saved_model.load(str(folder))
    # A file that ends too early shows as an IndexError.
    except (OSError, ValueError, LookupError, tf.errors.OpError) as error:
        reason = _reason(error)
        raise UserError(
            f"{folder} cannot be read ({reason}): copy or download its saved_model.pb, variables/ "
            "and assets/ again"
        ) from None
    if not callable(loaded):
        raise UserError(
            f"{folder} cannot be called: it is of TensorFlow 1, or was saved without __call__. "
            + _FORMS
        )
    return loaded


def _reason(error: Exception) -> str:
    """The first line that says something; TensorFlow puts traces around it."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_TRACES)]
    return (telling or [type(error).__name__])[0].removesuffix("Got:").rstrip(" .:")


def _takes_training(loaded: Any) -> bool:
    """Keras layers ask whether they are trained, plain modules may not."""
    kind = getattr(loaded.__call__, "function_type", None)
    return kind is not None and "training" in kind.parameters
