"""What a model reads of events: one array per column, cell by cell of packed rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Columns, Float32, Int32, Int64, Texts

# Of every event, in this order. All but the first three are read by time-aware models only.
EVENT_TOKENS = (
    "items",
    "segments",
    "positions",
    "times",
    "request_times",
    "actions",
    "strengths",
)

Tokens = dict[str, npt.NDArray[Any]]


def event_tokens(
    columns: Columns,
    rows: Int64,
    segments: Int64,
    positions: Int64,
    request_times: Int64,
    cells: Int64,
    shape: tuple[int, int],
    texts_per_row: int = 1,
) -> Tokens:
    """Writes events into packed rows.

    Arguments:
        columns: the log.
        rows: which event of the log each token is, [N].
        segments: 1, 2, …: which history of its row each token belongs to, [N].
        positions: 0 for the newest event of its history, [N].
        request_times: unix milliseconds at which the model is asked after each token, [N].
        cells: where each token goes, in [0, rows · length), [N].
        shape: rows and length of the result.
        texts_per_row: room for the texts of a row, T, where the log has some; more is made where
            it does not do.

    Returns:
        items          int32 [rows, length]    item index, -1 pads
        segments       int32 [rows, length]    0 pads
        positions      int32 [rows, length]    0 pads
        times          int64 [rows, length]    unix milliseconds, 0 pads
        request_times  int64 [rows, length]    unix milliseconds, 0 pads
        actions        int32 [rows, length]    index into the action vocabulary; 0 without one
        strengths      float32 [rows, length]  NaN where the log has none
        texts          float32 [rows, T, text_dim]  vectors of what is said in the row: item I + t
                                               stands for text t; only if `columns.texts`
    """
    nothing = np.zeros(len(rows), np.int32)
    missing = np.full(len(rows), np.nan, np.float32)
    values: dict[str, tuple[Any, Any, type[np.generic]]] = {
        "items": (columns.item[rows], -1, np.int32),
        "segments": (segments, 0, np.int32),
        "positions": (positions, 0, np.int32),
        "times": (columns.timestamp[rows], 0, np.int64),
        "request_times": (request_times, 0, np.int64),
        "actions": (nothing if columns.action is None else columns.action[rows], 0, np.int32),
        "strengths": (
            missing if columns.strength is None else columns.strength[rows],
            np.nan,
            np.float32,
        ),
    }
    tokens = {
        name: scatter(cells, value, fill, dtype, shape)
        for name, (value, fill, dtype) in values.items()
    }
    if columns.texts is not None:
        tokens |= _of_each_row(tokens["items"], columns.texts, texts_per_row)
    return tokens


def _of_each_row(items: Int32, texts: Texts, room: int) -> Tokens:
    """Numbers the texts row by row, so that a row has all that it needs, wherever it is sent."""
    said = items >= texts.first
    place = np.cumsum(said, axis=1) - 1
    room = max(room, int(said.sum(axis=1).max(initial=0)))
    vectors: Float32 = np.zeros((len(items), room, texts.vectors.shape[1]), np.float32)
    row, column = np.nonzero(said)
    vectors[row, place[row, column]] = texts.vectors[items[row, column] - texts.first]
    numbered = np.where(said, texts.first + place, items).astype(np.int32)
    return {"items": numbered, "texts": vectors}


def scatter(
    cells: Int64, values: Any, fill: Any, dtype: type[np.generic], shape: tuple[int, int]
) -> npt.NDArray[Any]:
    """`values` at `cells` of an array of the given shape, `fill` elsewhere."""
    out = np.full(shape[0] * shape[1], fill, dtype)
    out[cells] = values
    return out.reshape(shape)
