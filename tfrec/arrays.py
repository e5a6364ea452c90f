"""Named arrays in one .npz file that a kill leaves whole or absent."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.atomic import written
from tfrec.errors import UserError

Array = npt.NDArray[Any]


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Writes one file; an older one stays until this one is whole.

    Raises:
        UserError: it cannot be written.

    Example:
        >>> save_arrays(Path("two.npz"), {"a": np.arange(3), "b": np.ones(2)})  # doctest: +SKIP
    """
    try:
        with written(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def load_arrays(path: Path, names: Iterable[str], remedy: str) -> list[Array]:
    """The arrays of these names, in this order.

    Arguments:
        remedy: what helps where they cannot be read.

    Raises:
        UserError: the file is missing or damaged.

    Example:
        >>> a, b = load_arrays(Path("two.npz"), "ab", "make it again")  # doctest: +SKIP
    """
    try:
        with np.load(path) as saved:
            return [saved[name] for name in names]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); {remedy}") from None
