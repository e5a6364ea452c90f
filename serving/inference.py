"""Classify, Regress and MultiInference: tf.Examples in, labels, scores and values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serving.loader import DEFAULT_SIGNATURE, Runner, Signature
from serving.status import Code, ServingError, invalid
from serving.tensors import Array, data_type, objects

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
    """The signature that a Classify or Regress asks for; "" is the default one."""
    name = name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise invalid(f"No signature was found with the name: {name}")
    _check_method(signatures[name], method, check_method)
    return signatures[name]


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


def multi_inference(
    runner: Runner,
    signatures: Mapping[str, Signature],
    tasks: Sequence[tuple[str, str]],
    examples: Array,
    check_method: bool = False,
    deadline: float | None = None,
) -> list[Classes | Array]:
    """Several (signature name, method) over the same examples in one run of the graph."""
    wanted: list[tuple[str, dict[str, str]]] = []
    feeds = set()
    seen = set()
    for name, method in tasks:
        name = name or DEFAULT_SIGNATURE
        if name in seen:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        if name not in signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        signature = signatures[name]
        if method == CLASSIFY:
            _check_method(signature, method, check_method)
            feed, fetches = _classify_tensors(signature)
        elif method == REGRESS:
            _check_method(signature, method, check_method)
            feed, fetch = _regress_tensors(signature)
            fetches = {"outputs": fetch}
        else:
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")
        feeds.add(feed)
        if len(feeds) > 1:
            raise invalid("Input tensor must be the same for all Signatures.")
        wanted.append((method, fetches))
    names = sorted({fetch for _, fetches in wanted for fetch in fetches.values()})
    values = dict(zip(names, runner.run({feeds.pop(): examples}, names, deadline), strict=True))
    results: list[Classes | Array] = []
    for method, fetches in wanted:
        found = {alias: values[fetch] for alias, fetch in fetches.items()}
        if method == CLASSIFY:
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
            raise invalid(f"Expected {alias} Tensor of {name}. Got: {array.dtype}")
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
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {array.dtype}")
    return array.ravel()
