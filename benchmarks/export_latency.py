"""What an exported run costs: export time, size, cold start, and the latency of every signature.

    python benchmarks/export_latency.py runs/a            (minutes)
    python benchmarks/export_latency.py runs/a --quick    (few calls, nothing written)

The run goes through python -m export. Latency is of `Predict` inside one process, for one user and
for 64, without a server: p50 and p99 of alternating calls. Cold start is of the local server: from
its command to the first answer, with its warm-up records and without; without, the first request
pays for what they would have paid.
"""

from __future__ import annotations

import argparse
import http.client
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results import write_section

from tfrec.console import import_tensorflow, say, seconds, size
from tfrec.errors import UserError, command
from tfrec.run import must_be_run

if TYPE_CHECKING:
    from export.probe.model import Model

_USERS = (1, 64)
_CALLS = 200
_QUICK_CALLS = 10
_STARTS = 3
_PATIENCE = 600


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder of python -m tfrec.train")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_CALLS} calls, one start")
    flags = parser.parse_args(argv)
    run = must_be_run(flags.run)
    import_tensorflow()
    from export.probe.model import Model
    from export.probe.replay import read_samples

    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        export_seconds = exported(run, models)
        version = models / "1"
        num_bytes = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
        say("latency")
        model, samples = Model(version), read_samples(version / "assets.extra" / "samples")
        inputs = {name: sample.inputs for name, sample in samples.items()}
        table = latencies(model, inputs, _QUICK_CALLS if flags.quick else _CALLS)
        say("cold start")
        starts = cold_starts(models, 1 if flags.quick else _STARTS)
    lines = [
        f"`python benchmarks/export_latency.py {flags.run}{' --quick' if flags.quick else ''}`",
        "",
        f"Exported, asked for samples and checked in {seconds(export_seconds)}; {size(num_bytes)}. "
        "From the command of the local server to its first answer: "
        f"{seconds(starts['with'][0])} with warm-up records, of which the first request took "
        f"{1000 * starts['with'][1]:.0f} ms; {seconds(starts['without'][0])} without, of which it "
        f"took {1000 * starts['without'][1]:.0f} ms.",
        "",
        *table,
    ]
    say("\n".join(lines))
    if not flags.quick:
        write_section("What an export costs", "\n".join(lines))
    return 0


def exported(run: Path, models: Path) -> float:
    """Seconds of python -m export."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "export", run, models, "--name", "bench"], check=False
    )
    if done.returncode:
        raise UserError(f"{run} could not be exported; the reason is above")
    return time.perf_counter() - started


def latencies(model: Model, inputs: Mapping[str, Mapping[str, Any]], calls: int) -> list[str]:
    """A table of milliseconds. All signatures take turns, so that none has the quiet minutes."""
    cells = [(name, users) for name in inputs for users in _USERS]
    asked = {cell: repeated(inputs[cell[0]], cell[1]) for cell in cells}
    times: dict[tuple[str, int], list[float]] = {cell: [] for cell in cells}
    for turn in range(-2, calls):
        for cell in cells:
            started = time.perf_counter()
            model.ask(cell[0], asked[cell])
            if turn >= 0:
                times[cell].append(1000 * (time.perf_counter() - started))
    head = " | ".join(f"{users}, p50 | {users}, p99" for users in _USERS)
    lines = [f"| milliseconds for users | {head} |", "|---|" + "---|" * 2 * len(_USERS)]
    for name in inputs:
        found = [np.quantile(times[name, users], [0.5, 0.99]) for users in _USERS]
        lines.append(f"| `{name}` | " + " | ".join(f"{x:.1f}" for x in np.ravel(found)) + " |")
    return lines


def repeated(inputs: Mapping[str, Any], users: int) -> dict[str, Any]:
    """The sample's rows over and over."""
    return {name: value[np.arange(users) % len(value)] for name, value in inputs.items()}


def cold_starts(models: Path, starts: int) -> dict[str, tuple[float, float]]:
    """Median seconds from the command to the first answer, and of the first request alone."""
    body = (
        models / "1" / "assets.extra" / "samples" / "requests" / "recommend.rows.json"
    ).read_bytes()
    found: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
    for _ in range(starts):
        for name, measured in found.items():
            measured.append(cold_start(models, body, name == "with"))
    return {name: tuple(np.median(times, axis=0)) for name, times in found.items()}


def cold_start(models: Path, body: bytes, warm_up: bool) -> tuple[float, float]:
    port = free_port()
    started = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "serving", "--port=0", f"--rest_api_port={port}",
         "--model_name=bench", f"--model_base_path={models}",
         f"--grpc_socket_path={models / 'socket'}",
         f"--enable_model_warmup={'true' if warm_up else 'false'}"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            asked = time.perf_counter()
            if answers(port, body):
                return time.perf_counter() - started, time.perf_counter() - asked
            if server.poll() is not None or asked - started > _PATIENCE:
                raise UserError(f"the local server does not answer for {models}")
            time.sleep(0.02)
    finally:
        server.terminate()
        server.wait()


def answers(port: int, body: bytes) -> bool:
    """Whether the request gets its answer already."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("POST", "/v1/models/bench:predict", body)
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise UserError(f"the local server says {answer.read().decode()}")
        return True
    except ConnectionError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    raise SystemExit(main())
