"""Training batches with the texts of some items, drawn so that their gradient stands for all.

A loss over the catalogue has a gradient for the vector of every item. Encoding every text in every
step is exact and, beyond small catalogues, out of the question. A step encodes N of them: item i
with probability π_i, and its gradient counts 1 / π_i times (Horvitz & Thompson 1952), so that on
average over the draws the encoder gets the gradient that all texts would have given it; see also
`tfrec.training.text_tuning.estimated`. The batch's own items alone, with a weight of 1, would not
do: right answers would learn that they are right, few wrong ones that they are wrong, and all
vectors would run in the direction that users share.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tfrec.text.tuning.tokens import CatalogueTokens

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# What a batch gets beside the events: see `TextBatches`.
TEXT_ARRAYS = ("text_items", "text_weights", "token_ids", "padding_mask")
# Share of the draws that goes evenly to the catalogue: there the wrong answers are.
_EVENLY = 0.5


class EventBatches(Protocol):
    """What `tfrec.data.batches.TrainingBatches` has."""

    @property
    def same_shapes(self) -> bool: ...

    @property
    def seed(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def examples_per_epoch(self) -> int: ...

    def stream(self, epoch: int, step: int) -> Iterator[dict[str, Any]]: ...


class TextBatches:
    """Event batches, each with the tokens of N items.

    A batch of B rows gets, with n = N / B rounded up, so that replicas can share them as they share
    the rows:
        text_items    int32 [B, n]  items that are drawn, none twice; the first one fills up where
                                    the catalogue has no more
        text_weights  float32 [B, n]  1 / π of each; 0 for what fills up
        token_ids     int32 [B, n, W] and padding_mask bool [B, n, W], W of the longest text

    A catalogue of N texts or fewer is taken as a whole: every π is 1.

    Arguments:
        batches: of events.
        tokens: of the catalogue.
        items: N.

    Example:
        >>> batches = TextBatches(event_batches, tokens, items=64)        # doctest: +SKIP
        >>> next(batches.stream(0, 0))["token_ids"].shape                 # doctest: +SKIP
        (8, 8, 32)
    """

    def __init__(self, batches: EventBatches, tokens: CatalogueTokens, items: int) -> None:
        self.same_shapes = batches.same_shapes
        self._batches = batches
        self._tokens = tokens
        self._width = tokens.width
        self._known = np.flatnonzero(tokens.lengths)
        self._count = min(items, len(self._known))

    @property
    def steps_per_epoch(self) -> int:
        return self._batches.steps_per_epoch

    @property
    def examples_per_epoch(self) -> int:
        return self._batches.examples_per_epoch

    @property
    def texts_per_step(self) -> int:
        """N, or the whole catalogue where it has fewer texts."""
        return self._count

    def stream(self, epoch: int, step: int) -> Iterator[dict[str, Any]]:
        """Batches from the given step of the given epoch on, epoch after epoch, without end."""
        for batch in self._batches.stream(epoch, step):
            generator = np.random.default_rng([self._batches.seed, epoch, step, 1])
            yield batch | self._texts(batch, generator)
            step += 1
            if step == self.steps_per_epoch:
                epoch, step = epoch + 1, 0

    def _texts(self, batch: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        probabilities = inclusion(self._named(batch), self._count)
        drawn = draw(probabilities, generator)
        rows = self._batches.batch_size
        cells = -(-self._count // rows) * rows
        items = np.full(cells, self._known[drawn[0]])
        items[: len(drawn)] = self._known[drawn]
        weights = np.zeros(cells, np.float32)
        weights[: len(drawn)] = 1 / probabilities[drawn]
        found = {"text_items": items.astype(np.int32), "text_weights": weights}
        found |= self._tokens.rows(items, self._width)
        return {name: array.reshape(rows, -1, *array.shape[1:]) for name, array in found.items()}

    def _named(self, batch: dict[str, Any]) -> Float64:
        """How likely each text should be: half by how often the batch names its item."""
        real = batch["segments"] > 0
        named = [batch["items"][real], batch["targets"][real]]
        if "negatives" in batch:
            named.append(batch["negatives"].ravel())
        counts = np.bincount(np.concatenate(named), minlength=len(self._tokens.ends))[self._known]
        evenly = np.full(len(counts), _EVENLY / len(counts))
        found: Float64 = evenly + counts * ((1 - _EVENLY) / max(counts.sum(), 1))
        return found


def inclusion(sizes: Float64, count: int) -> Float64:
    """Probabilities proportional to the sizes, 1 at the most, that sum to `count`.

    Example:
        >>> inclusion(np.array([8.0, 1.0, 1.0]), 2).tolist()
        [1.0, 0.5, 0.5]
    """
    order = np.argsort(-sizes)
    falling = sizes[order]
    rest = np.cumsum(falling[::-1])[::-1]  # of this size and all smaller ones
    certain = np.arange(len(sizes))
    # The largest are certain as long as their share of what is left would be 1 or more.
    number = int(np.argmax(np.append(falling * (count - certain) < rest, True)))
    found = np.ones(len(sizes))
    if number < len(sizes):
        part = falling[number:] * ((count - number) / rest[number])
        found[order[number:]] = np.minimum(part, 1.0)
    return found


def draw(probabilities: Float64, generator: np.random.Generator) -> Int64:
    """Systematic sampling: each place with its probability, as many as their sum, none twice.

    The probabilities are laid end to end in random order, and every point that is a random number
    plus 0, 1, 2, … picks what it hits (Madow 1949).

    Arguments:
        probabilities: each at most 1; the sum is a whole number.
        generator: the draws.

    Example:
        >>> draw(np.ones(3), np.random.default_rng(0)).tolist()
        [0, 1, 2]
    """
    order = generator.permutation(len(probabilities))
    ends = np.cumsum(probabilities[order])
    count = round(ends[-1])
    # Rounding must neither lose the last point nor take a certain place twice.
    points = (np.arange(count) + generator.random()) * (ends[-1] / count)
    return np.unique(order[np.minimum(np.searchsorted(ends, points, "right"), len(order) - 1)])
