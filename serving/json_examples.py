"""Classify and Regress requests in JSON -> tf.Examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow_serving.apis import input_pb2

from serving.inference import read_examples
from serving.json_parse import encode, is_base64, to_bytes, to_text, type_of
from serving.status import invalid
from serving.tensors import Array

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read(document: dict[str, Any]) -> Array:
    """The examples of a request, serialised, with its context merged in: strings [examples].

    Integers and booleans make an int64 list, numbers with a point a float list, strings and
    {"b64": ...} a bytes list; one feature holds one kind.

    Raises:
        ServingError: with the first thing that is wrong.
    """
    target = input_pb2.Input()
    if "context" in document:
        _example(document["context"], target.example_list_with_context.context)
        target.example_list_with_context.SetInParent()
        listed = target.example_list_with_context.examples
    else:
        listed = target.example_list.examples
    if "examples" not in document:
        raise _refused(
            document, "When method is classify, key 'examples' is expected and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise _refused(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _refused(document, "'examples' value is an empty array")
    for example in examples:
        _example(example, listed.add())
    return read_examples(target)


def _refused(document: dict[str, Any], why: str) -> Exception:
    return invalid(f"JSON Value: {to_text(document)} {why}")


def _example(value: Any, example: Any) -> None:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_of(value)}")
    for name, content in value.items():
        if not encode(name).isascii() and not _is_text(name):
            raise invalid(f"Feature: {name!r} has a name that is not UTF-8")
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add(item, name, feature)


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _add(value: Any, name: str, feature: Any) -> None:
    if value is None or isinstance(value, list) or (type(value) is dict and not is_base64(value)):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_of(value)}")
    if isinstance(value, str | dict):
        data = encode(value) if isinstance(value, str) else to_bytes(value)
        _list_of(feature, "bytes_list", name).append(data)
    elif isinstance(value, float) or not -(2**63) <= value < 2**64:
        with np.errstate(over="ignore"):
            _list_of(feature, "float_list", name).append(float(np.float32(value)))
    elif value >= 2**63:
        raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    else:
        _list_of(feature, "int64_list", name).append(int(value))


def _list_of(feature: Any, kind: str, name: str) -> Any:
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} expecting type: {_KINDS[present]}"
        )
    return getattr(feature, kind).value
