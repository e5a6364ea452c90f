"""Ranks with a trained model, in the graph: the same `Ranking` as `ranking.rank`, much faster.

First every history becomes one state, packed into rows like in training; then the states meet the
item matrix in blocks that bound the memory, whatever the number of cases or items.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.console import import_tensorflow
from tfrec.data.cases import Cases
from tfrec.data.packing import pack
from tfrec.data.sequences import Bool, Float32, Int64, Sequences, ragged_index
from tfrec.data.tokens import Tokens, event_tokens
from tfrec.data.user_texts import UserTexts, of_items
from tfrec.evaluation.ranking import Ranking, tie_order
from tfrec.models.build import SequenceModel

_ROWS_PER_BATCH = 32
# Compiling takes as long as a few hundred rows do without it.
_WORTH_COMPILING = 8 * _ROWS_PER_BATCH
_CELLS_PER_BLOCK = 2**22  # logits held at once


class ModelRanker:
    """Full-catalogue ranking by a `SequenceModel`.

    Arguments:
        model: a built model.
        progress: called with the number of cases after each part of the work.

    Example:
        >>> ranker = ModelRanker(model)                      # doctest: +SKIP
        >>> ranking = ranker.rank(split.cases("test"), top_k=20)  # doctest: +SKIP
    """

    def __init__(self, model: SequenceModel) -> None:
        tf = import_tensorflow()
        self.model = model

        def encode(batch: dict[str, Any]) -> Any:
            return tf.cast(model(batch, training=False), tf.float32)

        self._encode = tf.function(encode, autograph=False)
        self._encode_many = tf.function(encode, jit_compile=True, autograph=False)
        self._rank_block = tf.function(_rank_block, reduce_retracing=True, autograph=False)

    def states(self, cases: Cases, progress: Callable[[int], None] | None = None) -> Float32:
        """The state after the newest event of each history, asked at its time, float32 [N, D].

        An empty history is read as one padding token.
        """
        histories = cases.histories
        length = self.model.max_length
        users: UserTexts | None = getattr(self.model, "user_texts", None)
        if histories.columns.texts is not None:
            users = None  # they are in there
        said = 0 if users is None else users.count(histories.users)
        lengths = np.clip(histories.lengths + said, 1, length)
        packing = pack(lengths, length)
        room = int(np.diff(packing.row_starts).max(initial=1))  # histories of one row
        in_slot = packing.sequences()
        encode = self._encode_many if packing.num_rows > _WORTH_COMPILING else self._encode
        out: Float32 | None = None
        for start in range(0, packing.num_rows, _ROWS_PER_BATCH):
            rows = np.arange(start, min(start + _ROWS_PER_BATCH, packing.num_rows))
            slots, row = packing.slots(rows)
            first = row * length + packing.offset[slots]
            which = in_slot[slots]
            asked, read = cases.request_times[which], histories.take(which).last(length)
            if users is not None:
                read = users.told(read, asked, length)
            batch = _batch(read, asked, lengths[which], first, length, room)
            states = encode(batch).numpy()
            if out is None:
                out = np.empty((len(histories), states.shape[-1]), np.float32)
            out[which] = states.reshape(-1, states.shape[-1])[first + lengths[which] - 1]
            if progress:
                progress(len(which))
        return np.zeros((0, 1), np.float32) if out is None else out

    def score(self, cases: Cases) -> Float32:
        """Logits of every item for every case, float32 [N, num_items] (the `Scorer` interface)."""
        return self.states(cases) @ self._item_matrix().T

    def rank(
        self,
        cases: Cases,
        top_k: int,
        remove_seen: bool = True,
        seed: int = 0,
        progress: Callable[[int], None] | None = None,
        candidates: Bool | None = None,
    ) -> Ranking:
        """Ranks the catalogue or its candidates for every case.

        The arguments are those of `tfrec.evaluation.ranking.rank`.

        Raises:
            ValueError: the model gives logits that are not a number, a target is no candidate, or
                it stands in its own history and `remove_seen` takes it out.
        """
        states = self.states(cases, progress)
        # The catalogue in tie order: among equal logits the first one wins.
        place = tie_order(self.model.num_items, seed)
        item_at = np.argsort(place).astype(np.int32)
        if candidates is not None:
            item_at = item_at[candidates[item_at]]
            place = np.full(self.model.num_items, -1, np.int32)
            place[item_at] = np.arange(len(item_at))
            if (place[cases.targets] < 0).any():
                raise ValueError("a target is no candidate")
        matrix = self._item_matrix()[item_at]
        if not (np.isfinite(states).all() and np.isfinite(matrix).all()):
            raise ValueError("the model gives logits that are not a number; its training diverged")

        kept = min(top_k, len(item_at))
        target_ranks = np.empty(len(cases.targets), np.int32)
        top_items = np.full((len(cases), top_k), -1, np.int32)
        for first, last in _blocks(cases, self.model.num_items):
            block = cases.take(slice(first, last))
            seen = _cells(block.histories, place) if remove_seen else np.zeros((0, 2), np.int32)
            ranks, top = self._rank_block(
                states[first:last],
                matrix,
                seen,
                block.target_cases().astype(np.int32),
                place[block.targets],
                kept,
            )
            low, high = cases.target_offsets[[first, last]]
            target_ranks[low:high] = ranks.numpy()
            if remove_seen and (target_ranks[low:high] < 1).any():
                raise ValueError("a target is in its own history, which remove_seen takes out")
            top = top.numpy()
            top_items[first:last, :kept] = np.where(top < 0, -1, item_at[top])
        return Ranking(target_ranks, top_items)

    def _item_matrix(self) -> Float32:
        return np.asarray(self.model.item_matrix(), np.float32)


def _batch(
    histories: Sequences,
    request_times: Int64,
    lengths: Int64,
    first: Int64,
    length: int,
    texts_per_row: int,
) -> Tokens:
    """Packs histories into a batch of `_ROWS_PER_BATCH` rows, history n from cell `first[n]` on.

    An empty history takes one cell of padding, so that the model has a place to answer.
    """
    rows = histories.event_rows()
    real = histories.lengths
    asked = histories.columns.timestamp[np.minimum(rows + 1, len(histories.columns.item) - 1)]
    # The newest event is asked at the case's own time, the others when the next one came.
    asked[np.cumsum(real)[real > 0] - 1] = request_times[real > 0]
    batch = event_tokens(
        histories.columns,
        rows,
        np.repeat(np.arange(1, len(lengths) + 1), real),
        np.repeat(np.cumsum(real), real) - 1 - np.arange(len(rows)),
        asked,
        ragged_index(first, real),
        (_ROWS_PER_BATCH, length),
        texts_per_row,
    )
    empty = first[real == 0]
    batch["segments"].reshape(-1)[empty] = 1 + np.flatnonzero(real == 0)
    batch["request_times"].reshape(-1)[empty] = request_times[real == 0]
    return batch


def _blocks(cases: Cases, num_items: int) -> list[tuple[int, int]]:
    """Ranges of cases whose logits, and whose targets' logits, fit a block."""
    limit = max(1, _CELLS_PER_BLOCK // num_items)
    # A case costs one row of logits and one more per target beyond its first.
    cost = np.cumsum(np.maximum(np.diff(cases.target_offsets), 1))
    bounds = [0]
    while bounds[-1] < len(cases):
        spent = cost[bounds[-1] - 1] if bounds[-1] else 0
        bounds.append(max(int(np.searchsorted(cost, spent + limit, "right")), bounds[-1] + 1))
    return list(itertools.pairwise(bounds))


def _cells(histories: Sequences, place: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """(row, place of the item) of every event with a place, int32 [at most events, 2]."""
    histories = of_items(histories)
    rows = np.repeat(np.arange(len(histories)), histories.lengths)
    cells = np.stack([rows, place[histories.items()]], axis=1).astype(np.int32)
    return cells[cells[:, 1] >= 0]


def _rank_block(
    states: Any, matrix: Any, seen: Any, target_case: Any, target: Any, top_k: int
) -> tuple[Any, Any]:
    """Ranks [T] of the targets and the top [n, top_k] (-1 where an item may not be recommended)."""
    tf = import_tensorflow()
    lowest = tf.constant(-np.inf, tf.float32)
    logits = tf.matmul(states, matrix, transpose_b=True)  # [n, items]
    logits = tf.tensor_scatter_nd_update(logits, seen, tf.fill(tf.shape(seen)[:1], lowest))
    rows = tf.gather(logits, target_case)  # [T, items]
    own = tf.gather(rows, target, axis=1, batch_dims=1)[:, None]
    before = tf.range(tf.shape(matrix)[0])[None] < target[:, None]
    better = tf.logical_or(rows > own, tf.logical_and(tf.equal(rows, own), before))
    ranks = 1 + tf.math.count_nonzero(better, axis=1, dtype=tf.int32)
    ranks = tf.where(own[:, 0] > lowest, ranks, 0)  # a removed target has no rank
    best, top = tf.math.top_k(logits, k=top_k)
    return ranks, tf.where(best > lowest, top, -1)
