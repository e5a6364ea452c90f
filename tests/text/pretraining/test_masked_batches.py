"""Texts go into batches and come out again: each once, with the right labels."""

from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.text import tiny_tokenizers
from tests.text.strings import CORPUS
from tfrec.errors import UserError
from tfrec.text.pretraining.batches import Batch, MaskedBatches
from tfrec.text.pretraining.corpus import Corpus, held_out, make_corpus, read_lines
from tfrec.text.pretraining.masking import masking
from tfrec.text.tokenizer import Tokenizer

LENGTH = 20
TOKENIZER = Tokenizer(tiny_tokenizers.bert().to_str(), LENGTH)
CLS, SEP, MASK, PAD = 2, 3, 4, 0


def corpus_of(lengths: list[int], seed: int = 0) -> Corpus:
    tokens = np.random.default_rng(seed).integers(5, TOKENIZER.size, sum(lengths))
    return Corpus(
        tokens.astype(np.int32), np.array(lengths, np.int32), np.zeros(len(lengths), bool)
    )


def batches_of(corpus: Corpus, **changes: Any) -> MaskedBatches:
    words = masking(TOKENIZER, changes.pop("rate", 0.15), whole_words=True)
    options = {"batch_tokens": 64, "seed": 0} | changes
    return MaskedBatches(corpus, TOKENIZER, LENGTH, words, **options)


def restored(batch: Batch, parts: int) -> list[tuple[int, ...]]:
    """The pieces of a batch, after the labels were put back."""
    ids, mask = batch["token_ids"].copy(), batch["padding_mask"]
    assert ((ids == PAD) == (mask == 0)).all()
    places = batch["places"].reshape(parts, -1) + np.arange(parts)[:, None] * (ids.size // parts)
    real = (batch["weights"] > 0).reshape(parts, -1)
    assert len(set(places[real])) == real.sum()
    ids.flat[places[real]] = batch["targets"].reshape(parts, -1)[real]
    rows = [row[:count] for row, count in zip(ids, mask.sum(axis=1), strict=True) if count]
    assert all(row[0] == CLS and row[-1] == SEP for row in rows)
    assert not any(np.isin(row[1:-1], [CLS, SEP, PAD, MASK]).any() for row in rows)
    return [tuple(row[1:-1]) for row in rows]


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, LENGTH - 2), min_size=1, max_size=60),
    parts=st.sampled_from([1, 2]),
    tokens=st.sampled_from([8, 64, 100]),
    rate=st.sampled_from([0.15, 0.5]),
)
def test_an_epoch_holds_every_piece_once(
    lengths: list[int], parts: int, tokens: int, rate: float
) -> None:
    corpus = corpus_of(lengths)
    batches = batches_of(corpus, batch_tokens=tokens, multiple_of=parts, rate=rate)
    epoch = list(batches.epoch(3))
    assert len(epoch) == batches.steps_per_epoch
    found = [piece for batch in epoch for piece in restored(batch, parts)]
    ends = np.cumsum(lengths)
    pieces = np.split(corpus.tokens, ends[:-1])
    assert sorted(found) == sorted(tuple(piece) for piece in pieces)
    for batch in epoch:
        rows, width = batch["token_ids"].shape
        assert rows % parts == 0
        assert rows * width <= max(tokens, parts * width)
        total = batch["weights"].sum()
        assert total == pytest.approx(1, abs=1e-5) or not total
    masked = sum((batch["weights"] > 0).sum() for batch in epoch)
    assert masked <= rate * sum(lengths)


