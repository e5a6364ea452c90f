"""The REST port: HTTP connections in, `RestApi` behind them on a pool of threads."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from serving.console import log
from serving.flags import Flags, workers
from serving.rest_api import Response, RestApi
from serving.status import Code, ServingError

# Of the path or a header. A token may be longer than the 8 KB that aiohttp allows for.
_LONGEST_LINE = 2**16


class _ClientsMistake(logging.Filter):
    """Keeps what is no HTTP out of the log: its sender is told, and the server has no fault."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or not issubclass(kind, HttpProcessingError)


class RestServer:
    """Listens from the moment it is made.

    Arguments:
        flags: address, threads, time-out and the largest body.

    Raises:
        ServingError: the address is taken.
    """

    def __init__(self, flags: Flags, api: RestApi) -> None:
        self._api = api
        self._timeout = flags.rest_api_timeout_in_ms / 1000
        self._max_body = flags.max_message_bytes
        self._pool = ThreadPoolExecutor(workers(flags.rest_api_num_threads, flags), "rest")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http", daemon=True)
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(
            self._start(flags.host, flags.rest_api_port), self._loop
        )
        try:
            self._runner = starting.result()
        except OSError as error:
            raise ServingError(
                Code.UNAVAILABLE,
                f"cannot listen on {flags.host}:{flags.rest_api_port}: {error}",
            ) from None

    def stop(self, grace: float) -> None:
        """Takes no new connections, lets requests finish for `grace` seconds, and ends."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(grace + 1)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _start(self, host: str, port: int) -> web.ServerRunner:
        logging.getLogger("aiohttp.server").addFilter(_ClientsMistake())
        # Without access log: paths and bodies stay out of logs. Bodies are inflated by the API,
        # which limits what they may grow to.
        server = web.Server(
            self._handle,
            access_log=None,
            auto_decompress=False,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )
        runner = web.ServerRunner(server, shutdown_timeout=5)
        await runner.setup()
        await web.TCPSite(runner, host, port, backlog=1024).start()
        return runner

    async def _stop(self) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        found = self._api.turn_away(request.method, request.raw_path, request.headers)
        if found is None:
            body = await self._read(request)
            if body is None:
                too_large = f"The body is larger than {self._max_body} bytes"
                found = self._api.refused(Code.RESOURCE_EXHAUSTED, too_large)
            else:
                found = await self._answer(request, body)
        return web.Response(
            status=found.status,
            body=found.body,
            content_type=found.content_type,
            headers=dict(found.headers),
        )

    async def _read(self, request: web.BaseRequest) -> bytes | None:
        waits = request.headers.get("Expect", "").lower() == "100-continue"
        if waits and request.transport is not None:
            # curl asks so before it sends a large body, and waits a second for the answer.
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunks, size = [], 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > self._max_body:
                return None
            chunks.append(chunk)
        return b"".join(chunks)

    async def _answer(self, request: web.BaseRequest, body: bytes) -> Response:
        deadline = time.monotonic() + self._timeout if self._timeout > 0 else None
        working = self._loop.run_in_executor(
            self._pool,
            self._api.answer,
            request.method,
            request.raw_path,
            body,
            request.headers,
            deadline,
        )
        try:
            async with asyncio.timeout(self._timeout if self._timeout > 0 else None):
                return await working
        except TimeoutError:
            return self._api.timed_out()
        except Exception:
            log.exception("a REST request failed within the server")
            return self._api.refused(Code.INTERNAL, "internal error")
