"""Numbered versions of a model side by side: whole or absent, whatever happens meanwhile.

TensorFlow Serving takes every child of the model folder whose name is a whole number for a version
and loads the largest. So a version gets its number last: it is written under another name, synced
to the disk and renamed; one that goes loses its number first.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tfrec.errors import UserError

# What a killed export leaves; no number, so no server looks at it.
_UNFINISHED = ".part"
_LOCK = ".lock"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Draft(NamedTuple):
    """A version being written: the number that it will have, and its folder until then."""

    number: int
    folder: Path


def versions(models: Path) -> list[int]:
    """The numbers of the versions in a model folder, rising.

    Example:
        >>> versions(Path("no/such/folder"))
        []
    """
    try:
        names = [path.name for path in models.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def version_folder(models: Path, number: int) -> Path:
    """Where a version lies; a server reads "0007" as 7."""
    return next(path for path in models.iterdir() if path.name.lstrip("0") == str(number))


@contextmanager
def new_version(models: Path) -> Iterator[Draft]:
    """A folder to write into; when the block ends well it becomes the next version.

    The block may take minutes: until its end the earlier versions are all that a server sees, and
    when it raises, nothing of it stays. Another process's export into the same folder is refused
    meanwhile.

    Arguments:
        models: the model folder, made if missing.

    Raises:
        UserError: another export is at work in the folder, or it cannot be written.

    Example:
        >>> with new_version(Path("models/shop")) as draft:         # doctest: +SKIP
        ...     (draft.folder / "saved_model.pb").write_bytes(model)
    """
    made = [folder for folder in (models, *models.parents) if not folder.exists()]
    try:
        models.mkdir(parents=True, exist_ok=True)
        lock = (models / _LOCK).open("w")
    except OSError as error:
        raise _cannot_write(models, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another process is exporting into {models}; wait until it is done"
            ) from None
        try:
            yield from _written(models)
        except BaseException:
            _forget(models, made)
            raise


def _written(models: Path) -> Iterator[Draft]:
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
        if error.errno in _NO_ROOM or str(error.filename).startswith(str(models)):
            raise _cannot_write(models, error) from None
        raise
    finally:
        shutil.rmtree(draft.folder, ignore_errors=True)


def remove_older(models: Path, keep: int) -> list[int]:
    """Deletes all but the newest `keep` versions and returns their numbers.

    Raises:
        UserError: the folder cannot be changed.
    """
    old = versions(models)[:-keep]
    try:
        for number in old:
            gone = models / f"{number}{_UNFINISHED}"
            version_folder(models, number).rename(gone)
            shutil.rmtree(gone)
    except OSError as error:
        raise _cannot_write(models, error) from None
    return old


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


def _forget(models: Path, made: list[Path]) -> None:
    """Takes back the folders that only this export made, while nothing else is in them."""
    if not made:
        return
    (models / _LOCK).unlink(missing_ok=True)
    with suppress(OSError):
        for folder in made:
            folder.rmdir()


def _cannot_write(models: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    advice = "make room" if error.errno in _NO_ROOM else "check the path and its permissions"
    return UserError(
        f"cannot write a version into {models}: {reason}; {advice} and export again. "
        "Earlier versions are untouched"
    )
