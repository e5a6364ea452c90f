"""Classify and Regress: their messages and their JSON, and what a signature makes of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, regression_pb2

from .model import Array, Tensors

# Signature -> request and response.
MESSAGES = {
    "classify": (
        classification_pb2.ClassificationRequest,
        classification_pb2.ClassificationResponse,
    ),
    "regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
}
# A row of a request: feature -> values. Texts become bytes; numbers are integers.
Features = Mapping[str, Sequence[Any]]


def example(features: Features) -> Any:
    """A tf.Example.

    Example:
        >>> made = example({"history_items": ["i7"], "history_times": [1]})
        >>> made.features.feature["history_times"].int64_list.value[:]
        [1]
    """
    made = tf.train.Example()
    for name, values in features.items():
        feature = made.features.feature[name]
        for value in values:
            if isinstance(value, str | bytes):
                data = value.encode() if isinstance(value, str) else value
                feature.bytes_list.value.append(data)
            else:
                feature.int64_list.value.append(int(value))
    return made


def examples(rows: Sequence[Features]) -> Tensors:
    """The input of a signature."""
    return {"inputs": np.array([example(row).SerializeToString() for row in rows], object)}


def asked(request: Any) -> Tensors:
    """The input of a signature, of a ClassificationRequest or RegressionRequest."""
    listed = request.input.example_list.examples
    return {"inputs": np.array([one.SerializeToString() for one in listed], object)}


def answered(response: Any) -> Tensors:
    """The outputs of a signature, of a ClassificationResponse or RegressionResponse."""
    result = response.result
    if hasattr(result, "regressions"):
        values = [one.value for one in result.regressions]
        return {"outputs": np.array(values, np.float32)}
    rows = [[(one.label, one.score) for one in row.classes] for row in result.classifications]
    return _classes(rows)


def answered_rest(signature: str, results: Sequence[Any]) -> Tensors:
    """The outputs of a signature, of the `results` of a REST answer."""
    if signature == "regress":
        return {"outputs": np.array(results, np.float32)}
    return _classes(results)


def _classes(rows: Sequence[Sequence[Sequence[Any]]]) -> Tensors:
    """Label and score by row and rank."""
    labels = [[label.encode() for label, _ in row] for row in rows]
    scores: Array = np.array([[score for _, score in row] for row in rows], np.float32)
    return {"classes": np.array(labels, object).reshape(scores.shape), "scores": scores}
