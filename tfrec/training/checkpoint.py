"""Checkpoints that a kill at any moment leaves whole: one file, written aside and renamed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfrec.atomic import written
from tfrec.errors import UserError

_STATE = "state"


def save(path: Path, variables: Sequence[Any], state: dict[str, Any]) -> None:
    """Writes the values of Keras variables and a JSON-able state as one .npz file, atomically.

    Arguments:
        path: the file; an older one is replaced only when the new one is safely on disk.
        variables: in an order that the program always makes alike.
        state: what else the work needs to go on.

    Raises:
        UserError: the disk is full or not writable; the older file is untouched.
    """
    arrays = {f"{n:05d}": np.asarray(variable.numpy()) for n, variable in enumerate(variables)}
    arrays[_STATE] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    try:
        with written(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise UserError(f"cannot write the checkpoint {path}: {error.strerror}") from None


def restore(path: Path, variables: Sequence[Any], leading: bool = False) -> dict[str, Any]:
    """Assigns saved values to the variables, in order, and returns the saved state.

    Arguments:
        path: as `save` wrote it.
        variables: of the same shapes.
        leading: these are only the first of the variables that were saved.

    Raises:
        UserError: the file is missing, damaged, or was saved from other variables.
    """
    try:
        with np.load(path) as saved:
            state: dict[str, Any] = json.loads(saved[_STATE].tobytes())
            names = sorted(set(saved.files) - {_STATE})
            values = [saved[name] for name in names[: len(variables) if leading else None]]
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint at {path}") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"the checkpoint {path} is damaged ({error})") from None
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise UserError(
            f"the checkpoint {path} holds other weights than this model has: "
            f"{_first_difference(values, variables)}. Was the run's config.yaml edited, or the run "
            "made by another version of tfrec?"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return state


def _first_difference(values: Sequence[Any], variables: Sequence[Any]) -> str:
    for value, variable in zip(values, variables, strict=False):
        if value.shape != tuple(variable.shape):
            return f"{variable.path} is {tuple(variable.shape)} here and {value.shape} there"
    return f"{len(variables)} variables here and {len(values)} there"
