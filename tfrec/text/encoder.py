"""Text encoders: strings -> vectors, as one Keras model with its tokenizer inside."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import keras
import tensorflow as tf

from tfrec.atomic import write_text
from tfrec.errors import UserError
from tfrec.text.architecture import Architecture
from tfrec.text.checkpoint import read_backbone
from tfrec.text.pooling import Pooling, pool, read_sentence
from tfrec.text.sources import download, is_preset, read_preset
from tfrec.text.tokenizer import Tokenizer
from tfrec.text.tokenizer_files import read_json, read_tokenizer
from tfrec.text.unpadded import BACKBONES, unpadded_states

# Files of an encoder's own folder. The first is written last: it says that the folder is whole.
ENCODER, TOKENIZER, WEIGHTS = "encoder.json", "tokenizer.json", "encoder.weights.h5"
_FORMAT = 1


class TextEncoder(Protocol):
    """What the rest of tfrec needs of a text encoder.

    Attributes:
        dim: width of a vector.
        fingerprint: hex SHA-256 over everything that decides a vector: weights, tokenizer,
            pooling, normalisation, greatest length.
        kept: what a SavedModel that reads texts has to hold beside its graphs: tables.
        weights: Keras weights that its graphs may read in fewer bits.
    """

    @property
    def dim(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def kept(self) -> list[Any]: ...

    @property
    def weights(self) -> list[Any]: ...

    def __call__(self, texts: tf.Tensor, training: bool = False) -> tf.Tensor:
        """string [N] -> float32 [N, dim]; also inside a tf.function."""


class Encoder(keras.Model):
    """A transformer with its tokenizer and pooling: string [N] -> float32 [N, dim].

    Arguments:
        architecture: of the transformer; it starts with random weights.
        tokenizer: strings -> token ids.
        pooling: token vectors -> the vector of a text.
        backbone: the transformer with its weights, where there is one already.

    Raises:
        UserError: the tokenizer has more tokens than the transformer, or longer texts.

    Example:
        >>> encoder = load_encoder("all-MiniLM-L6-v2")  # doctest: +SKIP
        >>> encoder(tf.constant(["hot coffee", "cold tea"])).shape  # doctest: +SKIP
        TensorShape([2, 384])
    """

    def __init__(
        self,
        architecture: Architecture,
        tokenizer: Tokenizer,
        pooling: Pooling,
        backbone: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        tokens, positions = (
            architecture.arguments[name] for name in ("vocabulary_size", "max_sequence_length")
        )
        if tokenizer.size > tokens:
            raise UserError(
                f"the tokenizer has {tokenizer.size} tokens, the model embeddings of {tokens}: "
                "the tokenizer's files and the weights are not of the same model"
            )
        if tokenizer.max_length > positions:
            raise UserError(
                f"max_length {tokenizer.max_length} is more than the {positions} positions that "
                "the model knows: take at most that many"
            )
        self.architecture, self.tokenizer, self.pooling = architecture, tokenizer, pooling
        self.backbone = architecture.build() if backbone is None else backbone
        self.built = True

    @property
    def dim(self) -> int:
        return int(self.architecture.arguments["hidden_dim"])

    @property
    def fingerprint(self) -> str:
        """Read off the weights as they are now: training changes it."""
        digest = hashlib.sha256(json.dumps(self._description(), sort_keys=True).encode())
        digest.update(self.tokenizer.definition.encode())
        for weight in self.backbone.variables:
            if "seed_generator" not in weight.path and not weight.path.startswith("pooled_dense"):
                digest.update(f"{weight.path} {weight.dtype} {weight.shape}".encode())
                # Where the tensor lies: a copy of all weights takes as long as hashing them.
                digest.update(memoryview(tf.convert_to_tensor(weight.value)))
        return digest.hexdigest()

    @property
    def kept(self) -> list[Any]:
        """The tokenizer's tables."""
        return [self.tokenizer]

    def tokenize(self, texts: Any) -> dict[str, Any]:
        """string [N] -> `token_ids` int32 and `padding_mask` bool [N, length]; for tf.data too."""
        return self.tokenizer(texts)

    def encode_tokens(self, tokens: dict[str, Any], training: bool = False) -> Any:
        """What `tokenize` returns -> float32 [N, dim]."""
        return pool(self.token_states(tokens, training), tokens["padding_mask"], self.pooling)

    def token_states(
        self, tokens: dict[str, Any], training: bool = False, unpadded: bool = False
    ) -> Any:
        """What `tokenize` returns -> a vector per token, [N, length, dim].

        Arguments:
            unpadded: spare the padding where that can be done, which is faster but nothing for XLA.
        """
        ids, mask = tokens["token_ids"], tokens["padding_mask"]
        inputs = {"token_ids": ids, "padding_mask": tf.cast(mask, tf.int32)}
        if self.architecture.backbone == "BertBackbone":
            inputs["segment_ids"] = tf.zeros_like(ids)
        exact = self.backbone.compute_dtype == "float32"
        if unpadded and exact and self.architecture.backbone in BACKBONES:
            return unpadded_states(self.backbone, inputs)
        states = self.backbone(inputs, training=training)
        return states["sequence_output"] if isinstance(states, dict) else states

    def call(self, texts: Any, training: bool = False) -> Any:
        tokens = self.tokenize(texts)
        states = self.token_states(tokens, training, unpadded=not training)
        return pool(states, tokens["padding_mask"], self.pooling)

    def save(self, folder: str | Path) -> None:
        """Writes a folder that `load_encoder` reads: encoder.json, tokenizer.json, weights.

        Raises:
            UserError: the folder cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ENCODER).unlink(missing_ok=True)
            self.backbone.save_weights(folder / WEIGHTS)
            write_text(folder / TOKENIZER, self.tokenizer.definition)
            write_text(folder / ENCODER, json.dumps(self._description(), indent=2) + "\n")
        except OSError as error:
            raise UserError(f"cannot write an encoder to {folder}: {error.strerror}") from None

    def _description(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "architecture": dataclasses.asdict(self.architecture),
            "pooling": dataclasses.asdict(self.pooling),
            "max_length": self.tokenizer.max_length,
            "lower": self.tokenizer.lower,
        }


def load_encoder(where: str | Path, max_length: int | None = None) -> Encoder:
    """Reads an encoder.

    Arguments:
        where: a folder, as `Encoder.save` or as Hugging Face's save_pretrained writes it, with or
            without the files of sentence-transformers; "hf:<id>" downloads one from the Hugging
            Face hub; "keras:<preset>" takes a preset of keras-hub.
        max_length: tokens that are kept of a text; by default what the folder says.

    Raises:
        UserError: a file that is missing, damaged or does not fit, or a model that is not
            supported. Supported are bert (MiniLM too), distilbert, roberta and gpt2.

    Example:
        >>> load_encoder("nowhere")
        Traceback (most recent call last):
        tfrec.errors.UserError: there is no folder nowhere...
    """
    where = str(where)
    if is_preset(where):
        return _from_preset(where, max_length)
    folder = download(where)
    if (folder / ENCODER).is_file():
        return _from_own(folder, max_length)
    return _from_hugging_face(folder, max_length)


def _from_own(folder: Path, max_length: int | None) -> Encoder:
    said = read_json(folder / ENCODER)
    if said.get("format") != _FORMAT:
        raise UserError(
            f"{folder / ENCODER} has format {said.get('format')!r}, this release reads {_FORMAT}: "
            "read it with the release that wrote it"
        )
    try:
        definition = (folder / TOKENIZER).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder / TOKENIZER} cannot be read: {error.strerror}") from None
    length = said["max_length"] if max_length is None else max_length
    encoder = Encoder(
        Architecture(**said["architecture"]),
        Tokenizer(definition, length, said["lower"]),
        Pooling(**said["pooling"]),
    )
    try:
        encoder.backbone.load_weights(folder / WEIGHTS)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{folder / WEIGHTS} cannot be read ({reason}): copy the folder again"
        ) from None
    return encoder


def _from_hugging_face(folder: Path, max_length: int | None) -> Encoder:
    said = read_sentence(folder)
    architecture, backbone = read_backbone(said.transformer)
    model_type = read_json(said.transformer / "config.json")["model_type"]
    positions = architecture.arguments["max_sequence_length"]
    length = max_length
    if length is None:
        # Without a limit, tokenizer_config.json has a number of 30 digits.
        config = read_json(said.transformer / "tokenizer_config.json", optional=True)
        length = min(said.max_length or config.get("model_max_length") or positions, positions)
    definition = read_tokenizer(said.transformer, model_type)
    pooling = said.pooling or Pooling("last" if architecture.decoder else "mean")
    tokenizer = Tokenizer(definition, length, said.lower)
    return Encoder(architecture, tokenizer, pooling, backbone)


def _from_preset(where: str, max_length: int | None) -> Encoder:
    architecture, backbone, definition = read_preset(where)
    positions = architecture.arguments["max_sequence_length"]
    tokenizer = Tokenizer(definition, positions if max_length is None else max_length)
    pooling = Pooling("last" if architecture.decoder else "mean")
    return Encoder(architecture, tokenizer, pooling, backbone)
