"""Predict: named tensors in, named tensors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.limits import too_large
from serving.loader import DEFAULT_SIGNATURE, Runner, Signature
from serving.status import Code, ServingError, invalid
from serving.tensors import MAX_BYTES, Array, TooLarge, data_type, from_proto, type_name

# With --enable_signature_method_name_check a Predict takes signatures of these methods.
_METHODS = [f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress")]


def find_signature(signatures: Mapping[str, Signature], name: str) -> Signature:
    """The signature that a Predict asks for; "" is the default one."""
    name = name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    return signatures[name]


def check_method(signature: Signature) -> None:
    """Lets a signature pass whose method_name is one of TensorFlow Serving's.

    Raises:
        ServingError: INTERNAL, it is another.
    """
    if signature.method not in _METHODS:
        raise ServingError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(_METHODS)}}}. "
            f"Was: {signature.method}",
        )


def read_inputs(
    signature: Signature, protos: Mapping[str, Any], max_bytes: int = MAX_BYTES
) -> dict[str, Array]:
    """TensorProtos of a request -> arrays by name, all of the signature's inputs.

    Arguments:
        max_bytes: what one of them may expand to.

    Raises:
        ServingError: names that do not fit the signature, or something that is no tensor.
    """
    _check_number(signature, protos)
    arrays = {}
    for alias in signature.inputs:
        if alias in protos:
            try:
                arrays[alias] = from_proto(protos[alias], max_bytes)
            except TooLarge:
                raise too_large(alias, max_bytes) from None
            except (ValueError, OverflowError, MemoryError):
                raise invalid(f"tensor parsing error: {alias}") from None
        else:
            arrays[alias] = _default(signature, alias, protos)
    used = [alias for alias in signature.inputs if alias in protos]
    if len(used) != len(protos):
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {','.join(used)}, "
            f"request input: {_join(protos)}"
        )
    return arrays


def complete_inputs(signature: Signature, given: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays of some of the signature's inputs -> of all of them.

    Raises:
        ServingError: one is missing that has no default.
    """
    _check_number(signature, given)
    return {
        alias: given[alias] if alias in given else _default(signature, alias, given)
        for alias in signature.inputs
    }


def predict(
    runner: Runner,
    signature: Signature,
    inputs: Mapping[str, Array],
    output_filter: Sequence[str] = (),
    deadline: float | None = None,
) -> dict[str, Array]:
    """Runs a signature.

    Arguments:
        inputs: arrays by the names of the signature.
        output_filter: outputs to compute; none means all.
        deadline: `time.monotonic()` after which nobody waits for the answer any more.

    Raises:
        ServingError or an error of TensorFlow's.
    """
    seen = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {{{_join(signature.outputs)}}}."
            )
        if alias in seen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    outputs = list(output_filter) or list(signature.outputs)
    feeds = {signature.inputs[alias][0]: array for alias, array in inputs.items()}
    for alias, array in inputs.items():
        feed, declared = signature.inputs[alias]
        given = data_type(array.dtype)
        if given != declared:
            raise invalid(
                f"Expects arg[{sorted(feeds).index(feed)}] to be {type_name(declared)} but "
                f"{type_name(given)} is provided"
            )
    values = runner.run(feeds, [signature.outputs[alias] for alias in outputs], deadline)
    return dict(zip(outputs, values, strict=True))


def _check_number(signature: Signature, given: Mapping[str, Any]) -> None:
    declared = signature.inputs
    if len(given) > len(declared) or (len(given) < len(declared) and not signature.defaults):
        sent, wanted = set(given), set(declared)
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({{{_join(sent)}}}) != len({{{_join(wanted)}}}). "
            f"Sent extra: {{{_join(sent - wanted)}}}. "
            f"Missing but required: {{{_join(wanted - sent)}}}."
        )


def _default(signature: Signature, alias: str, given: Mapping[str, Any]) -> Array:
    if alias in signature.defaults:
        return signature.defaults[alias]
    raise invalid(
        f"Signature input alias: {alias}(feed name: {signature.inputs[alias][0]}) not found in "
        "request and no default value provided. Inputs expected to be in the request "
        f"{{{_join(given)}}}, or default input alias set: {_join(signature.defaults)}"
    )


def _join(names: Any) -> str:
    return ",".join(sorted(names))
