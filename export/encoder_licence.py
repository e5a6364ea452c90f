"""Under which licence the encoder came that reads a model's texts."""

from __future__ import annotations

from pathlib import Path

import yaml

_HUB = "hf:"


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
    if named := _in_header(folder / "README.md"):
        return f"Its licence, as its README.md says: {named}"
    for path in sorted(folder.glob("LICEN[CS]E*")):
        return f"Its licence is in its folder: {path.name}"
    return "Where it lies its licence is not stated: ask its publisher"


def _in_header(page: Path) -> str:
    """`license` of the YAML between the first two lines of three dashes; "" where it is not."""
    try:
        parts = page.read_text(encoding="utf-8").split("---\n", 2)
        header = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    if not isinstance(header, dict):
        return ""
    named = header.get("license_name") or header.get("license") or ""
    return ", ".join(map(str, named)) if isinstance(named, list) else str(named)
