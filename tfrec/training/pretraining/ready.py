"""What the training loop and the report need of a pre-training, whatever its objective."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tfrec.text.encoder import Encoder
from tfrec.training.text_setup import Learning

Measured = dict[str, float]


class Ready(NamedTuple):
    """A pre-training, ready to run.

    Attributes:
        encoder: what is trained, in the end saved.
        learning: for `tfrec.training.loop.fit`; its `validate` measures on held-out texts.
        metric: of these measures, the one that decides.
        better: whether a first value of it is better than a second.
        shown: other measures to print.
        trains_on, measures_on: what there is of both, in words.
        guesses: measures of what knows less, by name. Takes its time, so to be called once.
        keep: writes what stands beside the encoder into its folder.
    """

    encoder: Encoder
    learning: Learning
    metric: str
    better: Callable[[float, float], bool]
    shown: list[str]
    trains_on: str
    measures_on: str
    guesses: Callable[[], dict[str, Measured]]
    keep: Callable[[Path], None]
