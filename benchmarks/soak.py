"""Versions come and go every second while clients ask: nothing may fail, and nothing may grow.

    python benchmarks/soak.py models/shop                         (10 minutes)
    python benchmarks/soak.py models/shop --seconds 30 --quick    (nothing is written)

Every second, or as fast as the server loads them, the newest version of an exported model is copied
to a new number and the one before it is deleted. Meanwhile requests for all stored samples come at
random times over gRPC and REST; a latency counts from when its request was due. Bars: no failed
request; versions are swapped; from two minutes on (a shorter time says nothing), memory grows by
less than 20 MB a minute over the second half.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from load_loops import Connect, GrpcConnection, Measured, RestConnection, open_loop
from local_server import LocalServer
from results import write_section
from sample_requests import Samples, draw, newest_version, read_samples

from tfrec.console import say
from tfrec.errors import command
from tfrec.run import command_line

CLIENTS = 8  # per transport, more than are needed
MOST_GROWTH, GROWTH_FROM = 20.0, 120.0  # MB per minute, seconds


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, help="folder of an exported model")
    parser.add_argument("--seconds", type=float, default=600, help="(default 600)")
    parser.add_argument("--rate", type=float, default=20, help="requests/s of each (default 20)")
    parser.add_argument("--quick", action="store_true", help="nothing is written to RESULTS.md")
    flags = parser.parse_args(argv)
    version = newest_version(flags.models)
    samples = read_samples(version)
    with tempfile.TemporaryDirectory() as folder:
        versions = Versions(version, Path(folder) / samples.model)
        with LocalServer(versions.base, samples.model, "--max_num_load_retries=0") as server:
            swaps = Swaps(versions, server, f"{server.rest}/v1/models/{samples.model}")
            swaps.start()
            start = server.resident_mb()
            found = ask(server, samples, flags.rate, flags.seconds)
            swaps.stop()
            end = server.resident_mb()
    growth = swaps.growth()
    lines = [
        "| transport | requests | failed | requests/s | p50, ms | p99, ms | max, ms |",
        "|---|" + "---:|" * 6,
    ]
    for transport, one in found.items():
        cells = [len(one.latencies), one.failed, f"{one.rate:.0f}"]
        cells += [f"{one.quantile(share):.1f}" for share in (0.5, 0.99, 1.0)]
        lines.append(f"| {transport} | {' | '.join(map(str, cells))} |")
    lines += [
        "",
        f"{swaps.count} times in {flags.seconds:.0f} s a new version was served and the old one "
        f"deleted. Memory: {start:.0f} MB at the start, {end:.0f} MB at the end, "
        f"{growth:+.1f} MB per minute over the second half.",
    ]
    for line in lines:
        say(line)
    if not flags.quick:
        how = f"{os.cpu_count()} cores, {flags.rate:g} requests/s over each transport"
        intro = f"`{command_line()}`\n\n{how}.\n\n"
        write_section("Soak of the local server", intro + "\n".join(lines))
    answered = all(len(one.latencies) and not one.failed for one in found.values())
    flat = growth < MOST_GROWTH or flags.seconds < GROWTH_FROM
    return 0 if answered and swaps.count and flat else 1


def ask(server: LocalServer, samples: Samples, rate: float, seconds: float) -> dict[str, Measured]:
    """All stored samples in random order, over both transports at once."""
    connects: dict[str, Connect] = {
        "gRPC": lambda: GrpcConnection(server.grpc),
        "REST": lambda: RestConnection(server.rest, samples.model),
    }
    mix = dict.fromkeys(samples.requests, 1.0)
    found: dict[str, Measured] = {}

    def load(transport: str) -> None:
        requests = draw(samples, mix, seed=0)
        found[transport] = open_loop(
            connects[transport], requests, rate, CLIENTS, seconds, warmup=0.0, seed=0
        )

    threads = [threading.Thread(target=load, args=(name,)) for name in connects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


class Versions:
    """Copies of one version, under rising numbers in `base`."""

    def __init__(self, version: Path, base: Path) -> None:
        self.base, self._version, self.newest = base, version, 0
        base.mkdir()
        self.add()

    def add(self) -> None:
        """The next one, in place at once as an export does it."""
        aside = self.base.parent / "aside"
        shutil.copytree(self._version, aside)
        self.newest += 1
        aside.rename(self.base / str(self.newest))

    def delete(self, number: int) -> None:
        """All of it at once, as far as the server sees."""
        aside = self.base.parent / "gone"
        (self.base / str(number)).rename(aside)
        shutil.rmtree(aside)


class Swaps(threading.Thread):
    """Puts a version into the place of the one before, again and again, and looks at the server.

    Attributes:
        count: new versions that were seen available, their predecessors deleted.
        memory: (second, MB) of the server, after each.
    """

    def __init__(self, versions: Versions, server: LocalServer, status: str) -> None:
        super().__init__()
        self._versions, self._server, self._status = versions, server, status
        self._end = threading.Event()
        self.count = 0
        self.memory: list[tuple[float, float]] = []

    def run(self) -> None:
        while not self._end.is_set():
            started = time.monotonic()
            self._versions.add()
            while not self._served(self._versions.newest):
                if self._end.wait(0.1):
                    return
            self._versions.delete(self._versions.newest - 1)
            self.count += 1
            self.memory.append((time.monotonic(), self._server.resident_mb()))
            self._end.wait(max(0.0, started + 1 - time.monotonic()))

    def _served(self, version: int) -> bool:
        with urllib.request.urlopen(self._status, None, 60) as answer:
            entries = json.load(answer)["model_version_status"]
        return {"version": str(version), "state": "AVAILABLE"} in [
            {key: entry[key] for key in ("version", "state")} for entry in entries
        ]

    def stop(self) -> None:
        self._end.set()
        self.join()

    def growth(self) -> float:
        """MB per minute: the slope of a line through the second half; NaN without one."""
        if len(self.memory) < 4:
            return float("nan")
        seconds, resident = np.array(self.memory[len(self.memory) // 2 :]).T
        return 60 * float(np.polyfit(seconds, resident, 1)[0])


if __name__ == "__main__":
    raise SystemExit(main())
