"""Files that a kill leaves whole or absent, never half."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def written(path: Path, shared: bool = False) -> Iterator[IO[bytes]]:
    """A file that is written aside, synced and renamed into place.

    Arguments:
        path: what it becomes; an older file stays until this one is safely on disk, and for good
            if an error comes between.
        shared: several processes may write the same path at once: each has a name of its own aside.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> with written(Path("numbers.npy")) as file:  # doctest: +SKIP
        ...     np.save(file, np.arange(3))
    """
    own = f".{uuid.uuid4().hex}" if shared else ""
    aside = path.with_name(f"{path.name}{own}.part")
    try:
        with aside.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must survive a power cut
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, see `written`.

    Example:
        >>> write_text(Path("notes.txt"), "done")  # doctest: +SKIP
    """
    with written(path) as file:
        file.write(text.encode("utf-8"))
