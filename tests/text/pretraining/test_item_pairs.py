"""Pairs of texts that people take together: counted, drawn and ranked as loops would do it."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.data.sequences import Columns, Sequences
from tfrec.errors import UserError
from tfrec.text.pretraining.item_pairs import ItemPairs, make_pairs, together
from tfrec.text.pretraining.pair_batches import ROUNDS, PairBatches
from tfrec.text.pretraining.pair_ranking import HeldOutPairs
from tfrec.text.tuning.tokens import CatalogueTokens

TEXTS = ["tea", "cup", "", "tea", "pot", "milk", "jug"]
HISTORIES = st.lists(st.lists(st.integers(0, len(TEXTS) - 1), max_size=9), min_size=1, max_size=6)


def sequences(histories: list[list[int]]) -> Sequences:
    items = np.array(list(itertools.chain(*histories)), np.int32)
    stops = np.cumsum([len(history) for history in histories])
    starts = np.concatenate([[0], stops[:-1]])
    users = np.arange(len(histories), dtype=np.int32)
    return Sequences(users, starts, stops, Columns(items, np.arange(len(items))))


def counted(histories: list[list[int]], window: int) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for history in histories:
        for a, b in itertools.combinations(range(len(history)), 2):
            one, other = TEXTS[history[a]], TEXTS[history[b]]
            if b - a <= window and one and other and one != other:
                found[one, other] += 1
                found[other, one] += 1
    return found


@settings(deadline=None, max_examples=50)
@given(HISTORIES, st.integers(1, 4))
def test_what_stands_together_is_counted(histories: list[list[int]], window: int) -> None:
    expected = counted(histories, window)
    if not expected:
        with pytest.raises(UserError, match="follow each other"):
            together(sequences(histories), TEXTS, window)
        return
    names, counts = together(sequences(histories), TEXTS, window)
    found = counts.tocoo()
    pairs = zip(found.row, found.col, found.data, strict=True)
    assert {(names[a], names[b]): count for a, b, count in pairs} == expected
    assert names == [text for text in dict.fromkeys(TEXTS) if any(text in two for two in expected)]


def some_pairs(held_out: tuple[int, ...] = (3,)) -> ItemPairs:
    """Twelve texts of n + 1 tokens that are the number of the text; near numbers are together."""
    from scipy.sparse import csr_matrix

    counts = np.zeros((12, 12), np.int64)
    for a, b in itertools.combinations(range(12), 2):
        counts[a, b] = counts[b, a] = max(0, 4 - (b - a))
    lengths = np.arange(12) + 1
    tokens = CatalogueTokens(
        np.repeat(np.arange(12), lengths).astype(np.int32), np.cumsum(lengths), -1
    )
    return make_pairs(csr_matrix(counts), tokens, np.isin(np.arange(12), held_out))


def test_batches_hold_pairs_and_say_what_is_apart() -> None:
    pairs = some_pairs()
    batches = PairBatches(pairs, pad_id=-1, batch_pairs=5, seed=0, multiple_of=2)
    assert batches.batch_pairs == 4
    assert batches.steps_per_epoch == ROUNDS * 11 // 4
    stream = batches.stream(0, 0)
    for _ in range(30):
        batch = next(stream)
        texts = batch["token_ids"][:, 0]
        assert 3 not in texts
        for row, text in enumerate(texts):
            expected = np.where(np.arange(batch["token_ids"].shape[1]) <= text, text, -1)
            np.testing.assert_array_equal(batch["token_ids"][row], expected)
            np.testing.assert_array_equal(batch["padding_mask"][row], expected >= 0)
            assert 0 < abs(text - texts[row ^ 1]) < 4
            apart = [other not in (text, texts[row ^ 1]) for other in texts]
            np.testing.assert_array_equal(batch["negatives"][row], apart)
        assert batch["weights"].sum() == pytest.approx(1)


def test_partners_are_drawn_by_how_often_and_first_ones_evenly() -> None:
    batches = PairBatches(some_pairs(), pad_id=-1, batch_pairs=11, seed=1)
    stream = batches.stream(0, 0)
    found = np.zeros((12, 12))
    for _ in range(60 * ROUNDS):
        texts = next(stream)["token_ids"][:, 0]
        np.add.at(found, (texts[::2], texts[1::2]), 1)
    assert set(found.sum(axis=1)) == {0, 60 * ROUNDS}
    # Of 6 the partners are 4, 5, 7, 8 and 9 in the proportions 2, 3, 3, 2, 1; 3 is held out.
    expected = np.array([2, 3, 0, 3, 2, 1]) / 11
    np.testing.assert_allclose(found[6, 4:10] / found[6].sum(), expected, atol=0.07)


def test_a_stream_goes_on_anywhere() -> None:
    batches = PairBatches(some_pairs(), pad_id=-1, batch_pairs=4, seed=0)
    steps = batches.steps_per_epoch
    whole = list(itertools.islice(batches.stream(0, 0), 2 * steps))
    for at in (1, steps - 1, steps, steps + 3):
        again = next(batches.stream(at // steps, at % steps))
        for name, array in again.items():
            np.testing.assert_array_equal(array, whole[at][name])
    first, second = (
        np.concatenate([b["token_ids"][:, 0] for b in x]) for x in (whole[:steps], whole[steps:])
    )
    assert (first != second).any()


def test_partners_of_held_out_texts_are_ranked_as_loops_rank_them() -> None:
    pairs = some_pairs((0, 3, 7))
    measured = HeldOutPairs(pairs)
    assert measured.asking.tolist() == [0, 3, 7]
    table = np.random.default_rng(0).integers(0, 5, (12, 12)).astype(float)  # with ties
    counts = np.zeros((12, 12))
    counts[pairs.first, pairs.partners] = pairs.counts
    drawn = counts.sum(axis=0)
    expected = np.zeros(3)
    for text in (0, 3, 7):
        others = [other for other in range(12) if other != text]
        for partner in others:
            share = counts[text, partner] / counts[text].sum() / 3
            score = table[text, partner]
            above = sum(table[text, other] > score for other in others)
            same = sum(table[text, other] == score for other in others)
            rank = above + (same + 1) / 2
            won = sum(
                drawn[other] * (0.5 + 0.5 * np.sign(score - table[text, other])) for other in others
            )
            won /= sum(drawn[other] for other in others)
            expected += share * np.array([1 / rank, rank <= 10, won])
    found = measured(lambda asking: table[asking])
    np.testing.assert_allclose([*found.values()], expected)
    assert list(found) == ["mrr", "recall@10", "accuracy"]


def test_what_is_kept_is_read_and_nothing_to_learn_is_refused(tmp_path: Path) -> None:
    pairs = some_pairs()
    pairs.save(tmp_path / "pairs.npz")
    for kept, made in zip(ItemPairs.load(tmp_path / "pairs.npz"), pairs, strict=True):
        np.testing.assert_array_equal(kept, made)
    (tmp_path / "pairs.npz").write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot be read"):
        ItemPairs.load(tmp_path / "pairs.npz")
    with pytest.raises(UserError, match="lower --held-out"):
        some_pairs(tuple(range(11)))
