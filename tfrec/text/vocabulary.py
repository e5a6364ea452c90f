"""A WordPiece vocabulary learned from the texts at hand, for a BERT of our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from pathlib import Path

from tfrec.atomic import write_text
from tfrec.errors import UserError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY_FILE = "vocab.txt"

# Longer words are [UNK] to a BERT tokenizer whatever the vocabulary.
_LONGEST_WORD = 100
# Of the vocabulary, for single characters; the rest is left for words.
_CHARACTERS = 0.75
# Characters of text, or words, that go to the Rust side at once.
_BLOCK = 100_000


def learn_vocabulary(
    texts: Iterable[str], size: int = 16_384, lower_case: bool = True
) -> list[str]:
    """Pieces of words, most frequent merges first, after the special tokens and all characters.

    Words are split as BERT does (Devlin et al. 2019, arXiv 1810.04805): at spaces and punctuation,
    every Chinese character by itself. Pieces are then merged by frequency, which is what the
    `tokenizers` library calls WordPiece training; a hundred thousand texts take half a minute. Same
    texts, same vocabulary: the library numbers the characters in the order of a random hash and
    breaks ties by that number, so they are numbered here, before it begins.

    Arguments:
        texts: the corpus; read once.
        size: pieces at the most, special tokens included. Rare characters beyond three quarters
            of it have no piece.
        lower_case: lower case without accents, as an uncased BERT; a tokenizer of the
            vocabulary has to be told the same.

    Returns:
        [PAD], [UNK], [CLS], [SEP], [MASK], then the pieces; those inside a word begin with ##.

    Raises:
        UserError: no text has a word in it, or the size is too small for anything but characters.

    Example:
        >>> learn_vocabulary(["hot coffee, hot tea", "coffee"], size=32)[-3:]
        ['coff', 'hot', 'coffee']
    """
    words = _words(texts, lower_case)
    if not words:
        raise UserError("no text to learn a vocabulary from: give items texts with --items, --text")
    if size < 2 * len(SPECIAL):
        raise UserError(f"a vocabulary of {size} pieces has no room for words; take 1000 or more")
    known = _characters(words, int(_CHARACTERS * (size - len(SPECIAL))))
    return _merged(words, known, size)


def write_vocabulary(pieces: Sequence[str], folder: Path) -> None:
    """Writes vocab.txt, one piece per line, as Hugging Face and keras-hub read it.

    Raises:
        UserError: the file cannot be written.
    """
    path = folder / VOCABULARY_FILE
    try:
        write_text(path, "".join(f"{piece}\n" for piece in pieces))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def _words(texts: Iterable[str], lower_case: bool) -> Counter[str]:
    """How often each word of the corpus occurs."""
    from tokenizers import normalizers, pre_tokenizers

    normalizer = normalizers.BertNormalizer(lowercase=lower_case)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for block in _blocks(texts):
        split = splitter.pre_tokenize_str(normalizer.normalize_str(block))
        counts.update(word for word, _ in split if len(word) <= _LONGEST_WORD)
    return counts


def _blocks(texts: Iterable[str]) -> Iterator[str]:
    block: list[str] = []
    length = 0
    for text in texts:
        # Lone surrogates are no UTF-8 and would stop the Rust side.
        block.append(text.encode("utf-8", "replace").decode("utf-8"))
        length += len(text)
        if length >= _BLOCK:
            yield "\n".join(block)
            block, length = [], 0
    yield "\n".join(block)


def _characters(words: Counter[str], room: int) -> list[str]:
    """The most frequent characters for which there is room, each as "x" and, if needed, "##x"."""
    counts: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in words.items():
        for character in word:
            counts[character] += count
        inside.update(word[1:])
    chosen: list[str] = []
    for character in sorted(counts, key=lambda c: (-counts[c], c)):
        room -= 1 + (character in inside)
        if room < 0:
            break
        chosen.append(character)
    return sorted(chosen) + ["##" + character for character in sorted(inside.intersection(chosen))]


def _merged(words: Counter[str], known: list[str], size: int) -> list[str]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    alphabet = frozenset(known)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        limit_alphabet=len(alphabet),
        # Special tokens have the numbers of their order, other characters random ones.
        special_tokens=[*SPECIAL, *known],
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(words, alphabet), trainer)
    numbers = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


def _repeated(words: Counter[str], alphabet: frozenset[str]) -> Iterator[str]:
    """Every word as often as it occurs, without those of characters that have no piece."""
    for word, count in sorted(words.items()):
        if alphabet.issuperset(word):
            copies = repeat(word, count)
            while block := " ".join(islice(copies, _BLOCK)):
                yield block
