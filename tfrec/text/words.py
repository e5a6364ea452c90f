"""Characters -> words, the way BERT's and GPT-2's tokenizers cut them, in the graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrec.text import codepoints
from tfrec.text.codepoints import ALONE, BLANK, LETTER, NOTHING, NUMBER, SPACE, Table
from tfrec.text.ragged import beside

# BERT does not look up words longer than this; they are unknown.
MAX_CHARACTERS = 100
_APOSTROPHE, _BLANK_20 = 0x27, 0x20
# GPT-2's contractions: 's 't 'm 'd and 're 've 'll.
_ONE_LETTER = tuple(map(ord, "stmd"))
_TWO_LETTERS = (("r", "e"), ("v", "e"), ("l", "l"))


class Normaliser:
    """Code points [N, (characters)] -> normalised code points [N, (characters)].

    Arguments:
        normalizer: as JSON, see `codepoints.mapping`.
    """

    def __init__(self, normalizer: str) -> None:
        outputs, self.alone = codepoints.mapping(normalizer)
        self._tables = [Table(outputs[:, place].copy()) for place in range(3)]

    def __call__(self, codes: Any) -> Any:
        flat = codes.flat_values
        first, *rest = (table(flat) for table in self._tables)
        # [characters, 3], NOTHING filled up from the right
        mapped = tf.stack([tf.where(first == NOTHING, first, flat + first), *rest], axis=1)
        lengths = tf.reduce_sum(tf.cast(mapped != NOTHING, tf.int64), axis=1)
        ends = tf.concat([[tf.constant(0, tf.int64)], tf.cumsum(lengths)], axis=0)
        kept = tf.boolean_mask(tf.reshape(mapped, [-1]), tf.reshape(mapped != NOTHING, [-1]))
        return tf.RaggedTensor.from_row_splits(
            kept, tf.gather(ends, codes.row_splits), validate=False
        )


class BertWords:
    """Cuts at spaces, and makes punctuation and ideographs words of their own.

    Arguments:
        alone: further code points that are words of their own.

    Example:
        >>> codes = tf.strings.unicode_decode(["so, what"], "UTF-8")
        >>> BertWords(frozenset())(codes).to_list()
        [[b'so', b',', b'what']]
    """

    def __init__(self, alone: frozenset[int]) -> None:
        classes = codepoints.bert_classes().copy()
        classes[sorted(alone)] = ALONE
        self._classes = Table(classes)

    def __call__(self, codes: Any) -> Any:
        """Code points [N, (characters)] -> string [N, (words)]; over-long words are U+FFFF."""
        flat, rows = codes.flat_values, codes.value_rowids()
        kinds = self._classes(flat)
        before = _shifted(kinds, SPACE)
        starts = (kinds == ALONE) | (before != codepoints.WORD) | _first_of_row(rows)
        kept = kinds != SPACE
        flat, rows, starts = (tf.boolean_mask(x, kept) for x in (flat, rows, starts))
        words, word_rows = _cut(flat, rows, starts)
        # A word that is no word of any vocabulary, so that it becomes the unknown token.
        unknown = tf.RaggedTensor.from_row_lengths(
            tf.fill([words.nrows()], 0xFFFF), tf.ones([words.nrows()], tf.int64), validate=False
        )
        short = words.row_lengths() <= MAX_CHARACTERS
        encoded = tf.where(short, _encode(words), _encode(unknown))
        return tf.RaggedTensor.from_value_rowids(
            encoded, word_rows, nrows=codes.nrows(), validate=False
        )


class ByteLevelWords:
    r"""Cuts as GPT-2's pattern does (Radford et al. 2019; `bpe.py` of the released code).

    `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, which RE2 cannot
    express because it looks ahead.

    Arguments:
        add_prefix_space: puts a space before a text that does not start with one.

    Example:
        >>> codes = tf.strings.unicode_decode(["it's  9 pm."], "UTF-8")
        >>> ByteLevelWords(False)(codes).to_list()
        [[b'it', b"'s", b' ', b' 9', b' pm', b'.']]
    """

    def __init__(self, add_prefix_space: bool) -> None:
        self.add_prefix_space = add_prefix_space
        self._classes = Table(codepoints.byte_level_classes())

    def __call__(self, codes: Any) -> Any:
        """Code points [N, (characters)] -> string [N, (words)]."""
        if self.add_prefix_space:
            codes = _with_prefix_space(codes)
        flat, rows = codes.flat_values, codes.value_rowids()
        kinds = self._classes(flat)
        first = _first_of_row(rows)
        last = tf.concat([first[1:], tf.ones_like(first[:1])], axis=0)
        kind_before = tf.where(first, -1, _shifted(kinds, -1))
        code_before = tf.where(first, -1, _shifted(flat, -1))
        kind_after = tf.where(last, -1, _shifted(kinds, -1, by=-1))
        blank, blank_before = kinds == BLANK, kind_before == BLANK
        # A last blank before something else is left to what follows: `\s+(?!\S)`.
        gives_back = blank & blank_before & ~last & (kind_after != BLANK)
        changes = (kinds != kind_before) & ~(blank_before & (code_before == _BLANK_20))
        starts = tf.where(blank, ~blank_before | gives_back, changes) | first
        # A contraction counts where nothing before it could have taken the apostrophe along.
        free = first | (kind_before == LETTER) | (kind_before == NUMBER)
        free |= blank_before & (code_before != _BLANK_20)
        length = tf.where((flat == _APOSTROPHE) & free, _contraction_length(flat, last), 0)
        inside = (_shifted(length, 0) >= 2) | (_shifted(length, 0, by=2) == 3)
        ended = (_shifted(length, 0, by=2) == 2) | (_shifted(length, 0, by=3) == 3)
        starts = first | (~inside & (starts | ended | (length > 0)))
        words, word_rows = _cut(flat, rows, starts)
        return tf.RaggedTensor.from_value_rowids(
            _encode(words), word_rows, nrows=codes.nrows(), validate=False
        )


def lowercase() -> Normaliser:
    """Lower case by itself, character by character, as `tokenizers` does it."""
    return Normaliser('{"type": "Lowercase"}')


def _contraction_length(flat: Any, last: Any) -> Any:
    """2 or 3 where a contraction starts at this apostrophe and stays in its row, else 0."""
    one, two = _shifted(flat, 0, by=-1), _shifted(flat, 0, by=-2)
    short = tf.reduce_any(tf.stack([one == letter for letter in _ONE_LETTER]), axis=0) & ~last
    pairs = [(one == ord(a)) & (two == ord(b)) for a, b in _TWO_LETTERS]
    room = ~last & ~_shifted(last, True, by=-1)
    long = tf.reduce_any(tf.stack(pairs), axis=0) & room
    return tf.where(short, 2, tf.where(long, 3, 0))


def _with_prefix_space(codes: Any) -> Any:
    lengths = codes.row_lengths()
    start = tf.concat([codes.flat_values, [0]], axis=0)
    missing = (lengths > 0) & (tf.gather(start, codes.row_starts()) != _BLANK_20)
    counts = tf.cast(missing, tf.int64)
    spaces = tf.fill([tf.reduce_sum(counts)], _BLANK_20)
    prefix = tf.RaggedTensor.from_row_lengths(spaces, counts, validate=False)
    return beside([prefix, codes])


def _shifted(x: Any, fill: Any, by: int = 1) -> Any:
    """x moved right by `by` (left where negative), `fill` at the freed places."""
    filler = tf.fill([tf.minimum(abs(by), tf.size(x))], tf.constant(fill, x.dtype))
    parts = [filler, x[:-by]] if by > 0 else [x[-by:], filler]
    return tf.concat(parts, axis=0)


def _first_of_row(rows: Any) -> Any:
    return rows != _shifted(rows, -1)


def _cut(flat: Any, rows: Any, starts: Any) -> tuple[Any, Any]:
    """Words [W, (characters)] and the row of each word [W]; the first character is a start."""
    positions = tf.where(starts)[:, 0]
    splits = tf.concat([positions, [tf.size(flat, tf.int64)]], axis=0)
    words = tf.RaggedTensor.from_row_splits(flat, splits, validate=False)
    return words, tf.gather(rows, positions)


def _encode(words: Any) -> Any:
    return tf.strings.unicode_encode(words, "UTF-8")
