"""Bytes over gRPC or HTTP, blocking and with asyncio. One connection each, kept and reused."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from serving.client.wire import Message, http_error
from serving.status import Code, ServingError

if TYPE_CHECKING:
    import httpx2

# gRPC's own pause before it connects again would outlast a deadline: retries pause already.
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


@dataclass(frozen=True)
class Tls:
    """Files in PEM form.

    Attributes:
        ca_file: authorities whose servers are trusted; None for those of the system.
        cert_file, key_file: who this client is, for a server that asks (mTLS); both or neither.
    """

    ca_file: Path | str | None = None
    cert_file: Path | str | None = None
    key_file: Path | str | None = None

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("Tls needs cert_file and key_file together, or neither")


class Connection(Protocol):
    """Blocking."""

    def send(self, message: Message, timeout: float) -> bytes:
        """The body of the answer. Raises ServingError."""

    def close(self) -> None: ...


class AsyncConnection(Protocol):
    """With asyncio."""

    async def send(self, message: Message, timeout: float) -> bytes:
        """The body of the answer. Raises ServingError."""

    async def close(self) -> None: ...


def is_http(server: str) -> bool:
    """Whether an address is one of the REST interface."""
    return server.startswith(("http://", "https://"))


def connect(server: str, tls: Tls | None, headers: dict[str, str]) -> Connection:
    """A connection, made when it is first needed."""
    return (_Http if is_http(server) else _Grpc)(server, tls, headers)


def connect_async(server: str, tls: Tls | None, headers: dict[str, str]) -> AsyncConnection:
    """The same for asyncio; call it where the event loop runs."""
    return (_AsyncHttp if is_http(server) else _AsyncGrpc)(server, tls, headers)


class _Grpc:
    def __init__(self, server: str, tls: Tls | None, headers: dict[str, str]) -> None:
        import grpc

        self._error = grpc.RpcError
        self._metadata = tuple(headers.items())
        if tls is None:
            self._channel = grpc.insecure_channel(server, _CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(server, _credentials(tls), _CHANNEL_OPTIONS)

    def send(self, message: Message, timeout: float) -> bytes:
        call = self._channel.unary_unary(message.path)
        try:
            answer: bytes = call(message.body, timeout=timeout, metadata=self._metadata)
        except self._error as error:
            raise _grpc_error(error) from None
        return answer

    def close(self) -> None:
        self._channel.close()


class _AsyncGrpc:
    def __init__(self, server: str, tls: Tls | None, headers: dict[str, str]) -> None:
        import grpc.aio

        self._error = grpc.aio.AioRpcError
        self._metadata = tuple(headers.items())
        if tls is None:
            self._channel = grpc.aio.insecure_channel(server, _CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(server, _credentials(tls), _CHANNEL_OPTIONS)

    async def send(self, message: Message, timeout: float) -> bytes:
        call = self._channel.unary_unary(message.path)
        try:
            answer: bytes = await call(message.body, timeout=timeout, metadata=self._metadata)
        except self._error as error:
            raise _grpc_error(error) from None
        return answer

    async def close(self) -> None:
        await self._channel.close()


class _Http:
    def __init__(self, server: str, tls: Tls | None, headers: dict[str, str]) -> None:
        import httpx2

        self._client = httpx2.Client(base_url=server, headers=headers, verify=_verify(tls))

    def send(self, message: Message, timeout: float) -> bytes:
        import httpx2

        end = time.monotonic() + timeout
        try:
            with self._client.stream(**_request(message), timeout=timeout) as response:
                body = bytearray()
                for part in response.iter_bytes():
                    body += part
                    if time.monotonic() > end:  # the timeout above is for each part
                        raise httpx2.ReadTimeout("the answer trickles")
        except httpx2.RequestError as error:
            raise _http_error(error, timeout) from None
        return _body(response, bytes(body))

    def close(self) -> None:
        self._client.close()


class _AsyncHttp:
    def __init__(self, server: str, tls: Tls | None, headers: dict[str, str]) -> None:
        import httpx2

        self._client = httpx2.AsyncClient(base_url=server, headers=headers, verify=_verify(tls))

    async def send(self, message: Message, timeout: float) -> bytes:
        import asyncio

        import httpx2

        try:
            async with asyncio.timeout(timeout):
                response = await self._client.request(**_request(message), timeout=None)
        except (httpx2.RequestError, TimeoutError) as error:
            raise _http_error(error, timeout) from None
        return _body(response, response.content)

    async def close(self) -> None:
        await self._client.aclose()


def _credentials(tls: Tls) -> Any:
    import grpc

    try:
        ca, key, cert = (
            None if path is None else Path(path).read_bytes()
            for path in (tls.ca_file, tls.key_file, tls.cert_file)
        )
    except OSError as error:
        raise ValueError(f"{tls} cannot be used: {error}") from None
    return grpc.ssl_channel_credentials(ca, key, cert)


def _grpc_error(error: Any) -> ServingError:
    return ServingError(Code(error.code().value[0]), error.details() or "")


def _verify(tls: Tls | None) -> ssl.SSLContext | bool:
    if tls is None:
        return True
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:
        raise ValueError(f"{tls} cannot be used: {error}") from None
    return context


def _request(message: Message) -> dict[str, Any]:
    return {
        "method": "GET" if message.body is None else "POST",
        "url": message.path,
        "content": message.body,
        "headers": {} if message.body is None else {"Content-Type": "application/json"},
    }


def _body(response: httpx2.Response, body: bytes) -> bytes:
    if response.status_code != 200:
        raise http_error(response.status_code, body)
    return body


def _http_error(error: Exception, timeout: float) -> ServingError:
    import httpx2

    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return ServingError(Code.DEADLINE_EXCEEDED, f"no answer in {timeout:.3g} s")
    return ServingError(Code.UNAVAILABLE, f"{type(error).__name__}: {error}")
