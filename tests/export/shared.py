"""What takes minutes is made by the first of pytest's worker processes that needs it."""

from __future__ import annotations

import copyreg
import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import pytest

Made = TypeVar("Made")


def _view(of: dict[str, Any]) -> MappingProxyType[str, Any]:
    return MappingProxyType(of)


# Defaults in the contract's tuples are such views, which have no pickled form of their own.
copyreg.pickle(MappingProxyType, lambda view: (_view, (dict(view),)))


def common_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder of all workers of this session, or of its only process."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Made]) -> Made:
    """What `make` returned in whichever process came first; the others wait for it.

    Arguments:
        factory: of this process.
        name: of the thing, and of the folder that `make` is given.
        make: its result names files by their paths, and they stay.
    """
    folder = common_folder(factory) / "once" / name
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "result.pickle"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            made = make(folder)
            result.write_bytes(pickle.dumps(made))
        found: Made = pickle.loads(result.read_bytes())
    return found
