"""Training batches: packed rows of next-item examples, drawn from memory-mapped columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.data.packing import pack
from tfrec.data.sequences import Float32, Sequences, ragged_index
from tfrec.data.telling import Telling, next_items
from tfrec.data.tokens import event_tokens, scatter

Batch = dict[str, npt.NDArray[Any]]


class TrainingBatches:
    """An endless, seeded stream of packed batches, seekable to any step of any epoch.

    Every history is an example at each of its events: read up to there, predict the next item.
    A history longer than `max_length` + 1 gives its newest `max_length` examples. Rows are dealt
    to batches evenly, so that no epoch ends in a small, noisy batch.

    A batch holds, with B rows of L = `max_length` tokens, what `tokens.event_tokens` writes (the
    request time of a token is the time of the event that came next) and:
        targets           int32 [B, L]    the item that came next
        target_actions    int32 [B, L]    its action, when the log has actions
        target_strengths  float32 [B, L]  its strength, when the log has strengths; NaN pads
        weights    float32 [B, L]  1 / (examples in the whole batch), 0 pads: the loss is a
                                   weighted sum, whatever the number of replicas it is split over
        negatives  int32 [B, negatives]  items drawn from `negative_probabilities`, one list per
                                   row; only when `negatives` > 0
        uniforms   float32 [B, L]  random numbers in [0, 1), only when asked for

    Arguments:
        train: training sequences; those with fewer than two events give no example.
        num_items: size of the catalogue.
        max_length: tokens per row, L.
        batch_size: rows per batch at the most; 0: see `usual_rows`.
        seed: fixes the order of everything.
        negatives: items drawn per row.
        negative_probabilities: float [num_items]; uniform when None.
        uniforms: whether losses need random numbers of their own.
        multiple_of: B is a multiple of it (the number of replicas).
        telling: puts what users say into their histories; None where the model reads none of it.

    Example:
        >>> batches = TrainingBatches(split.train(), 3416, 200, 128, seed=0)  # doctest: +SKIP
        >>> batch = next(batches.stream(epoch=0, step=0))                     # doctest: +SKIP
    """

    same_shapes = True

    def __init__(
        self,
        train: Sequences,
        num_items: int,
        max_length: int,
        batch_size: int,
        seed: int,
        negatives: int = 0,
        negative_probabilities: npt.NDArray[np.floating] | None = None,
        uniforms: bool = False,
        multiple_of: int = 1,
        telling: Telling | None = None,
    ) -> None:
        if telling is None:
            self.sequences = train.take(train.lengths >= 2).last(max_length + 1)
            events = self.sequences.lengths
        else:
            self.sequences, events = telling.fit(train, max_length, seed)
        if not len(self.sequences):
            raise ValueError("no training sequence has two events")
        self._telling = telling
        self.num_items = num_items
        self.max_length = max_length
        self.seed = seed
        self.negatives = negatives
        self.uniforms = uniforms
        self._cumulative: Float32 | None = None
        if negative_probabilities is not None:
            cumulative = np.cumsum(negative_probabilities, dtype=np.float64)
            self._cumulative = (cumulative / cumulative[-1]).astype(np.float32)
        self._packing = pack(events - 1, max_length)
        self._texts_per_row = 1
        if telling is not None:
            self._texts_per_row = telling.most_per_row(self._packing)
        rows = self._packing.num_rows
        batch_size = batch_size or usual_rows(rows)
        self.steps_per_epoch = -(-rows // batch_size)
        even = -(-rows // self.steps_per_epoch)
        self.batch_size = -(-even // multiple_of) * multiple_of

    @property
    def examples_per_epoch(self) -> int:
        return int(self._packing.length.sum())

    @property
    def fill(self) -> float:
        """Share of the tokens of an epoch that are real."""
        tokens = self.steps_per_epoch * self.batch_size * self.max_length
        return self.examples_per_epoch / tokens

    def stream(self, epoch: int, step: int) -> Iterator[Batch]:
        """Batches from the given step of the given epoch on, epoch after epoch, without end."""
        while True:
            yield from self._epoch(epoch, step)
            epoch, step = epoch + 1, 0

    def _epoch(self, epoch: int, first_step: int) -> Iterator[Batch]:
        generator = np.random.default_rng([self.seed, epoch])
        in_slot = self._packing.sequences(generator)
        rows = generator.permutation(self._packing.num_rows)
        bounds = np.linspace(0, len(rows), self.steps_per_epoch + 1).astype(np.int64)
        for step in range(first_step, self.steps_per_epoch):
            # A generator of its own per step, so that a resumed run draws the same.
            own = np.random.default_rng([self.seed, epoch, step])
            batch = self._gather(np.sort(rows[bounds[step] : bounds[step + 1]]), in_slot, own)
            if self.negatives:
                batch["negatives"] = self._draw(own)
            if self.uniforms:
                batch["uniforms"] = own.random((self.batch_size, self.max_length), np.float32)
            yield batch

    def _gather(
        self,
        rows: npt.NDArray[np.int64],
        in_slot: npt.NDArray[np.int64],
        generator: np.random.Generator,
    ) -> Batch:
        slots, row = self._packing.slots(rows)
        lengths = self._packing.length[slots].astype(np.int64)
        histories = self.sequences
        if self._telling is None:
            chosen = in_slot[slots]
        else:
            histories = self._telling.told(histories, in_slot[slots], generator)
            chosen = np.arange(len(slots))
        source = ragged_index(histories.starts[chosen], lengths)  # the input event of each example
        target = source + 1
        if histories.columns.texts is not None:
            target = next_items(histories.columns)[target]
        cells = ragged_index(row * self.max_length + self._packing.offset[slots], lengths)
        total = len(cells)

        # Numbers the histories inside a row from 1.
        segment = np.arange(len(slots)) - np.searchsorted(row, row) + 1
        age = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(total)
        columns = histories.columns
        shape = (self.batch_size, self.max_length)
        batch = event_tokens(
            columns,
            source,
            np.repeat(segment, lengths),
            age,
            columns.timestamp[target],
            cells,
            shape,
            self._texts_per_row,
        )
        batch["targets"] = scatter(cells, columns.item[target], 0, np.int32, shape)
        if self.sequences.columns.action is not None and columns.action is not None:
            action = columns.action[target]
            batch["target_actions"] = scatter(cells, action, 0, np.int32, shape)
        if columns.strength is not None:
            strength = columns.strength[target]
            batch["target_strengths"] = scatter(cells, strength, np.nan, np.float32, shape)
        weight = np.float32(1 / max(total, 1))
        batch["weights"] = scatter(cells, weight, 0, np.float32, shape)
        return batch

    def _draw(self, generator: np.random.Generator) -> npt.NDArray[np.int32]:
        shape = (self.batch_size, self.negatives)
        if self._cumulative is None:
            return generator.integers(self.num_items, size=shape, dtype=np.int32)
        drawn = np.searchsorted(self._cumulative, generator.random(shape, np.float32), "right")
        return np.minimum(drawn, self.num_items - 1).astype(np.int32)


def usual_rows(rows: int) -> int:
    """Rows per batch for an epoch of `rows`: 8, but 100 to 400 steps, with 32 rows at the most.

    Many small steps teach more in an epoch than few large ones, down to where a step costs more
    than what it computes.

    Example:
        >>> [usual_rows(rows) for rows in (3, 450, 960, 6000, 100_000)]
        [1, 4, 8, 15, 32]
    """
    return max(1, min(8, rows // 100), min(32, rows // 400))
