"""The REST interface without a network: method, path and body in; status and body out."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from serving import grpc_services, json_examples, json_tensors, json_write, predict
from serving.api_keys import ApiKeys
from serving.json_parse import parse, signature_name, to_text
from serving.loader import DEFAULT_SIGNATURE
from serving.models import Reference
from serving.routes import (
    METADATA,
    PREDICTIONS,
    VersionTooLarge,
    find_route,
    is_ours,
    without_authority,
)
from serving.service import Service
from serving.status import HTTP_STATUS, Code, ServingError, invalid

_ORIGIN = re.compile(r"https?://.*", re.IGNORECASE)
_NOT_FOUND = (
    b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n"
    b"</BODY></HTML>\n"
)
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_CORS_WITH_KEYS = {"Access-Control-Allow-Headers": "Content-Type, Authorization, X-Api-Key"}


@dataclass(frozen=True)
class Response:
    """What goes back: an HTTP status, a body and its type, further headers."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class RestApi:
    """Answers REST requests.

    Arguments:
        prometheus_path: where the metrics are, or None for nowhere.
        cors: whether web pages of other origins may call.
        max_body: bytes that a compressed body may grow to.
        keys: what requests must bring, but for those for a model's status.
    """

    def __init__(
        self,
        service: Service,
        prometheus_path: str | None = None,
        cors: bool = False,
        max_body: int = 2**31 - 1,
        keys: ApiKeys | None = None,
    ) -> None:
        self._service = service
        self._prometheus_path = prometheus_path
        self._cors = cors
        self._extra: Mapping[str, str] = _CORS if cors else {}
        if cors and keys is not None:
            self._extra = {**_CORS, **_CORS_WITH_KEYS}
        self._max_body = max_body
        self._keys = keys

    def turn_away(self, method: str, path: str, headers: Mapping[str, str]) -> Response | None:
        """The answer to a request without a key; None for one that may be read on.

        Arguments:
            headers: of the request, whose names compare without case.
        """
        if self._keys is None or method == "OPTIONS":  # browsers ask first without any key
            return None
        route = find_route(method, path)
        if route.malformed is None and not route.action:
            return None
        sent = {name.lower(): value for name, value in headers.items()}
        try:
            self._keys.check(sent)
        except ServingError as error:
            return self.refused(error.code, error.message)
        return None

    def answer(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        deadline: float | None = None,
    ) -> Response:
        """One request.

        Arguments:
            path: as it came, with its query and its percent signs.
            headers: those of the request; looked at are Content-Encoding and Origin.
            deadline: `time.monotonic()` after which nobody waits any more.
        """
        path = without_authority(path)
        bare = path.partition("?")[0]
        if self._prometheus_path is not None and bare == self._prometheus_path:
            return self._metrics(path)
        if not is_ours(bare):
            return Response(404, _NOT_FOUND, "text/html")
        extra = self._extra
        if self._cors and method == "OPTIONS":
            allowed = _ORIGIN.fullmatch(headers.get("Origin", "")) is not None
            return Response(200 if allowed else 400, b"", headers=extra)
        try:
            found = self._process(method, path, body, headers, deadline)
        except VersionTooLarge:
            return Response(400, b"", headers=extra)
        except ServingError as error:
            return Response(HTTP_STATUS[error.code], json_write.error(error.message), headers=extra)
        return Response(200, found, headers=extra)

    def _metrics(self, path: str) -> Response:
        if path != self._prometheus_path:
            told = f"Unexpected path: {path}. Should be {self._prometheus_path}"
            return Response(400, told.encode("utf-8", "replace"), "text/plain")
        # Names of models come from requests: bytes that are no text must not spoil the page.
        page = self._service.metrics.page().encode("utf-8", "replace")
        return Response(200, page, "text/plain")

    def timed_out(self) -> Response:
        """For a request that took longer than allowed."""
        return self.refused(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")

    def refused(self, code: Code, message: str) -> Response:
        """For a request that is not looked into."""
        return Response(HTTP_STATUS[code], json_write.error(message), headers=self._extra)

    def _process(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        deadline: float | None,
    ) -> bytes:
        route = find_route(method, path)

        def work() -> bytes:
            reference = route.reference()
            if route.action not in PREDICTIONS:
                return self._look_up(reference, with_signatures=route.action == METADATA)
            run = {"predict": self._predict, "classify": self._classify, "regress": self._regress}
            return run[route.action](reference, self._inflated(body, headers), deadline)

        # What is only looked up has no name there in TensorFlow Serving.
        api = route.action if route.action in PREDICTIONS else ""
        return self._service.counted(route.name, api, "REST", work)

    def _predict(self, reference: Reference, body: bytes, deadline: float | None) -> bytes:
        document = parse(body)
        asked = signature_name(document)
        name = asked or DEFAULT_SIGNATURE
        with self._service.held(reference) as servable:
            signature = servable.model.signatures.get(name)
            if signature is None:
                raise invalid(f'Serving signature name: "{name}" not found in signature def')
            if not signature.inputs:
                raise invalid(f"Failed to get input map for signature: {asked or 'DEFAULT'}")
            if "instances" in document and "inputs" in document:
                raise invalid(
                    f"JSON Value: {to_text(document)} Not formatted correctly expecting only one "
                    "of 'inputs' or 'instances' keys to exist "
                )
            if "instances" in document:
                given = json_tensors.read_instances(document, signature.inputs)
                write = json_write.rows
            elif "inputs" in document:
                given = json_tensors.read_inputs(document["inputs"], signature.inputs)
                write = json_write.columns
            else:
                raise invalid("Missing 'inputs' or 'instances' key")
            self._service.check_method(signature)
            inputs = predict.complete_inputs(signature, given)
            answer = self._service.run_predict(servable, signature, inputs, (), deadline)
        return write(answer.value)

    def _classify(self, reference: Reference, body: bytes, deadline: float | None) -> bytes:
        document = parse(body)
        name, examples = signature_name(document), json_examples.read(document)
        answer = self._service.classify(reference, name, lambda: examples, deadline)
        return json_write.classifications(answer.value)

    def _regress(self, reference: Reference, body: bytes, deadline: float | None) -> bytes:
        document = parse(body)
        name, examples = signature_name(document), json_examples.read(document)
        answer = self._service.regress(reference, name, lambda: examples, deadline)
        return json_write.regressions(answer.value)

    def _look_up(self, reference: Reference, with_signatures: bool) -> bytes:
        if not reference.name:
            raise invalid("Missing model name in request.")
        if not with_signatures:
            return _json(_as_dict(grpc_services.status(self._service, reference)))
        found = grpc_services.metadata(self._service, reference)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        found.metadata["signature_def"].Unpack(signatures)
        return _json(
            {
                "model_spec": _as_dict(found.model_spec),
                "metadata": {"signature_def": _as_dict(signatures)},
            }
        )

    def _inflated(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        if "gzip" not in headers.get("Content-Encoding", "").lower():
            return body
        try:
            stream = zlib.decompressobj(wbits=31)
            inflated = stream.decompress(body, self._max_body)
        except zlib.error as error:
            raise invalid(f"Failed to inflate the gzip request body: {error}") from None
        if stream.unconsumed_tail:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED, f"The body inflates to over {self._max_body} bytes"
            )
        if not stream.eof:
            raise invalid("Failed to inflate the gzip request body: it ends early")
        return inflated


def _as_dict(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _json(document: Any) -> bytes:
    return json.dumps(document, indent=1).encode()
