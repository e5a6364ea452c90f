"""Which tokens a model has to guess, and what it sees in their place."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.errors import UserError
from tfrec.text.tokenizer import Tokenizer

Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]

# Devlin et al. 2019, arXiv 1810.04805, §3.1: of the chosen tokens 80 % become [MASK], 10 % another
# token, 10 % stay.
MASKED, REPLACED = 0.8, 0.1


class Masking(NamedTuple):
    """What masking has to know of a vocabulary.

    Attributes:
        mask: id of [MASK].
        ordinary: whether a token may be guessed or stand in for another: all but special ones, [V].
        begins: whether a token begins a word, [V].
        rate: share of the ordinary tokens that are chosen.
    """

    mask: int
    ordinary: Bool
    begins: Bool
    rate: float

    def choose(self, tokens: Int32, first: Bool, generator: np.random.Generator) -> Bool:
        """A random set of words that has `rate` of the ordinary tokens, or just less, [n].

        Words are taken in random order until the next one would be too much, so each is as likely
        as any other, and how many tokens are chosen is no matter of luck.

        Arguments:
            tokens: pieces of texts, one after the other, [n].
            first: whether a token is the first one of its piece, [n].
            generator: the draws.

        Example:
            >>> words = Masking(4, np.arange(9) > 4, np.arange(9) % 2 == 1, rate=0.5)
            >>> tokens = np.array([5, 6, 7, 2, 7, 8], np.int32)  # 6 and 8 go on with a word
            >>> first = np.arange(6) == 0
            >>> words.choose(tokens, first, np.random.default_rng(0)).tolist()
            [False, False, False, False, True, True]
        """
        ordinary = self.ordinary[tokens]
        word = np.cumsum(self.begins[tokens] | first | ~ordinary) - 1
        sizes = np.bincount(word, weights=ordinary).astype(np.int64)
        order = generator.permutation(np.flatnonzero(sizes))
        taken = order[np.cumsum(sizes[order]) <= np.floor(self.rate * ordinary.sum())]
        chosen = np.zeros(len(sizes), np.bool_)
        chosen[taken] = True
        return chosen[word] & ordinary if len(tokens) else np.zeros(0, np.bool_)

    def hide(self, tokens: Int32, generator: np.random.Generator) -> Int32:
        """What stands in the places of chosen tokens: [MASK], any token, or what was there."""
        draws = generator.random(len(tokens))
        known = np.flatnonzero(self.ordinary)
        others = known[generator.integers(len(known), size=len(tokens))]
        seen = np.where(draws < MASKED + REPLACED, others, tokens)
        return np.where(draws < MASKED, self.mask, seen).astype(np.int32)


def masking(tokenizer: Tokenizer, rate: float, whole_words: bool) -> Masking:
    """How a tokenizer's tokens are masked.

    Arguments:
        tokenizer: of an encoder.
        rate: share of the tokens that are chosen.
        whole_words: a word is masked as a whole (the BERT repository's note of May 2019), or each
            piece of it by itself.

    Raises:
        UserError: the vocabulary has no token for what is masked.
    """
    definition = json.loads(tokenizer.definition)
    added = definition.get("added_tokens", [])
    names = [name for name in ("[MASK]", "<mask>") if tokenizer.id_of(name) is not None]
    if not names:
        raise UserError(
            "the encoder's vocabulary has neither [MASK] nor <mask>: masked language modelling "
            "needs one, take a BERT, MiniLM, DistilBERT or RoBERTa"
        )
    mask = tokenizer.id_of(names[0])
    assert mask is not None
    ordinary = np.zeros(tokenizer.size, np.bool_)
    begins = np.ones(tokenizer.size, np.bool_)
    model = definition["model"]
    for token, number in model["vocab"].items():
        ordinary[number] = True
        if not whole_words:
            continue
        if model["type"] == "WordPiece":
            begins[number] = not token.startswith(model["continuing_subword_prefix"])
        else:
            begins[number] = token.startswith("Ġ")  # how byte-level BPE writes a space
    special = [token["id"] for token in added if token["special"]]
    ordinary[[*special, mask, tokenizer.pad_id, *tokenizer.prefix, *tokenizer.suffix]] = False
    if not ordinary.any():
        raise UserError("the encoder's vocabulary has special tokens only")
    return Masking(mask, ordinary, begins, rate)
