"""The swap test: do lasting facets hang on old events, and momentary ones on the newest?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Bool, Int64, Sequences

if TYPE_CHECKING:
    from tfrec.interest.reading import LedgerReader

Float64 = npt.NDArray[np.float64]

RECENT = 3


@dataclass(frozen=True)
class SwapTest:
    """How far each facet moves when a part of the history is exchanged.

    Attributes:
        old: Σ_n |u_f' - u_f| / Σ_n |u_f| with the older events exchanged, [K].
        recent: the same with the newest events exchanged, [K].
    """

    old: Float64
    recent: Float64

    @property
    def old_share(self) -> Float64:
        """old / (old + recent), [K]: near 1 for a lasting facet, near 0 for a momentary one."""
        total = self.old + self.recent
        share: Float64 = np.divide(self.old, total, out=np.full_like(total, 0.5), where=total > 0)
        return share


def swap_test(
    reader: LedgerReader,
    histories: Sequences,
    request_times: Int64,
    recent: int = RECENT,
    seed: int = 0,
) -> SwapTest:
    """Exchanges the items of old, then of recent events, encodes again and compares the facets.

    A place gets the item of another place of the same kind, drawn from all users, so that the
    items put in are as popular as those taken out; times, actions and strengths stay.

    Arguments:
        histories: N histories; those without an older event are left out.
        request_times: int64 [N], unix milliseconds.
        recent: how many of the newest events are recent.
        seed: of the exchange.

    Raises:
        ValueError: no history has more than `recent` events.
    """
    long_enough = histories.lengths > recent
    if not long_enough.any():
        raise ValueError(f"histories must have more than {recent} events, none has")
    asked = np.asarray(request_times)[long_enough]
    kept = _compact(histories.take(long_enough).last(reader.model.max_length))
    newer = np.repeat(kept.stops, kept.lengths) - 1 - np.arange(kept.num_events)
    rng = np.random.default_rng(seed)
    before = reader.read_at(kept, asked).facets()
    size = np.linalg.norm(before, axis=-1).sum(axis=0)  # [K]

    def moved(places: Bool) -> Float64:
        item = kept.columns.item.copy()
        item[places] = rng.permutation(item[places])
        swapped = replace(kept, columns=replace(kept.columns, item=item))
        after = reader.read_at(swapped, asked).facets()
        change = np.linalg.norm(after - before, axis=-1).sum(axis=0)
        relative: Float64 = np.divide(change, size, out=np.zeros(len(size)), where=size > 0)
        return relative

    return SwapTest(moved(newer >= recent), moved(newer < recent))


def _compact(histories: Sequences) -> Sequences:
    """The same histories over columns that hold their events alone."""
    ends = np.cumsum(histories.lengths)
    columns = histories.columns.take(histories.event_rows())
    return Sequences(histories.users, ends - histories.lengths, ends, columns)
