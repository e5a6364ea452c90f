"""The run folder: one place for every file name, and the config that makes the run again."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tfrec.config import to_yaml
from tfrec.data.options import DataConfig
from tfrec.data.splits import SplitConfig
from tfrec.errors import UserError
from tfrec.evaluation.options import EvaluationConfig
from tfrec.models.options import ModelConfig
from tfrec.training.options import TrainingConfig

CONFIG = "config.yaml"
EPOCHS = "epochs.jsonl"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run depends on, in the sections of config.yaml."""

    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def new_run_folder(config: RunConfig) -> Path:
    """runs/<model>-<data>-<date>-<time>, not yet existing."""
    log = "".join(c if c.isalnum() else "-" for c in Path(config.data.data).name)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{config.model.model}-{log}-{stamp}"


def start(folder: Path, config: RunConfig) -> None:
    """Makes the run folder and writes its config.

    Raises:
        UserError: the folder holds another run already, or cannot be made.
    """
    if (folder / CONFIG).exists():
        raise UserError(
            f"{folder} holds a run already. Go on with it: --resume {folder}, "
            "or choose another folder with --out"
        )
    try:
        (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(to_yaml(config), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write the run folder {folder}: {error.strerror}") from None


def must_be_run(folder: Path) -> Path:
    """The folder, if a run was started in it.

    Raises:
        UserError: it is no run folder.
    """
    if not (folder / CONFIG).exists():
        raise UserError(f"{folder} is not a run folder: it has no {CONFIG}")
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a second process out of the run folder while this one writes it.

    Raises:
        UserError: another process is at work there.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another process is training in {folder}") from None
        yield


def read_epochs(folder: Path) -> list[dict[str, Any]]:
    """The finished epochs that `write_epochs` wrote; none before the first."""
    if not (folder / EPOCHS).exists():
        return []
    return [json.loads(line) for line in (folder / EPOCHS).read_text("utf-8").splitlines()]


def write_epochs(folder: Path, epochs: list[dict[str, Any]]) -> None:
    """All finished epochs, one JSON object per line."""
    lines = "".join(json.dumps(epoch) + "\n" for epoch in epochs)
    (folder / EPOCHS).write_text(lines, encoding="utf-8")
