"""Serialised tf.Examples -> the inputs that other signatures take as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from export.signatures import HISTORY, Tensor


def parsed(serialised: Any, features: Mapping[str, Tensor]) -> dict[str, Any]:
    """Reads examples.

    Arguments:
        serialised: string [B].
        features: by name, see `export.signatures.FORMS`.

    Returns:
        By name: a list as a tensor [B, longest], padded with "" or 0; a single value as [B].

    Raises:
        tf.errors.InvalidArgumentError: an example cannot be parsed, lacks a single value, or has
            more or fewer times than events.
    """
    kinds = {name: tf.as_dtype(feature.dtype) for name, feature in features.items()}
    lists = [name for name, feature in features.items() if len(feature.shape.split()) == 2]
    spec = {
        name: tf.io.RaggedFeature(kind) if name in lists else tf.io.FixedLenFeature([], kind)
        for name, kind in kinds.items()
    }
    found: dict[str, Any] = tf.io.parse_example(serialised, spec)
    items, times = (found[name].row_lengths() for name in HISTORY)
    fit = tf.debugging.assert_equal(
        items, times, "an example must have as many history_times as history_items"
    )
    # Without the order, another op may fail first, and say less.
    with tf.control_dependencies([fit]):
        return found | {name: found[name].to_tensor() for name in lists}
