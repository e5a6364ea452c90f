"""Versions come and go every second while clients ask: nothing may fail, and nothing may grow.

    python benchmarks/soak.py models/shop                         (11 minutes)
    python benchmarks/soak.py models/shop --seconds 30 --quick    (nothing is written)

Every second, or as fast as the server loads them, the newest version is copied to a new number and
the one before it is deleted: first of y = x / 2 + 2, for a minute, where nothing but the server
takes time; then of the exported model, whose functions TensorFlow optimises anew in every version.
Meanwhile requests for all stored samples come at random times over gRPC and REST; a latency counts
from when its request was due. Bars: no failed request; versions are swapped, of the small model at
least every two seconds; from two minutes on (a shorter time says nothing), memory grows by less
than 20 MB a minute over the second half.

A swap counts from when a version lies there until it is served, so it includes up to a second in
which the server does not look. Beside it stands the processor time that the server spent from one
swap to the next, with what it spent on the requests: where it is the greater part, a faster machine
or a smaller graph is what makes swaps faster.
"""

from __future__ import annotations

import argparse
import json
import math
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
from local_server import LocalServer, cpu_seconds
from results import write_section
from sample_requests import Request, Samples, draw, newest_version, read_samples

from tfrec.console import import_tensorflow, say
from tfrec.errors import command
from tfrec.run import command_line

CLIENTS = 8  # per transport, more than are needed
SMALL_SECONDS, SMALL_SWAP = 60.0, 2.0  # how long, and the longest time from swap to swap
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
    lines = [
        "| model | transport | requests | failed | requests/s | p50, ms | p99, ms | max, ms |",
        "|---|---|" + "---:|" * 6,
    ]
    told, passed = [], True
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "half_plus_two"
        subjects = [
            (save_half_plus_two(small), small, min(flags.seconds, SMALL_SECONDS), SMALL_SWAP),
            (read_samples(version), version, flags.seconds, math.inf),
        ]
        for samples, source, seconds, longest in subjects:
            found, swaps = soak(samples, source, flags.rate, seconds)
            for transport, one in found.items():
                cells = [
                    samples.model,
                    transport,
                    len(one.latencies),
                    one.failed,
                    f"{one.rate:.0f}",
                ]
                cells += [f"{one.quantile(share):.1f}" for share in (0.5, 0.99, 1.0)]
                lines.append(f"| {' | '.join(map(str, cells))} |")
            told.append(swaps.summary(samples.model, seconds))
            answered = all(len(one.latencies) and not one.failed for one in found.values())
            flat = swaps.growth() < MOST_GROWTH or seconds < GROWTH_FROM
            often = swaps.count and (seconds < SMALL_SECONDS or seconds / swaps.count <= longest)
            passed = passed and bool(answered and flat and often)
    lines += ["", *told]
    for line in lines:
        say(line)
    if not flags.quick:
        how = f"{os.cpu_count()} cores, {flags.rate:g} requests/s over each transport"
        intro = f"`{command_line()}`\n\n{how}.\n\n"
        write_section("Soak of the local server", intro + "\n".join(lines))
    return 0 if passed else 1


def soak(
    samples: Samples, version: Path, rate: float, seconds: float
) -> tuple[dict[str, Measured], Swaps]:
    """One server, its versions swapped while requests come."""
    with tempfile.TemporaryDirectory() as folder:
        versions = Versions(version, Path(folder) / samples.model)
        with LocalServer(versions.base, samples.model, "--max_num_load_retries=0") as server:
            swaps = Swaps(versions, server, f"{server.rest}/v1/models/{samples.model}")
            swaps.start()
            found = ask(server, samples, rate, seconds)
            swaps.stop()
    return found, swaps


def save_half_plus_two(folder: Path) -> Samples:
    """Saves y = x / 2 + 2; returns a request for it."""
    tf = import_tensorflow()
    from tensorflow_serving.apis import predict_pb2

    module = tf.Module()
    module.half, module.two = tf.Variable(0.5), tf.Variable(2.0)
    y = tf.function(lambda x: {"y": module.half * x + module.two})
    signature = y.get_concrete_function(x=tf.TensorSpec([None], tf.float32))
    tf.saved_model.save(module, str(folder), signatures=signature)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = folder.name
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0, 5.0], tf.float32))
    rest = b'{"instances": [1.0, 2.0, 5.0]}'
    one = Request("serving_default", request.SerializeToString(), rest)
    return Samples(folder.name, {one.signature: [one]})


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
        waits: seconds until a new version was served, of each whose predecessor was then deleted.
        memory: (second, MB) of the server, after each.
    """

    def __init__(self, versions: Versions, server: LocalServer, status: str) -> None:
        super().__init__()
        self._versions, self._server, self._status = versions, server, status
        self._end = threading.Event()
        self.waits: list[float] = []
        self.memory: list[tuple[float, float]] = []

    @property
    def count(self) -> int:
        return len(self.waits)

    def run(self) -> None:
        self._cpu = cpu_seconds(self._server.process.pid)
        self._start = self._server.resident_mb()
        while not self._end.is_set():
            started = time.monotonic()
            self._versions.add()
            while not self._served(self._versions.newest):
                if self._end.wait(0.1):
                    return
            self.waits.append(time.monotonic() - started)
            self._versions.delete(self._versions.newest - 1)
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
        self._cpu = cpu_seconds(self._server.process.pid) - self._cpu
        self._last = self._server.resident_mb()

    def summary(self, model: str, seconds: float) -> str:
        """What a reader wants to know."""
        if not self.waits:
            return f"{model}: no version was swapped in {seconds:.0f} s."
        middle, most = np.quantile(self.waits, [0.5, 1.0])
        growth = self.growth()
        memory = f"{self._start:.0f} MB at the start, {self._last:.0f} MB at the end"
        if not math.isnan(growth):
            memory += f", {growth:+.1f} MB per minute over the second half"
        return (
            f"{model}: {self.count} times in {seconds:.0f} s a new version was served and the old "
            f"one deleted, after {middle:.1f} s (median; {most:.1f} s at most). From swap to swap "
            f"{seconds / self.count:.1f} s went by, in which the server used "
            f"{self._cpu / self.count:.1f} s of processor time. Memory: {memory}.\n"
        )

    def growth(self) -> float:
        """MB per minute: the slope of a line through the second half; NaN without one."""
        if len(self.memory) < 4:
            return float("nan")
        seconds, resident = np.array(self.memory[len(self.memory) // 2 :]).T
        return 60 * float(np.polyfit(seconds, resident, 1)[0])


if __name__ == "__main__":
    raise SystemExit(main())
