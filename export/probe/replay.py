"""The stored requests asked again: gRPC samples, REST samples and warm-up records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from . import forms
from .model import TOLERANCE, Array, Model, Tensors, difference

_PREDICT = (predict_pb2.PredictRequest, predict_pb2.PredictResponse)


class Sample(NamedTuple):
    """A stored request of a signature and the answer that was given to it."""

    inputs: Tensors
    outputs: Tensors


def read_samples(folder: Path) -> dict[str, Sample]:
    """Signature -> its gRPC sample, of a version's assets.extra/samples."""
    found = {}
    for path in sorted((folder / "requests").glob("*.pbtxt")):
        request, response = (
            text_format.Parse((folder / side / path.name).read_text(encoding="utf-8"), message())
            for side, message in zip(
                ("requests", "answers"), forms.MESSAGES.get(path.stem, _PREDICT), strict=True
            )
        )
        if path.stem in forms.MESSAGES:
            sample = Sample(forms.asked(request), forms.answered(response))
        else:
            sample = Sample(_arrays(request.inputs), _arrays(response.outputs))
        found[request.model_spec.signature_name] = sample
    return found


def grpc_difference(model: Model, samples: Mapping[str, Sample]) -> float:
    """The worst difference between a stored answer and what is answered now."""
    return max(
        _worst(model.ask(name, sample.inputs), sample.outputs) for name, sample in samples.items()
    )


def rest_difference(model: Model, folder: Path) -> float:
    """The same for the REST samples, whose requests are in rows, in columns or in examples."""
    worst = 0.0
    for path in sorted((folder / "requests").glob("*.json")):
        request = json.loads(path.read_text(encoding="utf-8"))
        answer = json.loads((folder / "answers" / path.name).read_text(encoding="utf-8"))
        signature = request["signature_name"]
        if "examples" in request:
            found = model.ask(signature, forms.examples(request["examples"]))
            worst = max(worst, _worst(found, forms.answered_rest(signature, answer["results"])))
            continue
        types = model.input_types(signature)
        if "instances" in request:
            columns = {name: [row[name] for row in request["instances"]] for name in types}
        else:
            columns = request["inputs"]
        found = model.ask(signature, {name: _array(columns[name], types[name]) for name in types})
        worst = max(worst, _worst(found, _outputs(answer, found)))
    return worst


def warm_up(model: Model, file: Path) -> int:
    """Answers every record as a server does before it announces a version; how many there are."""
    count = 0
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        on_tensors = kind == "predict_log"
        inputs = _arrays(request.inputs) if on_tensors else forms.asked(request)
        model.ask(request.model_spec.signature_name, inputs)
        count += 1
    return count


def _outputs(answer: Any, like: Tensors) -> Tensors:
    """A REST answer as arrays: an output that is alone has no name, rows have one each."""
    body = answer.get("predictions", answer.get("outputs"))
    if len(like) == 1:
        columns = dict.fromkeys(like, body)
    elif "predictions" in answer:
        columns = {name: [row[name] for row in body] for name in like}
    else:
        columns = body
    return {name: _array(columns[name], array.dtype) for name, array in like.items()}


def _worst(found: Tensors, expected: Tensors) -> float:
    if found.keys() != expected.keys():
        return float("inf")
    found = ties_settled(found, expected)
    return max(difference(found[name], expected[name]) for name in expected)


def ties_settled(found: Tensors, expected: Tensors) -> Tensors:
    """The lists of an answer with tied items in the order that they have in another answer.

    Another processor rounds otherwise, and items whose scores are as good as equal change places.

    Example:
        >>> one = {"items": np.array([["a", "b"]], object), "scores": np.array([[2.0, 2.0]])}
        >>> other = {"items": np.array([["b", "a"]], object), "scores": np.array([[2.0, 2.0]])}
        >>> ties_settled(one, other)["items"].tolist()
        [['b', 'a']]
    """
    names = next((name for name in ("items", "classes") if name in expected), "")
    if not names or "scores" not in expected or found[names].shape != expected[names].shape:
        return found
    scores = found["scores"].astype(np.float64)
    order = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    for row, (ours, theirs) in enumerate(zip(found[names], expected[names], strict=True)):
        odd = np.flatnonzero(ours != theirs)
        place = {ours[at]: at for at in odd}
        wanted = np.array([place.get(theirs[at], -1) for at in odd], np.int64)
        if len(set(wanted.tolist()) - {-1}) < len(odd):
            continue  # other items, not another order
        if difference(scores[row, wanted], scores[row, odd]) <= TOLERANCE:
            order[row, odd] = wanted
    return {
        name: np.take_along_axis(array, order, 1) if array.shape == order.shape else array
        for name, array in found.items()
    }


def _arrays(protos: Mapping[str, Any]) -> Tensors:
    return {name: tf.make_ndarray(proto) for name, proto in protos.items()}


def _array(value: Any, kind: Any) -> Array:
    """Nested lists of JSON as an array; text becomes bytes."""
    made = np.array(value, kind)
    if made.dtype.kind != "O":
        return made
    texts = np.array(np.char.encode(made.astype(str), "utf-8"), object)
    return texts.reshape(made.shape)
