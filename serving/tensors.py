"""TensorProto <-> NumPy, in both of its forms: typed fields and tensor_content."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
STRING = 7

# What a request may expand to: the last value of a typed field fills the rest of its shape, so a
# few bytes could ask for terabytes.
MAX_BYTES = 2**31
# What a string counts for there, whatever is in it.
STRING_BYTES = 64

# DataType: the typed field, and the type in which its values are listed there.
_FIELDS: dict[int, tuple[str, str]] = {
    1: ("float_val", "float32"),
    2: ("double_val", "float64"),
    3: ("int_val", "int32"),
    4: ("int_val", "int32"),
    5: ("int_val", "int32"),
    6: ("int_val", "int32"),
    8: ("scomplex_val", "float32"),
    9: ("int64_val", "int64"),
    10: ("bool_val", "bool"),
    14: ("half_val", "uint16"),
    17: ("int_val", "int32"),
    18: ("dcomplex_val", "float64"),
    19: ("half_val", "uint16"),
    22: ("uint32_val", "uint32"),
    23: ("uint64_val", "uint64"),
}
_NUMPY = {1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 8: "c8", 9: "i8", 10: "?"} | {
    17: "u2",
    18: "c16",
    19: "f2",
    22: "u4",
    23: "u8",
}
_NAMES = {1: "float", 2: "double", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string"} | {
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "half",
    22: "uint32",
    23: "uint64",
}
# Key bytes of TensorProto's fields: dtype, tensor_shape; float_val and double_val as packed fields.
_DTYPE, _SHAPE = b"\x08", b"\x12"
_PACKED = {1: b"\x2a", 2: b"\x32"}


class TooLarge(ValueError):
    """A tensor that would expand to more than is allowed."""


def type_name(data_type: int) -> str:
    """A DataType as TensorFlow prints it.

    Example:
        >>> type_name(19)
        'half'
    """
    return _NAMES.get(data_type, f"unknown dtype enum ({data_type})")


@functools.cache
def numpy_type(data_type: int) -> np.dtype[Any]:
    """The NumPy type of a numeric DataType. Raises KeyError for one without arrays."""
    if data_type == 14:
        from serving.console import import_tensorflow

        bfloat16: np.dtype[Any] = np.dtype(import_tensorflow().bfloat16.as_numpy_dtype)
        return bfloat16
    kind: np.dtype[Any] = np.dtype(_NUMPY[data_type])
    return kind


@functools.cache
def data_type(numpy: np.dtype[Any]) -> int:
    """The DataType of an array; arrays of objects are strings."""
    if numpy.kind in "OSU":
        return STRING
    for number in (*_NUMPY, 14):
        if numpy_type(number) == numpy:
            return number
    raise ValueError(f"no tensor of {numpy}")


def enum_name(numpy: np.dtype[Any]) -> str:
    """The type of an array by the name of its constant.

    Example:
        >>> enum_name(np.dtype(np.float16))
        'DT_HALF'
    """
    return f"DT_{type_name(data_type(numpy)).upper()}"


def from_proto(proto: Any, max_bytes: int = MAX_BYTES) -> Array:
    """The array of a TensorProto.

    A typed field shorter than the shape is filled up with its last value, or with zeros when it
    is empty; surplus values are dropped. Both are TensorFlow's own rules.

    Arguments:
        max_bytes: what it may expand to.

    Raises:
        TooLarge: it would be larger.
        ValueError: the shape, the type or the contents do not make a tensor.
    """
    if proto.tensor_shape.unknown_rank:
        raise ValueError("unknown rank")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    count = 1
    for size in shape:
        if size < 0:
            raise ValueError("negative size")
        count *= size
    if proto.dtype == STRING:
        return _strings(proto, shape, count, max_bytes)
    kind = numpy_type(proto.dtype) if proto.dtype in _FIELDS else None
    if kind is None:
        raise ValueError("no such type")
    if count * kind.itemsize > max_bytes:
        raise TooLarge
    if proto.tensor_content:
        if len(proto.tensor_content) != count * kind.itemsize:
            raise ValueError("tensor_content does not fit the shape")
        return np.frombuffer(proto.tensor_content, kind).reshape(shape)
    field, listed = _FIELDS[proto.dtype]
    values = np.array(getattr(proto, field), listed)
    if listed == "uint16" or kind.kind == "c":
        values = values[: len(values) // 2 * 2].view(kind) if kind.kind == "c" else values
        values = values.view(kind)
    return _filled(values.astype(kind, copy=False), count).reshape(shape)


def to_proto(array: Array, proto: Any, as_content: bool = False) -> None:
    """Writes an array into an empty TensorProto.

    Arguments:
        array: numbers, or objects of bytes.
        proto: where to.
        as_content: raw bytes in tensor_content instead of a typed field; strings have no such form.
    """
    kind = data_type(array.dtype)
    head = _head(kind, array.shape)
    if kind in _PACKED and not as_content:
        # The wire form of a packed field is the array's own bytes: 60 times faster than a list.
        payload = array.tobytes()
        proto.MergeFromString(head + _PACKED[kind] + _varint(len(payload)) + payload)
        return
    proto.MergeFromString(head)
    if kind == STRING:
        proto.string_val.extend(array.ravel().tolist())
    elif as_content:
        proto.tensor_content = array.tobytes()
    else:
        array = np.ascontiguousarray(array)
        field, listed = _FIELDS[kind]
        if array.dtype.kind == "c" or listed == "uint16":
            array = array.view(listed)
        getattr(proto, field).extend(array.ravel().tolist())


@functools.lru_cache(4096)
def _head(kind: int, shape: tuple[int, ...]) -> bytes:
    """The serialised dtype and tensor_shape: field by field they take longer than the values."""
    dims = b""
    for size in shape:
        dim = b"\x08" + _varint(size) if size else b""
        dims += _SHAPE + _varint(len(dim)) + dim
    return _DTYPE + _varint(kind) + _SHAPE + _varint(len(dims)) + dims


def _filled(values: Array, count: int) -> Array:
    if len(values) >= count:
        return values[:count]
    filled = np.zeros(count, values.dtype)
    filled[: len(values)] = values
    if len(values):
        filled[len(values) :] = values[-1]
    return filled


def _strings(proto: Any, shape: tuple[int, ...], count: int, max_bytes: int) -> Array:
    if count * STRING_BYTES > max_bytes:
        raise TooLarge
    given = _split(proto.tensor_content, count) if proto.tensor_content else proto.string_val
    # An object array made element by element: NumPy would take sequences of bytes for rows.
    return objects(list(given)[:count], count).reshape(shape)


def objects(values: Iterable[bytes], count: int) -> Array:
    """`count` strings as a flat array; those missing at the end repeat the last one."""
    array = np.empty(count, object)
    given = list(values)
    array[: len(given)] = given
    array[len(given) :] = given[-1] if given else b""
    return array


def _split(content: bytes, count: int) -> list[bytes]:
    """Strings in tensor_content: all lengths as varints first, then all bytes."""
    lengths, at = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            if at >= len(content) or shift > 63:
                raise ValueError("tensor_content ends early")
            byte = content[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise ValueError("tensor_content does not fit the shape")
    values = []
    for length in lengths:
        values.append(content[at : at + length])
        at += length
    return values


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
