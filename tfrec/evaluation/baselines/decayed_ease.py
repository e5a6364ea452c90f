"""EASE that knows the order of events: the strongest baseline that needs no training loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Sequences
from tfrec.evaluation.baselines.baseline import Memo
from tfrec.evaluation.baselines.ease import invert
from tfrec.evaluation.baselines.interactions import aged_matrix, binary_matrix, chunks, gram

_EVENTS_PER_CHUNK = 1 << 20


@dataclass(eq=False)
class DecayedEASE:
    """scores = z · B, z the history with events weighed by age, B a ridge regression of two kinds.

    B = argmin (1 − o) |X − X B|² + o |Y − Z B|² + λ |B|² over B with a zero diagonal.

    X is EASE's binary matrix, one row per user: what goes with what, in any order. Z and Y have a
    row for every training event with a predecessor: Y the event's item (one-hot), Z the events
    before it, weighed by age exactly as `score` weighs them: what comes after what. The event
    with a newer ones after it has age a and weight 1 / (1 + a / h): the newest weighs 1, the
    event of age h a half, and the tail is longer than that of 2^(−a / h), which ranked better on
    no log tried. Only the newest `window` events count. The minimum is

        P = ((1 − o) XᵀX + o ZᵀZ + λ I)⁻¹,  T = (1 − o) XᵀX + o ZᵀY,
        B = P T − P · diag(diag(P T) / diag(P)).

    Z is never built: ZᵀZ and ZᵀY are counts of item pairs by their distance in the sequence.

    o = 0 is EASE that only scores with decay. The two-fold objective is SLIST's (Choi et al.,
    "Session-aware linear item-item models for session-based recommendation", WWW 2021,
    arXiv 2103.16104: SLIS, SLIT and their sum), here with the next event alone as the target, and
    with the diagonal at zero as in EASE (Steck, WWW 2019).

    Arguments:
        regularization: λ.
        order_share: o, 0 .. 1: share of the objective that looks at the order.
        half_life: h, age in events at which an event weighs one half.
        window: newest events of a history that count.
    """

    name: ClassVar[str] = "EASE, recency-decayed"
    GRID: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "half_life": (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0),
        "order_share": (0.0, 0.3, 0.7, 0.9, 1.0),
        "regularization": (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0),
    }

    regularization: float = 300.0
    order_share: float = 0.7
    half_life: float = 2.0
    window: int = 100
    _weights: Float32 = field(init=False, repr=False)  # [num_items, num_items]

    def fit(self, train: Sequences, num_items: int, memo: Memo | None = None) -> None:
        memo = memo or Memo()
        share = np.float32(self.order_share)
        # With o = 0 the weights do not depend on the decay, and the fit is shared across it.
        decay = (self.half_life, self.window) if share else ()

        def solve() -> Float32:
            inputs = np.zeros((num_items, num_items), np.float32)
            targets = np.zeros((num_items, num_items), np.float32)
            if share < 1:
                together = memo.once("gram", (), lambda: gram(binary_matrix(train, num_items)))
                inputs += (1 - share) * together
                targets += (1 - share) * together
            if share > 0:
                before, after = memo.once(
                    "order", decay, lambda: order_counts(train, num_items, self.age_weights())
                )
                inputs += share * before
                targets += share * after
            inputs[np.diag_indices(num_items)] += self.regularization
            return _solve(inputs, targets)

        self._weights = memo.once("weights", (self.regularization, self.order_share, decay), solve)

    def score(self, cases: Cases) -> Float32:
        history = aged_matrix(cases.histories, len(self._weights), self.age_weights())
        scores: Float32 = history @ self._weights
        return scores

    def age_weights(self) -> Float32:
        """Weight of an event by its age in events, float32 [window]."""
        return (1 / (1 + np.arange(self.window) / self.half_life)).astype(np.float32)

    def needed_bytes(self, train: Sequences, num_items: int) -> int:
        # Kept: XᵀX, ZᵀZ, ZᵀY, the best weights. At work: inputs, targets, their product.
        return 7 * 4 * num_items**2 + 2 * 8 * train.num_events


def order_counts(
    train: Sequences, num_items: int, age_weights: npt.ArrayLike
) -> tuple[Float32, Float32]:
    """ZᵀZ and ZᵀY of all histories that occur in the training sequences.

    Z has a row for every event but the first of each sequence: the sum over the events before it
    of their one-hot item, weighed by age (0 for the event just before); Y is the event's own item.

    Arguments:
        train: sequences, oldest event first.
        num_items: size of the catalogue.
        age_weights: [window], weight by age; older events weigh nothing.

    Returns:
        float32 [num_items, num_items] each.
    """
    weights = np.asarray(age_weights, np.float64)
    window = len(weights)
    # An event and the one `lag` after it meet in the histories of all events after the second, as
    # ages a + lag and a for a = 0, 1, … : the more events follow, the more terms of this sum.
    overlap = np.zeros((window, window + 1), np.float32)  # [lag, events after the second]
    for lag in range(window):
        terms = weights[: window - lag] * weights[lag:]
        overlap[lag, 1 : len(terms) + 1] = np.cumsum(terms)
        overlap[lag, len(terms) + 1 :] = terms.sum()

    before = np.zeros(num_items * num_items, np.float32)
    after = np.zeros(num_items * num_items, np.float32)
    for piece in chunks(train, _EVENTS_PER_CHUNK):
        items = piece.items().astype(np.int64)
        followers = np.repeat(piece.stops, piece.lengths) - 1 - piece.event_rows()
        capped = np.minimum(followers, window)
        # Both orders of two events are counted below, so an event with itself goes in by half.
        np.add.at(before, items * (num_items + 1), overlap[0, capped] / 2)
        first = np.arange(len(items))
        for lag in range(1, window + 1):
            first = first[followers[first] >= lag]  # the others end before they get that far
            if not len(first):
                break
            pairs = items[first] * num_items + items[first + lag]
            np.add.at(after, pairs, np.float32(weights[lag - 1]))
            if lag < window:
                np.add.at(before, pairs, overlap[lag, capped[first + lag]])
    half = before.reshape(num_items, num_items)
    return half + half.T, after.reshape(num_items, num_items)


def _solve(inputs: Float32, targets: Float32) -> Float32:
    """The B of the class docstring; `inputs` is overwritten."""
    invert(inputs)
    weights: Float32 = inputs @ targets
    inputs *= (np.diag(weights) / np.diag(inputs)).astype(np.float32)
    weights -= inputs
    np.fill_diagonal(weights, 0.0)  # exactly, where rounding left a trace
    return weights
