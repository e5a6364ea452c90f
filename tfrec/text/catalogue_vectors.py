"""The texts of a catalogue as vectors, kept in the run that was trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfrec.atomic import written
from tfrec.console import count, say
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

    from tfrec.data.prepared import PreparedData
    from tfrec.text.options import TextConfig, TextReading

VECTORS = "text_vectors.npy"


def catalogue_texts(data: PreparedData, config: TextReading) -> list[str]:
    """One cleaned text per item, "" where nothing is known.

    Raises:
        UserError: the catalogue has no texts, or the template names a column that is not there.
    """
    if not data.meta.text_columns:
        raise UserError(
            "the text encoder needs texts: name a catalogue with --items and its text columns "
            "with --text"
        )
    return texts_of(data.items, data.meta.text_columns, config)


def texts_of(items: pyarrow.Table, names: Sequence[str], config: TextReading) -> list[str]:
    """One cleaned text per row, "" where nothing is known.

    Arguments:
        items: with text columns.
        names: of these columns.
        config: how texts are made of them.

    Raises:
        UserError: the template names a column that is not there.
    """
    from tfrec.text.cleaning import clean
    from tfrec.text.template import fill

    columns = {name: clean(items[name].to_pylist(), config) for name in names}
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
    texts = catalogue_texts(data, config)
    found = vectors_of(texts, config, cache)
    try:
        with written(run / VECTORS) as file:
            np.save(file, found)
    except OSError as error:
        raise UserError(f"cannot write {run / VECTORS}: {error.strerror}") from None
    known = sum(map(bool, texts))
    without = len(texts) - known
    say(
        f"texts of {count(known)} items as vectors of {found.shape[1]}"
        + (f"; {count(without)} items have none" if without else "")
    )
    return found


def vectors_of(texts: Sequence[str], config: TextConfig, cache: Path) -> npt.NDArray[np.float32]:
    """What the encoder makes of cleaned texts, float32 [N, dim], 0 for "".

    Raises:
        UserError: the encoder cannot be read.
    """
    from tfrec.text.opening import open_encoder
    from tfrec.text.vectors import item_vectors

    encoder = open_encoder(config)
    known = np.array([bool(text) for text in texts], bool)
    found = np.zeros((len(texts), encoder.dim), np.float32)
    found[known] = item_vectors(
        [text for text in texts if text], encoder, cache, config.text_batch_size
    )
    return found


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
