"""Predict requests in JSON -> arrays: the row form ("instances") and the columnar ("inputs").

Whole tensors are checked and converted at once. Only when something is wrong does the slow walk
start that finds the first wrong value, in the order and the words of TensorFlow Serving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from serving.json_parse import encode, is_base64, to_bytes, to_text, type_of
from serving.status import Code, ServingError, invalid
from serving.tensors import STRING, Array, numpy_type, objects, type_name

_INT32 = (-(2**31), 2**31 - 1)
_RANGES = {
    3: _INT32,
    4: _INT32,
    5: _INT32,
    6: _INT32,
    9: (-(2**63), 2**63 - 1),
    22: (0, 2**32 - 1),
    23: (0, 2**64 - 1),
}
_FLOATS, _BOOL = (1, 2), 10
Inputs = Mapping[str, tuple[str, int]]


class _Irregular(Exception):
    """A value that is no tensor of the type; the slow walk says why."""


def read_instances(document: dict[str, Any], inputs: Inputs) -> dict[str, Array]:
    """The row form: a list of values, or of objects with a value per input.

    Arguments:
        document: the request.
        inputs: name -> (tensor, DataType), as in `Signature.inputs`.

    Raises:
        ServingError: with the first thing that is wrong.
    """
    items = document["instances"]
    if not isinstance(items, list):
        raise invalid(f"JSON Value: {to_text(document)} Excepting 'instances' to be an list/array")
    if not items:
        raise invalid(f"JSON Value: {to_text(document)} No values in 'instances' array")
    if not isinstance(items[0], dict) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    named = _is_object(items[0])
    try:
        if not named:
            name, (_, kind) = next(iter(inputs.items()))
            if any(map(_is_object, items)):
                raise _Irregular
            return {name: _convert(items, kind)}
        names = inputs.keys()
        if any(not isinstance(item, dict) or item.keys() != names for item in items):
            raise _Irregular
        return {
            name: _convert([item[name] for item in items], kind)
            for name, (_, kind) in inputs.items()
        }
    except _Irregular:
        raise _explain_instances(items, inputs, named) from None


def read_inputs(value: Any, inputs: Inputs) -> dict[str, Array]:
    """The columnar form: one tensor, or an object of tensors.

    Raises:
        ServingError: with the first thing that is wrong.
    """
    if not _is_object(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        name, (_, kind) = next(iter(inputs.items()))
        return {name: _tensor(value, kind)}
    arrays = {}
    for name, (_, kind) in inputs.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = _tensor(value[name], kind)
    return arrays


def _is_object(value: object) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _tensor(value: Any, kind: int) -> Array:
    try:
        return _convert(value, kind)
    except _Irregular:
        _walk(value, 0, _shape(value), kind)
        raise invalid(f"JSON Value: {to_text(value)} cannot be made a tensor") from None


def _convert(value: Any, kind: int) -> Array:
    shape = _shape(value)
    leaves = [value]
    for size in shape:
        if any(type(item) is not list or len(item) != size for item in leaves):
            raise _Irregular
        leaves = list(chain.from_iterable(leaves))
    try:
        return _flat(leaves, kind).reshape(shape)
    except (ValueError, OverflowError, KeyError):  # more dimensions than an array can have
        raise _Irregular from None


def _flat(leaves: list[Any], kind: int) -> Array:
    types = set(map(type, leaves))
    if kind == STRING:
        if not types <= {str, dict}:
            raise _Irregular
        try:
            given = [leaf.encode() for leaf in leaves]
        except (AttributeError, UnicodeEncodeError):  # {"b64": ...}, or bytes that are not UTF-8
            try:
                given = [encode(leaf) if type(leaf) is str else to_bytes(leaf) for leaf in leaves]
            except ServingError:  # the slow walk says as well where
                raise _Irregular from None
        return objects(given, len(given))
    if kind in _FLOATS and types <= {int, float}:
        with np.errstate(over="ignore"):  # too large for the type is infinite
            return np.array(leaves, np.float64).astype(numpy_type(kind))
    if kind in _RANGES and types <= {int}:
        low, high = _RANGES[kind]
        if leaves and not (low <= min(leaves) and max(leaves) <= high):
            raise _Irregular
        wide = np.uint64 if kind == 23 else np.int64
        return np.array(leaves, wide).astype(numpy_type(kind))
    if kind == _BOOL and types <= {bool}:
        return np.array(leaves, bool)
    if not leaves:
        return np.zeros(0, numpy_type(kind))
    raise _Irregular


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _explain_instances(items: Sequence[Any], inputs: Inputs, named: bool) -> ServingError:
    """What is wrong with the first instance that is wrong."""
    first: dict[str, tuple[int, tuple[int, ...]]] = {}
    for number, item in enumerate(items):
        if named != _is_object(item):
            kinds = "object but got list" if named else "value/list but got object"
            return invalid(f"Expecting {kinds} at item {number} of input list")
        parts = item.items() if named else [(next(iter(inputs)), item)]
        for name, value in parts:
            try:
                _check_item(name, value, inputs, first)
            except ServingError as error:
                key = f" key: {name}" if named else ""
                return invalid(
                    f"Failed to process element: {number}{key} of 'instances' list. Error: {error}"
                )
        if named and item.keys() != inputs.keys():
            return invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: "
                f"{to_text(item)} keys must be equal to: {','.join(sorted(inputs))}"
            )
    return invalid("'instances' cannot be made a tensor")


def _check_item(
    name: str, value: Any, inputs: Inputs, first: dict[str, tuple[int, tuple[int, ...]]]
) -> None:
    if name not in inputs:
        raise invalid(f"JSON object: does not have named input: {name}")
    shape = _shape(value)
    size = _walk(value, 0, shape, inputs[name][1])
    if name not in first:
        first[name] = (size, shape)
    expected, its_shape = first[name]
    if size != expected:
        raise invalid(f"Expecting tensor size: {expected} but got: {size}")
    if shape != its_shape:
        raise invalid(f"Expecting shape {_listed(its_shape)} but got: {_listed(shape)}")


def _walk(value: Any, level: int, shape: tuple[int, ...], kind: int) -> int:
    """Goes through a value as TensorFlow Serving does, up to its first fault; counts leaves."""
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {to_text(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {rank}"
            )
        _check_leaf(value, kind)
        return 1
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    return sum(_walk(item, level + 1, shape, kind) for item in value)


def _check_leaf(value: Any, kind: int) -> None:
    if kind == STRING and isinstance(value, str | dict):
        # Both raise when there is nothing that the text could stand for.
        encode(value) if isinstance(value, str) else to_bytes(value)
        return
    if kind in _FLOATS:
        fits = type(value) in (int, float)
    elif kind in _RANGES:
        low, high = _RANGES[kind]
        fits = type(value) is int and low <= value <= high
    elif kind == _BOOL:
        fits = type(value) is bool
    elif kind == STRING or isinstance(value, dict):
        fits = False
    else:
        raise ServingError(
            Code.UNIMPLEMENTED,
            f"Conversion of JSON Value: {to_text(value)} to type: {type_name(kind)}",
        )
    if not fits:
        raise invalid(
            f"JSON Value: {to_text(value)} Type: {type_of(value)} is not of expected type: "
            f"{type_name(kind)}"
        )


def _listed(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
