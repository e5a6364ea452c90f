"""Which events of a packed row belong to the history of which request."""

from __future__ import annotations

from typing import Any

from keras import ops


def history_mask(segments: Any) -> Any:
    """True where the event of the second column is in the history of the first.

    That is, both are of one history and the event is not newer. Padding is a history of its own.

    Arguments:
        segments: int [B, L], equal numbers are one history, 0 pads; the oldest event comes first.

    Returns:
        bool [B, L, L], request before event.

    Example:
        >>> ops.cast(history_mask(ops.array([[1, 1, 2]])), "int32")[0].numpy().tolist()
        [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    """
    place = ops.arange(ops.shape(segments)[1])
    same = ops.equal(segments[:, :, None], segments[:, None, :])
    return ops.logical_and(same, place[:, None] >= place[None, :])
