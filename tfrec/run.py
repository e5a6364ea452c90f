"""The run folder: one place for every file name, and the config that makes the run again."""

from __future__ import annotations

import argparse
import fcntl
import json
import shlex
import shutil
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tfrec.atomic import write_text
from tfrec.config import to_yaml
from tfrec.console import say
from tfrec.data.options import DataConfig, SplitConfig, VectorsConfig
from tfrec.errors import Interrupted, UserError
from tfrec.evaluation.options import EvaluationConfig
from tfrec.models.options import ModelConfig
from tfrec.text.options import TextConfig, TextReading
from tfrec.text.pretraining.options import PretrainingConfig
from tfrec.text.tuning.options import TuningConfig
from tfrec.training.options import LossConfig, TrainingConfig

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData

CONFIG = "config.yaml"
DATA = "data.json"
EPOCHS = "epochs.jsonl"
APPENDED = "appended.json"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
NOT_WRITTEN = "(not written down)"


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run depends on, in the sections of config.yaml."""

    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    text: TextConfig = field(default_factory=TextConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    vectors: VectorsConfig = field(default_factory=VectorsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that a pre-training depends on, in the sections of its config.yaml."""

    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    text: TextReading = field(default_factory=TextReading)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)


AnyConfig = TypeVar("AnyConfig", RunConfig, PretrainConfig)


def new_run_folder(kind: str, data: str) -> Path:
    """runs/<kind>-<data>-<date>-<time>, not yet existing."""
    name = "".join(c if c.isalnum() else "-" for c in Path(data).name)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{kind}-{name}-{stamp}"


def start(folder: Path, config: AnyConfig) -> None:
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


def without_secrets(config: AnyConfig) -> AnyConfig:
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


def load_data(folder: Path, config: RunConfig | PretrainConfig) -> PreparedData:
    """The prepared log of a run: the one it began with, or prepared now.

    Raises:
        UserError: as `tfrec.data.ingest.load`; or the prepared log is gone and the salt that made
            it was not written down.
    """
    from tfrec.data.ingest import load
    from tfrec.data.prepared import META, PreparedData

    link = folder / DATA
    if link.exists():
        try:
            prepared = Path(json.loads(link.read_text(encoding="utf-8"))["prepared"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{link} says where the prepared log lies and is damaged ({error!r}); delete it, "
                "and the log is prepared again"
            ) from None
        if (prepared / META).exists():
            return PreparedData.open(prepared)
    if config.data.hash_ids == NOT_WRITTEN:
        raise UserError(
            f"the salt of --hash-ids is not kept in {CONFIG}. Give --hash-ids with the same salt "
            "in a new run: --config FILE --hash-ids SALT"
        )
    data = load(config.data, say)
    link_data(folder, data.folder)
    return data


def link_data(folder: Path, prepared: Path) -> None:
    """Notes in a run folder where its prepared log lies."""
    write_text(folder / DATA, json.dumps({"prepared": str(prepared.resolve())}))


def must_be_run(folder: Path) -> Path:
    """The folder, if a run was started in it.

    Raises:
        UserError: it is no run folder.
    """
    if not (folder / CONFIG).exists():
        raise UserError(f"{folder} is not a run folder: it has no {CONFIG}")
    return folder


def resumed_run(flags: argparse.Namespace, may_change: Collection[str]) -> Path:
    """The folder that --resume names, if the other flags go with it.

    Arguments:
        flags: as parsed; those of options have a dot in their names.
        may_change: options that a run may go on with other values of.

    Raises:
        UserError: they do not, or it is no run folder, or one that was never training.
    """
    changed = [name for name in vars(flags) if "." in name and name not in may_change]
    if changed or flags.config or flags.out:
        given = [name.partition(".")[2].replace("_", "-") for name in changed]
        given += ["config"] * bool(flags.config) + ["out"] * bool(flags.out)
        raise UserError(
            f"--resume takes its options from the run's {CONFIG}; leave out "
            f"{', '.join('--' + name for name in given)} or start a new run"
        )
    folder = must_be_run(Path(flags.resume))
    if (folder / APPENDED).exists():
        raise UserError(
            f"{folder} is a trained run with items added by tfrec.append, not one that was "
            "stopped. Train a new run on a log in which somebody has taken them"
        )
    return folder


@contextmanager
def working(folder: Path, command: str, new: bool) -> Iterator[None]:
    """While a command works in a run folder: keeps others out, and says how to go on.

    Arguments:
        folder: started.
        command: e.g. "tfrec.train".
        new: the folder was made for this. A mistake of the user before anything is learned takes
            it away, so that the corrected command may use its name.

    Raises:
        UserError: another process is at work there.
        Interrupted: on SIGINT or SIGTERM, with the command to go on with.
    """
    go_on = f"Go on with python -m {command} --resume {folder}"
    try:
        with locked(folder):
            yield
    except Interrupted as stop:
        raise Interrupted(f"{stop}. {go_on}", stop.signal_number) from None
    except KeyboardInterrupt:  # outside the training loop, which saves and says so itself
        raise Interrupted(f"interrupted. {go_on}", signal.SIGINT) from None
    except UserError:
        if new and not (folder / EPOCHS).exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise


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
