"""Text protos of TensorFlow Serving that the tensorflow-serving-api wheel has no classes for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf import wrappers_pb2 as wrappers

from serving.status import invalid

_PACKAGE = "tensorflow.serving"
_SCALARS = {"bool": 8, "int64": 3, "string": 9}
_REPEATED, _OPTIONAL = 3, 1

# name of the field: (number, type, repeated)
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "SSLConfig": {
        "server_key": (1, "string", False),
        "server_cert": (2, "string", False),
        "custom_ca": (3, "string", False),
        "client_verify": (4, "bool", False),
    },
    "PrometheusConfig": {"enable": (1, "bool", False), "path": (2, "string", False)},
    "MonitoringConfig": {"prometheus_config": (1, f"{_PACKAGE}.PrometheusConfig", False)},
    "BatchingParameters": {
        "max_batch_size": (1, "google.protobuf.Int64Value", False),
        "batch_timeout_micros": (2, "google.protobuf.Int64Value", False),
        "max_enqueued_batches": (3, "google.protobuf.Int64Value", False),
        "num_batch_threads": (4, "google.protobuf.Int64Value", False),
        "thread_pool_name": (5, "google.protobuf.StringValue", False),
        "allowed_batch_sizes": (6, "int64", True),
        "pad_variable_length_inputs": (7, "bool", False),
        "enable_large_batch_splitting": (8, "google.protobuf.BoolValue", False),
        "max_execution_batch_size": (9, "google.protobuf.Int64Value", False),
    },
}


def _classes() -> dict[str, Any]:
    # A pool of their own: a process that has the real files as well stays free of conflicts.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/text_configs.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers.DESCRIPTOR.name],
    )
    for message, fields in _MESSAGES.items():
        entry = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            field = entry.field.add(
                name=name, number=number, label=_REPEATED if repeated else _OPTIONAL
            )
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type, field.type_name = 11, f".{kind}"
    pool.AddSerializedFile(file.SerializeToString())
    return {
        message: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{message}")
        )
        for message in _MESSAGES
    }


_by_name = _classes()
SSLConfig = _by_name["SSLConfig"]
MonitoringConfig = _by_name["MonitoringConfig"]
BatchingParameters = _by_name["BatchingParameters"]


def read_text(path: str | Path, message: Any) -> Any:
    """Fills a message from a text proto file.

    Raises:
        ServingError: the file cannot be read (NOT_FOUND) or parsed (INVALID_ARGUMENT).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"Cannot read {path}: {error}") from None
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        name = message.DESCRIPTOR.full_name
        raise invalid(
            f"Error parsing text-format {name}: {error}. Invalid protobuf file: '{path}'"
        ) from None
