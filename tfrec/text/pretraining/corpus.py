"""Texts -> pieces of token ids that a model can read, some of them held out."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.arrays import load_arrays, save_arrays
from tfrec.console import import_tensorflow, progress
from tfrec.data.sequences import ragged_index
from tfrec.errors import UserError

if TYPE_CHECKING:
    from tfrec.text.tokenizer import Tokenizer

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

# Texts that are tokenised together.
_BLOCK = 1024


class Corpus(NamedTuple):
    """Pieces of texts as token ids, without the special tokens around a text.

    Attributes:
        tokens: one piece after the other, [T].
        lengths: tokens of each piece, [N].
        held_out: whether the piece only measures, [N].
    """

    tokens: Int32
    lengths: Int32
    held_out: Bool

    def part(self, held_out: bool) -> Corpus:
        """The pieces that measure, or those that train."""
        chosen = self.held_out == held_out
        starts = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        lengths = self.lengths[chosen]
        cells = ragged_index(starts[chosen], lengths.astype(np.int64))
        return Corpus(self.tokens[cells], lengths, self.held_out[chosen])

    def save(self, path: Path) -> None:
        """Writes one .npz file.

        Raises:
            UserError: it cannot be written.
        """
        save_arrays(path, self._asdict())

    @classmethod
    def load(cls, path: Path) -> Corpus:
        """Reads what `save` wrote.

        Raises:
            UserError: the file is damaged.
        """
        return cls(*load_arrays(path, cls._fields, "delete it and resume the run"))


def read_lines(paths: Sequence[Path]) -> Iterator[str]:
    """The lines of text files, plain or gzipped, blank ones left out.

    Raises:
        UserError: a file that cannot be read, or is no UTF-8; says the line.
    """
    for path in paths:
        opened = gzip.open if path.suffix == ".gz" else open
        try:
            with opened(path, "rb") as file:
                for number, line in enumerate(file, 1):
                    try:
                        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                    except UnicodeDecodeError as error:
                        raise UserError(
                            f"{path}, line {number} is no UTF-8 ({error.reason}): convert the file"
                        ) from None
                    if text:
                        yield text
        except (OSError, EOFError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None


def held_out(texts: Sequence[str], share: float) -> Bool:
    """Which texts are held out, [N]: by the hash of a text, so that it stays where it is.

    A text that joins or leaves the corpus moves no other one, and equal texts stay together. The
    text with the smallest hash is held out in any case.

    Raises:
        UserError: there are not two different texts.

    Example:
        >>> held_out(["hot coffee", "cold tea", "hot coffee"], share=0.01).tolist()
        [False, True, False]
    """
    digests = b"".join(hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in texts)
    hashes = np.frombuffer(digests, ">u8")[::4]
    if len(np.unique(hashes)) < 2:
        raise UserError(
            f"{len(texts)} texts are too few: pre-training needs one to learn from and another one "
            "to measure on"
        )
    smallest = hashes == hashes.min()
    found: Bool = ((hashes < share * 2.0**64) | smallest) & (hashes != hashes.max())
    return found


def make_corpus(
    texts: Sequence[str], measuring: Bool, tokenizer: Tokenizer, max_length: int
) -> Corpus:
    """Tokenises texts and cuts long ones into pieces of about equal length, so that all is read.

    Arguments:
        texts: N strings.
        measuring: which are held out, [N].
        tokenizer: the encoder's.
        max_length: tokens of a piece at the most, the special ones around it included.

    Raises:
        UserError: one side has no token at all.
    """
    tf = import_tensorflow()
    room = max_length - len(tokenizer.prefix) - len(tokenizer.suffix)
    tokens: list[Int32] = []
    lengths: list[Int64] = []
    blocks = range(0, len(texts), _BLOCK)
    for start in progress(blocks, "tokenising", unit="blocks"):
        block = [text.encode("utf-8", "replace") for text in texts[start : start + _BLOCK]]
        found = tokenizer.pieces(tf.constant(block, tf.string))
        tokens.append(found.flat_values.numpy())
        lengths.append(found.row_lengths().numpy())
    whole = np.concatenate(lengths)
    counts = -(-whole // room)  # of pieces; 0 for a text without a token
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    of = np.repeat(np.arange(len(whole)), counts)
    ends = (number + 1) * whole[of] // counts[of]
    begins = number * whole[of] // counts[of]
    corpus = Corpus(
        np.concatenate(tokens).astype(np.int32),
        (ends - begins).astype(np.int32),
        measuring[of],
    )
    for side, name in ((False, "to learn from"), (True, "to measure on")):
        if not (corpus.held_out == side).any():
            raise UserError(f"the texts {name} have no token in them; change --held-out")
    return corpus


def distinct(texts: Iterable[str]) -> list[str]:
    """Each text once, in the order of their first appearance; blank ones left out."""
    return list(dict.fromkeys(text for text in texts if text))
