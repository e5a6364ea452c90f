"""The messages of TensorFlow Serving that a client exchanges.

The published classes live in packages that import TensorFlow, which takes seconds and hundreds of
megabytes that no backend has to spare. These are the same on the wire, less the fields that
nobody here reads.
"""

from __future__ import annotations

from serving.descriptors import Fields, message_classes

_PACKAGE = "tensorflow.serving"
_SPEC = f"{_PACKAGE}.ModelSpec"
_TENSOR = f"{_PACKAGE}.TensorProto"

_MESSAGES: dict[str, Fields] = {
    "Dim": {"size": (1, "int64")},
    "TensorShapeProto": {
        "dim": (2, f"repeated {_PACKAGE}.Dim"),
        "unknown_rank": (3, "bool"),
    },
    "TensorProto": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, f"{_PACKAGE}.TensorShapeProto"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "repeated float"),
        "double_val": (6, "repeated double"),
        "int_val": (7, "repeated int32"),
        "string_val": (8, "repeated bytes"),
        "int64_val": (10, "repeated int64"),
        "bool_val": (11, "repeated bool"),
    },
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, "google.protobuf.Int64Value"),
        "signature_name": (3, "string"),
        "version_label": (4, "string"),
    },
    "PredictRequest": {"model_spec": (1, _SPEC), "inputs": (2, f"map {_TENSOR}")},
    "PredictResponse": {"outputs": (1, f"map {_TENSOR}"), "model_spec": (2, _SPEC)},
    "GetModelMetadataRequest": {
        "model_spec": (1, _SPEC),
        "metadata_field": (2, "repeated string"),
    },
    "Any": {"type_url": (1, "string"), "value": (2, "bytes")},
    "GetModelMetadataResponse": {
        "model_spec": (1, _SPEC),
        "metadata": (2, f"map {_PACKAGE}.Any"),
    },
    "TensorInfo": {"dtype": (2, "int32"), "tensor_shape": (3, f"{_PACKAGE}.TensorShapeProto")},
    "SignatureDef": {
        "inputs": (1, f"map {_PACKAGE}.TensorInfo"),
        "outputs": (2, f"map {_PACKAGE}.TensorInfo"),
    },
    "SignatureDefMap": {"signature_def": (1, f"map {_PACKAGE}.SignatureDef")},
}

_by_name = message_classes(_PACKAGE, _MESSAGES)
PredictRequest = _by_name["PredictRequest"]
PredictResponse = _by_name["PredictResponse"]
GetModelMetadataRequest = _by_name["GetModelMetadataRequest"]
GetModelMetadataResponse = _by_name["GetModelMetadataResponse"]
SignatureDefMap = _by_name["SignatureDefMap"]
