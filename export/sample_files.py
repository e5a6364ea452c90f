"""Sample requests with the answers that the model gave: to learn from, and to check a server by.

A version's assets.extra/samples/ holds for every signature, in requests/ and under the same names
in answers/,

    score.rows.json     for REST, user by user: curl -d @score.rows.json HOST/v1/models/NAME:predict
    score.columns.json  for REST, input by input, to the same address
    score.pbtxt         for gRPC: a PredictRequest in text format

and for the signatures that take tf.Examples, classify and regress,

    classify.examples.json  for REST, to HOST/v1/models/NAME:classify
    classify.pbtxt          for gRPC: a ClassificationRequest
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.contract import EXTRA
from export.forms import form_exchange, form_json
from export.messages import Exchange, Tensors, exchange, plain
from export.signatures import FORMS

if TYPE_CHECKING:
    from export.probe.model import Model

SAMPLES = "samples"


def write_samples(
    model: Model, folder: Path, name: str, requests: Mapping[str, Tensors]
) -> list[Exchange]:
    """Asks a SavedModel and writes down what was asked and answered.

    Arguments:
        model: the version. folder: of it.
        name: under which it will be served.
        requests: signature -> inputs by name; strings as object arrays of bytes.

    Returns:
        The gRPC messages.
    """
    sides = [folder / EXTRA / SAMPLES / side for side in ("requests", "answers")]
    for side in sides:
        side.mkdir(parents=True)
    made = []
    for signature, inputs in requests.items():
        outputs = dict(sorted(model.ask(signature, inputs).items()))
        if signature in FORMS:
            made.append(form_exchange(name, signature, inputs, outputs))
            bodies = {"examples.json": form_json(signature, made[-1].request, outputs)}
        else:
            made.append(exchange(name, signature, inputs, outputs))
            bodies = _predict_json(signature, inputs, outputs)
        texts = {kind: [_body(body) for body in pair] for kind, pair in bodies.items()}
        texts["pbtxt"] = [str(message) for message in made[-1]]
        for kind, pair in texts.items():
            for side, text in zip(sides, pair, strict=True):
                (side / f"{signature}.{kind}").write_text(text, encoding="utf-8")
    return made


def _predict_json(
    name: str, inputs: Tensors, outputs: Tensors
) -> dict[str, tuple[dict[str, Any], Any]]:
    """Request and answer in both of REST's forms."""
    rows = {"instances": _rows(inputs)}, {"predictions": _alone(outputs) or _rows(outputs)}
    columns = {"inputs": _columns(inputs)}, {"outputs": _alone(outputs) or _columns(outputs)}
    asked = {"signature_name": name}
    return {
        "rows.json": (asked | rows[0], rows[1]),
        "columns.json": (asked | columns[0], columns[1]),
    }


def _body(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _columns(tensors: Tensors) -> dict[str, Any]:
    return {name: plain(array) for name, array in tensors.items()}


def _rows(tensors: Tensors) -> list[dict[str, Any]]:
    columns = _columns(tensors)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _alone(outputs: Tensors) -> Any:
    """A server leaves out the name of an output that is the only one."""
    return plain(next(iter(outputs.values()))) if len(outputs) == 1 else None
