"""Batches of texts in pairs, drawn from memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Int64
from tfrec.text.pretraining.item_pairs import ItemPairs
from tfrec.text.tokenizer import MULTIPLE

Batch = dict[str, npt.NDArray[Any]]

# How often an epoch begins a pair with each text.
ROUNDS = 8


class PairBatches:
    """An endless, seeded stream of pairs of texts, seekable to any step of any epoch.

    In an epoch every text that trains is 8 times the first of a pair, however rare its item is;
    the second is drawn by how often the two were taken together.

    A batch holds, with R = 2 · pairs rows of W tokens; rows 2n and 2n + 1 are a pair:
        token_ids     int32 [R, W]
        padding_mask  int32 [R, W]   1 = real
        negatives     bool [R, R]    True where a row has to be told apart from another one: from
                                     every text but its own and its partner's
        weights       float32 [R]    1 / R

    Texts that were taken together, but are no pair of this batch, are told apart as well. They
    are pairs of other batches as often as they deserve, so that similarity becomes how much more
    often than by chance two are taken together (van den Oord et al. 2018, arXiv 1807.03748, §2.3).
    For the same reason nothing is corrected for popularity: what ranks items knows it already.

    Arguments:
        pairs: of texts.
        pad_id: what stands beside a text.
        batch_pairs: pairs per batch, fewer where there are fewer texts.
        seed: fixes the order of everything.
        multiple_of: pairs are a multiple of it (the number of replicas).

    Example:
        >>> batches = PairBatches(pairs, pad_id=0, batch_pairs=64, seed=0)  # doctest: +SKIP
        >>> next(batches.stream(epoch=0, step=0))["negatives"].shape        # doctest: +SKIP
        (128, 128)
    """

    same_shapes = False

    def __init__(
        self, pairs: ItemPairs, pad_id: int, batch_pairs: int, seed: int, multiple_of: int = 1
    ) -> None:
        self._tokens, self._seed = pairs.tokens(pad_id), seed
        trains = pairs.trains
        first, self._second = pairs.first[trains], pairs.partners[trains]
        self._drawn = np.cumsum(pairs.counts[trains])
        self._first = np.unique(first)
        ends = np.searchsorted(first, self._first, "right")
        self._until = self._drawn[ends - 1]
        self._from = np.concatenate([[0], self._until[:-1]])
        fewer = min(batch_pairs, len(self._first))
        self._pairs = max(1, fewer // multiple_of) * multiple_of

    @property
    def batch_pairs(self) -> int:
        return self._pairs

    @property
    def steps_per_epoch(self) -> int:
        return max(1, ROUNDS * len(self._first) // self._pairs)

    @property
    def examples_per_epoch(self) -> int:
        return self.steps_per_epoch * self._pairs

    def stream(self, epoch: int, step: int) -> Iterator[Batch]:
        """Batches from the given step of the given epoch on, epoch after epoch, without end."""
        while True:
            order = self._order(np.random.default_rng([self._seed, epoch]))
            for number in range(step, self.steps_per_epoch):
                begun = order[number * self._pairs : (number + 1) * self._pairs]
                # A generator of its own per step, so that a resumed run draws the same.
                yield self._batch(begun, np.random.default_rng([self._seed, epoch, number]))
            epoch, step = epoch + 1, 0

    def _order(self, generator: np.random.Generator) -> Int64:
        """Places in `_first`: all of them, round after round, as many as an epoch needs."""
        count = len(self._first)
        rounds = -(-self.examples_per_epoch // count)
        return np.concatenate([generator.permutation(count) for _ in range(rounds)])

    def _batch(self, begun: Int64, generator: np.random.Generator) -> Batch:
        drawn = generator.integers(self._from[begun], self._until[begun])
        second = self._second[np.searchsorted(self._drawn, drawn, "right")]
        texts = np.stack([self._first[begun], second], axis=1).ravel()
        width = int(-(-self._tokens.lengths[texts].max() // MULTIPLE) * MULTIPLE)
        rows = self._tokens.rows(texts, width)
        partners = texts[np.arange(len(texts)) ^ 1]
        return {
            "token_ids": rows["token_ids"],
            "padding_mask": rows["padding_mask"].astype(np.int32),
            "negatives": (texts[:, None] != texts) & (partners[:, None] != texts),
            "weights": np.full(len(texts), 1 / len(texts), np.float32),
        }
