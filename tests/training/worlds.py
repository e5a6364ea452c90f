"""Small real logs and runs for the training tests, and helpers to drive the command."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALL = {
    # Compiling takes most of the time of such small runs.
    "model": "sasrec",
    "xla": "off",
    "dim": "8",
    "max-length": "20",
    "batch-size": "4",
    "steps-per-call": "3",
    "epochs": "3",
    "warmup-steps": "0",
    "learning-rate": "0.01",
    "baselines": "popularity",
}


def write_log(path: Path, users: int = 60, items: int = 30, seed: int = 0) -> Path:
    """A log in which item n is mostly followed by item n + 1, so that there is order to learn."""
    rng = np.random.default_rng(seed)
    lines = ["user_id,item_id,timestamp"]
    for user in range(users):
        start, length = rng.integers(items), rng.integers(5, 16)
        walk = (start + np.arange(length)) % items
        lines += [f"u{user},i{item},{1_000_000_000 + 60 * n}" for n, item in enumerate(walk)]
    path.write_text("\n".join(lines) + "\n")
    return path


def arguments(log: Path, out: Path | None, **changes: str) -> list[str]:
    options = {"data": str(log), "cache": str(log.parent / "cache")} | SMALL
    options |= {name.replace("_", "-"): value for name, value in changes.items()}
    if out is not None:
        options["out"] = str(out)
    return [part for name, value in options.items() for part in (f"--{name}", value) if part]


def train(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """python -m tfrec.train in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tfrec.train", *argv],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def stopped(command: str, argv: list[str], at: str, number: signal.Signals) -> tuple[int, str]:
    """python -m `command`, sent a signal when it prints a line that begins with `at`.

    Returns:
        The exit code and what stands on standard error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", command, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(at):
            process.send_signal(number)
            break
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def weights(run: Path, name: str = "latest.npz") -> dict[str, NDArray[Any]]:
    with np.load(run / "checkpoints" / name) as saved:
        return {key: saved[key] for key in saved.files if key != "state"}


def same(a: dict[str, NDArray[Any]], b: dict[str, NDArray[Any]]) -> bool:
    return a.keys() == b.keys() and all((a[key] == b[key]).all() for key in a)


def results(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())  # type: ignore[no-any-return]
