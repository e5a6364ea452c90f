"""Real servers for tests: started as a user starts them, and clients for both of their ports."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.tensors import to_proto


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class HttpAnswer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """`python -m serving` in a process of its own, on free ports, ready when made."""

    def __init__(self, *flags: str, ready: bool = True, log: Path | None = None) -> None:
        self.port, self.rest_port = free_port(), free_port()
        self.log = log
        command = [sys.executable, "-m", "serving", f"--port={self.port}"]
        command += [f"--rest_api_port={self.rest_port}", *flags]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE if log is None else log.open("wb"),
            stderr=subprocess.PIPE if log is None else subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", unlimited)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        if ready:
            self.wait()

    def wait(self, seconds: float = 60) -> None:
        """Until both ports answer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, "the server has ended"
            try:
                socket.create_connection(("127.0.0.1", self.rest_port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def http(
        self,
        method: str,
        path: str,
        body: bytes | str | dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> HttpAnswer:
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=20)
        try:
            sent = json.dumps(body) if isinstance(body, dict) else body
            connection.request(method, path, sent, headers or {})
            answer = connection.getresponse()
            return HttpAnswer(answer.status, answer.read(), dict(answer.headers))
        finally:
            connection.close()

    def predict(self, path: str, body: bytes | str | dict[str, Any]) -> HttpAnswer:
        return self.http("POST", f"/v1/models/{path}:predict", body)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.channel.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(20)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


def predict_request(model: str, signature: str = "", **inputs: Any) -> predict_pb2.PredictRequest:
    """A PredictRequest of arrays."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        array = value if isinstance(value, np.ndarray) else np.asarray(value, np.float32)
        to_proto(array, request.inputs[name])
    return request
