"""Requests and answers of a signature as the messages that TensorFlow Serving speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]

_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int32": "int_val",
    "int64": "int64_val",
    "bool": "bool_val",
}


class Exchange(NamedTuple):
    """A PredictRequest and the PredictResponse to it."""

    request: Any
    response: Any


def exchange(model: str, signature: str, inputs: Tensors, outputs: Tensors) -> Exchange:
    """The gRPC request and its answer.

    Arguments:
        model: the name under which the model is served.
        signature: its key.
        inputs, outputs: by name; strings as object arrays of bytes.
    """
    from tensorflow_serving.apis import predict_pb2

    made = Exchange(predict_pb2.PredictRequest(), predict_pb2.PredictResponse())
    for message, protos, tensors in (
        (made.request, made.request.inputs, inputs),
        (made.response, made.response.outputs, outputs),
    ):
        message.model_spec.name = model
        message.model_spec.signature_name = signature
        for name, array in tensors.items():
            _fill(protos[name], array)
    return made


def plain(value: Any) -> Any:
    """An array as JSON has it: nested lists, text, and floats with no more digits than they have.

    Example:
        >>> plain(np.array([[0.1, 2.0]], np.float32)), plain(np.array([b"i7"], object))
        ([[0.1, 2.0]], ['i7'])
    """
    if isinstance(value, np.ndarray):
        return [plain(part) for part in value]
    if isinstance(value, bytes):
        return value.decode()
    return float(str(value)) if isinstance(value, np.floating) else value.item()


def _fill(proto: Any, array: Array) -> None:
    """A TensorProto whose text form people can read; tf.make_tensor_proto packs numbers."""
    import tensorflow as tf

    text = array.dtype.kind == "O"
    proto.dtype = (tf.string if text else tf.as_dtype(array.dtype)).as_datatype_enum
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    field = "string_val" if text else _FIELDS[array.dtype.name]
    getattr(proto, field).extend(array.reshape(-1).tolist())
