"""Closed and open loops of requests against a server, and the latencies that clients see."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from sample_requests import Request

from tfrec.errors import UserError

Float64 = npt.NDArray[np.float64]
TIMEOUT = 120.0
JSON = {"Content-Type": "application/json"}


class Connection(Protocol):
    """One client with a connection of its own."""

    def ask(self, request: Request) -> bool:
        """Sends and waits for the whole answer. False: anything but success."""

    def close(self) -> None: ...


# Makes a connection; every worker has its own.
Connect = Callable[[], Connection]


class GrpcConnection:
    """Bytes over a channel that no other worker shares."""

    def __init__(self, address: str) -> None:
        import grpc

        self._failure = grpc.RpcError
        self._channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self._call = self._channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

    def ask(self, request: Request) -> bool:
        try:
            self._call(request.grpc, timeout=TIMEOUT)
        except self._failure:
            return False
        return True

    def close(self) -> None:
        self._channel.close()


class RestConnection:
    """A kept-alive HTTP connection; opened again when the server has closed it."""

    def __init__(self, url: str, model: str) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise UserError(f"--rest takes http://HOST:PORT, not {url!r}")
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
        self._path = f"/v1/models/{model}:predict"

    def ask(self, request: Request) -> bool:
        try:
            if self._connection.sock is None:
                self._connection.connect()
                made: Any = self._connection.sock  # typed as None, which it no longer is
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.request("POST", self._path, request.rest, JSON)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False
        return answer.status == 200

    def close(self) -> None:
        self._connection.close()


class Measured(NamedTuple):
    """What one loop saw after its warm-up.

    Attributes:
        seconds: how long it was looked at.
        latencies: of the successful requests, ms.
        signatures: of each of those, what was asked.
        failed: how many failed.
    """

    seconds: float
    latencies: Float64
    signatures: npt.NDArray[np.str_]
    failed: int

    @property
    def rate(self) -> float:
        """Successful requests per second."""
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """ms; NaN when nothing succeeded."""
        return float(np.quantile(self.latencies, share)) if len(self.latencies) else float("nan")


def closed_loop(
    connect: Connect, requests: Iterator[Request], workers: int, seconds: float, warmup: float
) -> Measured:
    """Each worker sends its next request as soon as the last one is answered."""
    begin = time.perf_counter() + warmup
    end = begin + seconds
    drawn = _Shared(requests)

    def work(ask: Callable[[Request], bool], note: _Note) -> None:
        while (started := time.perf_counter()) < end:
            request = drawn.take()
            note(started, request, ask(request))

    return _run(connect, workers, work, begin, end)


def open_loop(
    connect: Connect,
    requests: Iterator[Request],
    rate: float,
    workers: int,
    seconds: float,
    warmup: float,
    seed: int,
) -> Measured:
    """Requests arrive at random times (Poisson), whether or not the server keeps up.

    A request's latency counts from the moment at which it should have been sent: one that had to
    wait because every worker was still busy waited for the server, and that is what its client
    would have seen. Measuring from the real sending instead would leave out exactly the worst
    moments (coordinated omission).

    Arguments:
        rate: requests per second, on average.
        workers: the most that can be under way.
    """
    gaps = np.random.default_rng(seed).exponential(1 / rate, int((warmup + seconds) * rate) + 1)
    first = time.perf_counter() + 0.05
    begin, end = first + warmup, first + warmup + seconds
    drawn = _Shared(zip((first + np.cumsum(gaps)).tolist(), requests, strict=False))

    def work(ask: Callable[[Request], bool], note: _Note) -> None:
        while (taken := drawn.take(None)) is not None:
            intended, request = taken
            if intended >= end:
                return
            pause = intended - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            note(intended, request, ask(request))

    return _run(connect, workers, work, begin, end)


_Note = Callable[[float, Request, bool], None]


class _Shared:
    """An iterator that several threads take from."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self._lock = threading.Lock()

    def take(self, *default: Any) -> Any:
        with self._lock:
            return next(self._items, *default)


def _run(
    connect: Connect,
    workers: int,
    work: Callable[[Callable[[Request], bool], _Note], None],
    begin: float,
    end: float,
) -> Measured:
    """Runs `work` in every worker; counts what was due between `begin` and `end`."""
    noted: list[list[tuple[float, str, bool]]] = [[] for _ in range(workers)]
    finished = [begin] * workers

    def run(number: int) -> None:
        connection = connect()

        def note(since: float, request: Request, good: bool) -> None:
            now = time.perf_counter()
            finished[number] = now
            if since >= begin:
                noted[number].append((1000 * (now - since), request.signature, good))

        try:
            work(connection.ask, note)
        finally:
            connection.close()

    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(run, number) for number in range(workers)]:
            done.result()
    rows = [row for own in noted for row in own]
    good = [row for row in rows if row[2]]
    return Measured(
        # A server that falls behind finishes late, and its rate is not that of the arrivals.
        max(end, *finished) - begin,
        np.array([row[0] for row in good]),
        np.array([row[1] for row in good], dtype=np.str_),
        len(rows) - len(good),
    )
