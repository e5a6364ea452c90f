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

    @classmethod
    def of(cls, model: Model, models: Path, console: str) -> Published:
        """Reads the contract that was written."""
        return cls(model, models, console, read_contract(models / "1")["signatures"])


def publish(run: Path, models: Path) -> tuple[Path, str]:
    """Runs the command in a process of its own; the model is to be called shop.

    Returns:
        The model folder, and what was printed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "export", run, models, "--name", "shop"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return models, done.stdout
