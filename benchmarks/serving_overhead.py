"""What the local server costs: beside the bare signature, and beside FastAPI with the same model.

    python benchmarks/serving_overhead.py models/shop             (4 min on an idle machine)

1. One connection: the median of `score` over gRPC, and of the signature called in a process of its
   own, both with as many threads inside an operation as TensorFlow chooses and with one, which is
   what suits small models. Bar: not more than 0.5 ms between the two. Beside it, what gRPC in
   Python takes for the same request when the server only gives it back.
2. 32 connections: requests per second of the local server with the batching.config beside the
   model, over gRPC and over REST, and of FastAPI on uvicorn with the same SavedModel. Bar: over
   both twice as many. Beside it, the processor time of the server for a request, which other
   processes on the machine hardly change.

The sides take turns and every ratio or difference is of one turn; the medians are of all turns.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from load_loops import Connect, GrpcConnection, RestConnection, closed_loop
from local_server import LocalServer, cpu_seconds, free_ports, until_open
from results import write_section
from sample_requests import Samples, draw, newest_version, read_samples

from tfrec.console import say
from tfrec.errors import UserError, command
from tfrec.run import command_line

BENCHMARKS = Path(__file__).parent
SIGNATURE = "score"
MOST_OVERHEAD, LEAST_RATIO = 0.5, 2.0
OURS = ("local server, gRPC, batching", "local server, REST, batching")
PEER = "FastAPI on uvicorn"
# --tensorflow_intra_op_parallelism -> what it says.
THREADS = {0: "threads as TensorFlow chooses", 1: "one thread inside an operation"}
Turns = dict[str, list[float]]  # side -> one number per turn


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, help="folder of an exported model")
    parser.add_argument("--turns", type=int, default=7, help="of bar 2 (default 7)")
    parser.add_argument("--rounds", type=int, default=60, help="of bar 1 (default 60)")
    parser.add_argument("--calls", type=int, default=25, help="per round, bar 1 (default 25)")
    parser.add_argument("--seconds", type=float, default=4, help="per turn, bar 2 (default 4)")
    parser.add_argument("--connections", type=int, default=32, help="of bar 2 (default 32)")
    parser.add_argument("--quick", action="store_true", help="1 turn, nothing is written")
    flags = parser.parse_args(argv)
    if flags.quick:
        flags.turns, flags.rounds = 1, 5
    version = newest_version(flags.models)
    samples = read_samples(version)
    single = one_connection(flags, version, samples)
    overheads = {
        threads: statistics.median(
            served - bare
            for bare, served in zip(single["bare", threads], single["served", threads], strict=True)
        )
        for threads in THREADS
    }
    lines = [
        f"| one connection, {SIGNATURE} | signature, ms | local server, ms | difference "
        f"(bar: {MOST_OVERHEAD}) |",
        "|---|---:|---:|---:|",
    ]
    for threads, name in THREADS.items():
        bare, served = (statistics.median(single[side, threads]) for side in ("bare", "served"))
        lines.append(f"| {name} | {bare:.2f} | {served:.2f} | {overheads[threads]:.2f} |")
    lines += [
        "",
        "The same request over gRPC, given back by a server that does nothing else: "
        f"{statistics.median(single['echo', 0]):.2f} ms.",
        "",
        f"| {flags.connections} connections, {SIGNATURE} | requests/s | beside FastAPI | "
        "CPU ms/request | beside FastAPI |",
        "|---|---:|---:|---:|---:|",
    ]
    rates, costs = many_connections(flags, version, samples)
    faster = ratios(rates)
    for side, share in ratios(costs).items():
        lines.append(
            f"| {side} | {statistics.median(rates[side]):.0f} | {faster[side]:.2f} | "
            f"{statistics.median(costs[side]):.2f} | {share:.2f} |"
        )
    for line in lines:
        say(line)
    if not flags.quick:
        intro = (
            f"`{command_line()}`\n\nMedians of {flags.rounds} and {flags.turns} turns, "
            f"{os.cpu_count()} cores.\n\n"
        )
        write_section("What the local server costs", intro + "\n".join(lines))
    passed = (
        max(overheads.values()) <= MOST_OVERHEAD
        and min(faster[side] for side in OURS) >= LEAST_RATIO
    )
    return 0 if passed else 1


def one_connection(
    flags: argparse.Namespace, version: Path, samples: Samples
) -> dict[tuple[str, int], list[float]]:
    """(side, threads) -> medians in ms per turn."""
    [request, *_] = samples.requests[SIGNATURE]
    sides: dict[tuple[str, int], Callable[[], float]] = {}
    with contextlib.ExitStack() as stack:

        def asks(address: str) -> Callable[[], float]:
            connection = GrpcConnection(address)
            stack.callback(connection.close)

            def ask() -> float:
                started = time.perf_counter()
                assert connection.ask(request)
                return 1000 * (time.perf_counter() - started)

            return lambda: statistics.median(ask() for _ in range(flags.calls))

        for threads in THREADS:
            sides["bare", threads] = stack.enter_context(_bare_calls(version, threads, flags.calls))
            parallelism = f"--tensorflow_intra_op_parallelism={threads}"
            server = stack.enter_context(LocalServer(flags.models, samples.model, parallelism))
            sides["served", threads] = asks(server.grpc)
        sides["echo", 0] = asks(stack.enter_context(_echo()))
        for measure in sides.values():
            measure()
        medians: dict[tuple[str, int], list[float]] = {side: [] for side in sides}
        for _ in range(flags.rounds):
            for side, measure in sides.items():
                medians[side].append(measure())
    return medians


def many_connections(
    flags: argparse.Namespace, version: Path, samples: Samples
) -> tuple[Turns, Turns]:
    """Requests per second, and CPU ms of the server per request."""
    mine = LocalServer(flags.models, samples.model, batching=True)
    with mine, _fastapi(version) as (url, peer):
        sides: dict[str, tuple[int, Connect]] = {
            OURS[0]: (mine.process.pid, lambda: GrpcConnection(mine.grpc)),
            OURS[1]: (mine.process.pid, lambda: RestConnection(mine.rest, samples.model)),
            PEER: (peer, lambda: RestConnection(url, samples.model)),
        }
        rates: Turns = {side: [] for side in sides}
        costs: Turns = {side: [] for side in sides}
        for turn in range(flags.turns):
            for side, (pid, connect) in sides.items():
                requests = draw(samples, {SIGNATURE: 1.0}, turn)
                closed_loop(connect, requests, flags.connections, 1.0, 0.0)
                before = cpu_seconds(pid)
                one = closed_loop(connect, requests, flags.connections, flags.seconds, 0.0)
                spent = cpu_seconds(pid) - before
                if one.failed:
                    raise UserError(f"{one.failed} requests to {side} failed: a busy machine?")
                rates[side].append(one.rate)
                costs[side].append(1000 * spent / len(one.latencies))
            reached = ", ".join(f"{side} {rates[side][-1]:.0f}/s" for side in sides)
            say(f"turn {turn + 1}: {reached}")
    return rates, costs


def ratios(turns: Turns) -> dict[str, float]:
    """Every side beside FastAPI: the median of the turns' ratios."""
    return {
        side: statistics.median(own / peer for own, peer in zip(numbers, turns[PEER], strict=True))
        for side, numbers in turns.items()
    }


@contextlib.contextmanager
def _bare_calls(version: Path, threads: int, calls: int) -> Iterator[Callable[[], float]]:
    script = str(BENCHMARKS / "bare_calls.py")
    argv = [sys.executable, script, str(version), SIGNATURE, str(threads)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as process:
        asked, answers = process.stdin, process.stdout
        assert asked
        assert answers
        assert answers.readline() == "ready\n"

        def measure() -> float:
            asked.write(f"{calls}\n")
            asked.flush()
            return float(answers.readline())

        yield measure


@contextlib.contextmanager
def _echo() -> Iterator[str]:
    [port] = free_ports(1)
    with subprocess.Popen([sys.executable, str(BENCHMARKS / "grpc_echo.py"), str(port)]) as process:
        try:
            until_open(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


@contextlib.contextmanager
def _fastapi(version: Path) -> Iterator[tuple[str, int]]:
    """Its address and its process."""
    [port] = free_ports(1)
    argv = [sys.executable, str(BENCHMARKS / "fastapi_peer.py"), str(version), str(port)]
    with subprocess.Popen(argv) as process:
        try:
            until_open(port, process)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


if __name__ == "__main__":
    raise SystemExit(main())
