"""Numbered versions of a model side by side: whole or absent, whatever happens meanwhile.

TensorFlow Serving takes every child of the model folder whose name is a whole number for a version
and loads the largest. So a version gets its number last: it is written under another name, synced
to the disk and renamed; one that goes loses its number first.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from export.disk import NO_ROOM, cannot_write
from tfrec.errors import UserError

# What a killed export leaves; no number, so no server looks at it.
_UNFINISHED = ".part"
_LOCK = ".lock"


class Draft(NamedTuple):
    """A version being written: the number that it will have, and its folder until then."""

    number: int
    folder: Path


def versions(models: Path) -> dict[int, Path]:
    """The versions in a model folder: number, rising -> folder. A server reads "0007" as 7.

    Example:
        >>> versions(Path("no/such/folder"))
        {}
    """
    try:
        paths = list(models.iterdir())
    except OSError:
        return {}
    numbered = {int(p.name): p for p in paths if p.name.isascii() and p.name.isdigit()}
    return dict(sorted(numbered.items()))


@contextmanager
def locked(models: Path) -> Iterator[None]:
    """Makes the model folder where it is missing and keeps other exports out of it meanwhile.

    What was made is taken back when the block raises and left nothing in it.

    Raises:
        UserError: another export is at work there, or the folder cannot be written.
    """
    try:
        str(models).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{str(models)!r} is no UTF-8, and TensorFlow writes into no such folder; take another "
            "name"
        ) from None
    try:
        made = [folder for folder in (models, *models.parents) if not folder.exists()]
        models.mkdir(parents=True, exist_ok=True)
        lock = (models / _LOCK).open("w")
    except OSError as error:
        raise cannot_write(f"a version into {models}", error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another process is exporting into {models}; wait until it is done"
            ) from None
        try:
            yield
        except BaseException:
            if made:
                (models / _LOCK).unlink(missing_ok=True)
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()
            raise


@contextmanager
def new_version(models: Path) -> Iterator[Draft]:
    """A folder to write into; when the block ends well it becomes the next version.

    The block may take minutes: until its end the earlier versions are all that a server sees, and
    when it raises, nothing of it stays. Call it inside `locked`.

    Arguments:
        models: the model folder.

    Raises:
        UserError: the folder cannot be written.

    Example:
        >>> with locked(models), new_version(models) as draft:      # doctest: +SKIP
        ...     (draft.folder / "saved_model.pb").write_bytes(model)
    """
    for left in models.glob(f"[0-9]*{_UNFINISHED}"):
        shutil.rmtree(left)
    number = max(versions(models), default=0) + 1
    draft = Draft(number, models / f"{number}{_UNFINISHED}")
    try:
        draft.folder.mkdir()
        yield draft
        _sync(draft.folder)
        draft.folder.rename(models / str(number))
        _sync_one(models)  # the rename itself must survive a power cut
    except OSError as error:
        if error.errno in NO_ROOM or str(error.filename).startswith(str(models)):
            raise cannot_write(f"a version into {models}", error) from None
        raise
    finally:
        shutil.rmtree(draft.folder, ignore_errors=True)


def remove_older(models: Path, keep: int) -> list[int]:
    """Deletes all but the newest `keep` versions and returns their numbers. Call it in `locked`.

    Raises:
        UserError: the folder cannot be changed.
    """
    old = list(versions(models).items())[:-keep]
    try:
        for number, folder in old:
            gone = models / f"{number}{_UNFINISHED}"
            folder.rename(gone)
            shutil.rmtree(gone)
    except OSError as error:
        raise UserError(
            f"cannot delete {error.filename or models}: {error.strerror}; the newest version is "
            "published, delete the older ones by hand"
        ) from None
    return [number for number, _ in old]


def _sync(folder: Path) -> None:
    """Every file and folder below, so that a rename never comes to the disk before its contents."""
    for parent, _, files in os.walk(folder):
        for name in files:
            _sync_one(Path(parent, name))
        _sync_one(Path(parent))


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
