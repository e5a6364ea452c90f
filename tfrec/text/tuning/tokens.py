"""The texts of a catalogue as token ids, made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tfrec.console import Progress, import_tensorflow, progress
from tfrec.data.sequences import ragged_index

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

# Texts that are tokenised together.
_BLOCK = 1024
# Widths are multiples of it, as those of `Tokenizer.pad`.
_MULTIPLE = 8


class CutsTexts(Protocol):
    """What is needed of a tokenizer."""

    @property
    def pad_id(self) -> int: ...

    def ragged(self, texts: Any) -> Any:
        """string [N] -> int32 [N, (tokens)], special ones included."""


class CatalogueTokens(NamedTuple):
    """The tokens of I texts, special ones included.

    Attributes:
        ids: one text after the other, [T].
        ends: where each text ends, [I]; an item without a text has no tokens.
        pad_id: what stands beside a text that is shorter than the longest.
    """

    ids: Int32
    ends: Int64
    pad_id: int

    @property
    def lengths(self) -> Int64:
        """Tokens of each text, [I]."""
        return np.diff(self.ends, prepend=0)

    @property
    def width(self) -> int:
        """Tokens of the longest text, rounded up."""
        return int(-(-self.lengths.max(initial=1) // _MULTIPLE) * _MULTIPLE)

    def rows(self, items: Int64, width: int) -> dict[str, Any]:
        """`token_ids` int32 and `padding_mask` bool (True = real) of some items, [n, width]."""
        lengths = self.lengths[items]
        mask = np.arange(width) < lengths[:, None]
        tokens = np.full((len(items), width), self.pad_id, np.int32)
        tokens[mask] = self.ids[ragged_index(self.ends[items] - lengths, lengths)]
        return {"token_ids": tokens, "padding_mask": mask}


def tokenize_catalogue(texts: Sequence[str], tokenizer: CutsTexts) -> CatalogueTokens:
    """Tokenises the texts, each cut to the tokenizer's greatest length.

    Arguments:
        texts: one per item, "" for none.
        tokenizer: the encoder's.

    Example:
        >>> tokenize_catalogue(["hot coffee", ""], encoder.tokenizer).lengths  # doctest: +SKIP
        array([4, 0])
    """
    tf = import_tensorflow()
    ids: list[Int32] = [np.zeros(0, np.int32)]
    lengths: list[Int64] = []
    for start in progress(range(0, len(texts), _BLOCK), "tokenising", unit="blocks"):
        block = texts[start : start + _BLOCK]
        found = tokenizer.ragged(tf.constant([text.encode("utf-8", "replace") for text in block]))
        known = np.array([bool(text) for text in block])
        length = found.row_lengths().numpy()
        ids.append(found.flat_values.numpy()[np.repeat(known, length)])
        lengths.append(np.where(known, length, 0))
    return CatalogueTokens(
        np.concatenate(ids), np.cumsum(np.concatenate(lengths)), tokenizer.pad_id
    )


def encode_all(
    tokens: CatalogueTokens, encode: Callable[[dict[str, Any]], Any], dim: int, batch_size: int
) -> Float32:
    """A vector per text, [I, dim]; 0 for an item without one.

    Arguments:
        tokens: of I texts.
        encode: `Encoder.encode_tokens`, or a graph of it.
        dim: width of its vectors.
        batch_size: texts per call, of like length.
    """
    tf = import_tensorflow()
    lengths = tokens.lengths
    found = np.zeros((len(lengths), dim), np.float32)
    known = np.flatnonzero(lengths)
    # The longest first: too large a batch fails at once.
    order = known[np.argsort(-lengths[known], kind="stable")]
    with Progress(len(order), "texts", unit="texts") as bar:
        for start in range(0, len(order), batch_size):
            items = order[start : start + batch_size]
            rows = tokens.rows(items, int(lengths[items].max()))
            found[items] = encode({name: tf.constant(array) for name, array in rows.items()})
            bar.update(len(items))
    return found
