"""The arrays of a batch: many requests' rows one below the other, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from serving.status import Code, ServingError, invalid
from serving.tensors import Array


def check_rows(feeds: Mapping[str, Array]) -> int:
    """Rows of a request: the first dimension, the same for all of its inputs.

    Raises:
        ServingError: INVALID_ARGUMENT, the inputs have none or differ.
    """
    sizes = set()
    for array in feeds.values():
        if array.ndim == 0:
            raise invalid("Batching Run() input tensors must have at least one dimension")
        sizes.add(len(array))
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    if not sizes:
        raise invalid("Batching Run() must have at least one input tensor")
    return sizes.pop()


def merge(parts: Sequence[Mapping[str, Array]], rows: int, pad: bool) -> dict[str, Array]:
    """Puts the requests' rows below each other.

    Arguments:
        parts: the feeds of each request, all with the same names.
        rows: the size to fill up to, with copies of the last request's first row.
        pad: where inner dimensions differ, fill up the smaller with zeros or empty strings.

    Raises:
        ServingError: FAILED_PRECONDITION, the shapes differ and may not.
    """
    merged = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        shapes = {array.shape[1:] for array in arrays}
        if len(shapes) > 1:
            arrays = _padded(name, arrays, pad)
        missing = rows - sum(map(len, arrays))
        if missing:
            arrays += [arrays[-1][:1]] * missing
        merged[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return merged


def split(outputs: Sequence[Array], rows: Sequence[int], total: int) -> list[list[Array]]:
    """The rows of each request out of every output; what only filled up is dropped.

    Raises:
        ServingError: FAILED_PRECONDITION, an output has not one row per row of the input.
    """
    for output in outputs:
        if output.ndim == 0:
            raise ServingError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if len(output) != total:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors",
            )
    pieces = []
    at = 0
    for count in rows:
        pieces.append([output[at : at + count] for output in outputs])
        at += count
    return pieces


def _padded(name: str, arrays: list[Array], pad: bool) -> list[Array]:
    if not pad:
        raise ServingError(
            Code.FAILED_PRECONDITION,
            f"Tensors with name '{name}' from different tasks have different shapes and padding "
            "is turned off. Set pad_variable_length_inputs to true, or ensure that all tensors "
            "with the same name have equal dimensions starting with the first dim.",
        )
    if len({array.ndim for array in arrays}) > 1:
        raise ServingError(
            Code.FAILED_PRECONDITION,
            f"Tensors with name '{name}' from different tasks should have the same rank.",
        )
    largest = np.max([array.shape[1:] for array in arrays], axis=0)
    padded = []
    for array in arrays:
        fill = b"" if array.dtype == object else 0
        whole = np.full((len(array), *largest), fill, array.dtype)
        whole[tuple(slice(size) for size in array.shape)] = array
        padded.append(whole)
    return padded
