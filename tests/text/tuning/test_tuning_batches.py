"""Which texts a step encodes: how many, how often, and that their weights undo the draw."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.text import tiny_tokenizers
from tfrec.text.tokenizer import Tokenizer
from tfrec.text.tuning.batches import TextBatches, draw, inclusion
from tfrec.text.tuning.tokens import CatalogueTokens, tokenize_catalogue

sizes = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=40)


@given(sizes, st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_as_many_as_asked_for_none_twice(sizes: list[float], count: int, seed: int) -> None:
    count = min(count, len(sizes))
    given_sizes = np.array(sizes)
    probabilities = inclusion(given_sizes, count)
    assert probabilities.min() > 0
    assert probabilities.max() <= 1
    np.testing.assert_allclose(probabilities.sum(), count)
    # In proportion to the sizes, but for what is certain, which is what is largest.
    ratio = probabilities / given_sizes
    drawn_by_chance = probabilities < 1 - 1e-9
    if drawn_by_chance.any():
        np.testing.assert_allclose(ratio[drawn_by_chance], ratio[drawn_by_chance][0])
        assert (ratio[~drawn_by_chance] <= ratio[drawn_by_chance][0] * (1 + 1e-6)).all()
    drawn = draw(probabilities, np.random.default_rng(seed))
    assert len(drawn) == len(set(drawn)) == count
    assert set(np.flatnonzero(probabilities == 1)) <= set(drawn)


def test_each_is_drawn_as_often_as_its_probability_says() -> None:
    probabilities = inclusion(np.arange(1.0, 21.0) ** 2, 6)
    generator = np.random.default_rng(0)
    counts = np.zeros(20)
    for _ in range(4000):
        counts[draw(probabilities, generator)] += 1
    deviation = np.sqrt(probabilities * (1 - probabilities) / 4000)
    assert (np.abs(counts / 4000 - probabilities) <= 4 * deviation + 1e-9).all()


class Events:
    """Three steps per epoch of two rows; item n is named n times as often in the odd steps."""

    same_shapes = True
    seed = 7
    batch_size = 2
    steps_per_epoch = 3
    examples_per_epoch = 24

    def stream(self, epoch: int, step: int) -> Iterator[dict[str, Any]]:
        while True:
            random = np.random.default_rng([epoch, step])
            items = np.minimum(random.integers(0, 12, (2, 4)), 9).astype(np.int32)
            segments = np.array([[1, 1, 1, 0], [1, 1, 2, 2]], np.int32)
            items[segments == 0] = -1
            targets = np.where(segments > 0, np.roll(items, 1, axis=1), 0).astype(np.int32)
            yield {"items": items, "segments": segments, "targets": np.maximum(targets, 0)}
            step += 1
            if step == self.steps_per_epoch:
                epoch, step = epoch + 1, 0


def catalogue() -> CatalogueTokens:
    lengths = np.array([3, 0, 5, 2, 9, 1, 4, 2, 2, 7])
    ids = np.arange(lengths.sum(), dtype=np.int32) + 100
    return CatalogueTokens(ids, np.cumsum(lengths), pad_id=0)


def test_a_batch_holds_the_tokens_of_what_was_drawn() -> None:
    tokens = catalogue()
    batches = TextBatches(Events(), tokens, items=4)
    for batch in islice(batches.stream(0, 0), 7):
        assert batch["text_items"].shape == (2, 2)
        assert batch["token_ids"].shape == batch["padding_mask"].shape == (2, 2, 16)
        items = batch["text_items"].ravel()
        assert len(set(items)) == 4
        assert 1 not in items  # it has no text
        for item, ids, mask in zip(
            items,
            batch["token_ids"].reshape(4, -1),
            batch["padding_mask"].reshape(4, -1),
            strict=True,
        ):
            length = tokens.lengths[item]
            end = tokens.ends[item]
            assert ids[mask].tolist() == tokens.ids[end - length : end].tolist()
            assert mask.tolist() == [True] * length + [False] * (16 - length)
            assert not ids[~mask].any()


def test_the_stream_can_be_entered_anywhere() -> None:
    def texts(epoch: int, step: int, count: int) -> list[Any]:
        stream = TextBatches(Events(), catalogue(), items=4).stream(epoch, step)
        return [batch["text_items"].tolist() for batch in islice(stream, count)]

    whole = texts(0, 0, 9)
    assert texts(0, 2, 7) == whole[2:]
    assert texts(2, 1, 2) == whole[7:]
    assert len({str(items) for items in whole}) > 1


def test_weights_undo_the_draw() -> None:
    """The weighted sum of what is drawn is on average the sum over all texts."""

    class Same(Events):
        def stream(self, epoch: int, step: int) -> Iterator[dict[str, Any]]:
            first = next(super().stream(0, 0))
            while True:
                yield first

    values = np.random.default_rng(3).normal(2, 1, 10)
    values[1] = 0
    found = []
    for batch in islice(TextBatches(Same(), catalogue(), items=3).stream(0, 0), 4000):
        assert (batch["text_weights"] == 0).sum() == 1  # 2 rows hold 4 texts, 3 are drawn
        found.append((batch["text_weights"] * values[batch["text_items"]]).sum())
    error = np.std(found) / np.sqrt(len(found))
    assert error < 0.05 * values.sum()
    assert abs(np.mean(found) - values.sum()) < 4 * error


def test_a_small_catalogue_is_taken_as_a_whole() -> None:
    batches = TextBatches(Events(), catalogue(), items=64)
    assert batches.texts_per_step == 9
    batch = next(batches.stream(0, 0))
    assert batch["text_items"].shape == (2, 5)
    real = batch["text_weights"] > 0
    np.testing.assert_allclose(batch["text_weights"][real], 1)
    assert sorted(batch["text_items"][real]) == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert batch["text_items"][~real].tolist() == [batch["text_items"][0, 0]]


def test_a_catalogue_is_tokenised_as_the_encoder_tokenises() -> None:
    tokenizer = Tokenizer(tiny_tokenizers.bert().to_str(), max_length=6)
    texts = ["so soon", "", "no", "so soon no so soon"]
    tokens = tokenize_catalogue(texts, tokenizer)
    assert tokens.lengths[1] == 0
    assert tokens.lengths.max() == 6
    assert tokens.width == 8
    rows = tokens.rows(np.array([3, 0, 2]), 6)
    expected = tokenizer(tf.constant(["so soon no so soon", "so soon", "no"]))
    np.testing.assert_array_equal(rows["padding_mask"], expected["padding_mask"])
    np.testing.assert_array_equal(rows["token_ids"], expected["token_ids"])
