"""Hugging Face's tokenizers as a TensorFlow graph: strings in, the same ids out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrec.errors import UserError
from tfrec.text.added_tokens import AddedToken, AddedTokens
from tfrec.text.ragged import beside, repeated
from tfrec.text.subwords import BytePairs, WordPiece
from tfrec.text.tokenizer_files import pair
from tfrec.text.words import BertWords, ByteLevelWords, Normaliser, lowercase

# Lengths of padded batches, so that few shapes are compiled and matrices are well aligned.
MULTIPLE = 8


class Tokenizer:
    """Strings -> token ids, token for token those of the fast tokenizer described by `definition`.

    Only operations of TensorFlow and TF Text, so that a SavedModel can take strings. The tables
    that it looks up are read off `tokenizers` when it is made, see `codepoints`. Bytes that are no
    UTF-8 are read as U+FFFD.

    Arguments:
        definition: the JSON of a `tokenizer.json`: WordPiece with BERT's normaliser and words, or
            byte-level BPE with GPT-2's words.
        max_length: tokens that are kept of a text, special ones included.
        lower: whether texts are put into lower case before anything else.

    Attributes:
        prefix, suffix: ids of the special tokens that stand before and after a text.
        pad_id: what fills a row up.

    Raises:
        UserError: a kind of tokenizer that is not supported, or no room for special tokens.

    Example:
        >>> from tokenizers import Tokenizer as Fast, models, pre_tokenizers
        >>> fast = Fast(models.WordPiece({"[UNK]": 0, "so": 1, "##on": 2}, unk_token="[UNK]"))
        >>> fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        >>> tokens = Tokenizer(fast.to_str(), max_length=16)(tf.constant(["so soon", "no"]))
        >>> tokens["token_ids"].numpy().tolist()
        [[1, 1, 2, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
        >>> tf.reduce_sum(tf.cast(tokens["padding_mask"], tf.int32), axis=1).numpy().tolist()
        [3, 1]
    """

    def __init__(self, definition: str, max_length: int, lower: bool = False) -> None:
        from tokenizers import Tokenizer as Fast

        self.definition, self.max_length, self.lower = definition, max_length, lower
        parsed = json.loads(definition)
        try:
            fast = Fast.from_str(definition)
        except Exception as error:  # tokenizers raises nothing narrower
            raise UserError(
                f"tokenizer.json is not understood ({error}): copy or download it again"
            ) from None
        fast.no_truncation()
        fast.no_padding()
        self._vocabulary: dict[str, int] = fast.get_vocab(with_added_tokens=True)
        self.pad_id = int((parsed.get("padding") or {}).get("pad_id", 0))
        self.prefix, self.suffix = _around(fast)
        self._room = max_length - len(self.prefix) - len(self.suffix)
        if self._room < 1:
            raise UserError(
                f"a text of max_length {max_length} has no room beside its "
                f"{len(self.prefix) + len(self.suffix)} special tokens: make it longer"
            )
        truncation = parsed.get("truncation") or {}
        self._keeps_end = str(truncation.get("direction", "Right")).lower() == "left"
        self._lower = lowercase() if lower else None
        self._normalise, self._words, self._subwords = _steps(parsed)
        self._before, self._after = _added(parsed, fast)
        self._graph = tf.function(
            self._ragged, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )

    @property
    def size(self) -> int:
        """Rows that an embedding of the tokens needs."""
        return max(self._vocabulary.values()) + 1

    def id_of(self, token: str) -> int | None:
        """The id of a token such as "[MASK]", None where the vocabulary lacks it."""
        return self._vocabulary.get(token)

    def __call__(self, texts: Any) -> dict[str, Any]:
        """string [N] -> `token_ids` int32 [N, length] and `padding_mask` bool [N, length].

        True is a real token. The length is that of the longest text, rounded up to a multiple of 8.
        """
        return self.pad(self.ragged(texts))

    def pieces(self, texts: Any) -> Any:
        """string [N] -> int32 [N, (tokens)]: all of a text, without the tokens around it."""
        # Strings live on the host; so do the tables.
        with tf.device("/CPU:0"):
            if self._lower is not None:
                texts = _strings(self._lower(_codes(texts)))
            return self._cut_before(texts)

    def ragged(self, texts: Any) -> Any:
        """string [N] -> int32 [N, (tokens)], special tokens included."""
        return self._graph(texts)

    def pad(self, tokens: Any) -> dict[str, Any]:
        """int32 [N, (tokens)] -> as `__call__`."""
        with tf.device("/CPU:0"):
            lengths = tokens.row_lengths()
            longest = tf.reduce_max(tf.concat([lengths, [1]], axis=0))
            width = tf.minimum(-(-longest // MULTIPLE) * MULTIPLE, self.max_length)
            ids = tokens.to_tensor(self.pad_id, shape=tf.stack([-1, width]))
            return {"token_ids": ids, "padding_mask": tf.sequence_mask(lengths, width)}

    def _ragged(self, texts: Any) -> Any:
        tokens = self.pieces(texts)
        with tf.device("/CPU:0"):
            tokens = tokens[:, -self._room :] if self._keeps_end else tokens[:, : self._room]
            count = tokens.nrows()
            parts = [repeated(self.prefix, count), tokens, repeated(self.suffix, count)]
            return beside(parts)

    def _cut_before(self, texts: Any) -> Any:
        return _with_added(self._before, texts, self._cut_after)

    def _cut_after(self, texts: Any) -> Any:
        codes = _codes(texts)
        if self._normalise is not None:
            codes = self._normalise(codes)
        if self._after is None:
            return self._plain(codes)
        return _with_added(self._after, _strings(codes), lambda pieces: self._plain(_codes(pieces)))

    def _plain(self, codes: Any) -> Any:
        words = self._words(codes)
        tokens = self._subwords(words.values)
        return _joined(tokens, words.row_splits)


def _codes(texts: Any) -> Any:
    return tf.strings.unicode_decode(texts, "UTF-8")


def _strings(codes: Any) -> Any:
    return tf.strings.unicode_encode(codes, "UTF-8")


def _joined(tokens: Any, splits: Any) -> Any:
    """[P, (tokens)] of pieces -> [N, (tokens)] of texts, whose pieces are at `splits`."""
    return tf.RaggedTensor.from_row_splits(
        tokens.values, tf.gather(tokens.row_splits, splits), validate=False
    )


def _with_added(cut: AddedTokens | None, texts: Any, plain: Callable[[Any], Any]) -> Any:
    if cut is None:
        return plain(texts)
    ids, pieces, splits = cut(texts)
    added = tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(ids, ids >= 0), tf.cast(ids >= 0, tf.int64), validate=False
    )
    return _joined(beside([added, plain(pieces)]), splits)


def _around(fast: Any) -> tuple[list[int], list[int]]:
    """Ids of the special tokens that are put before and after a text."""
    encoding = fast.encode("a")
    inner = len(fast.encode("a", add_special_tokens=False).ids)
    before = 0
    while before < len(encoding.ids) - inner and encoding.special_tokens_mask[before]:
        before += 1
    return encoding.ids[:before], encoding.ids[before + inner :]


def _steps(parsed: dict[str, Any]) -> tuple[Normaliser | None, Any, Any]:
    """Normaliser, words and subwords of a definition."""
    model, normalizer = parsed["model"], parsed.get("normalizer")
    words = parsed.get("pre_tokenizer") or {"type": "none"}
    kinds = tuple((step or {"type": "none"})["type"] for step in (normalizer, words, model))
    if kinds[0] in ("BertNormalizer", "none") and kinds[1:] == ("BertPreTokenizer", "WordPiece"):
        if model["max_input_chars_per_word"] != 100:
            raise _unsupported("max_input_chars_per_word other than 100")
        normalise = Normaliser(json.dumps(normalizer)) if normalizer else None
        pieces = WordPiece(model["vocab"], model["unk_token"], model["continuing_subword_prefix"])
        return normalise, BertWords(normalise.alone if normalise else frozenset()), pieces
    if kinds == ("none", "ByteLevel", "BPE"):
        for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk"):
            if model.get(option):
                raise _unsupported(f"BPE with {option}")
        for option in ("byte_fallback", "ignore_merges"):
            if model.get(option):
                raise _unsupported(f"BPE with {option}")
        if not words.get("use_regex", True):
            raise _unsupported("ByteLevel without its regular expression")
        merges = [pair(merge) for merge in model["merges"]]
        unknown = model["vocab"].get(model["unk_token"]) if model.get("unk_token") else None
        return (
            None,
            ByteLevelWords(words["add_prefix_space"]),
            BytePairs(model["vocab"], merges, unknown),
        )
    raise _unsupported(f"normalizer {kinds[0]}, pre_tokenizer {kinds[1]}, model {kinds[2]}")


def _added(parsed: dict[str, Any], fast: Any) -> tuple[AddedTokens | None, AddedTokens | None]:
    """Added tokens that are looked for in the text as it is, and in the normalised text."""
    before: list[AddedToken] = []
    after: list[AddedToken] = []
    for token in parsed.get("added_tokens", []):
        if token["single_word"]:
            raise _unsupported(f"added token {token['content']!r} with single_word")
        content = token["content"]
        if token["normalized"] and fast.normalizer is not None:
            content = fast.normalizer.normalize_str(content)
            if not content or any(character.isspace() for character in content):
                raise _unsupported(f"added token {token['content']!r} with spaces or ideographs")
        entry = AddedToken(content, token["id"], token["lstrip"], token["rstrip"])
        (after if token["normalized"] else before).append(entry)
    return (AddedTokens(before) if before else None, AddedTokens(after) if after else None)


def _unsupported(what: str) -> UserError:
    return UserError(
        f"tokenizer.json: {what} is not supported. Supported are WordPiece with BertNormalizer and "
        "BertPreTokenizer (BERT, MiniLM, DistilBERT) and BPE with ByteLevel (RoBERTa, GPT-2)"
    )
