"""Histories of a run's log as requests, many users at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData
    from tfrec.data.sequences import Int64, Sequences


class LogRequests:
    """Inputs of signatures that read histories.

    Arguments:
        data: of the run.

    Attributes:
        ids: of the items, bytes [I].
    """

    def __init__(self, data: PreparedData) -> None:
        self.ids = np.array([item.encode() for item in data.items["item_id"].to_pylist()], object)
        self._actions = np.array([name.encode() for name in data.meta.actions], object)

    def short(self, histories: Sequences) -> dict[str, Any]:
        """Of the short form."""
        rows, lengths, columns = histories.event_rows(), histories.lengths, histories.columns
        return {
            "history_items": _padded(lengths, self.ids[columns.item[rows]], b""),
            "history_times": _padded(lengths, np.asarray(columns.timestamp[rows], np.int64), 0),
        }

    def full(self, histories: Sequences, now: Int64, facets: int) -> dict[str, Any]:
        """Of a `_full` twin of K facets, asked at unix milliseconds [B], with all gains at 1."""
        rows, lengths, columns = histories.event_rows(), histories.lengths, histories.columns
        shape = len(lengths), int(lengths.max(initial=0))
        actions = np.full(shape, b"", object)
        if columns.action is not None:
            actions = _padded(lengths, self._actions[columns.action[rows]], b"")
        values = np.full(shape, np.nan, np.float32)
        if columns.strength is not None:
            values = _padded(lengths, np.asarray(columns.strength[rows], np.float32), np.nan)
        return self.short(histories) | {
            "actions": actions,
            "values": values,
            "now": np.asarray(now, np.int64),
            "facet_gain": np.ones((len(lengths), facets), np.float32),
            "event_gain": np.ones(shape, np.float32),
            "conformity_gain": np.ones(len(lengths), np.float32),
        }


def _padded(lengths: Int64, values: npt.NDArray[Any], fill: Any) -> npt.NDArray[Any]:
    """Values of one history after the other -> [B, longest]."""
    table = np.full((len(lengths), int(lengths.max(initial=0))), fill, values.dtype)
    table[np.arange(table.shape[1]) < lengths[:, None]] = values
    return table
