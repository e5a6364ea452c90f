"""Hugging Face folder -> a backbone of keras-hub with its weights."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.errors import UserError
from tfrec.text.families import FAMILIES, architecture_of, family_of, weight_of
from tfrec.text.tokenizer_files import read_json

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
# BERT's layer norms before they were called weight and bias.
_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


class Tensors:
    """The tensors of a checkpoint, in one file or in several, by name.

    Arguments:
        folder: with `model.safetensors`, or `model.safetensors.index.json` and its parts.
        prefix: that names may have or not; it is left out of them here.

    Raises:
        UserError: no weights, a file that cannot be read, or a tensor that is not there.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._prefix = prefix
        self._files: dict[str, Any] = {}
        self._where: dict[str, Path] = {}
        self._stack = contextlib.ExitStack()
        index = folder / _INDEX
        if (folder / _WHOLE).is_file():
            self.source, names = folder / _WHOLE, {_WHOLE}
        elif index.is_file():
            self.source = index
            names = set(read_json(index).get("weight_map", {}).values())
        else:
            raise UserError(
                f"{folder} has no {_WHOLE}. Weights of PyTorch (.bin) are not read: save the model "
                "with safe_serialization=True"
            )
        for name in sorted(names):
            for tensor in self._open(folder / name):
                self._where[tensor] = folder / name

    def __enter__(self) -> Tensors:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, name: str) -> npt.NDArray[np.float32]:
        """The tensor as float32, whatever type it is stored in."""
        full = self._full(name)
        if full is None:
            raise UserError(
                f"{self.source} lacks the tensor {name!r}, with or without {self._prefix!r} before "
                "it: weights and config.json are not of the same model"
            )
        found: npt.NDArray[np.float32] = (
            self._files[str(self._where[full])].get_tensor(full).astype(np.float32)
        )
        return found

    def __contains__(self, name: str) -> bool:
        return self._full(name) is not None

    def _full(self, name: str) -> str | None:
        for candidate in (name, *(name.replace(*pair) for pair in _OLD_NAMES.items())):
            for full in (candidate, self._prefix + candidate):
                if full in self._where:
                    return full
        return None

    def _open(self, path: Path) -> list[str]:
        import safetensors

        try:
            file = self._stack.enter_context(safetensors.safe_open(path, framework="numpy"))
        except (OSError, safetensors.SafetensorError) as error:
            raise UserError(
                f"{path} cannot be read ({error}): it is damaged or incomplete, "
                "copy or download it again"
            ) from None
        self._files[str(path)] = file
        return list(file.keys())


def read_backbone(folder: Path) -> tuple[Any, Any]:
    """Reads `config.json` and the weights.

    Arguments:
        folder: as Hugging Face's save_pretrained writes it.

    Returns:
        The `Architecture`, and its backbone with the weights of the checkpoint. Every weight of
        the backbone comes from the checkpoint; those of heads on top of it are left there.

    Raises:
        UserError: a file or a weight that is missing, damaged or of another shape, or a model that
            is not supported.

    Example:
        >>> read_backbone(Path("nowhere"))
        Traceback (most recent call last):
        tfrec.errors.UserError: nowhere/config.json is missing: ...
    """
    path = folder / "config.json"
    config = read_json(path)
    family = family_of(config, path)
    architecture = architecture_of(config, path)
    with Tensors(folder, family.prefix) as tensors:
        _check_vocabulary(config, path, tensors)
        backbone = architecture.build()
        for variable in backbone.variables:
            value = weight_of(variable.path, variable.shape, config, tensors)
            if value is None:
                continue
            if value.size != np.prod(variable.shape):
                raise UserError(
                    f"{tensors.source}: the weights of {variable.path} have shape {value.shape}, "
                    f"{path} asks for {tuple(variable.shape)}. They are not of the same model"
                )
            variable.assign(value.reshape(variable.shape))
    return architecture, backbone


def _check_vocabulary(config: dict[str, Any], path: Path, tensors: Tensors) -> None:
    outside = FAMILIES[config["model_type"]].outside
    name = next(module for layer, module in outside.items() if layer.endswith("token_embedding"))
    rows = len(tensors(f"{name}.weight"))
    if rows != config["vocab_size"]:
        raise UserError(
            f"{path} has vocab_size {config['vocab_size']}, but {tensors.source} has embeddings of "
            f"{rows} tokens: set vocab_size to {rows} if the vocabulary was extended, or take both "
            "files from the same model"
        )
