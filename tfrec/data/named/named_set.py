"""What a named data set is: where its files come from, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tfrec.data.download import Remote
from tfrec.data.layout import LogLayout
from tfrec.errors import UserError


@dataclass(frozen=True)
class NamedSet:
    """A public data set.

    Attributes:
        remotes: files to download; zip files are unpacked, each into a folder named like it.
        licence: one line: who may use it, for what.
        layout: reads a folder with the set's files, however they came there.
    """

    remotes: list[Remote]
    licence: str
    layout: Callable[[Path], LogLayout]


def find(folder: Path, *names: str) -> list[Path]:
    """The files of these names, all in `folder` or all in one folder inside it, gzipped or not.

    Archives hold their files in one top folder, so both that folder and the one around it do.

    Raises:
        UserError: no folder holds them all; the message lists the missing ones.
    """
    if not folder.is_dir():
        what = "is a file: unpack it and name the folder" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}. Expected a folder with {', '.join(names)}")
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    missing: list[str] = []
    for place in (folder, *inside):
        found = [optional(place, name) for name in names]
        if all(found):
            return [path for path in found if path is not None]
        lacking = [name for name, path in zip(names, found, strict=True) if path is None]
        if not missing or len(lacking) < len(missing):
            missing = lacking
    raise UserError(f"{folder} lacks {', '.join(missing)}. It needs {', '.join(names)}")


def optional(folder: Path, name: str) -> Path | None:
    """A file of this name in `folder`, gzipped or not, or None."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)
