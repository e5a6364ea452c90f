"""Questions of one kind -> one request to a model, and its outputs -> an answer each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from serving.client.questions import Answer, Question, Tensors
from serving.status import Code, ServingError
from serving.tensors import Array, numpy_type

FULL_SUFFIX, TOLD_SUFFIX = "_full", "_told"
_STRING = 7
# What pads a row at its end; the others are padded with "" or 0, and are read by nobody.
_PADDING = {"values": math.nan, "event_gain": 1.0, "facet_gain": 1.0}


class Tensor(NamedTuple):
    """One input or output: its DataType, and its shape with -1 where a request decides."""

    dtype: int
    shape: tuple[int, ...]


class Signature(NamedTuple):
    """A signature of a served model."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


class Served(NamedTuple):
    """A model as its server describes it.

    Attributes:
        name: of the model. version: the one that answered.
        signatures: by name.
    """

    name: str
    version: int
    signatures: Mapping[str, Signature]


def wanted(questions: Sequence[Question[Answer]]) -> str:
    """The signature that answers all of these questions; the short form where that suffices.

    Raises:
        ValueError: they are of different kinds.
    """
    names = {question.signature for question in questions}
    if len(names) != 1:
        raise ValueError(f"a batch holds questions of one kind, not {', '.join(sorted(names))}")
    name = names.pop()
    if any(question.says for question in questions):
        return name + TOLD_SUFFIX
    return name + FULL_SUFFIX if any(question.needs_full for question in questions) else name


def lacking(served: Served, name: str) -> ServingError:
    """Says that a model does not have a signature."""
    short = name.removesuffix(FULL_SUFFIX).removesuffix(TOLD_SUFFIX)
    why = ""
    if name.endswith(TOLD_SUFFIX) and short in served.signatures:
        why = f" (it has {short}: ask without profile and query, which it does not read here)"
    elif short != name and short in served.signatures:
        why = (
            f" (it has {short}: ask without actions, values, gains and a time of the question, "
            "which are what only the other takes)"
        )
    has = ", ".join(sorted(n for n in served.signatures if not n.startswith("__")))
    return ServingError(
        Code.UNIMPLEMENTED,
        f"version {served.version} of model {served.name} has no signature {name}{why}; "
        f"it has: {has}",
    )


def join(
    questions: Sequence[Question[Answer]], name: str, signature: Signature
) -> dict[str, Array]:
    """The inputs of a request: the rows of all questions, padded to one length.

    Arguments:
        questions: all of one kind.
        name: of the signature.
        signature: as the model declares it.

    Raises:
        ValueError: an input is longer than the model's fixed size, or the model does not read it.
    """
    full = name.endswith((FULL_SUFFIX, TOLD_SUFFIX))
    for question in questions:
        if lost := sorted(question.says - signature.inputs.keys()):
            raise ValueError(f"the model does not read a {' or a '.join(lost)}; leave it out")
    # A model may read profiles alone, or searches.
    parts: Sequence[Tensors] = [
        {
            **question.inputs,
            **(question.full if full else {}),
            **{key: said for key, said in question.told.items() if key in signature.inputs},
        }
        for question in questions
    ]
    return {key: _stack(key, [part[key] for part in parts], signature) for key in parts[0]}


def split(questions: Sequence[Question[Answer]], outputs: Tensors) -> list[Answer]:
    """The answer to each question, out of its own rows.

    Raises:
        ServingError: an output is missing; another tool exported the model.
    """
    answers, start = [], 0
    for question in questions:
        stop = start + question.rows
        own = {name: array[start:stop] for name, array in outputs.items()}
        try:
            answers.append(question.decode(own))
        except KeyError as error:
            raise ServingError(
                Code.INTERNAL, f"the model answers {question.signature} without {error}"
            ) from None
        start = stop
    return answers


def readable(value: Array, declared: Tensor) -> Array:
    """An output in the declared type, with texts as `str` and all of its dimensions.

    Arguments:
        value: what a server sent; JSON loses dimensions behind one of size 0.
    """
    shape = value.shape
    if not value.size:
        shape += tuple(max(size, 0) for size in declared.shape[len(shape) :])
    if declared.dtype != _STRING:
        return value.astype(numpy_type(declared.dtype), copy=False).reshape(shape)
    texts = np.empty(value.size, object)
    texts[:] = [
        one.decode("utf-8", "replace") if isinstance(one, bytes) else one
        for one in value.ravel().tolist()
    ]
    return texts.reshape(shape)


def _stack(name: str, rows: Sequence[Array], signature: Signature) -> Array:
    if rows[0].ndim == 1:
        return np.concatenate(rows)
    length = max(row.shape[1] for row in rows)
    declared = signature.inputs.get(name)
    if declared is not None and len(declared.shape) == 2 and declared.shape[1] >= 0:
        fixed = declared.shape[1]
        for row in rows:
            if row.shape[1] not in (0, fixed):
                raise ValueError(f"{name} has {row.shape[1]} numbers, the model takes {fixed}")
        length = fixed
    padding = b"" if rows[0].dtype == object else _PADDING.get(name, 0)
    stacked = np.full((sum(map(len, rows)), length), padding, rows[0].dtype)
    start = 0
    for row in rows:
        stacked[start : start + len(row), : row.shape[1]] = row
        start += len(row)
    return stacked
