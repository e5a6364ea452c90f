"""Inputs of one request fit together, or the request is refused in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf


def agreeing(given: Mapping[str, Any], shapes: Mapping[str, str]) -> dict[str, Any]:
    """The same tensors, once it is known that sizes of the same name are the same.

    TensorFlow would repeat what has size 1: the history of one user for each of several lists of
    candidates, or the time of one event for all the others.

    Arguments:
        given: by name.
        shapes: names of their dimensions, e.g. {"history_items": "B L"}.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, two of them differ in a dimension.

    Example:
        >>> found = agreeing({"x": tf.zeros([2, 3]), "y": tf.zeros([2])}, {"x": "B L", "y": "B"})
        >>> sorted(found)
        ['x', 'y']
    """
    sizes: dict[str, list[Any]] = {}
    for name, tensor in given.items():
        for axis, dimension in enumerate(shapes[name].split()):
            # What the graph fixes, whoever runs it refuses otherwise.
            if tensor.shape[axis] is None:
                sizes.setdefault(dimension, []).append(tf.shape(tensor)[axis])
    shared = {dimension: found for dimension, found in sizes.items() if len(found) > 1}
    if not shared:
        return dict(given)
    firsts = [found[0] for found in shared.values() for _ in found[1:]]
    others = [size for found in shared.values() for size in found[1:]]
    said = [f"the sizes {' and '.join(shared)} must be the same in all inputs:"]
    for name in given:
        said += [f"{name} [{shapes[name].replace(' ', ', ')}] is", tf.shape(given[name])]
    fit = tf.debugging.Assert(tf.reduce_all(tf.stack(firsts) == tf.stack(others)), said)
    with tf.control_dependencies([fit]):
        return {name: tf.identity(tensor) for name, tensor in given.items()}
