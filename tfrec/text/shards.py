"""Vectors on disk by the key of their text, in files that a kill leaves whole or absent."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tfrec.atomic import written
from tfrec.errors import UserError

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
# sha256 of a text each, 32 bytes.
Keys = npt.NDArray[np.bytes_]
KEY = "S32"

# What is left of killed writers is taken away after a day; a living one is never that slow.
_ABANDONED = 24 * 3600.0


class Shards:
    """A folder of shards, `<digest of the keys>.npz`, each with some keys and their vectors.

    A shard is written aside, synced and renamed, and never changed. So a kill loses only what was
    not written, and any number of processes may add shards at once; a key that two of them hold
    has the same vector in both, but for rounding. Damage done by others shows in the checksums of
    the zip: such a shard is taken away when it is met.

    Arguments:
        folder: made if missing.
        dim: width of the vectors.

    Raises:
        UserError: the folder cannot be made, read or written; so does every method.

    Example:
        >>> shards = Shards(Path("cache/texts"), dim=384)  # doctest: +SKIP
    """

    def __init__(self, folder: Path, dim: int) -> None:
        self._folder = folder
        self._dim = dim
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _clear_abandoned(folder)

    def add(self, keys: Keys, vectors: Float32) -> None:
        """One more shard: keys [n], vectors [n, dim]."""
        digest = hashlib.sha256(keys.tobytes()).hexdigest()
        path = self._folder / f"{digest}.npz"
        with explained(path), written(path, shared=True) as file:
            np.savez(file, keys=keys, vectors=vectors)

    def known(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Which of the sorted keys have a vector, [U]."""
        known = np.zeros(len(keys), np.bool_)
        for path in self._paths():
            for place, _ in self._found(path, keys, vectors=False):
                known[place] = True
        return known

    def vectors(self, keys: Keys) -> Iterator[tuple[Int64, Float32]]:
        """Shard by shard, places among the sorted keys and their vectors; none comes twice."""
        done = np.zeros(len(keys), np.bool_)
        for path in self._paths():
            for place, vectors in self._found(path, keys, vectors=True):
                new = np.flatnonzero(~done[place])
                done[place] = True
                yield place[new], vectors[new]

    def _paths(self) -> list[Path]:
        with explained(self._folder):
            return sorted(self._folder.glob("*.npz"))

    def _found(self, path: Path, keys: Keys, vectors: bool) -> Iterator[tuple[Int64, Float32]]:
        """The part of a shard that is among the keys; nothing of a damaged one."""
        with explained(path):
            try:
                with np.load(path) as shard:
                    some: Keys = shard["keys"]
                    all_vectors: Float32 | None = shard["vectors"] if vectors else None
            except FileNotFoundError:
                return  # someone else met it damaged
            except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
                path.unlink(missing_ok=True)
                return
        place = np.searchsorted(keys, some)
        taken = np.flatnonzero(keys[np.minimum(place, len(keys) - 1)] == some)
        if all_vectors is None:
            yield place[taken], np.zeros((0, self._dim), np.float32)
        elif all_vectors.shape == (len(some), self._dim):
            yield place[taken], all_vectors[taken]


def _clear_abandoned(folder: Path) -> None:
    for path in folder.glob("*.part"):
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()
        except FileNotFoundError:
            pass  # its writer was quicker


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the system refuses in the cache, as a mistake that the user can put right."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot keep text vectors in {error.filename or path}: {error.strerror or error}. "
            "Name another folder with --cache"
        ) from None
