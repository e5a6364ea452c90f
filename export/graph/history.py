"""A history as a client sends it -> the tokens that a model reads, newest last."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class Events(NamedTuple):
    """The events of B users in the order of the request, when they are asked about, and how.

    Attributes:
        items: int32 [B, L], number of the item; -1 where there is none or it is not known.
        times: int64 [B, L], unix milliseconds.
        actions: int32 [B, L], index into the action vocabulary; -1 where not known.
        strengths: float32 [B, L], NaN where not known.
        now: int64 [B], unix milliseconds of the request.
        event_gain: float32 [B, L], what the lines of each event are multiplied by.
        facet_gain: float32 [B, K], the same for those of each facet.
        conformity_gain: float32 [B], the same for the pull of the crowd.
        texts: vectors of what the users say, float32 [B, Q, text_dim]; item I + q of B's events
            stands for text q. None where there are only items.
    """

    items: Any
    times: Any
    actions: Any
    strengths: Any
    now: Any
    event_gain: Any
    facet_gain: Any
    conformity_gain: Any
    texts: Any = None

    def before(self, time: Any) -> Events:
        """What was known just before an int64 [B], asked at that time."""
        known = tf.where(self.times < time[:, None], self.items, -1)
        return self._replace(items=known, now=time)


class Read(NamedTuple):
    """What a model reads of `Events`: the newest n events of each user.

    Attributes:
        tokens: see `tfrec.data.tokens.event_tokens`; int32, int64 and float32 [B, n]. n is at
            least 1: a user without events is asked too.
        event_gain: of the tokens' events, float32 [B, n].
        place: of each event of the request among the tokens, int32 [B, L]; -1 if it is not read.
    """

    tokens: dict[str, Any]
    event_gain: Any
    place: Any


def newest_time(items: Any, times: Any, otherwise: int) -> Any:
    """Time of each user's newest known event, int64 [B]; `otherwise` for a user without one."""
    found = tf.reduce_max(tf.where(items >= 0, times, tf.int64.min), axis=1)
    return tf.where(tf.reduce_any(items >= 0, axis=1), found, tf.constant(otherwise, tf.int64))


def read(events: Events, max_length: int, commonest: int = 0) -> Read:
    """Sorts by time, leaves out what is not known, keeps the newest `max_length` events.

    As many tokens per user as the longest of the histories needs, so that short requests are
    cheap. Of events of equal time those given first count as older.

    Arguments:
        commonest: the action that events have where it is not known.
    """
    # One empty place in front: there is always one to ask at.
    padded = tf.pad(events.items, [[0, 0], [1, 0]], constant_values=-1)
    known = padded >= 0
    times = tf.pad(events.times, [[0, 0], [1, 0]])
    # What is not known comes first, so the places behind it hold the events, oldest first.
    key = tf.where(known, tf.maximum(times, tf.int64.min + 1), tf.int64.min)
    order = tf.argsort(key, axis=1, stable=True)  # [B, L + 1]
    counts = tf.reduce_sum(tf.cast(known, tf.int32), axis=1)
    length = tf.clip_by_value(tf.reduce_max(tf.pad(counts, [[0, 1]])), 1, max_length)
    first = tf.shape(order)[1] - length
    kept = order[:, first:]  # [B, length]

    def taken(column: Any, padding: Any) -> Any:
        in_front = tf.pad(column, [[0, 0], [1, 0]])
        found = tf.gather(in_front, kept, batch_dims=1)
        return tf.where(real, found, tf.cast(padding, column.dtype))

    items = tf.gather(padded, kept, batch_dims=1)
    real = items >= 0
    to_end = length - 1 - tf.range(length)[None]
    asked = tf.logical_or(real, to_end == 0)
    tokens = {
        "items": items,
        "segments": tf.cast(asked, tf.int32),
        "positions": tf.where(real, to_end, 0),
        "times": taken(events.times, 0),
        "request_times": tf.where(asked, events.now[:, None], 0),
        "actions": taken(tf.where(events.actions < 0, commonest, events.actions), 0),
        "strengths": taken(events.strengths, float("nan")),
    }
    place = tf.argsort(order, axis=1)[:, 1:] - first
    place = tf.where(tf.logical_and(events.items >= 0, place >= 0), place, -1)
    return Read(tokens, taken(events.event_gain, 1.0), place)


def in_request_order(values: Any, place: Any) -> Any:
    """[B, n, ...] by token -> [B, L, ...] by event of the request, 0 where one is not read."""
    found = tf.gather(values, tf.maximum(place, 0), batch_dims=1)
    shape = tf.concat([tf.shape(place), tf.ones([len(values.shape) - 2], tf.int32)], axis=0)
    return found * tf.cast(tf.reshape(place >= 0, shape), values.dtype)
