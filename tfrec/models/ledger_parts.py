"""What the ledger's lines are made of, on the user's and on the item's side."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from tfrec.data.strengths import PRIOR_EVENTS


class Reading(NamedTuple):
    """All that the ledger's lines are made of, for every place of a batch.

    embeddings: e, [I, D]. weights: a, [B, K, request, event]. values: v, [B, L, K, d].
    gates: g in (0, 2), [B, L, K]. conformity: κ ≥ 0, [B, L]. period: which period of popularity
    the request falls into, one-hot [B, L, W]. context: the residual's query [B, L, d], or None.
    grades: how far each event's strength lies above what its item gets, 0 without one, [B, L].
    rated: 1 where an event has a strength, [B, L]. known: the rated events that a request reads,
    bool [B, request, event]. habit: shrunken mean of their grades, [B, L].
    """

    embeddings: Any
    weights: Any
    values: Any
    gates: Any
    conformity: Any
    period: Any
    context: Any
    grades: Any
    rated: Any
    known: Any
    habit: Any

    def first(self, rows: int) -> Reading:
        """The reading of the first rows of the batch."""
        parts = self._asdict()
        table = parts.pop("embeddings")
        return Reading(table, **{k: None if v is None else v[:rows] for k, v in parts.items()})

    def facets(self, weights: Any = None, values: Any = None) -> Any:
        """u_f = g_f Σ_s a_fs v_fs, [B, L, K, d], with other weights or values if they are given."""
        weights = self.weights if weights is None else weights
        values = self.values if values is None else values
        values = ops.transpose(values, (0, 2, 1, 3))  # [B, K, event, d]
        read = ops.matmul(ops.cast(weights, values.dtype), values)
        return ops.transpose(read, (0, 2, 1, 3)) * self.gates[..., None]

    def state(self) -> Any:
        """What the item matrix is multiplied with, [B, L, K·d + W + 1 (+ d)]."""
        facets = self.facets()
        batch, length, count, width = ops.shape(facets)
        blocks = [
            ops.reshape(facets, (batch, length, count * width)),
            self.conformity[..., None] * ops.cast(self.period, facets.dtype),
            ops.ones((batch, length, 1), facets.dtype),
        ]
        if self.context is not None:
            blocks.append(self.context)
        return ops.concatenate(blocks, axis=-1)

    def graded(self) -> Any:
        """Σ_s (e_s − habit) g_f a_fs v_fs, [B, L, K, d]: what was liked, not what was taken."""
        values = [
            self.values * ops.cast(by, self.values.dtype)[..., None, None]
            for by in (self.grades, self.rated)
        ]
        total, count = ops.split(self.facets(values=ops.concatenate(values, axis=-1)), 2, axis=-1)
        return total - ops.cast(self.habit, total.dtype)[..., None, None] * count


class ItemSide(NamedTuple):
    """blocks: õ, [I, K, d]. quality: β, [I]. popularity: lp by period, [W, I].
    context: õ_r, [I, d], or None."""

    blocks: Any
    quality: Any
    popularity: Any
    context: Any

    def matrix(self) -> Any:
        """The catalogue as vectors to score against, [I, K·d + W + 1 (+ d)]."""
        items, count, width = ops.shape(self.blocks)
        dtype = self.blocks.dtype
        blocks = [
            ops.reshape(self.blocks, (items, count * width)),
            ops.cast(ops.transpose(self.popularity), dtype),
            ops.cast(self.quality, dtype)[:, None],
        ]
        if self.context is not None:
            blocks.append(self.context)
        return ops.concatenate(blocks, axis=-1)


def log_seconds(milliseconds: Any) -> Any:
    """log1p of seconds, scaled to about 0 .. 2 for anything up to decades."""
    return ops.log1p(ops.maximum(ops.cast(milliseconds, "float32"), 0.0) / 1000.0) / 10.0


def shrunken_mean(grades: Any, mask: Any) -> Any:
    """Mean grade of a history as if `PRIOR_EVENTS` typical events stood in it too, [B, L]."""
    known = ops.cast(mask, "float32")
    total = ops.matmul(known, grades[..., None])[..., 0]
    return total / (ops.sum(known, axis=-1) + PRIOR_EVENTS)


def gaps(times: Any, segments: Any) -> Any:
    """Log time since the event before, [B, L]; 0 for the first of a history."""
    same = segments[:, 1:] == segments[:, :-1]
    gaps = ops.where(same, log_seconds(times[:, 1:] - times[:, :-1]), 0.0)
    return ops.pad(gaps, ((0, 0), (1, 0)))
