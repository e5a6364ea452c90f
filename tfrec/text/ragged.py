"""Ragged rows side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def repeated(ids: list[int], count: Any) -> Any:
    """The same int32 numbers in each of `count` rows, [count, (ids)]."""
    splits = tf.range(count + 1) * len(ids)
    values = tf.tile(tf.constant(ids, tf.int32), count[tf.newaxis])
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


def beside(parts: Sequence[Any]) -> Any:
    """Rows of each [N, (a)], [N, (b)], … one after the other, [N, (a + b + …)].

    What `tf.concat(parts, axis=1)` does. That transposes int64 numbers on its way, about which
    oneDNN complains on the console of every process whose processor lacks AVX-512.

    Example:
        >>> beside([tf.ragged.constant([[1], []]), tf.ragged.constant([[2, 3], [4]])]).to_list()
        [[1, 2, 3], [4]]
    """
    lengths = [part.row_lengths() for part in parts]
    zero = tf.constant([0], tf.int64)
    splits = tf.concat([zero, tf.cumsum(tf.cast(tf.add_n(lengths), tf.int64))], axis=0)
    start, places = splits[:-1], []
    for part, length in zip(parts, lengths, strict=True):
        shift = tf.gather(start - tf.cast(part.row_starts(), tf.int64), part.value_rowids())
        place = tf.range(tf.size(part.values, tf.int64)) + shift
        places.append(tf.cast(place, tf.int32))
        start += tf.cast(length, tf.int64)
    values = tf.dynamic_stitch(places, [part.values for part in parts])
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)
