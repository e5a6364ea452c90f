"""Tensors -> JSON answers: the number formats, the row and the columnar form."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from serving.inference import Classes
from serving.status import invalid
from serving.tensors import STRING, Array, data_type, type_name


def rows(found: Mapping[str, Array]) -> bytes:
    """Row form: one entry per row of the outputs; an object each if there are several outputs.

    Raises:
        ServingError: an output has no rows, or not as many as another.

    Example:
        >>> rows({"y": np.array([2.5, 3.0], np.float32)})
        b'{"predictions": [2.5, 3.0]}'
    """
    _check_any(found)
    count: int | None = None
    for name, array in found.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if count is not None and len(array) != count:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}"
            )
        count = len(array)
    leaves = _all_leaves(found)
    texts = [_fold(leaves[name], array.shape, array.ndim - 1) for name, array in found.items()]
    if len(texts) == 1:
        items = texts[0]
    else:
        keys = [json.dumps(name) for name in found]
        items = [
            "{" + ", ".join(f"{key}: {text}" for key, text in zip(keys, row, strict=True)) + "}"
            for row in zip(*texts, strict=True)
        ]
    return _encode(f'{{"predictions": [{", ".join(items)}]}}')


def columns(found: Mapping[str, Array]) -> bytes:
    """Columnar form: whole tensors, by name if there are several.

    Example:
        >>> columns({"y": np.array([[1, 2]])})
        b'{"outputs": [[1, 2]]}'
    """
    _check_any(found)
    leaves = _all_leaves(found)
    whole = {name: _fold(leaves[name], array.shape, array.ndim)[0] for name, array in found.items()}
    if len(whole) == 1:
        text = next(iter(whole.values()))
    else:
        text = "{" + ", ".join(f"{json.dumps(name)}: {t}" for name, t in whole.items()) + "}"
    return _encode(f'{{"outputs": {text}}}')


def classifications(classes: Classes) -> bytes:
    """{"results": [[["label", score], ...], ...]}: an entry per example."""
    present = classes.labels if classes.labels is not None else classes.scores
    assert present is not None
    count = present.size
    labels = ['""'] * count
    if classes.labels is not None:
        labels = _leaves("label", classes.labels)
    scores = decimals(classes.scores.ravel()) if classes.scores is not None else ["0.0"] * count
    pairs = [f"[{label}, {score}]" for label, score in zip(labels, scores, strict=True)]
    return _encode(f'{{"results": {_fold(pairs, present.shape, 2)[0]}}}')


def regressions(values: Array) -> bytes:
    """{"results": [value, ...]}: one per example."""
    return _encode(f'{{"results": [{", ".join(decimals(values))}]}}')


def error(message: str) -> bytes:
    """What a failed request gets.

    Example:
        >>> error("Missing model name in request.")
        b'{"error": "Missing model name in request."}'
    """
    return _encode(f'{{"error": {json.dumps(message, ensure_ascii=False)}}}')


def decimals(values: Array) -> list[str]:
    """Numbers with a point or an exponent: six digits if they give the number back, else all.

    Example:
        >>> decimals(np.array([1, 0.2, 9e6, 1 / 3, np.nan], np.float32))
        ['1.0', '0.2', '9e+06', '0.333333343', 'NaN']
    """
    numbers = values.tolist()
    # One formatting call for all: a call each costs several times as much.
    texts = ("%g\n" * len(numbers) % tuple(numbers)).split("\n")[:-1]
    with np.errstate(over="ignore"):  # 3.40282e+38 and its like round to more than the largest
        back = np.array(list(map(float, texts)), np.float64).astype(values.dtype)
    full = "%.17g" if values.dtype == np.float64 else "%.9g"
    for index in (back != values).nonzero()[0].tolist():
        texts[index] = full % numbers[index]
    texts = [text if "." in text or "e" in text else text + ".0" for text in texts]
    for index in (~np.isfinite(values)).nonzero()[0].tolist():
        number = numbers[index]
        texts[index] = "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    return texts


def _check_any(tensors: Mapping[str, Array]) -> None:
    if not tensors:
        raise invalid("Cannot convert empty tensor map to JSON")


def _all_leaves(found: Mapping[str, Array]) -> dict[str, list[str]]:
    """Flat texts of every output. Floats of several outputs are written in one go."""
    floats = {name: array.ravel() for name, array in found.items() if array.dtype == np.float32}
    texts = iter(decimals(np.concatenate(list(floats.values()))) if floats else [])
    return {
        name: list(islice(texts, array.size)) if name in floats else _leaves(name, array)
        for name, array in found.items()
    }


def _leaves(name: str, array: Array) -> list[str]:
    kind = data_type(array.dtype)
    flat = array.ravel()
    if kind == STRING:
        if name.endswith("_bytes"):
            return [f'{{"b64": "{base64.b64encode(s).decode()}"}}' for s in flat.tolist()]
        texts = (s.decode("utf-8", "surrogateescape") for s in flat.tolist())
        return [json.dumps(text, ensure_ascii=False) for text in texts]
    if array.dtype.kind == "b":
        return ["true" if value else "false" for value in flat.tolist()]
    if array.dtype.kind in "iu":
        return [str(value) for value in flat.tolist()]
    if array.dtype == np.float16:
        return decimals(flat.astype(np.float32))
    if array.dtype in (np.float32, np.float64):
        return decimals(flat)
    raise invalid(f"Failed to write JSON value for tensor type: {type_name(kind)}")


def _fold(texts: Sequence[str], shape: tuple[int, ...], levels: int) -> list[str]:
    """Joins the innermost `levels` dimensions of a flat list into nested JSON arrays."""
    folded = list(texts)
    for axis in range(len(shape) - 1, len(shape) - 1 - levels, -1):
        size, groups = shape[axis], math.prod(shape[:axis])
        folded = ["[" + ", ".join(folded[g * size : (g + 1) * size]) + "]" for g in range(groups)]
    return folded


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a surrogate pair, quoted from a request
        return text.encode("utf-8", "replace")
