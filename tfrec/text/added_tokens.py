"""Tokens that a text may hold as they are, such as [SEP], cut out before anything else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

# White_Space of Unicode, which `tokenizers` strips at the sides of a token that asks for it.
_SPACES = (
    r"[\x{9}-\x{D} \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]"
)

# A byte that no UTF-8 holds. (TF Text's regex_split ends a text at its first NUL.)
_CUT = b"\xff"


class AddedToken(NamedTuple):
    """One of them: what stands in a text, its id, and whether it takes the spaces beside it."""

    content: str
    id: int
    left_spaces: bool = False
    right_spaces: bool = False


class AddedTokens:
    """Cuts texts at added tokens, the longest first.

    Example:
        >>> cut = AddedTokens([AddedToken("[SEP]", 2)])
        >>> ids, pieces, splits = cut(tf.constant(["one[SEP]two", "three"]))
        >>> pieces.numpy().tolist(), ids.numpy().tolist(), splits.numpy().tolist()
        ([b'one', b'', b'two', b'three'], [-1, 2, -1, -1], [0, 3, 4])

    Bytes 0xFF in a text are lost.
    """

    def __init__(self, tokens: Sequence[AddedToken]) -> None:
        tokens = sorted(tokens, key=lambda token: -len(token.content))
        self._spaced = any(token.left_spaces or token.right_spaces for token in tokens)
        self._pattern = "|".join(_pattern(token) for token in tokens)
        self._bare = "|".join(_literal(token.content) for token in tokens)
        with tf.init_scope(), tf.device("/CPU:0"):
            self._contents = tf.constant([token.content for token in tokens])
            self._ids = tf.constant([*(token.id for token in tokens), -1], tf.int32)

    def __call__(self, texts: Any) -> tuple[Any, Any, Any]:
        """string [N] -> id of each piece or -1, int32 [P]; pieces, "" for a token; row splits."""
        marked = tf.strings.regex_replace(texts, self._pattern, _CUT + rb"\0" + _CUT)
        cut = tf.strings.split(marked, _CUT)
        pieces = cut.values
        bare = pieces
        if self._spaced:
            spaced = f"^{_SPACES}*({self._bare}){_SPACES}*$"
            bare = tf.strings.regex_replace(pieces, spaced, r"\1")
        same = bare[:, tf.newaxis] == self._contents  # [pieces, tokens]
        which = tf.where(
            tf.reduce_any(same, axis=1),
            tf.argmax(tf.cast(same, tf.int32), axis=1, output_type=tf.int32),
            tf.size(self._contents),
        )
        ids = tf.gather(self._ids, which)
        return ids, tf.where(ids < 0, pieces, ""), cut.row_splits


def _pattern(token: AddedToken) -> str:
    left = f"{_SPACES}*" if token.left_spaces else ""
    right = f"{_SPACES}*" if token.right_spaces else ""
    return left + _literal(token.content) + right


def _literal(content: str) -> str:
    # Code points rather than re.escape: RE2 knows fewer escapes than Python.
    return "".join(c if re.match(r"[A-Za-z0-9]", c) else f"\\x{{{ord(c):X}}}" for c in content)
