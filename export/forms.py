"""Requests and answers of `classify` and `regress`, as clients of Classify and Regress speak."""

from __future__ import annotations

from typing import Any

from export.messages import Exchange, Tensors, plain


def form_exchange(model: str, signature: str, inputs: Tensors, outputs: Tensors) -> Exchange:
    """The gRPC request and its answer.

    Arguments:
        model: the name under which the model is served.
        signature: "classify" or "regress".
        inputs, outputs: of the signature, by name.
    """
    from export.probe.forms import MESSAGES

    made = Exchange(*(message() for message in MESSAGES[signature]))
    for message in made:
        message.model_spec.name = model
        message.model_spec.signature_name = signature
    for serialised in inputs["inputs"]:
        made.request.input.example_list.examples.add().ParseFromString(serialised)
    result = made.response.result
    if signature == "regress":
        for value in outputs["outputs"].tolist():
            result.regressions.add(value=value)
        return made
    for labels, scores in zip(outputs["classes"], outputs["scores"].tolist(), strict=True):
        row = result.classifications.add()
        for label, score in zip(labels, scores, strict=True):
            row.classes.add(label=label.decode(), score=score)
    return made


def form_json(signature: str, request: Any, outputs: Tensors) -> tuple[dict[str, Any], Any]:
    """The REST request, of the gRPC one, and its answer.

    Returns:
        The bodies of POST HOST/v1/models/NAME:classify, or :regress.
    """
    rows = []
    for one in request.input.example_list.examples:
        feature = one.features.feature
        lists = {name: getattr(feature[name], feature[name].WhichOneof("kind")) for name in feature}
        rows.append({name: _values(lists[name].value) for name in sorted(lists)})
    columns = [plain(outputs[name]) for name in ("classes", "scores") if name in outputs]
    if signature == "regress":
        results = plain(outputs["outputs"])
    else:
        results = [
            [list(pair) for pair in zip(*row, strict=True)] for row in zip(*columns, strict=True)
        ]
    return {"signature_name": signature, "examples": rows}, {"results": results}


def _values(values: Any) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value for value in values]
