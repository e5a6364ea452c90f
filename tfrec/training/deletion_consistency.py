"""Packed batches with one event less per history, to compare a ledger line with a real deletion.

Rows hold several histories: `segments` numbers them, 0 pads, equal numbers are contiguous and the
oldest event comes first. Everything here runs inside a compiled training step: shapes are static
and nothing loops over tokens.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def remove_one_event(batch: dict[str, Any], deleted: Any, moved: tuple[str, ...]) -> dict[str, Any]:
    """The batch as if the marked events had never happened.

    In a history with a marked event, everything older moves one column to the right, over it;
    newer events stay, so the newest event of a history stays the newest in the same column. The
    column freed at the old end becomes padding: segment 0, item −1. `positions` (0 = newest) is
    right without moving: an event at position p lands where position p − 1 stands.

    Arguments:
        batch: `segments` int [B, L], and any arrays [B, L, …].
        deleted: bool [B, L], at most one True per history; ignored on padding.
        moved: names of the arrays that belong to the events and move with them, for example
            ("items", "timestamps"). The others stay as they are. What stands in a freed column of
            a moved array other than `items` is unchanged: read it through `segments`.

    Returns:
        A new dictionary with the same names; nothing in `batch` changes.

    Raises:
        ValueError: the shapes do not belong together, or `moved` names an array that is not in
            the batch, or one of `segments` and `positions`, which must not move.

    Example:
        >>> batch = {"segments": ops.array([[1, 1, 1, 2, 2]]),
        ...          "items": ops.array([[7, 8, 9, 4, 5]])}
        >>> deleted = ops.array([[False, True, False, False, False]])
        >>> shorter = remove_one_event(batch, deleted, moved=("items",))
        >>> ops.convert_to_numpy(shorter["items"]).tolist()
        [[-1, 7, 9, 4, 5]]
        >>> ops.convert_to_numpy(shorter["segments"]).tolist()
        [[0, 1, 1, 2, 2]]
    """
    segments = ops.convert_to_tensor(batch["segments"])
    deleted = ops.cast(deleted, "bool")
    if len(segments.shape) != 2 or tuple(deleted.shape) != tuple(segments.shape):
        raise ValueError(
            f"segments and deleted must both be [batch, length]; got "
            f"{tuple(segments.shape)} and {tuple(deleted.shape)}"
        )
    wrong = [name for name in moved if name not in batch or name in ("segments", "positions")]
    if wrong:
        raise ValueError(f"moved names {wrong}, which may not move or are not in {sorted(batch)}")

    columns = ops.arange(segments.shape[1], dtype="int32")  # [L]
    not_older = columns[None, :] >= columns[:, None]  # [L, L]: column k against column j
    hit = _same_history(segments) & deleted[:, None, :] & not_older[None]  # [B, L, L]
    covered = ops.any(hit, axis=-1)  # [B, L]: from the oldest event up to the deleted one
    freed = covered & _first_of_history(segments)
    source = columns[None, :] - ops.cast(covered & ~freed, "int32")  # [B, L]

    shorter = dict(batch)
    for name in moved:
        shorter[name] = _gather_columns(ops.convert_to_tensor(batch[name]), source)
    shorter["segments"] = ops.where(freed, ops.zeros_like(segments), segments)
    if "items" in batch:
        items = ops.convert_to_tensor(shorter["items"])
        shorter["items"] = ops.where(freed, -ops.ones_like(items), items)
    return shorter


def draw_deletions(segments: Any, uniforms: Any, newest: bool = False) -> Any:
    """Picks one event of each history with equal probability, by default never the newest.

    The event with the largest of independent uniform numbers is a uniform choice. A
    history of one event loses none when the newest is spared.

    Arguments:
        segments: int [B, L], 0 pads, equal numbers in a row are one history, oldest event first.
        uniforms: float [B, L], independent and uniform on [0, 1).
        newest: whether the newest event may be drawn too.

    Returns:
        bool [B, L], at most one True per history, whatever the numbers are.

    Raises:
        ValueError: the shapes do not belong together.

    Example:
        >>> segments = ops.array([[1, 1, 1, 2, 0]])
        >>> drawn = draw_deletions(segments, ops.array([[0.2, 0.7, 0.9, 0.5, 0.8]]))
        >>> ops.convert_to_numpy(drawn).tolist()
        [[False, True, False, False, False]]
    """
    segments, uniforms = ops.convert_to_tensor(segments), ops.convert_to_tensor(uniforms)
    if len(segments.shape) != 2 or tuple(uniforms.shape) != tuple(segments.shape):
        raise ValueError(
            f"segments and uniforms must both be [batch, length]; got "
            f"{tuple(segments.shape)} and {tuple(uniforms.shape)}"
        )
    older = segments > 0
    if not newest:
        older = older & ~_last_of_history(segments)
    eligible = _same_history(segments) & older[:, None, :]  # [B, L, L]
    # The arg max, not the maximum, because two equal numbers must not delete two events.
    winner = ops.argmax(ops.where(eligible, uniforms[:, None, :], -1.0), axis=-1)  # [B, L]
    columns = ops.arange(segments.shape[1], dtype=winner.dtype)
    return older & ops.equal(winner, columns[None, :])


def _same_history(segments: Any) -> Any:
    """bool [B, L, L]: columns j and k hold events of one history."""
    real = segments > 0
    return ops.equal(segments[:, :, None], segments[:, None, :]) & real[:, None, :]


def _first_of_history(segments: Any) -> Any:
    before = ops.pad(segments[:, :-1], ((0, 0), (1, 0)))
    return (segments > 0) & ops.not_equal(segments, before)


def _last_of_history(segments: Any) -> Any:
    after = ops.pad(segments[:, 1:], ((0, 0), (0, 1)))
    return (segments > 0) & ops.not_equal(segments, after)


def _gather_columns(array: Any, source: Any) -> Any:
    """array [B, L, …] read at column `source` [B, L] of the same row."""
    extra = (1,) * (len(array.shape) - 2)
    return ops.take_along_axis(array, ops.reshape(source, (*source.shape, *extra)), axis=1)
