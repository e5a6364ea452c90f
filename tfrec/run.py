"""The run folder: one place for every file name, and the config that makes the run again."""

from __future__ import annotations

import fcntl
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrec.atomic import write_text
from tfrec.config import to_yaml
from tfrec.console import say
from tfrec.data.options import DataConfig, SplitConfig
from tfrec.errors import UserError
from tfrec.evaluation.options import EvaluationConfig
from tfrec.models.options import ModelConfig
from tfrec.text.options import TextConfig
from tfrec.training.options import LossConfig, TrainingConfig

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData

CONFIG = "config.yaml"
DATA = "data.json"
EPOCHS = "epochs.jsonl"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
NOT_WRITTEN = "(not written down)"


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run depends on, in the sections of config.yaml."""

    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    losses: LossConfig = field(default_factory=LossConfig)
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
        write_text(folder / CONFIG, to_yaml(without_secrets(config)))
    except OSError as error:
        raise UserError(f"cannot write the run folder {folder}: {error.strerror}") from None


def without_secrets(config: RunConfig) -> RunConfig:
    """The config as it may be written down: the salt of --hash-ids would undo the hashing."""
    if config.data.hash_ids is None:
        return config
    return replace(config, data=replace(config.data, hash_ids=NOT_WRITTEN))


def command_line() -> str:
    """The command of this process as it may be written down, see `without_secrets`."""
    argv, shown = sys.orig_argv[1:], ["python"]
    for before, word in zip(["", *argv], argv, strict=False):
        if before == "--hash-ids":
            word = NOT_WRITTEN
        elif word.startswith("--hash-ids="):
            word = f"--hash-ids={NOT_WRITTEN}"
        shown.append(word)
    return shlex.join(shown)


def load_data(folder: Path, config: RunConfig) -> PreparedData:
    """The prepared log of a run: the one it began with, or prepared now.

    Raises:
        UserError: as `tfrec.data.ingest.load`; or the prepared log is gone and the salt that made
            it was not written down.
    """
    from tfrec.data.ingest import load
    from tfrec.data.prepared import META, PreparedData

    link = folder / DATA
    if link.exists():
        prepared = Path(json.loads(link.read_text(encoding="utf-8"))["prepared"])
        if (prepared / META).exists():
            return PreparedData.open(prepared)
    if config.data.hash_ids == NOT_WRITTEN:
        raise UserError(
            f"the salt of --hash-ids is not kept in {CONFIG}. Give --hash-ids with the same salt "
            "in a new run: --config FILE --hash-ids SALT"
        )
    data = load(config.data, say)
    write_text(link, json.dumps({"prepared": str(data.folder.resolve())}))
    return data


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
    write_text(folder / EPOCHS, lines)
