"""Token vectors -> one vector per text, as a sentence-transformers folder asks for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrec.errors import UserError
from tfrec.text.tokenizer_files import read_json

MODES = ("mean", "cls", "max", "last")
# sentence-transformers' flags for them.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}


@dataclasses.dataclass(frozen=True)
class Pooling:
    """How token vectors become the vector of a text.

    Attributes:
        mode: "mean" or "max" over the tokens, "cls" for the first, "last" for the last one.
        normalise: whether the vector is scaled to length 1.
    """

    mode: str = "mean"
    normalise: bool = False


@dataclasses.dataclass(frozen=True)
class Sentence:
    """What a folder says beside the model itself.

    Attributes:
        transformer: the folder of the model: the folder itself, or one in it.
        pooling: see `Pooling`; None where it is not said.
        max_length: tokens of a text, None where it is not said.
        lower: whether texts are put into lower case before they are tokenised.
    """

    transformer: Path
    pooling: Pooling | None = None
    max_length: int | None = None
    lower: bool = False


def pool(states: Any, mask: Any, pooling: Pooling) -> Any:
    """Pools token vectors (Reimers & Gurevych, EMNLP 2019, arXiv 1908.10084, §3).

    Arguments:
        states: [N, length, dim].
        mask: bool [N, length], True = real; the real tokens come first.
        pooling: see `Pooling`.

    Returns:
        float32 [N, dim]; zeros for a text without tokens.

    Example:
        >>> states = tf.constant([[[1.0, 0.0], [3.0, 4.0], [9.0, 9.0]]])
        >>> mask = tf.constant([[True, True, False]])
        >>> pool(states, mask, Pooling("mean")).numpy().tolist()
        [[2.0, 2.0]]
        >>> pool(states, mask, Pooling("last", normalise=True)).numpy().round(1)
        array([[0.6, 0.8]], dtype=float32)
    """
    states = tf.cast(states, tf.float32)
    real = tf.cast(mask, tf.float32)[..., tf.newaxis]  # [N, length, 1]
    count = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)  # [N]
    if pooling.mode == "mean":
        tokens = tf.maximum(tf.reduce_sum(real, axis=1), 1.0)
        vectors = tf.reduce_sum(states * real, axis=1) / tokens
    elif pooling.mode == "max":
        vectors = tf.reduce_max(tf.where(real > 0, states, states.dtype.min), axis=1)
    elif pooling.mode == "cls":
        vectors = states[:, 0]
    elif pooling.mode == "last":
        vectors = tf.gather(states, tf.maximum(count - 1, 0), axis=1, batch_dims=1)
    else:
        raise ValueError(f"pooling mode must be one of {', '.join(MODES)}, got {pooling.mode!r}")
    vectors = tf.where(count[:, tf.newaxis] > 0, vectors, 0.0)
    if pooling.normalise:
        vectors = tf.math.l2_normalize(vectors, axis=-1, epsilon=1e-24)
    return vectors


def read_sentence(folder: Path) -> Sentence:
    """Reads `modules.json` and the files that it names.

    Arguments:
        folder: of a checkpoint, with or without the files of sentence-transformers.

    Raises:
        UserError: a module or a pooling that is not supported.

    Example:
        >>> read_sentence(Path("bert"))
        Sentence(transformer=PosixPath('bert'), pooling=None, max_length=None, lower=False)
    """
    path = folder / "modules.json"
    if not path.is_file():
        return Sentence(folder)
    transformer, mode, normalise = folder, None, False
    for module in _modules(path):
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind == "Transformer":
            transformer = folder / module.get("path", "")
        elif kind == "Pooling":
            mode = _mode(folder / module["path"] / "config.json")
        elif kind == "Normalize":
            normalise = True
        else:
            raise UserError(
                f"{path} has a module of type {module.get('type')!r}: only Transformer, Pooling "
                "and Normalize are supported. Take a model that is made of these"
            )
    settings = read_json(transformer / "sentence_bert_config.json", optional=True)
    return Sentence(
        transformer,
        None if mode is None else Pooling(mode, normalise),
        settings.get("max_seq_length"),
        bool(settings.get("do_lower_case", False)),
    )


def _modules(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): copy or download it again") from None
    if not isinstance(found, list) or not all(isinstance(module, dict) for module in found):
        raise UserError(f"{path} holds no list of modules: copy or download it again")
    return found


def _mode(path: Path) -> str:
    config = read_json(path)
    on = [
        name.removeprefix("pooling_mode_")
        for name, value in config.items()
        if name.startswith("pooling_mode_") and value is True
    ]
    known = [_FLAGS[f"pooling_mode_{name}"] for name in on if f"pooling_mode_{name}" in _FLAGS]
    if len(on) != 1 or len(known) != 1:
        raise UserError(
            f"{path} asks for pooling by {' and '.join(on) or 'nothing'}: supported is one of "
            "cls_token, mean_tokens, max_tokens and lasttoken"
        )
    return known[0]
