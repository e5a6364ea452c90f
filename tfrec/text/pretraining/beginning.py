"""The encoder that a pre-training begins with, kept in its run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tfrec.text.encoder import Encoder, load_encoder
from tfrec.text.options import TextReading
from tfrec.text.pretraining.options import PretrainingConfig

# Tokens that an encoder of our own reads at the most, where --text-max-length says nothing.
_SCRATCH_LENGTH = 128


def begin(
    options: PretrainingConfig, reading: TextReading, texts: Iterable[str], folder: Path
) -> Encoder:
    """The encoder that --encoder names, a new one for scratch:<size>.

    Arguments:
        options: which encoder.
        reading: how many tokens it reads.
        texts: those to learn from, where a vocabulary is made of them.
        folder: where a new one is kept, so that it is made once.

    Raises:
        UserError: there is no such encoder.
    """
    from tfrec.text.scratch import make_scratch

    if options.scratch is None:
        return load_encoder(options.encoder, max_length(options, reading))
    if not folder.exists():
        make_scratch(options.scratch, texts, folder, options.seed)
    return load_encoder(folder, max_length(options, reading))


def max_length(options: PretrainingConfig, reading: TextReading) -> int | None:
    """Tokens of a row; None for as many as the encoder was made for."""
    told = reading.text_max_length or None
    return told if options.scratch is None else told or _SCRATCH_LENGTH
