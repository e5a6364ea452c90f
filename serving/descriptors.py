"""Protocol buffer messages out of tables of their fields, where no package brings classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf import wrappers_pb2 as wrappers

_SCALARS = {"double": 1, "float": 2, "int64": 3, "int32": 5, "bool": 8, "string": 9, "bytes": 12}
_MESSAGE, _OPTIONAL, _REPEATED = 11, 1, 3

# Name of the field -> (number, type). The type is a scalar's name, the full name of a message,
# "repeated X", or "map X" for a map from strings to X.
Fields = Mapping[str, tuple[int, str]]


def message_classes(package: str, messages: Mapping[str, Fields]) -> dict[str, Any]:
    """Classes of messages by name.

    Their pool is their own: a process that has the published classes too stays free of conflicts.
    Messages of google/protobuf/wrappers.proto may be named in fields.

    Arguments:
        package: of all messages.
        messages: name without the package -> its fields.

    Example:
        >>> Point = message_classes("shapes", {"Point": {"x": (1, "float")}})["Point"]
        >>> Point(x=2.0).SerializeToString()
        b'\\r\\x00\\x00\\x00@'
    """
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name=f"serving/{package}.proto",
        package=package,
        syntax="proto3",
        dependency=[wrappers.DESCRIPTOR.name],
    )
    for message, fields in messages.items():
        entry = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            how, _, what = kind.rpartition(" ")
            if how == "map":
                what = _add_map_entry(entry, f"{package}.{message}", name, what)
            label = _REPEATED if how else _OPTIONAL
            _add_field(entry, name, number, what, label)
    pool.AddSerializedFile(file.SerializeToString())
    return {
        message: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message}"))
        for message in messages
    }


def _add_field(entry: Any, name: str, number: int, kind: str, label: int = _OPTIONAL) -> None:
    field = entry.field.add(name=name, number=number, label=label)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _MESSAGE, f".{kind}"


def _add_map_entry(message: Any, full_name: str, field: str, value: str) -> str:
    """The nested message that a map is on the wire; its name has to follow the field's."""
    name = "".join(word.capitalize() for word in field.split("_")) + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    _add_field(entry, "key", 1, "string")
    _add_field(entry, "value", 2, value)
    return f"{full_name}.{name}"
