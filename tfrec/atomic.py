"""Small files that a kill leaves whole or absent, never half."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text aside and renames it into place.

    Example:
        >>> write_text(Path("notes.txt"), "done")  # doctest: +SKIP
    """
    aside = path.with_name(path.name + ".part")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
