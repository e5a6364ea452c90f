"""LoRA matrices as a small file of their own: many tunings of one encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tfrec.atomic import written
from tfrec.errors import UserError
from tfrec.text.encoder import Encoder
from tfrec.text.tuning.options import TuningConfig
from tfrec.text.tuning.weights import adapters, add_adapters

_SETTINGS = "lora"


def save_adapters(encoder: Encoder, config: TuningConfig, path: Path) -> None:
    """Writes the LoRA matrices by their paths, with rank, alpha and targets, as safetensors.

    Raises:
        UserError: the file cannot be written.
    """
    from safetensors.numpy import save

    settings = {
        "rank": config.lora_rank,
        "alpha": config.lora_alpha,
        "targets": config.lora_targets,
    }
    matrices = {weight.path: np.asarray(weight.numpy()) for weight in adapters(encoder)}
    content = save(matrices, metadata={_SETTINGS: json.dumps(settings)})
    try:
        with written(path) as file:
            file.write(content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def apply_adapters(encoder: Encoder, path: Path) -> Encoder:
    """Gives the encoder that they were trained beside the LoRA matrices of a file.

    Arguments:
        encoder: without adapters; changed.
        path: as `save_adapters` writes it.

    Returns:
        The encoder.

    Raises:
        UserError: the file is missing or damaged, or belongs to another encoder.

    Example:
        >>> encoder = load_encoder("minilm")  # doctest: +SKIP
        >>> apply_adapters(encoder, Path("runs/shop/adapters.safetensors"))  # doctest: +SKIP
    """
    settings, matrices = _read(path)
    add_adapters(encoder, settings["rank"], settings["alpha"], settings["targets"])
    own = {weight.path: weight for weight in adapters(encoder)}
    shapes = {name: tuple(weight.shape) for name, weight in own.items()}
    if shapes != {name: matrix.shape for name, matrix in matrices.items()}:
        raise UserError(f"{path} was not trained beside this encoder: its matrices do not fit")
    for name, matrix in matrices.items():
        own[name].assign(matrix)
    return encoder


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            settings: dict[str, Any] = json.loads((file.metadata() or {})[_SETTINGS])
            return settings, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} holds no LoRA matrices ({error}): copy it again") from None
