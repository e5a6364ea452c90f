"""Requests to bytes and bytes to outputs: the gRPC form and the REST form, without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import numpy as np

from serving.client import messages
from serving.client.requests import Served, Signature, Tensor, readable
from serving.status import HTTP_STATUS, Code, ServingError
from serving.tensors import Array, from_proto, to_proto

_SERVICE = "/tensorflow.serving.PredictionService/"
_DATA_TYPES = {
    "DT_FLOAT": 1,
    "DT_DOUBLE": 2,
    "DT_INT32": 3,
    "DT_STRING": 7,
    "DT_INT64": 9,
    "DT_BOOL": 10,
}
# Where several codes share a status, the one that a client can do most with.
_CODES = {status: code for code, status in reversed(HTTP_STATUS.items())} | {
    400: Code.INVALID_ARGUMENT,
    500: Code.INTERNAL,
    502: Code.UNAVAILABLE,
}
_LONGEST_MESSAGE = 1000


class Target(NamedTuple):
    """A model, and which version: a number, a label, or neither for the newest."""

    model: str
    version: int | None = None
    label: str | None = None


class Message(NamedTuple):
    """What is sent. path: gRPC's method or the address's path. body: None where there is none."""

    path: str
    body: bytes | None


class Wire(Protocol):
    """One of the two forms. Reading raises ServingError for bytes that make no answer."""

    def ask_metadata(self, target: Target) -> Message: ...

    def read_metadata(self, body: bytes) -> Served: ...

    def ask(self, target: Target, name: str, inputs: Mapping[str, Array]) -> Message: ...

    def read(self, body: bytes, signature: Signature) -> dict[str, Array]: ...


class GrpcWire:
    """PredictionService's messages."""

    def ask_metadata(self, target: Target) -> Message:
        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        _fill_spec(request.model_spec, target)
        return Message(f"{_SERVICE}GetModelMetadata", request.SerializeToString())

    def read_metadata(self, body: bytes) -> Served:
        response = _parsed(messages.GetModelMetadataResponse, body)
        packed = response.metadata["signature_def"].value
        found = _parsed(messages.SignatureDefMap, packed).signature_def
        spec = response.model_spec
        signatures = {
            name: Signature(_infos(one.inputs), _infos(one.outputs)) for name, one in found.items()
        }
        return Served(spec.name, spec.version.value, signatures)

    def ask(self, target: Target, name: str, inputs: Mapping[str, Array]) -> Message:
        request = messages.PredictRequest()
        _fill_spec(request.model_spec, target)
        request.model_spec.signature_name = name
        for key, array in inputs.items():
            to_proto(array, request.inputs[key])
        return Message(f"{_SERVICE}Predict", request.SerializeToString())

    def read(self, body: bytes, signature: Signature) -> dict[str, Array]:
        response = _parsed(messages.PredictResponse, body)
        try:
            return {
                name: readable(from_proto(response.outputs[name]), declared)
                for name, declared in signature.outputs.items()
                if name in response.outputs
            }
        except ValueError as error:
            raise _unreadable(error) from None


class RestWire:
    """JSON by columns, with texts as text."""

    def ask_metadata(self, target: Target) -> Message:
        return Message(f"{_path(target)}/metadata", None)

    def read_metadata(self, body: bytes) -> Served:
        try:
            document = json.loads(body)
            spec = document["model_spec"]
            found = document["metadata"]["signature_def"]["signature_def"]
            signatures = {
                name: Signature(_json_infos(one["inputs"]), _json_infos(one["outputs"]))
                for name, one in found.items()
            }
            return Served(spec["name"], int(spec["version"]), signatures)
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable(error) from None

    def ask(self, target: Target, name: str, inputs: Mapping[str, Array]) -> Message:
        columns = {key: _plain(array) for key, array in inputs.items()}
        text = json.dumps({"signature_name": name, "inputs": columns}, ensure_ascii=False)
        return Message(f"{_path(target)}:predict", text.encode())

    def read(self, body: bytes, signature: Signature) -> dict[str, Array]:
        try:
            found = json.loads(body)["outputs"]
            if len(signature.outputs) == 1:  # the only output comes without its name
                found = {next(iter(signature.outputs)): found}
            return {
                name: readable(np.array(found[name], _kind(declared)), declared)
                for name, declared in signature.outputs.items()
            }
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable(error) from None


def http_error(status: int, body: bytes) -> ServingError:
    """What an HTTP status other than 200 means.

    Example:
        >>> str(http_error(404, b'{"error": "Servable not found for request: Latest(m)"}'))
        'NOT_FOUND: Servable not found for request: Latest(m)'
    """
    message = ""
    try:
        found = json.loads(body)
        message = found["error"] if isinstance(found, dict) else ""
    except (ValueError, KeyError):
        message = body.decode("utf-8", "replace").strip()
    return ServingError(
        _CODES.get(status, Code.UNKNOWN), str(message)[:_LONGEST_MESSAGE] or f"HTTP status {status}"
    )


def _parsed(message: Any, body: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return message.FromString(body)
    except DecodeError as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> ServingError:
    return ServingError(
        Code.INTERNAL,
        f"the answer makes no sense ({type(error).__name__}): is this a model server?",
    )


def _fill_spec(spec: Any, target: Target) -> None:
    spec.name = target.model
    if target.version is not None:
        spec.version.value = target.version
    if target.label is not None:
        spec.version_label = target.label


def _path(target: Target) -> str:
    path = f"/v1/models/{quote(target.model, safe='')}"
    if target.version is not None:
        path += f"/versions/{target.version}"
    if target.label is not None:
        path += f"/labels/{quote(target.label, safe='')}"
    return path


def _infos(infos: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(info.dtype, tuple(dim.size for dim in info.tensor_shape.dim))
        for name, info in infos.items()
    }


def _json_infos(infos: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(
            _DATA_TYPES.get(info["dtype"], 0),
            tuple(int(dim["size"]) for dim in info["tensor_shape"]["dim"]),
        )
        for name, info in infos.items()
    }


def _kind(declared: Tensor) -> Any:
    return object if declared.dtype == _DATA_TYPES["DT_STRING"] else None


def _plain(array: Array) -> Any:
    if array.dtype != object:
        return array.tolist()
    texts = np.empty(array.size, object)
    texts[:] = [one.decode() for one in array.ravel().tolist()]
    return texts.reshape(array.shape).tolist()
