"""What scores become without events: by silencing their lines, or by encoding the rest again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.sequences import Bool, Float32, Int32, Int64, Sequences, ragged_index
from tfrec.evaluation.faithfulness import Ranks, Rescore
from tfrec.interest.explanation import served
from tfrec.interest.reading import LedgerReader, Readings, matrix

_CELLS_PER_BLOCK = 2**22  # scores held at once


class Rescorer(NamedTuple):
    """What the model answers to a part of each history, encoded again from nothing.

    Attributes:
        rescore: bool [N, L] -> float32 [N], the score of each pair's item.
        ranks: bool [N, L] -> int64 [N], its rank among the items that the whole history does not
            hold, 1 = best; the candidates stay the same, whatever part is kept.
    """

    rescore: Rescore
    ranks: Ranks


def frozen_change(reader: LedgerReader, readings: Readings, items: Int32, event: Int64) -> Float32:
    """How scores move when one event of each user is silenced with frozen weights.

    The event's lines are taken out and every other line stays, as `with_gains` does for feedback.
    It is not what the model answers to a history without the event, see `reencoded_change`.

    Arguments:
        items: int [N, M]. event: int [N], a column of the readings that holds an event.

    Returns:
        float32 [N, M]: minus the sum of the event's lines.

    Raises:
        ValueError: a column holds no event.
    """
    _must_be_events(event, readings.real)
    gain = np.ones(readings.items.shape, np.float32)
    gain[np.arange(len(gain)), event] = 0
    silenced = readings.with_gains(event_gain=gain)
    return served(reader, silenced, items) - served(reader, readings, items)


def reencoded_change(
    reader: LedgerReader,
    histories: Sequences,
    request_times: Int64,
    items: Int32,
    event: Int64,
) -> Float32:
    """How scores move when one event of each user had never been: the rest is encoded again.

    A history longer than the model reads gets the next older event into its window, as it would
    have had.

    Arguments:
        histories: N sequences. request_times: unix milliseconds, [N].
        items: int [N, M]. event: int [N], a column of `LedgerReader.read_at(histories, …)` that
            holds an event.

    Returns:
        float32 [N, M], score without the event - score with it.

    Raises:
        ValueError: a column holds no event.
    """
    histories = reader.told(histories, request_times)
    length = reader.model.max_length
    _must_be_events(event, histories.padded_items(length) >= 0)
    keep = np.ones((len(histories), length + 1), bool)  # one older event than is read
    keep[np.arange(len(keep)), event + 1] = False
    shorter = reader.read_at(_kept(histories, keep), request_times)
    whole = reader.read_at(histories, request_times)
    return served(reader, shorter, items) - served(reader, whole, items)


def rescorer(reader: LedgerReader, cases: Cases, items: Int32, seed: int = 0) -> Rescorer:
    """What `tfrec.evaluation.faithfulness` asks the model, for one item per case.

    Arguments:
        cases: N histories and request times; their columns are those of `reader.read(cases)`, so
            the mask of faithfulness is `readings.real`. Events older than the newest L do not
            come back when others go.
        items: int [N].
        seed: decides between equal scores, as in the evaluation.
    """
    from tfrec.evaluation.ranking import tie_order

    if items.shape != (len(cases),):
        raise ValueError(f"items must be [{len(cases)}], got {items.shape}")
    rows = matrix(reader.catalogue)  # [I, S]
    place = tie_order(len(rows), seed)
    block = max(1, _CELLS_PER_BLOCK // len(rows))
    told = reader.told(cases.histories, cases.request_times)

    def states(keep: Bool) -> Float32:
        return reader.read_at(_kept(told, keep), cases.request_times).states()

    def rescore(keep: Bool) -> Float32:
        return np.asarray(np.einsum("ns,ns->n", states(keep), rows[items]))

    def ranks(keep: Bool) -> Int64:
        out = np.empty(len(items), np.int64)
        asked = states(keep)
        for start in range(0, len(items), block):
            part = slice(start, start + block)
            scores = asked[part] @ rows.T
            own = np.take_along_axis(scores, items[part, None], axis=1)
            earlier = place[None] < place[items[part], None]
            better = (scores > own) | ((scores == own) & earlier)
            seen = cases.histories.take(part)
            better[np.repeat(np.arange(len(seen)), seen.lengths), seen.items()] = False
            out[part] = 1 + better.sum(axis=1)
        return out

    return Rescorer(rescore, ranks)


def _kept(histories: Sequences, keep: Bool) -> Sequences:
    """Histories of the events with keep [N, W] True alone, the newest event in the last column."""
    width = keep.shape[1]
    cut = histories.last(width)
    row = np.repeat(np.arange(len(cut)), cut.lengths)
    chosen = keep[row, ragged_index(width - cut.lengths, cut.lengths)]
    events = cut.event_rows()[chosen]
    stops = np.cumsum(np.bincount(row[chosen], minlength=len(cut)))
    kept = histories.columns.take(events)
    return Sequences(histories.users, np.concatenate([[0], stops])[:-1], stops, kept)


def _must_be_events(event: Int64, real: Bool) -> None:
    rows = np.arange(len(real))
    if event.shape != (len(real),) or not real[rows, event].all():
        raise ValueError(f"event must name a column with an event for each of {len(real)} users")
