"""The head's weights: from a checkpoint that has them, and beside an encoder of our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.arrays import load_arrays, save_arrays
from tfrec.errors import UserError
from tfrec.text.checkpoint import Tensors
from tfrec.text.encoder import ENCODER
from tfrec.text.families import FAMILIES
from tfrec.text.pooling import read_sentence
from tfrec.text.sources import download, is_preset
from tfrec.text.tokenizer_files import read_json

Weights = list[npt.NDArray[np.float32]]

HEAD = "masked_lm_head.npz"
# Dense layer, layer norm and bias by their Hugging Face names.
_NAMES = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"),
    "roberta": ("lm_head.dense", "lm_head.layer_norm"),
    "distilbert": ("vocab_transform", "vocab_layer_norm"),
}
_BIASES = {
    "bert": ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    "roberta": ("lm_head.bias", "lm_head.decoder.bias"),
    "distilbert": ("vocab_projector.bias",),
}


def read_head(where: str) -> Weights | None:
    """Kernel [in, out] and bias of the dense layer, scale and offset of the norm, bias of tokens.

    Arguments:
        where: an encoder, as `load_encoder` takes it.

    Returns:
        None where there is no head: most encoders of sentences were published without theirs.

    Raises:
        UserError: a file that is missing or damaged.
    """
    if is_preset(where):
        return None
    folder = download(where)
    if (folder / ENCODER).is_file():
        return _from_own(folder / HEAD)
    folder = read_sentence(folder).transformer
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in _NAMES:
        return None
    dense, norm = _NAMES[kind]
    with Tensors(folder, FAMILIES[kind].prefix) as tensors:
        bias = next((name for name in _BIASES[kind] if name in tensors), None)
        if f"{dense}.weight" not in tensors or bias is None:
            return None
        kernel = np.ascontiguousarray(tensors(f"{dense}.weight").T)
        names = (f"{dense}.bias", f"{norm}.weight", f"{norm}.bias", bias)
        return [kernel, *(tensors(name) for name in names)]


def save_head(weights: Weights, folder: Path) -> None:
    """Writes the head beside an encoder of our own, so that pre-training can go on with it.

    Raises:
        UserError: the folder cannot be written.
    """
    named = {f"{n}": weight for n, weight in enumerate(weights)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder / HEAD}: {error.strerror}") from None
    save_arrays(folder / HEAD, named)


def assign_head(variables: Sequence[Any], weights: Weights, where: str) -> None:
    """Gives a head the weights of another one.

    Raises:
        UserError: their shapes differ.
    """
    for variable, weight in zip(variables, weights, strict=True):
        if weight.shape != tuple(variable.shape):
            raise UserError(
                f"{where}: the head that guesses masked tokens has weights of shape {weight.shape} "
                f"where the encoder asks for {tuple(variable.shape)}. They are not of one model"
            )
        variable.assign(weight)


def _from_own(path: Path) -> Weights | None:
    if not path.exists():
        return None
    return load_arrays(path, "01234", "copy the folder again")
