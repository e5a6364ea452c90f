"""What is masked: whole words, the right share, never what is special."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text import tiny_tokenizers
from tfrec.errors import UserError
from tfrec.text.pretraining.masking import Masking, masking
from tfrec.text.tokenizer import Tokenizer

# 0 to 3 are special, then words, then what goes on with a word.
SPECIAL, WORDS, SIZE = 4, 9, 14
IDS = np.arange(SIZE)


def small(rate: float) -> Masking:
    return Masking(3, IDS >= SPECIAL, IDS < WORDS, rate)


def words_of(tokens: list[int], first: list[bool]) -> list[list[int]]:
    """The places of each word, by the rule in words."""
    words: list[list[int]] = []
    for place, (token, starts) in enumerate(zip(tokens, first, strict=True)):
        after_special = place > 0 and tokens[place - 1] < SPECIAL
        if not words or starts or after_special or token < WORDS:
            words.append([])
        words[-1].append(place)
    return words


pieces = st.lists(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=12), max_size=8)


@given(pieces=pieces, rate=st.floats(0.05, 0.95), seed=st.integers(0, 9))
def test_words_are_chosen_whole_up_to_the_share(
    pieces: list[list[int]], rate: float, seed: int
) -> None:
    tokens = [token for piece in pieces for token in piece]
    first = [place == 0 for piece in pieces for place in range(len(piece))]
    chosen = small(rate).choose(
        np.array(tokens, np.int32), np.array(first, bool), np.random.default_rng(seed)
    )
    assert chosen.shape == (len(tokens),)
    ordinary = sum(token >= SPECIAL for token in tokens)
    assert not any(chosen[place] for place, token in enumerate(tokens) if token < SPECIAL)
    longest = 0
    for word in words_of(tokens, first):
        known = [place for place in word if tokens[place] >= SPECIAL]
        assert len({bool(chosen[place]) for place in known}) <= 1
        longest = max(longest, len(known))
    assert chosen.sum() <= rate * ordinary
    # Only the word that would have been too much is missing.
    assert chosen.sum() > np.floor(rate * ordinary) - max(longest, 1)


def test_every_word_is_as_likely_as_any_other() -> None:
    tokens = np.array([4, 5, 9, 6, 10, 11, 7, 8] * 4, np.int32)
    first = np.arange(32) % 8 == 0
    generator = np.random.default_rng(0)
    words = small(0.25)
    draws = 4000
    counts = np.zeros(32)
    for _ in range(draws):
        counts += words.choose(tokens, first, generator)
    shares = counts / draws
    # Up to a word of three pieces is missing from a quarter.
    assert 0.25 * (1 - 2 / 8) < shares.mean() <= 0.25
    assert np.abs(shares - shares.mean()).max() < 5 * np.sqrt(0.25 * 0.75 / draws)


def test_what_is_hidden_follows_bert() -> None:
    """Devlin et al. 2019, §3.1: 80 % [MASK], 10 % another token, 10 % as it was."""
    count = 200_000
    tokens = np.full(count, 6, np.int32)
    seen = small(0.15).hide(tokens, np.random.default_rng(1))
    found = np.bincount(seen, minlength=SIZE) / count
    tolerance = 5 * np.sqrt(0.25 / count)
    assert found[3] == pytest.approx(0.8, abs=tolerance)
    assert not found[:3].any()
    others = 0.1 / (SIZE - SPECIAL)
    expected = np.where(IDS == 6, 0.1 + others, others)[SPECIAL:]
    np.testing.assert_allclose(found[SPECIAL:], expected, atol=tolerance)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_words_are_those_of_the_tokenizer(family: str) -> None:
    fast = getattr(tiny_tokenizers, family)()
    tokenizer = Tokenizer(fast.to_str(), 64)
    encoding = fast.encode("unbelievable stories, unbelievable", add_special_tokens=False)
    assert len(encoding.ids) > 4
    words = masking(tokenizer, 0.5, whole_words=True)
    begins = words.begins[encoding.ids]
    begins[0] = True
    if family == "bert":
        assert begins.sum() == len(set(encoding.word_ids))
    else:
        # Its words are what stands between spaces.
        assert begins.sum() == 3
    pieces = masking(tokenizer, 0.5, whole_words=False)
    assert pieces.begins.all()
    special = [number for number in range(tokenizer.size) if not words.ordinary[number]]
    names = tiny_tokenizers.BERT_SPECIAL if family == "bert" else tiny_tokenizers.ROBERTA_SPECIAL
    assert {fast.id_to_token(number) for number in special} == set(names)
    assert words.mask == fast.token_to_id("[MASK]" if family == "bert" else "<mask>")


def test_a_vocabulary_without_a_mask_is_refused() -> None:
    tokenizer = Tokenizer(tiny_tokenizers.gpt2().to_str(), 64)
    with pytest.raises(UserError, match=r"neither \[MASK\] nor <mask>"):
        masking(tokenizer, 0.15, whole_words=True)
