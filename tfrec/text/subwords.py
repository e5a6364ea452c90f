"""Words -> subword ids in the graph: WordPiece (BERT) and byte-level BPE (GPT-2, RoBERTa)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.errors import UserError

# 100 characters of four bytes; longer words do not reach WordPiece.
_MAX_BYTES = 400
_NO_MERGE = np.int32(2**31 - 1)


class WordPiece:
    """Longest match first, as BERT's, by TF Text's FastWordpieceTokenizer (Song et al. 2021).

    Arguments:
        vocabulary: token -> id, ids from 0; gaps are allowed.
        unknown: the token of a word that cannot be put together.
        prefix: what marks a piece inside a word.

    Example:
        >>> pieces = WordPiece({"[UNK]": 0, "un": 1, "##able": 2}, "[UNK]", "##")
        >>> pieces(tf.constant(["unable", "able"])).to_list()
        [[1, 2], [0]]
    """

    def __init__(self, vocabulary: dict[str, int], unknown: str, prefix: str) -> None:
        import tensorflow_text as text  # type: ignore[import-untyped, unused-ignore]

        # A bracket is a word by itself, so that no text can ask for the filler of a gap.
        tokens = [f"[gap {number}]" for number in range(max(vocabulary.values()) + 1)]
        for token, number in vocabulary.items():
            tokens[number] = token
        with tf.init_scope(), tf.device("/CPU:0"):
            self._tokenizer = text.FastWordpieceTokenizer(
                vocab=tokens,
                suffix_indicator=prefix,
                max_bytes_per_word=_MAX_BYTES,
                token_out_type=tf.int32,
                unknown_token=unknown,
                no_pretokenization=True,
            )

    def __call__(self, words: Any) -> Any:
        """string [W] -> int32 [W, (pieces)]."""
        return self._tokenizer.tokenize(words)


class BytePairs:
    """Byte-pair encoding of UTF-8 bytes (Sennrich et al. 2016; Radford et al. 2019, §2.2).

    The pair of lowest rank is merged until none is left. One step merges that pair everywhere in
    a word: the same as one by one from the left, because what a merge makes only takes part in
    merges of higher rank. Where a table breaks that rule, only the first place is merged.

    Arguments:
        vocabulary: token -> id. A byte that it lacks becomes `unknown`, or nothing without one.
        merges: pairs of tokens, most urgent first.
        unknown: id, or None.

    Raises:
        UserError: a merge of tokens that are not in the vocabulary.

    Example:
        >>> pairs = BytePairs({"a": 0, "b": 1, "ab": 2, "aab": 3}, [("a", "b"), ("a", "ab")], None)
        >>> pairs(tf.constant(["aaab", "ba"])).to_list()
        [[0, 3], [1, 0]]
    """

    def __init__(
        self, vocabulary: dict[str, int], merges: list[tuple[str, str]], unknown: int | None
    ) -> None:
        self._size = max(vocabulary.values(), default=0) + 1
        ranked: dict[int, tuple[int, int]] = {}
        made: dict[int, int] = {}
        taken: dict[int, int] = {}
        for rank, (left, right) in enumerate(merges):
            try:
                a, b, c = (vocabulary[token] for token in (left, right, left + right))
            except KeyError as missing:
                raise UserError(
                    f"merge {rank + 1} ({left!r} {right!r}) needs the token {missing}, which the "
                    "vocabulary lacks: vocabulary and merges are not of the same tokenizer"
                ) from None
            ranked[a * self._size + b] = (rank, c)
            made[c] = rank
            for part in (a, b):
                taken.setdefault(part, rank)
        self._one_by_one = any(taken.get(token, rank + 1) <= rank for token, rank in made.items())
        keys = sorted(ranked)
        missing_byte = -1 if unknown is None else unknown
        symbols = [vocabulary.get(symbol, missing_byte) for symbol in byte_symbols()]
        with tf.init_scope(), tf.device("/CPU:0"):
            # A key that no pair has, so that a search always ends inside.
            self._keys = tf.constant([*keys, np.iinfo(np.int64).max], tf.int64)
            self._ranks = tf.constant([*(ranked[key][0] for key in keys), _NO_MERGE], tf.int32)
            self._results = tf.constant([*(ranked[key][1] for key in keys), 0], tf.int32)
            self._symbols = tf.constant(symbols, tf.int32)

    def __call__(self, words: Any) -> Any:
        """string [W] -> int32 [W, (pieces)]."""
        words, places = tf.unique(words, out_idx=tf.int64)
        count = tf.size(words, tf.int64)
        lengths = tf.cast(tf.strings.length(words), tf.int64)
        data = tf.io.decode_raw(tf.strings.reduce_join(words)[tf.newaxis], tf.uint8)[0]
        ids = tf.gather(self._symbols, tf.cast(data, tf.int32))
        rows = tf.repeat(tf.range(count), lengths)
        known = ids >= 0
        ids, rows = self._merge(tf.boolean_mask(ids, known), tf.boolean_mask(rows, known))
        pieces = tf.RaggedTensor.from_value_rowids(ids, rows, nrows=count, validate=False)
        return tf.gather(pieces, places)

    def _merge(self, ids: Any, rows: Any) -> tuple[Any, Any]:
        """Merges the symbols of all words at once; finished words leave the loop."""

        def array(dtype: Any) -> Any:
            return tf.TensorArray(
                dtype, 0, dynamic_size=True, infer_shape=False, element_shape=[None]
            )

        def step(number: Any, ids: Any, rows: Any, done_ids: Any, done_rows: Any) -> Any:
            ids, rows, merged = self._step(ids, rows)
            merging = tf.gather(merged, rows)
            done_ids = done_ids.write(number, tf.boolean_mask(ids, ~merging))
            done_rows = done_rows.write(number, tf.boolean_mask(rows, ~merging))
            ids, rows = tf.boolean_mask(ids, merging), tf.boolean_mask(rows, merging)
            return number + 1, ids, rows, done_ids, done_rows

        anything = tf.TensorShape([None])
        *_, done_ids, done_rows = tf.while_loop(
            lambda number, ids, *_: (tf.size(ids) > 0) | (number == 0),
            step,
            (0, ids, rows, array(tf.int32), array(tf.int64)),
            shape_invariants=(tf.TensorShape([]), anything, anything, None, None),
        )
        ids, rows = done_ids.concat(), done_rows.concat()
        order = tf.argsort(rows, stable=True)
        return tf.gather(ids, order), tf.gather(rows, order)

    def _step(self, ids: Any, rows: Any) -> tuple[Any, Any, Any]:
        """One merge in each word: ids, rows, and whether a word was merged, bool [words]."""
        count = tf.reduce_max(tf.concat([rows, [-1]], axis=0)) + 1
        # Of the symbol and the one to its right; none for the last of a word.
        together = tf.concat([rows[1:] == rows[:-1], tf.zeros_like(rows[:1], tf.bool)], axis=0)
        right = tf.concat([ids[1:], tf.zeros_like(ids[:1])], axis=0)
        key = tf.cast(ids, tf.int64) * self._size + tf.cast(right, tf.int64)
        place = tf.searchsorted(self._keys, key)
        found = together & (tf.gather(self._keys, place) == key)
        rank = tf.where(found, tf.gather(self._ranks, place), _NO_MERGE)
        best = tf.math.unsorted_segment_min(rank, rows, count)
        chosen = found & (rank == tf.gather(best, rows))
        # In "aaa" the pair a a stands twice but shares a symbol: every other one of a run counts.
        positions = tf.range(tf.size(ids))
        begins = chosen & ~tf.concat([tf.zeros_like(chosen[:1]), chosen[:-1]], axis=0)
        run = tf.cumsum(tf.cast(begins, tf.int32)) - 1
        first = tf.gather(
            tf.concat([tf.boolean_mask(positions, begins), [0]], 0), tf.maximum(run, 0)
        )
        chosen &= (positions - first) % 2 == 0
        if self._one_by_one:
            place_of = tf.where(chosen, positions, _NO_MERGE)
            chosen &= place_of == tf.gather(
                tf.math.unsorted_segment_min(place_of, rows, count), rows
            )
        ids = tf.where(chosen, tf.gather(self._results, place), ids)
        kept = ~tf.concat([tf.zeros_like(chosen[:1]), chosen[:-1]], axis=0)
        return tf.boolean_mask(ids, kept), tf.boolean_mask(rows, kept), best < _NO_MERGE


def byte_symbols() -> list[str]:
    """The character that stands for each of the 256 bytes in a byte-level vocabulary.

    Printable Latin-1 characters stand for themselves, the others are moved above U+0100
    (Radford et al. 2019, `encoder.py`).

    Example:
        >>> byte_symbols()[ord("a")], byte_symbols()[ord(" ")]
        ('a', 'Ġ')
    """
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = iter(range(0x100, 0x200))
    return [chr(byte if byte in itself else next(moved)) for byte in range(256)]
