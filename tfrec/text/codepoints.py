"""What a Hugging Face tokenizer does to each character, as tables that a graph can look up.

Character classes and case mappings differ between Unicode versions, and the Rust libraries behind
`tokenizers`, RE2 and ICU inside TensorFlow each carry another one (`tokenizers` removes accents by
Unicode 8). TensorFlow's own lower case even depends on the locale of the process: under a Turkish
one "TITLE" becomes "tıtle". So the tables are read off `tokenizers` itself, one character at a
time, and the graph only looks up.
"""

from __future__ import annotations

import functools
import json
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Int32 = npt.NDArray[np.int32]

CODEPOINTS = 0x110000
_PAGE = 256
_CHUNK = 4096
# Classes of the words of BERT. A space ends a word, a character alone is a word.
WORD, SPACE, ALONE = 0, 1, 2
# Classes of the words of byte-level BPE.
OTHER, LETTER, NUMBER, BLANK = 0, 1, 2, 3


class Table:
    """A number for every code point, looked up in a graph.

    It is stored in pages of 256, equal pages once: the classes of all of Unicode take some 30 kB.

    Arguments:
        rows: [0x110000].

    Example:
        >>> is_ascii = Table((np.arange(CODEPOINTS) < 128).astype(np.int32))
        >>> is_ascii(tf.constant([65, 233])).numpy().tolist()
        [1, 0]
    """

    def __init__(self, rows: Int32) -> None:
        known: dict[bytes, int] = {}
        pages = rows.astype(np.int32).reshape(-1, _PAGE)
        starts = [known.setdefault(page.tobytes(), len(known)) * _PAGE for page in pages]
        with tf.init_scope(), tf.device("/CPU:0"):
            self._pages = tf.constant(np.frombuffer(b"".join(known), np.int32))
            self._starts = tf.constant(starts, tf.int32)

    def __call__(self, codes: Any) -> Any:
        start = tf.gather(self._starts, tf.bitwise.right_shift(codes, 8))
        return tf.gather(self._pages, start + tf.bitwise.bitwise_and(codes, _PAGE - 1))


class Mapping(NamedTuple):
    """What a normaliser makes of each code point, [0x110000, 3].

    The first column is the difference to the code point, which keeps most pages equal; the other
    two are code points. `NOTHING` where there is none. Spaces put around a character are left
    out; `alone` has those characters.
    """

    outputs: Int32
    alone: frozenset[int]


NOTHING = np.int32(-(2**30))


@functools.cache
def mapping(normalizer: str) -> Mapping:
    """Reads a normaliser off, given as the JSON that `tokenizers` writes.

    Each character is normalised by itself. Two characters can only influence one another where
    accents are removed or NFD is asked for: combining marks are then sorted by their class. That
    is not done here, and can only be seen where two marks of different classes that are kept meet
    (spacing marks such as U+1B44 and U+302E, and nonspacing ones newer than Unicode 8).
    """
    from tokenizers import normalizers

    parsed = json.loads(normalizer)
    options = {name: value for name, value in parsed.items() if name != "type"}
    normal = getattr(normalizers, parsed["type"])(**options)
    outputs = np.full((CODEPOINTS, 3), NOTHING, np.int32)
    alone: set[int] = set()
    for first in range(0, CODEPOINTS, _CHUNK):
        codes = [c for c in range(first, first + _CHUNK) if not _surrogate(c)]
        # A bar between any two, which no normaliser touches and which stops combining marks.
        text = "|".join("" if c == ord("|") else chr(c) for c in codes)
        for code, form in zip(codes, normal.normalize_str(text).split("|"), strict=True):
            if code == ord("|"):
                form = "|"
            if len(form) > 2 and form[0] == form[-1] == " ":
                form = form[1:-1]
                alone.update(map(ord, form))
            for place, character in enumerate(form):
                outputs[code, place] = ord(character) - (code if place == 0 else 0)
    return Mapping(outputs, frozenset(alone))


@functools.cache
def bert_classes() -> Int32:
    """WORD, SPACE or ALONE of each code point by `tokenizers`' BertPreTokenizer."""
    from tokenizers import pre_tokenizers

    splitter = pre_tokenizers.BertPreTokenizer()
    classes = np.full(CODEPOINTS, WORD, np.int32)
    for codes, text in _chunks():
        covered = np.zeros(len(codes), np.bool_)
        for piece, (start, end) in splitter.pre_tokenize_str(text):
            covered[start:end] = True
            if end == start + 1 and len(splitter.pre_tokenize_str(f"a{piece}a")) == 3:
                classes[codes[start]] = ALONE
        classes[codes[~covered]] = SPACE
    return classes


@functools.cache
def byte_level_classes() -> Int32:
    r"""OTHER, LETTER, NUMBER or BLANK of each code point by Hugging Face's regex.

    These are the classes \p{L}, \p{N} and \s of GPT-2's pattern.
    """
    from tokenizers import Regex, pre_tokenizers

    named = {LETTER: r"\p{L}", NUMBER: r"\p{N}", BLANK: r"\s"}
    runs = pre_tokenizers.Split(Regex("|".join(f"{x}+" for x in named.values())), "isolated")
    single = {c: pre_tokenizers.Split(Regex(x), "removed") for c, x in named.items()}
    classes = np.full(CODEPOINTS, OTHER, np.int32)
    for codes, text in _chunks():
        for piece, (start, end) in runs.pre_tokenize_str(text):
            for number, splitter in single.items():
                if not splitter.pre_tokenize_str(piece[0]):
                    classes[codes[start:end]] = number
    return classes


def _chunks() -> Any:
    for first in range(0, CODEPOINTS, _CHUNK):
        codes = np.array([c for c in range(first, first + _CHUNK) if not _surrogate(c)], np.int64)
        if len(codes):
            yield codes, "".join(map(chr, codes.tolist()))


def _surrogate(code: int) -> bool:
    return 0xD800 <= code < 0xE000
