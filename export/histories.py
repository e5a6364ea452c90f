"""Histories of users of a run's log in rows of one length, as a client would send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData


class Rows(NamedTuple):
    """n histories, oldest event first.

    items: ids as bytes, [n, L]; b"" pads at the end. times: unix milliseconds, int64 [n, L].
    """

    items: npt.NDArray[Any]
    times: npt.NDArray[np.int64]

    def part(self, start: int, stop: int | None) -> Rows:
        """Some of them."""
        return Rows(self.items[start:stop], self.times[start:stop])


class Histories:
    """The newest events of users.

    Arguments:
        data: the log.
        most: events of a user that are taken.
    """

    def __init__(self, data: PreparedData, most: int) -> None:
        self._data = data
        self._most = most
        ids = data.items["item_id"].to_pylist()
        self._ids = np.array([*(name.encode() for name in ids), b""], object)

    def of(self, users: npt.NDArray[np.integer]) -> Rows:
        """Those of some users."""
        stops = self._data.user_offsets[users + 1]
        lengths = np.minimum(stops - self._data.user_offsets[users], self._most)
        place = np.arange(lengths.max(initial=0))
        real = place < lengths[:, None]
        events = np.where(real, (stops - lengths)[:, None] + place, 0)
        columns = self._data.columns
        items = np.where(real, columns.item[events], -1)
        return Rows(self._ids[items], np.where(real, columns.timestamp[events], 0))
