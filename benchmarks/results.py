"""benchmarks/RESULTS.md: one section per benchmark, replaced when the benchmark is run again."""

from __future__ import annotations

import re
from pathlib import Path

from tfrec.atomic import write_text

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = """# Results

Every section is written by the command that stands in it. Metrics are full rankings of the
catalogue with seen items removed unless a section says otherwise; ± is half of a 95 % bootstrap
interval over cases.
"""


def write_section(title: str, body: str, path: Path = RESULTS) -> None:
    """Puts a section into the page, in place of one with the same title."""
    page = path.read_text(encoding="utf-8") if path.exists() else HEAD
    sections = re.split(r"(?m)^(?=## )", page)
    section = f"## {title}\n\n{body.strip()}\n"
    for number, old in enumerate(sections):
        if old.startswith(f"## {title}\n"):
            sections[number] = section
            break
    else:
        sections.append(section)
    write_text(path, "\n".join(part.rstrip() + "\n" for part in sections))
