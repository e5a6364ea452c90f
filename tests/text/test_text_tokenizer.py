"""Token ids against the `tokenizers` library: the graph must agree with it to the token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.text import tiny_tokenizers
from tests.text.strings import TEXTS
from tfrec.errors import UserError
from tfrec.text.subwords import BytePairs, byte_symbols
from tfrec.text.tokenizer import Tokenizer

LONG = 100_000
KINDS: dict[str, Callable[[], Any]] = {
    "bert uncased": tiny_tokenizers.bert,
    "bert cased": lambda: tiny_tokenizers.bert(lowercase=False),
    "bert lower case with accents": lambda: tiny_tokenizers.bert(strip_accents=False),
    "bert cased without accents": lambda: tiny_tokenizers.bert(lowercase=False, strip_accents=True),
    "bert plain": lambda: tiny_tokenizers.bert(clean_text=False, handle_chinese_chars=False),
    "gpt2": tiny_tokenizers.gpt2,
    "roberta": tiny_tokenizers.roberta,
    "roberta with prefix space": lambda: tiny_tokenizers.roberta(add_prefix_space=True),
}
_MADE: dict[str, tuple[Any, Tokenizer]] = {}


def both(kind: str) -> tuple[Any, Tokenizer]:
    if kind not in _MADE:
        fast = KINDS[kind]()
        _MADE[kind] = (fast, Tokenizer(fast.to_str(), LONG))
    return _MADE[kind]


def check(fast: Any, tokenizer: Tokenizer, texts: list[str]) -> None:
    found = tokenizer.ragged(tf.constant([text.encode() for text in texts])).to_list()
    for text, ids, encoding in zip(texts, found, fast.encode_batch(texts), strict=True):
        assert ids == encoding.ids, repr(text[:80])


@pytest.mark.parametrize("kind", KINDS)
def test_hard_strings(kind: str) -> None:
    assert len(TEXTS) >= 200
    check(*both(kind), TEXTS)


@pytest.mark.parametrize("kind", ["bert uncased", "bert cased", "roberta"])
def test_every_character_of_unicode(kind: str) -> None:
    """In rows of 64 between letters, so that also where words are cut is seen."""
    codes = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    # The planes without any letter are all alike; one row of each is enough.
    codes = codes[: 0x32000 - 0x800] + codes[0x3FFC0 - 0x800 :: 0x1000]
    check(*both(kind), ["a" + "b a".join(codes[at : at + 64]) for at in range(0, len(codes), 64)])


CHARACTERS = st.one_of(
    st.characters(codec="utf-8"),
    st.sampled_from("aábcdeZ'srtvlmd 109\t\n.,-#[]<>|"),
    st.sampled_from(["[SEP]", "<mask>", "<|endoftext|>", "'ll", " '", "\u0301", "\u3000", "ΣΣ"]),
)


@pytest.mark.parametrize(
    "kind", ["bert uncased", "bert plain", "gpt2", "roberta with prefix space"]
)
@given(texts=st.lists(st.lists(CHARACTERS, max_size=40).map("".join), min_size=1, max_size=4))
def test_any_text(kind: str, texts: list[str]) -> None:
    check(*both(kind), texts)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("kind", "length"), [("bert uncased", 3), ("gpt2", 8), ("roberta", 17)])
def test_truncation_and_padding(kind: str, length: int, side: str) -> None:
    fast = KINDS[kind]()
    fast.enable_truncation(length, direction=side)
    tokenizer = Tokenizer(fast.to_str(), length)
    texts = ["", "a", "one flew over the cuckoo's nest", "an unable man is unlikely " * 9]
    tokens = tokenizer(tf.constant(texts))
    for encoding, ids, mask in zip(
        fast.encode_batch(texts),
        tokens["token_ids"].numpy(),
        tokens["padding_mask"].numpy(),
        strict=True,
    ):
        assert ids[mask].tolist() == encoding.ids
        assert (np.diff(mask.astype(int)) <= 0).all()
        assert (ids[~mask] == tokenizer.pad_id).all()
    assert tokens["token_ids"].dtype == tf.int32


def test_lower_case_before_anything_else() -> None:
    """As sentence-transformers does it where sentence_bert_config.json asks for it."""
    fast = tiny_tokenizers.bert(lowercase=False)
    texts = [text for text in TEXTS if "Σ" not in text and "İ" not in text and text.isascii()]
    found = Tokenizer(fast.to_str(), LONG, lower=True).ragged(tf.constant(texts)).to_list()
    assert found == [encoding.ids for encoding in fast.encode_batch([t.lower() for t in texts])]


def test_added_words_are_found_in_the_normalised_text() -> None:
    fast = tiny_tokenizers.bert()
    fast.add_tokens(["Rosebud", "x1-y"])
    texts = ["ROSEBUD!", "arosébudb", "X1-Y x1 -y", "[SEP]rosebud[SEP]", "x1-yrosebud"]
    check(fast, Tokenizer(fast.to_str(), LONG), texts)


def test_a_locale_does_not_change_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's own lower case turns I into a dotless ı under a Turkish locale."""
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    check(*both("bert uncased"), ["TITLE I İ ı"])


def test_bytes_that_are_no_text_are_no_reason_to_stop() -> None:
    for kind in ("bert uncased", "roberta"):
        _, tokenizer = both(kind)
        found = tokenizer.ragged(tf.constant([b"a\xc3", b"\xed\xa0\x80b", b"\x80", b"a"]))
        assert found.nrows() == 4


def test_merges_of_any_order_are_those_of_tokenizers() -> None:
    """Also where a merge uses what only a later one makes."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import models, pre_tokenizers

    random = np.random.default_rng(0)
    for _ in range(8):
        vocabulary = {symbol: number for number, symbol in enumerate(byte_symbols())}
        parts, merges = ["a", "b", "c"], []
        for _ in range(12):
            left, right = (parts[int(k)] for k in random.integers(len(parts), size=2))
            if (left, right) not in merges and left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                parts.append(left + right)
                merges.append((left, right))
        random.shuffle(merges)
        merges = [tuple(merge) for merge in merges]
        fast = Fast(models.BPE(vocabulary, merges))
        fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        words = ["".join(random.choice(list("abc"), size=n)) for n in range(1, 40)]
        pairs = BytePairs(vocabulary, merges, None)
        found = pairs(tf.constant(words)).to_list()
        assert found == [encoding.ids for encoding in fast.encode_batch(words)]


def test_what_is_not_supported_is_said() -> None:
    from tokenizers import Tokenizer as Fast
    from tokenizers import models, pre_tokenizers

    fast = Fast(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    with pytest.raises(UserError, match=r"Metaspace.*Unigram is not supported"):
        Tokenizer(fast.to_str(), 8)
    with pytest.raises(UserError, match=r"tokenizer\.json is not understood"):
        Tokenizer('{"version": "1.0"}', 8)
    with pytest.raises(UserError, match="no room"):
        Tokenizer(tiny_tokenizers.bert().to_str(), 2)
