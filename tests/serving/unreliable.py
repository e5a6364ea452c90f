"""Real gRPC and HTTP servers of a model y = 2 x that fail first, or never answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import grpc
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.status import HTTP_STATUS, Code
from tests.serving.running import free_port

FOREVER = 1000


class Plan:
    """What happens to predictions.

    Arguments:
        code: how the first ones fail; None for no answer at all.
        failures: how many do.

    Attributes:
        asked: when predictions came. headers: what came with each.
        described: how often the metadata was asked for.
    """

    def __init__(self, code: Code | None, failures: int) -> None:
        self.code, self.failures = code, failures
        self.asked: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.described = 0
        self.over = threading.Event()

    def next(self) -> Code:
        """How the next one ends; waits where it never does."""
        self.asked.append(time.monotonic())
        if len(self.asked) > self.failures:
            return Code.OK
        if self.code is None:
            self.over.wait(30)
            return Code.CANCELLED
        return self.code


def metadata() -> Any:
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = "double"
    response.model_spec.version.value = 1
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for side in ("inputs", "outputs"):
        info = getattr(signatures.signature_def["double"], side)["x" if side == "inputs" else "y"]
        info.dtype = 1
        info.tensor_shape.dim.add(size=-1)
    response.metadata["signature_def"].Pack(signatures)
    return response


class _Service(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        self._plan.described += 1
        return metadata()

    def Predict(self, request: Any, context: Any) -> Any:
        self._plan.headers.append(dict(context.invocation_metadata()))
        code = self._plan.next()
        if code is not Code.OK:
            status = next(c for c in grpc.StatusCode if c.value[0] == code)
            context.abort(status, f"told to say {code.name}")
        response = predict_pb2.PredictResponse()
        y = response.outputs["y"]
        y.CopyFrom(request.inputs["x"])
        y.float_val[:] = [2 * x for x in y.float_val]
        return response


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    plan: Plan

    def do_GET(self) -> None:
        self.plan.described += 1
        found = json_format.MessageToDict(metadata(), preserving_proto_field_name=True)
        # As TensorFlow Serving writes it: the packed map without its type.
        del found["metadata"]["signature_def"]["@type"]
        self._say(200, found)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.plan.headers.append({k.lower(): v for k, v in self.headers.items()})
        code = self.plan.next()
        if code is Code.OK:
            self._say(200, {"outputs": [2 * x for x in body["inputs"]["x"]]})
        else:
            self._say(HTTP_STATUS[code], {"error": f"told to say {code.name}"})

    def _say(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Place(NamedTuple):
    """An address as a client takes it, and the port behind it."""

    address: str
    port: int


def place(kind: str) -> Place:
    """A free one, for "grpc" or "rest"."""
    port = free_port()
    return Place(f"127.0.0.1:{port}" if kind == "grpc" else f"http://127.0.0.1:{port}", port)


@contextmanager
def unreliable(kind: str, plan: Plan, where: Place, tls: Any = None) -> Iterator[None]:
    """Serves there, with `tls` (an SSLContext) where it is given, for REST only."""
    if kind == "grpc":
        server = grpc.server(ThreadPoolExecutor(4))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Service(plan), server)
        server.add_insecure_port(f"127.0.0.1:{where.port}")
        server.start()
        try:
            yield
        finally:
            plan.over.set()
            server.stop(0).wait()
        return
    http = ThreadingHTTPServer(
        ("127.0.0.1", where.port), type("Handler", (_Handler,), {"plan": plan})
    )
    if tls is not None:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        plan.over.set()
        http.shutdown()
        http.server_close()
