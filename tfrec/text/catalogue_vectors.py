"""The texts of a catalogue as vectors, kept in the run that was trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfrec.atomic import written
from tfrec.console import count, say
from tfrec.errors import UserError

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData
    from tfrec.text.encoder import Encoder
    from tfrec.text.options import TextConfig, TextReading
    from tfrec.text.tuning.options import TuningConfig

VECTORS = "text_vectors.npy"
# The folder of the tuned encoder.
TUNED = "encoder"


def catalogue_texts(data: PreparedData, config: TextReading) -> list[str]:
    """One cleaned text per item, "" where nothing is known.

    Raises:
        UserError: the catalogue has no texts, or the template names a column that is not there.
    """
    from tfrec.text.cleaning import clean
    from tfrec.text.template import fill

    names = data.meta.text_columns
    if not names:
        raise UserError(
            "the text encoder needs texts: name a catalogue with --items and its text columns "
            "with --text"
        )
    columns = {name: clean(data.items[name].to_pylist(), config) for name in names}
    return fill(config.text_template, columns)


def catalogue_vectors(
    data: PreparedData, config: TextConfig, run: Path, cache: Path
) -> npt.NDArray[np.float32] | None:
    """Every item's text vector, float32 [I, dim], 0 for an item without a text.

    The encoder is used as it is. The vectors stay in the run, so that what was trained on them can
    be opened again without the encoder. Where it is tuned, training begins with them and leaves
    those of the tuned encoder in their place.

    Arguments:
        data: the run's.
        config: which encoder, and how texts are made of columns.
        run: the run folder.
        cache: where vectors of texts are kept between runs, see `item_vectors`.

    Returns:
        The vectors; None without an encoder.

    Raises:
        UserError: there are no texts, or the encoder cannot be read.
    """
    if config.text_encoder == "none":
        return None
    if (kept := text_vectors(run)) is not None:
        return kept
    from tfrec.text.encoder import load_encoder
    from tfrec.text.vectors import item_vectors

    texts = catalogue_texts(data, config)
    encoder = load_encoder(config.text_encoder, config.text_max_length or None)
    known = np.array([bool(text) for text in texts])
    found = np.zeros((len(texts), encoder.dim), np.float32)
    found[known] = item_vectors(
        [text for text in texts if text], encoder, cache, config.text_batch_size
    )
    save_vectors(found, run)
    without = len(texts) - int(known.sum())
    say(
        f"texts of {count(int(known.sum()))} items as vectors of {encoder.dim}"
        + (f"; {count(without)} items have none" if without else "")
    )
    return found


def save_vectors(vectors: npt.NDArray[np.float32], run: Path) -> None:
    """Keeps the vectors in the run.

    Raises:
        UserError: they cannot be written.
    """
    try:
        with written(run / VECTORS) as file:
            np.save(file, vectors)
    except OSError as error:
        raise UserError(f"cannot write {run / VECTORS}: {error.strerror}") from None


def run_encoder(run: Path, text: TextConfig, tuning: TuningConfig) -> Encoder:
    """The encoder whose vectors a finished run reads: its own if it tuned one.

    Raises:
        UserError: it is gone or damaged.
    """
    from tfrec.text.encoder import load_encoder

    where = str(run / TUNED) if tuning.tunes else text.text_encoder
    return load_encoder(where, text.text_max_length or None)


def text_vectors(run: Path) -> npt.NDArray[np.float32] | None:
    """The vectors that a run was trained on; None if it reads no texts.

    Raises:
        UserError: the file is damaged.
    """
    path = run / VECTORS
    if not path.exists():
        return None
    try:
        found: npt.NDArray[np.float32] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete it and resume the run") from None
    return found
