"""Batches of masked texts of like length, drawn from memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import ragged_index
from tfrec.text.pretraining.corpus import Corpus
from tfrec.text.pretraining.masking import Masking
from tfrec.text.tokenizer import Tokenizer

Batch = dict[str, npt.NDArray[Any]]
Int64 = npt.NDArray[np.int64]

# Lengths of rows. Each is at most half as long again as the one before: little is filling.
_WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


class Shape(NamedTuple):
    """Rows and length of a batch, and the pieces in it."""

    rows: int
    width: int
    pieces: Int64


class MaskedBatches:
    """An endless, seeded stream of masked batches, seekable to any step of any epoch.

    A row holds one piece of text between its special tokens, as the encoder reads it later. Rows
    of like length share a batch of about `batch_tokens` tokens; what is left over of a length goes
    on with the next, so that only the last batch of an epoch is not full. What is masked is drawn
    for each step of each epoch (dynamic masking: Liu et al. 2019, RoBERTa, arXiv 1907.11692, §4.1).

    A batch holds, with B rows of W tokens and M places for masked ones:
        token_ids     int32 [B, W]    as the model sees them
        padding_mask  int32 [B, W]    1 = real
        places        int32 [M]       row · W + column of a masked token
        targets       int32 [M]       the token that was there
        weights       float32 [M]     1 / (masked tokens of the whole batch), 0 for an empty place

    With replicas, the rows and the places fall into as many equal parts, and the places of a part
    count from the first row of the part.

    Arguments:
        corpus: the pieces.
        tokenizer: for the special tokens around a piece.
        max_length: tokens of a row at the most.
        masking: what is masked, and how.
        batch_tokens: tokens per batch at the most, unless one row alone has more.
        seed: fixes the order of everything.
        multiple_of: B is a multiple of it (the number of replicas).

    Example:
        >>> batches = MaskedBatches(corpus, tokenizer, 128, masking, 4096, seed=0)  # doctest: +SKIP
        >>> batch = next(batches.stream(epoch=0, step=0))                           # doctest: +SKIP
    """

    same_shapes = False

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Tokenizer,
        max_length: int,
        masking: Masking,
        batch_tokens: int,
        seed: int,
        multiple_of: int = 1,
    ) -> None:
        self.corpus, self.masking, self.seed, self.parts = corpus, masking, seed, multiple_of
        self._prefix, self._suffix = tokenizer.prefix, tokenizer.suffix
        self._around = len(self._prefix) + len(self._suffix)
        self._pad = tokenizer.pad_id
        self._starts = np.cumsum(corpus.lengths, dtype=np.int64) - corpus.lengths
        self._widths = [*(width for width in _WIDTHS if width < max_length), max_length]
        self._class = np.searchsorted(self._widths, corpus.lengths + self._around)
        self._batch_tokens = batch_tokens
        self.steps_per_epoch = len(self._plan(np.random.default_rng(0)))

    @property
    def examples_per_epoch(self) -> int:
        return len(self.corpus.lengths)

    def stream(self, epoch: int, step: int) -> Iterator[Batch]:
        """Batches from the given step of the given epoch on, epoch after epoch, without end."""
        while True:
            yield from self.epoch(epoch, step)
            epoch, step = epoch + 1, 0

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from the given step on."""
        generator = np.random.default_rng([self.seed, epoch])
        plan = self._plan(generator)
        order = generator.permutation(len(plan))
        for step in range(first_step, len(plan)):
            # A generator of its own per step, so that a resumed run draws the same.
            yield self._masked(plan[order[step]], np.random.default_rng([self.seed, epoch, step]))

    def _plan(self, generator: np.random.Generator) -> list[Shape]:
        """Which pieces share a batch; as many batches whatever is drawn."""
        plan: list[Shape] = []
        left = np.zeros(0, np.int64)
        rows = width = 0
        for number in np.unique(self._class):
            width = self._widths[number]
            rows = max(1, self._batch_tokens // (width * self.parts)) * self.parts
            drawn = generator.permutation(np.flatnonzero(self._class == number))
            pieces = np.concatenate([left, drawn])
            full = len(pieces) // rows * rows
            plan += [Shape(rows, width, some) for some in pieces[:full].reshape(-1, rows)]
            left = pieces[full:]
        return [*plan, Shape(rows, width, left)] if len(left) else plan

    def _masked(self, shape: Shape, generator: np.random.Generator) -> Batch:
        rows, width, pieces = shape
        places_per_part = int(np.ceil(self.masking.rate * (rows // self.parts) * width))
        ids = np.full((rows, width), self._pad, np.int32)
        mask = np.zeros((rows, width), np.int32)
        places = np.zeros((self.parts, places_per_part), np.int32)
        targets = np.zeros((self.parts, places_per_part), np.int32)
        weights = np.zeros((self.parts, places_per_part), np.float32)
        for part, some in enumerate(np.array_split(pieces, self.parts)):
            row = part * (rows // self.parts) + np.arange(len(some))
            lengths = self.corpus.lengths[some].astype(np.int64)
            tokens = self.corpus.tokens[ragged_index(self._starts[some], lengths)]
            cells = ragged_index(row * width + len(self._prefix), lengths)
            chosen = self.masking.choose(tokens, cells % width == len(self._prefix), generator)
            seen = tokens.copy()
            seen[chosen] = self.masking.hide(tokens[chosen], generator)
            ids.flat[cells] = seen
            ids[row, : len(self._prefix)] = self._prefix
            after = len(self._prefix) + lengths[:, None] + np.arange(len(self._suffix))
            ids[row[:, None], after] = self._suffix
            mask[row] = np.arange(width) < (lengths + self._around)[:, None]
            count = int(chosen.sum())
            places[part, :count] = cells[chosen] - part * (rows // self.parts) * width
            targets[part, :count] = tokens[chosen]
            weights[part, :count] = 1
        weights /= max(weights.sum(), 1)
        return {
            "token_ids": ids,
            "padding_mask": mask,
            "places": places.ravel(),
            "targets": targets.ravel(),
            "weights": weights.ravel(),
        }
