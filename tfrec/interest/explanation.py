"""Explanations: users' ledgers for items, with titles, actions, strengths and times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Float32, Int32, Int64, Sequences, Texts
from tfrec.interest.ledger_lines import Event, LedgerLines
from tfrec.interest.reading import LedgerReader, Readings, matrix

_TITLE_COLUMNS = ("title", "name")


class ItemName(NamedTuple):
    """The id of an item in the log, and what people call it: the id again if nothing is known."""

    item: str
    title: str


def item_names(data: PreparedData, items: npt.ArrayLike) -> list[ItemName]:
    """Ids and titles of the items of these indices.

    The title is the text column `title` or `name`, or else the first one.
    """
    rows = np.asarray(items, np.int64)
    ids: list[str] = data.items["item_id"].take(rows).to_pylist()
    columns = data.meta.text_columns
    if not columns:
        return [ItemName(item, item) for item in ids]
    column = next((name for name in _TITLE_COLUMNS if name in columns), columns[0])
    titles = data.items[column].take(rows).to_pylist()
    return [ItemName(i, t if t and t.strip() else i) for i, t in zip(ids, titles, strict=True)]


def explain(
    reader: LedgerReader,
    data: PreparedData,
    histories: Sequences,
    readings: Readings,
    items: Int32,
    request_times: Int64,
    facets: Sequence[str],
) -> list[list[LedgerLines]]:
    """Every user's ledgers for some items.

    Arguments:
        data: titles and the action vocabulary.
        histories: N sequences of the data, those that were read.
        readings: of these histories at these times; gains on them show in the lines.
        items: int [N, M], item indices.
        request_times: int64 [N], unix milliseconds.
        facets: K names.

    Returns:
        M ledgers for each of the N users, over the newest L events that the model reads. The
        score of each is that of the ranking, state · item vector, not the sum of the lines.

    Raises:
        ValueError: the readings are not of these histories, or shapes do not fit.

    Example:
        >>> readings = reader.read_at(histories, times)                       # doctest: +SKIP
        >>> [ledgers] = explain(reader, data, histories, readings,
        ...                     np.array([[12, 5]]), times, ["a", "b"])       # doctest: +SKIP
        >>> ledgers[0].lines()[:3]                                            # doctest: +SKIP
    """
    length = readings.items.shape[1]
    histories = reader.told(histories, request_times)
    if not np.array_equal(histories.padded_items(length), readings.items):
        raise ValueError("readings are not of these histories: they hold other items")
    if items.ndim != 2 or len(items) != len(readings):
        raise ValueError(f"items must be [{len(readings)}, M], got {items.shape}")
    catalogue = reader.catalogue
    scores = served(reader, readings, items)
    contributions = readings.contributions(catalogue, items)  # [N, M, L, K]
    quality = readings.quality_line(catalogue, items)
    conformity = readings.conformity_line(catalogue, items)
    context = readings.context_line(catalogue, items)
    timed = data.meta.time_unit != "none"
    out = []
    users = reader.model.user_texts
    kinds = [] if users is None else users.kinds
    for user, events in enumerate(_events(data, histories.last(length), kinds)):
        names = item_names(data, items[user])
        out.append(
            [
                LedgerLines(
                    item=name.item,
                    title=name.title,
                    request_time=int(request_times[user]) if timed else 0,
                    events=events,
                    facets=list(facets),
                    contributions=contributions[user, m, length - len(events) :],
                    quality=float(quality[user, m]),
                    conformity=float(conformity[user, m]),
                    context=float(context[user, m]),
                    score=float(scores[user, m]),
                )
                for m, name in enumerate(names)
            ]
        )
    return out


def served(reader: LedgerReader, readings: Readings, items: Int32) -> Float32:
    """The score that ranks: state · item vector, int [N, M] items -> float32 [N, M]."""
    vectors = matrix(reader.catalogue)[items]  # [N, M, S]
    return np.asarray(np.einsum("ns,nms->nm", readings.states(), vectors))


def _names(data: PreparedData, items: Int32, texts: Texts | None) -> list[ItemName]:
    """Names of items, and the words of what stands behind them."""
    if texts is None:
        return item_names(data, items)
    known = iter(item_names(data, items[items < texts.first]))
    # No id of an item: what is said twice is one reason, an item of that name another.
    return [
        next(known) if text < 0 else ItemName(f"“{texts.words[text]}”", texts.words[text])
        for text in (items - texts.first).tolist()
    ]


def _events(data: PreparedData, histories: Sequences, kinds: Sequence[str]) -> list[list[Event]]:
    rows = histories.event_rows()
    columns = histories.columns
    names = _names(data, columns.item[rows], columns.texts)
    actions = [""] * len(rows)
    if columns.action is not None:
        vocabulary = [*(data.meta.actions or [""]), *kinds]
        actions = [vocabulary[number] for number in columns.action[rows].tolist()]
    strengths: list[float | None] = [None] * len(rows)
    if columns.strength is not None:
        strengths = [None if s != s else s for s in columns.strength[rows].tolist()]  # NaN != NaN
    times = [0] * len(rows)
    if data.meta.time_unit != "none":
        times = columns.timestamp[rows].tolist()
    flat = [
        Event(name.item, name.title, action, strength, time)
        for name, action, strength, time in zip(names, actions, strengths, times, strict=True)
    ]
    stops = np.cumsum(histories.lengths).tolist()
    return [flat[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
