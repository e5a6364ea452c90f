"""Load on a server: how many requests it answers, and how long clients wait.

    python benchmarks/load.py models/shop                        (starts the local server; 3 min)
    python benchmarks/load.py models/shop --batching             (the same, merging requests)
    python benchmarks/load.py models/shop --grpc HOST:8500 --rest http://HOST:8501
                                                     (a server that runs, e.g. TensorFlow Serving)
    python benchmarks/load.py models/shop --quick                (half a minute)

Asks what the export stored as samples, one user per request. Closed loop: every connection sends
its next request when the last one is answered, which finds the capacity. Open loop: requests come
at random times (Poisson) at a share of that capacity, and a latency counts from the time at which
the request was due, not from when a connection was free for it (no coordinated omission). The
warm-up is not counted. Clients share the machine with a server that is started here, so rates are
lower bounds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from load_loops import Connect, GrpcConnection, Measured, RestConnection, closed_loop, open_loop
from local_server import LocalServer
from results import write_section
from sample_requests import Samples, draw, newest_version, parse_mix, read_samples

from tfrec.console import say
from tfrec.errors import UserError, command
from tfrec.run import command_line

# What a shop front asks: lists mostly, some scores for a ranker of its own, a reason now and then.
MIX = ["recommend=5", "score=4", "explain=1"]
QUANTILES = (0.5, 0.9, 0.99, 0.999)


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, help="folder of an exported model")
    parser.add_argument("--grpc", help="HOST:PORT of a running server")
    parser.add_argument("--rest", help="http://HOST:PORT of a running server")
    parser.add_argument("--batching", action="store_true", help="start ours with batching")
    parser.add_argument("--mix", nargs="+", default=MIX, help=f"shares (default {' '.join(MIX)})")
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[1, 8, 32], help="(default 1 8 32)"
    )
    parser.add_argument(
        "--loads",
        type=float,
        nargs="+",
        default=[0.5, 0.8],
        help="open loop, as shares of the best closed loop (default 0.5 0.8)",
    )
    parser.add_argument("--seconds", type=float, default=12, help="per loop (default 12)")
    parser.add_argument("--warmup", type=float, default=3, help="seconds before (default 3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="PNG of the latencies")
    parser.add_argument("--quick", action="store_true", help="2 s per loop, nothing is written")
    flags = parser.parse_args(argv)
    if flags.quick:
        flags.seconds, flags.warmup = 2.0, 1.0
    samples = read_samples(newest_version(flags.models))
    running = bool(flags.grpc or flags.rest)
    if running and flags.batching:
        raise UserError("--batching is for the server started here; the running one has its own")
    with contextlib.ExitStack() as stack:
        if not running:
            server = LocalServer(flags.models, samples.model, batching=flags.batching)
            stack.enter_context(server)
            flags.grpc, flags.rest = server.grpc, server.rest
        measured = measure(flags, samples)
    lines = table(measured)
    for line in lines:
        say(line)
    if flags.plot:
        plot(measured, flags.plot)
        say(f"plot: {flags.plot}")
    if not flags.quick:
        kind = "a running server" if running else "the local server"
        how = f"{kind}, {'batching, ' if flags.batching else ''}{os.cpu_count()} cores"
        intro = f"`{command_line()}`\n\n{how}; {' '.join(flags.mix)}; latencies in ms.\n\n"
        write_section(f"Load on {kind}{', batching' * flags.batching}", intro + "\n".join(lines))
    return 1 if any(one.failed for one in measured.values()) else 0


def measure(flags: argparse.Namespace, samples: Samples) -> dict[str, Measured]:
    """Every loop on every transport, by what it is called in the table."""
    transports: dict[str, Connect] = {}
    if flags.grpc:
        transports["gRPC"] = lambda: GrpcConnection(flags.grpc)
    if flags.rest:
        transports["REST"] = lambda: RestConnection(flags.rest, samples.model)
    found: dict[str, Measured] = {}
    times: dict[str, Any] = {"seconds": flags.seconds, "warmup": flags.warmup}
    for transport, connect in transports.items():
        best = 0.0
        for workers in flags.connections:
            requests = draw(samples, parse_mix(flags.mix), flags.seed)
            one = closed_loop(connect, requests, workers, **times)
            found[f"{transport}, closed, {workers} connections"] = one
            best = max(best, one.rate)
            say(f"{transport}, {workers} connections: {one.rate:.0f} requests/s")
        if not best:
            raise UserError(f"no request over {transport} succeeds: is the model loaded there?")
        for share in flags.loads:
            requests = draw(samples, parse_mix(flags.mix), flags.seed)
            rate, workers = share * best, max(flags.connections)
            one = open_loop(connect, requests, rate, workers, seed=flags.seed, **times)
            found[f"{transport}, open, {rate:.0f}/s"] = one
            say(f"{transport}, {rate:.0f}/s on average: p99 {one.quantile(0.99):.1f} ms")
    return found


def table(measured: dict[str, Measured]) -> list[str]:
    """Markdown: a line per loop, then the signatures of each transport's fullest closed loop."""
    head = "requests | failed | requests/s | p50 | p90 | p99 | p99.9 | max |"
    lines = [f"| loop | {head}", "|---|" + "---:|" * 8]
    for name, one in measured.items():
        cells = [len(one.latencies), one.failed, f"{one.rate:.0f}"]
        cells += [f"{one.quantile(share):.2f}" for share in (*QUANTILES, 1.0)]
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    lines += [
        "",
        "| signature, in the last closed loop | requests | p50 | p99 |",
        "|---|---:|---:|---:|",
    ]
    last = {name.split(",")[0]: one for name, one in measured.items() if "closed" in name}
    for transport, one in last.items():
        for signature in np.unique(one.signatures):
            own = one.latencies[one.signatures == signature]
            p50, p99 = np.quantile(own, [0.5, 0.99])
            lines.append(f"| {transport}, {signature} | {len(own)} | {p50:.2f} | {p99:.2f} |")
    return lines


def plot(measured: dict[str, Measured], path: Path) -> None:
    """Latency over the share of requests that took longer, a line per loop."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(11, 5), layout="constrained")
    for name, one in measured.items():
        ordered = np.sort(one.latencies)
        slower = 1 - np.arange(len(ordered)) / max(1, len(ordered))
        axes.plot(slower, ordered, label=name, linestyle="--" if "open" in name else "-")
    axes.set(xscale="log", yscale="log", xlabel="quantile", ylabel="latency, ms")
    axes.invert_xaxis()
    marks = {0.5: "p50", 0.1: "p90", 0.01: "p99", 0.001: "p99.9"}
    axes.set_xticks(list(marks), list(marks.values()))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
