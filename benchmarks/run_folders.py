"""Run folders of benchmarks: a finished one is not trained again, one of other settings refused."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from tfrec.config import resolve
from tfrec.errors import UserError
from tfrec.evaluation.results import Results
from tfrec.evaluation.run_evaluation import RESULTS
from tfrec.run import CONFIG, RunConfig
from tfrec.train import train


def trained(config: RunConfig, folder: Path) -> Results:
    """Trains, goes on where a call before was stopped, or reads what it left.

    Raises:
        UserError: the folder holds a run of other settings.
    """
    must_be_of(config, folder)
    if (folder / RESULTS).exists():
        return Results.load(folder / RESULTS)
    return train(config, folder, resume=folder.exists())


def must_be_of(config: RunConfig, folder: Path) -> None:
    """A run folder, if it is one, has exactly these settings.

    Raises:
        UserError: it has others, which are named.
    """
    if not (folder / CONFIG).exists():
        return
    found = asdict(resolve(RunConfig, argparse.Namespace(), folder / CONFIG))
    wanted = asdict(config)
    others = [
        f"{section}.{name} {found[section][name]!r}, not {value!r}"
        for section, options in wanted.items()
        for name, value in options.items()
        if found[section][name] != value
    ]
    if others:
        raise UserError(
            f"{folder} holds a run with {'; '.join(others)}. Give another --out, or remove it"
        )
