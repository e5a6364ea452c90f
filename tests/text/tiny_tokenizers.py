"""Small tokenizers of each family, trained by the `tokenizers` library."""

from __future__ import annotations

import functools
from typing import Any

from tests.text.strings import CORPUS

BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SIZE = 700


def bert_vocabulary(lowercase: bool = True) -> tuple[str, ...]:
    """Words, pieces and most characters of the corpus; some characters are left unknown."""
    return _word_pieces(lowercase)


@functools.cache  # training twice breaks ties in two ways
def _word_pieces(lowercase: bool) -> tuple[str, ...]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        CORPUS,
        trainers.WordPieceTrainer(
            vocab_size=SIZE, special_tokens=BERT_SPECIAL, limit_alphabet=300, show_progress=False
        ),
    )
    vocabulary = made.get_vocab()
    return tuple(sorted(vocabulary, key=vocabulary.__getitem__))


def bert(**options: Any) -> Any:
    """BERT's tokenizer; the options are those of its normaliser."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokens = bert_vocabulary(options.get("lowercase", True))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(**options)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    made.add_special_tokens(BERT_SPECIAL)
    return made


@functools.cache
def _byte_level(special: tuple[str, ...]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    return made.to_str()


def gpt2() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(_byte_level(("<|endoftext|>",)))


def roberta(add_prefix_space: bool = False) -> Any:
    from tokenizers import AddedToken, Tokenizer, pre_tokenizers, processors

    made = Tokenizer.from_str(_byte_level(tuple(ROBERTA_SPECIAL)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    made.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return made