def test_any_step_can_be_entered_and_epochs_mask_anew() -> None:
    batches = batches_of(corpus_of([3, 5, 9, 17, 18] * 9))
    steps = batches.steps_per_epoch
    stream = list(islice(batches.stream(0, 0), 2 * steps))
    for start in (1, steps - 1, steps, steps + 2):
        entered = next(batches.stream(start // steps, start % steps))
        for name, value in entered.items():
            np.testing.assert_array_equal(value, stream[start][name], err_msg=name)
    hidden = [
        sum(int((batch["token_ids"] == MASK).sum()) for batch in epoch)
        for epoch in (stream[:steps], stream[steps:])
    ]
    assert min(hidden) > 30
    first, second = stream[0], stream[steps]
    assert first["token_ids"].shape != second["token_ids"].shape or (
        (first["token_ids"] != second["token_ids"]).any()
    )
    other = next(batches_of(corpus_of([3, 5, 9, 17, 18] * 9), seed=1).stream(0, 0))
    assert other["targets"].tolist() != first["targets"].tolist()


def test_long_texts_are_cut_and_nothing_is_lost() -> None:
    texts = [" ".join(CORPUS), "a", "", CORPUS[0], *CORPUS]
    measuring = np.arange(len(texts)) % 2 == 1
    corpus = make_corpus(texts, measuring, TOKENIZER, LENGTH)
    assert corpus.lengths.max() <= LENGTH - 2
    fast = tiny_tokenizers.bert()
    expected = [fast.encode(text, add_special_tokens=False).ids for text in texts]
    assert corpus.tokens.tolist() == [number for ids in expected for number in ids]
    # Pieces of one text are of like length, and its side is theirs.
    count = -(-len(expected[0]) // (LENGTH - 2))
    assert np.ptp(corpus.lengths[:count]) <= 1
    assert corpus.lengths[:count].sum() == len(expected[0])
    sides = [side for ids, side in zip(expected, measuring, strict=True) for _ in ids]
    assert np.repeat(corpus.held_out, corpus.lengths).tolist() == sides
    part = corpus.part(held_out=True)
    assert part.tokens.tolist() == [
        number for ids, side in zip(expected, measuring, strict=True) if side for number in ids
    ]


@given(st.lists(st.text(), unique=True, min_size=2, max_size=40), st.floats(0.01, 0.99))
def test_what_is_held_out_stays_so(texts: list[str], share: float) -> None:
    found = held_out(texts, share)
    assert 0 < found.sum() < len(texts)
    again = held_out([*texts, *reversed(texts)], share)
    assert again.tolist() == [*found, *found[::-1]]
    # With one more text at most the ones that were kept back or in for want of others change.
    more = held_out([*texts, "one more"], share)[:-1]
    assert (more != found).sum() <= 2


def test_the_share_held_out_is_the_one_asked_for() -> None:
    texts = [f"text {n}" for n in range(20_000)]
    assert held_out(texts, 0.1).mean() == pytest.approx(0.1, abs=0.01)
    with pytest.raises(UserError, match="too few"):
        held_out(["same", "same"], 0.5)


def test_lines_of_text_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffone\n\n  two \r\nthrée".encode())
    with gzip.open(tmp_path / "b.txt.gz", "wt", encoding="utf-8") as file:
        file.write("four\n")
    names = [tmp_path / "a.txt", tmp_path / "b.txt.gz"]
    assert list(read_lines(names)) == ["one", "two", "thrée", "four"]
    (tmp_path / "c.txt").write_bytes(b"fine\nbr\xffken\n")
    with pytest.raises(UserError, match=r"c\.txt, line 2 is no UTF-8"):
        list(read_lines([tmp_path / "c.txt"]))
    (tmp_path / "d.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"d\.gz cannot be read"):
        list(read_lines([tmp_path / "d.gz"]))


def test_a_corpus_is_kept(tmp_path: Path) -> None:
    corpus = corpus_of([3, 4])
    corpus.save(tmp_path / "corpus.npz")
    for kept, made in zip(Corpus.load(tmp_path / "corpus.npz"), corpus, strict=True):
        np.testing.assert_array_equal(kept, made)
    (tmp_path / "corpus.npz").write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot be read"):
        Corpus.load(tmp_path / "corpus.npz")
