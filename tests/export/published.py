"""A run that went through python -m export."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from export.contract import Signatures, read_contract
from tests.export.small_runs import Model


class Published(NamedTuple):
    """What the command left.

    Attributes:
        model: of the run.
        models: the model folder, with one version.
        console: what was printed.
        signatures: of the contract that was written.
    """

    model: Model
    models: Path
    console: str
    signatures: Signatures


def publish(model: Model, models: Path) -> Published:
    """Runs the command in a process of its own; the model is to be called shop."""
    done = subprocess.run(
        [sys.executable, "-m", "export", model.run, models, "--name", "shop"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return Published(model, models, done.stdout, read_contract(models / "1")["signatures"])
