"""Classify, Regress and MultiInference: tf.Examples in, labels, scores and values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serving.loader import DEFAULT_SIGNATURE, Runner, Signature
from serving.status import Code, ServingError, invalid
from serving.tensors import Array, data_type, enum_name, objects

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


class Classes(NamedTuple):
    """Labels, strings, and scores, float: both [examples, classes]; either may be None."""

    labels: Array | None
    scores: Array | None


def read_examples(source: Any) -> Array:
    """The examples of an `Input` message, serialised: strings [examples].

    A context is merged into every example by putting its bytes in front, which is what joining
    two serialised messages means.

    Raises:
        ServingError: there is no example.
    """
    kind = source.WhichOneof("kind")
    listed = getattr(source, kind) if kind else None
    if listed is None or not listed.examples:
        raise invalid("Input is empty.")
    serialised = [example.SerializeToString() for example in listed.examples]
    if kind == "example_list_with_context":
        context = listed.context.SerializeToString()
        serialised = [context + example for example in serialised]
    return objects(serialised, len(serialised))


def find_signature(
    signatures: Mapping[str, Signature], name: str, method: str, check_method: bool
) -> Signature:
    """The signature that a Classify or Regress asks for; "" is the default one.

    Raises:
        ServingError: there is none of the name, or it is not of the method's form.
    """
    name = name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise invalid(f"No signature was found with the name: {name}")
    signature = signatures[name]
    _check_method(signature, method, check_method)
    if method == CLASSIFY:
        _classify_tensors(signature)
    else:
        _regress_tensors(signature)
    return signature


def classify(
    runner: Runner, signature: Signature, examples: Array, deadline: float | None = None
) -> Classes:
    """Labels and scores of examples."""
    feed, fetches = _classify_tensors(signature)
    values = runner.run({feed: examples}, list(fetches.values()), deadline)
    return _classes(dict(zip(fetches, values, strict=True)), len(examples))


def regress(
    runner: Runner, signature: Signature, examples: Array, deadline: float | None = None
) -> Array:
    """One value per example: float [examples]."""
    feed, fetch = _regress_tensors(signature)
    return _values(runner.run({feed: examples}, [fetch], deadline)[0], len(examples))


class Planned(NamedTuple):
    """One task of a MultiInference: its method, the tensor it feeds, the tensors it wants."""

    method: str
    feed: str
    fetches: Mapping[str, str]


def plan(
    signatures: Mapping[str, Signature], tasks: Sequence[tuple[str, str, str]], check_method: bool
) -> list[Planned]:
    """(model name, signature name, method) of every task -> what to run.

    Raises:
        ServingError: the first task that does not fit the model, or the tasks before it.
    """
    planned: list[Planned] = []
    seen = set()
    for model, name, method in tasks:
        if not model:
            raise invalid("Found ModelSpec with an empty model name.")
        if model != tasks[0][0]:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = name or DEFAULT_SIGNATURE
        if name in seen:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        if name not in signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        if method not in (CLASSIFY, REGRESS):
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")
        signature = signatures[name]
        _check_method(signature, method, check_method)
        if method == CLASSIFY:
            planned.append(Planned(method, *_classify_tensors(signature)))
        else:
            feed, fetch = _regress_tensors(signature)
            planned.append(Planned(method, feed, {"outputs": fetch}))
        if planned[-1].feed != planned[0].feed:
            raise invalid("Input tensor must be the same for all Signatures.")
    return planned


def multi_inference(
    runner: Runner, planned: Sequence[Planned], examples: Array, deadline: float | None = None
) -> list[Classes | Array]:
    """Several tasks over the same examples in one run of the graph."""
    names = sorted({fetch for task in planned for fetch in task.fetches.values()})
    outputs = runner.run({planned[0].feed: examples}, names, deadline)
    values = dict(zip(names, outputs, strict=True))
    results: list[Classes | Array] = []
    for task in planned:
        found = {alias: values[fetch] for alias, fetch in task.fetches.items()}
        if task.method == CLASSIFY:
            results.append(_classes(found, len(examples)))
        else:
            results.append(_values(found["outputs"], len(examples)))
    return results


def _check_method(signature: Signature, method: str, check: bool) -> None:
    if check and signature.method != method:
        kind = "classification" if method == CLASSIFY else "regression"
        raise invalid(
            f"Expected {kind} signature method_name to be {method}. Was: {signature.method}"
        )


def _classify_tensors(signature: Signature) -> tuple[str, dict[str, str]]:
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {signature.proto}")
    fetches = {
        alias: signature.outputs[alias]
        for alias in ("classes", "scores")
        if alias in signature.outputs
    }
    if not fetches:
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or '
            f'"scores". Signature was: {signature.proto}'
        )
    return signature.inputs["inputs"][0], fetches


def _regress_tensors(signature: Signature) -> tuple[str, str]:
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature.proto}")
    if "outputs" not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature.proto}")
    return signature.inputs["inputs"][0], signature.outputs["outputs"]


def _classes(found: Mapping[str, Array], count: int) -> Classes:
    for alias, kind, name in (("classes", 7, "DT_STRING"), ("scores", 1, "DT_FLOAT")):
        array = found.get(alias)
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid(
                "Expected Tensor shape: [batch_size num_classes] but got "
                f"[{','.join(map(str, array.shape))}]"
            )
        if data_type(array.dtype) != kind:
            raise invalid(f"Expected {alias} Tensor of {name}. Got: {enum_name(array.dtype)}")
        if len(array) != count:
            raise invalid(f"Expected {alias} output batch size of {count}. Got: {len(array)}")
    labels, scores = found.get("classes"), found.get("scores")
    if labels is not None and scores is not None and labels.shape[1] != scores.shape[1]:
        raise invalid(
            "Tensors class and score should match in dim_size(1). "
            f"Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    return Classes(labels, scores)


def _values(array: Array, count: int) -> Array:
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"[{','.join(map(str, array.shape))}]"
        )
    if len(array) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(array)}")
    if array.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {enum_name(array.dtype)}")
    return array.ravel()
