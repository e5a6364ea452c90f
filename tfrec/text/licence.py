"""Under which licence the encoder came that reads a model's texts, and what is made of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from tfrec.atomic import write_text
from tfrec.text.sources import is_preset

_HUB, _PAGE = "hf:", "README.md"
_FILES = ("LICEN[CS]E*", "NOTICE*")
_CONTINUES = "base_model"


def encoder_licence(encoder: str) -> str:
    """What is known of it, in a sentence.

    A folder may say it as the Hugging Face hub has it, in the header of its README.md, or hold it
    as a file LICENSE.

    Arguments:
        encoder: as --text-encoder names it.

    Example:
        >>> encoder_licence("hf:sentence-transformers/all-MiniLM-L6-v2")
        'Its licence is named at https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2'
    """
    if encoder.startswith(_HUB):
        return f"Its licence is named at https://huggingface.co/{encoder.removeprefix(_HUB)}"
    folder = Path(encoder)
    header = _header(folder / _PAGE)
    if named := header.get("license_name") or header.get("license"):
        said = ", ".join(map(str, named)) if isinstance(named, list) else str(named)
        return f"Its licence, as its README.md says: {said}"
    for path in sorted(folder.glob(_FILES[0])):
        return f"Its licence is in its folder: {path.name}"
    base = str(header.get(_CONTINUES, ""))
    if base.startswith(_HUB):
        return encoder_licence(base)
    return "Where it lies its licence is not stated: ask its publisher"


def inherit_licence(base: str, folder: Path) -> None:
    """Writes into the folder of an encoder what is known of the licence of the one it continues.

    Arguments:
        base: the encoder that it began as, as --encoder names it: its licence files are copied,
            and its name and licence stand in a README.md.
        folder: of the encoder that was made of it.
    """
    whence = Path(base)
    header = _header(whence / _PAGE)
    for path in (path for pattern in _FILES for path in sorted(whence.glob(pattern))):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    if not base.startswith(_HUB) and not is_preset(base):
        # Not where it lay: that is nobody's business but the maker's.
        base = str(header.get(_CONTINUES) or whence.resolve().name)
    kept = {name: header[name] for name in ("license", "license_name") if name in header}
    said = yaml.safe_dump({_CONTINUES: base} | kept, allow_unicode=True)
    write_text(
        folder / _PAGE, f"---\n{said}---\nContinued from {base} by python -m tfrec.pretrain.\n"
    )


def _header(page: Path) -> dict[str, Any]:
    """The YAML between the first two lines of three dashes; {} where it is not."""
    try:
        parts = page.read_text(encoding="utf-8").split("---\n", 2)
        header = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return header if isinstance(header, dict) else {}
