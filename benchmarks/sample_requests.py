"""Requests for a load: the samples that an export stores in a version, one user each."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from serving.tensors import from_proto, to_proto
from tfrec.console import import_tensorflow
from tfrec.errors import UserError

REQUESTS = Path("assets.extra") / "samples" / "requests"


class Request(NamedTuple):
    """One question in both of its forms, ready to be sent.

    Attributes:
        signature: what is asked.
        grpc: a serialised PredictRequest.
        rest: the body of a POST to /v1/models/NAME:predict.
    """

    signature: str
    grpc: bytes
    rest: bytes


class Samples(NamedTuple):
    """What a version of a model was asked when it was exported: by signature, one user each."""

    model: str
    requests: dict[str, list[Request]]


def newest_version(models: Path) -> Path:
    """The folder of the highest version.

    Raises:
        UserError: there is none.
    """
    versions = [path for path in models.glob("*") if path.name.isdigit()]
    if not versions:
        raise UserError(f"{models} holds no versions; python -m export RUN {models} writes one")
    return max(versions, key=lambda path: int(path.name))


def read_samples(version: Path) -> Samples:
    """The stored requests of a version.

    Raises:
        UserError: it has none.
    """
    import_tensorflow()
    from google.protobuf import text_format
    from tensorflow_serving.apis import predict_pb2

    found: dict[str, list[Request]] = {}
    model = ""
    for rows_path in sorted((version / REQUESTS).glob("*.rows.json")):  # Classify has none
        path = rows_path.with_name(rows_path.name.removesuffix(".rows.json") + ".pbtxt")
        whole = text_format.Parse(path.read_text(encoding="utf-8"), predict_pb2.PredictRequest())
        rows = json.loads(rows_path.read_text(encoding="utf-8"))
        arrays = {name: from_proto(tensor) for name, tensor in whole.inputs.items()}
        model = whole.model_spec.name
        requests = []
        for number, row in enumerate(rows["instances"]):
            one = predict_pb2.PredictRequest()
            one.model_spec.name = model
            one.model_spec.signature_name = path.stem
            for name, array in arrays.items():
                to_proto(array[number : number + 1], one.inputs[name])
            body = {"signature_name": path.stem, "instances": [row]}
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
            requests.append(Request(path.stem, one.SerializeToString(), text.encode()))
        found[path.stem] = requests
    if not found:
        raise UserError(f"{version} has no {REQUESTS}: only what python -m export wrote has them")
    return Samples(model, found)


def parse_mix(words: Sequence[str]) -> dict[str, float]:
    """Shares of the signatures, as given on a command line.

    Raises:
        UserError: a word is not NAME=SHARE with a positive share.

    Example:
        >>> parse_mix(["score=3", "explain=1"])
        {'score': 3.0, 'explain': 1.0}
    """
    mix = {}
    for word in words:
        name, _, share = word.partition("=")
        try:
            mix[name] = float(share)
        except ValueError:
            mix[name] = 0.0
        if not mix[name] > 0:
            raise UserError(f"--mix takes SIGNATURE=SHARE with a share above 0, not {word!r}")
    return mix


def draw(samples: Samples, mix: Mapping[str, float], seed: int) -> Iterator[Request]:
    """Requests without end: signatures by their shares, users in turn.

    Raises:
        UserError: a signature of the mix was not exported.
    """
    for name in mix:
        if name not in samples.requests:
            known = ", ".join(samples.requests)
            raise UserError(f"--mix names {name}; the model has samples of {known}")
    turns = {name: itertools.cycle(samples.requests[name]) for name in mix}
    names, shares, dice = list(mix), list(mix.values()), random.Random(seed)
    return (next(turns[name]) for name in iter(lambda: dice.choices(names, shares)[0], None))
