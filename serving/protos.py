"""Text protos of TensorFlow Serving that the tensorflow-serving-api wheel has no classes for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format

from serving.descriptors import Fields, message_classes
from serving.status import Code, ServingError, invalid

_PACKAGE = "tensorflow.serving"
_MESSAGES: dict[str, Fields] = {
    "SSLConfig": {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, f"{_PACKAGE}.PrometheusConfig")},
    "BatchingParameters": {
        "max_batch_size": (1, "google.protobuf.Int64Value"),
        "batch_timeout_micros": (2, "google.protobuf.Int64Value"),
        "max_enqueued_batches": (3, "google.protobuf.Int64Value"),
        "num_batch_threads": (4, "google.protobuf.Int64Value"),
        "thread_pool_name": (5, "google.protobuf.StringValue"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, "google.protobuf.BoolValue"),
        "max_execution_batch_size": (9, "google.protobuf.Int64Value"),
    },
}

_by_name = message_classes(_PACKAGE, _MESSAGES)
SSLConfig = _by_name["SSLConfig"]
MonitoringConfig = _by_name["MonitoringConfig"]
BatchingParameters = _by_name["BatchingParameters"]


def read_text(path: str | Path, message: Any) -> Any:
    """Fills a message from a text proto file.

    Raises:
        ServingError: NOT_FOUND, there is no such file; INVALID_ARGUMENT, it cannot be read or
            parsed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ServingError(Code.NOT_FOUND, f"{path}; No such file or directory") from None
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"Cannot read {path}: {error}") from None
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        name = message.DESCRIPTOR.full_name
        raise invalid(
            f"Error parsing text-format {name}: {error}. Invalid protobuf file: '{path}'"
        ) from None
