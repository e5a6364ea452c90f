"""A small BERT of our own with random weights, as a folder that anything reads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.atomic import write_text
from tfrec.errors import UserError
from tfrec.text.vocabulary import SPECIAL, learn_vocabulary, write_vocabulary

Float32 = npt.NDArray[np.float32]

MAX_POSITIONS = 512
_SEGMENTS = 2
# Of BERT (Devlin et al. 2019); drawn again beyond two of them.
_DEVIATION = 0.02


class Size(NamedTuple):
    """Layers and width; heads are 64 wide and the hidden layer is four times as wide."""

    layers: int
    width: int

    @property
    def heads(self) -> int:
        return self.width // 64

    @property
    def hidden(self) -> int:
        return 4 * self.width


# Turc et al. 2019, "Well-Read Students Learn Better", arXiv 1908.08962, Table 1.
SIZES = {"tiny": Size(2, 128), "mini": Size(4, 256), "small": Size(4, 512)}


def make_scratch(size: str, texts: Iterable[str], folder: Path, seed: int = 0) -> Path:
    """Writes an untrained BERT with a vocabulary learned from the texts.

    The folder is what Hugging Face's `save_pretrained` writes: config.json, model.safetensors,
    vocab.txt, tokenizer_config.json. Same texts and seed, same bytes. It is written aside and
    renamed, so that it is there as a whole or not at all.

    Arguments:
        size: "tiny" (2 layers of 128), "mini" (4 of 256) or "small" (4 of 512).
        texts: the corpus of the vocabulary; read once.
        folder: to be made; must not exist, or be empty.
        seed: of the weights.

    Returns:
        The folder.

    Raises:
        UserError: no such size, no words in the texts, a folder that is in use or cannot be made.

    Example:
        >>> folder = make_scratch("tiny", ["hot coffee"] * 9, Path("encoder"))  # doctest: +SKIP
    """
    if size not in SIZES:
        raise UserError(f"no scratch encoder of size {size!r}; known: {', '.join(SIZES)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} holds something already: name a folder that does not exist")
    aside = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    try:
        aside.mkdir(parents=True)
        try:
            _write(SIZES[size], texts, aside, seed)
            aside.replace(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write an encoder to {folder}: {error.strerror}") from None
    return folder


def _write(size: Size, texts: Iterable[str], folder: Path, seed: int) -> None:
    from safetensors.numpy import save

    pieces = learn_vocabulary(texts)
    write_vocabulary(pieces, folder)
    write_text(folder / "config.json", _json(_config(size, len(pieces))))
    write_text(folder / "tokenizer_config.json", _json(_tokenizer_config()))
    weights = save(dict(initial_weights(size, len(pieces), seed)), metadata={"format": "pt"})
    with (folder / "model.safetensors").open("wb") as file:
        file.write(weights)
        file.flush()
        os.fsync(file.fileno())


def initial_weights(size: Size, vocabulary: int, seed: int) -> Iterator[tuple[str, Float32]]:
    """Every weight of the BERT by its Hugging Face name; matrices are [out, in].

    Normal with deviation 0.02, cut at two deviations; no bias; layer norms that change nothing.
    NumPy draws them, so that they do not depend on how a Keras release seeds its layers.

    Example:
        >>> dict(initial_weights(SIZES["tiny"], 100, 0))["bert.pooler.dense.weight"].shape
        (128, 128)
    """
    random = np.random.default_rng(seed)
    width, hidden = size.width, size.hidden

    def matrix(name: str, *shape: int) -> tuple[str, Float32]:
        drawn = random.standard_normal(shape, np.float32)
        while (far := np.abs(drawn) > 2).any():
            drawn[far] = random.standard_normal(int(far.sum()), np.float32)
        return f"bert.{name}.weight", drawn * np.float32(_DEVIATION)

    def dense(name: str, columns: int, rows: int) -> Iterator[tuple[str, Float32]]:
        yield matrix(name, rows, columns)
        yield f"bert.{name}.bias", np.zeros(rows, np.float32)

    def norm(name: str) -> Iterator[tuple[str, Float32]]:
        yield f"bert.{name}.LayerNorm.weight", np.ones(width, np.float32)
        yield f"bert.{name}.LayerNorm.bias", np.zeros(width, np.float32)

    yield matrix("embeddings.word_embeddings", vocabulary, width)
    yield matrix("embeddings.position_embeddings", MAX_POSITIONS, width)
    yield matrix("embeddings.token_type_embeddings", _SEGMENTS, width)
    yield from norm("embeddings")
    for layer in range(size.layers):
        block = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            yield from dense(f"{block}.attention.self.{part}", width, width)
        yield from dense(f"{block}.attention.output.dense", width, width)
        yield from norm(f"{block}.attention.output")
        yield from dense(f"{block}.intermediate.dense", width, hidden)
        yield from dense(f"{block}.output.dense", hidden, width)
        yield from norm(f"{block}.output")
    yield from dense("pooler.dense", width, width)


def _config(size: Size, vocabulary: int) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "intermediate_size": size.hidden,
        # The tanh form, as the original code computes it.
        "hidden_act": "gelu_new",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": MAX_POSITIONS,
        "type_vocab_size": _SEGMENTS,
        "initializer_range": _DEVIATION,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }


def _tokenizer_config() -> dict[str, Any]:
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": MAX_POSITIONS,
        **dict(zip(names, SPECIAL, strict=True)),
    }


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2) + "\n"
