"""Two pictures for people: one score as a ledger, and interests over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy.typing as npt

from tfrec.interest.ledger_lines import LedgerLines
from tfrec.interest.telling.drawing import check_format, save, style
from tfrec.interest.telling.evolution_figure import evolution_figure
from tfrec.interest.telling.ledger_figure import ledger_figure


def draw_ledger(ledger: LedgerLines, path: Path | str, language: str = "en") -> None:
    """Writes one score as a picture: its sum on the left, its history on the right.

    Arguments:
        path: .png or .svg.
        language: "en" or "zh", of the words that are not titles.

    Raises:
        UserError: another suffix, a language without words, or a file that cannot be written.
    """
    check_format(path)
    with style():
        save(ledger_figure(ledger, language), path)


def draw_evolution(
    times: npt.ArrayLike,
    shares: npt.ArrayLike,
    names: Sequence[str],
    path: Path | str,
    language: str = "en",
) -> None:
    """Writes shares over time as stacked areas, with names ordered by the last share.

    Arguments:
        times: [T], unix milliseconds.
        shares: [T, C], not negative, of the facets or of the categories `names`.
        path: .png or .svg.
        language: "en" or "zh".

    Raises:
        ValueError: shapes do not fit, or a share is negative or not finite.
        UserError: another suffix, a language without words, or a file that cannot be written.
    """
    check_format(path)
    with style():
        save(evolution_figure(times, shares, names, language), path)
