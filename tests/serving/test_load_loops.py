"""The load generator against a server that stalls: an open loop must show what clients waited."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from load_loops import RestConnection, closed_loop, open_loop
from sample_requests import Request

STALL = 0.5
REQUESTS = itertools.repeat(Request("score", b"", b"{}"))


class Stalling(ThreadingHTTPServer):
    """Answers at once, but for one moment in which every request waits."""

    stall_at = float("inf")
    fail = False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Stalling)
        self.rfile.read(int(self.headers["Content-Length"]))
        begin = self.server.stall_at
        if begin <= time.perf_counter() < begin + STALL:
            time.sleep(begin + STALL - time.perf_counter())
        self.wfile.write(
            b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % (500 if self.server.fail else 200)
        )

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stalling() -> Iterator[tuple[Stalling, str]]:
    with Stalling(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_an_open_loop_shows_a_stall_and_a_closed_one_hides_it(
    stalling: tuple[Stalling, str],
) -> None:
    server, url = stalling
    server.stall_at = time.perf_counter() + 0.7
    closed = closed_loop(lambda: RestConnection(url, "m"), REQUESTS, 1, seconds=1.5, warmup=0.2)
    server.stall_at = time.perf_counter() + 0.7
    opened = open_loop(
        lambda: RestConnection(url, "m"), REQUESTS, 100, 1, seconds=1.5, warmup=0.2, seed=0
    )
    assert closed.failed == opened.failed == 0
    due = np.cumsum(np.random.default_rng(0).exponential(1 / 100, 171))
    assert len(opened.latencies) == np.sum((due >= 0.2) & (due < 1.7))
    # One connection: a closed loop sends one request into the stall. At 100 a second about 50 were
    # due in it, half of them waited for more than half of it.
    late = 1000 * STALL / 2
    assert np.sum(closed.latencies > late) <= 3
    assert np.sum(opened.latencies > late) >= 12


def test_failures_are_counted_and_have_no_latency(stalling: tuple[Stalling, str]) -> None:
    server, url = stalling
    server.fail = True
    seen = closed_loop(lambda: RestConnection(url, "m"), REQUESTS, 2, seconds=0.2, warmup=0.0)
    assert seen.failed > 0
    assert len(seen.latencies) == 0
    assert np.isnan(seen.quantile(0.5))
