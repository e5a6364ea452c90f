"""A trained ledger run, opened to be asked."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrec.config import resolve
from tfrec.errors import UserError
from tfrec.run import CONFIG, RunConfig, must_be_run
from tfrec.trained import load_trained

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData
    from tfrec.data.splits import Split
    from tfrec.interest.reading import LedgerReader
    from tfrec.interest.readouts import Readouts


@dataclass(frozen=True)
class LedgerRun:
    """A run folder's parts.

    Attributes:
        folder: of the run.
        config: everything that the run depends on.
        data, split: what it was trained on.
        reader: of the model with the best weights.
        epoch: in which they were reached, from 1.
        readouts: what scores are calibrated to; None if the run has none.
    """

    folder: Path
    config: RunConfig
    data: PreparedData
    split: Split
    reader: LedgerReader
    epoch: int
    readouts: Readouts | None


def load_run(folder: Path) -> LedgerRun:
    """Opens a run of `python -m tfrec.train` and restores its best weights.

    Raises:
        UserError: it is no run, not of the ledger, has no weights yet, or its data is gone.

    Example:
        >>> run = load_run(Path("runs/a"))   # doctest: +SKIP
        >>> run.reader.model.facets          # doctest: +SKIP
        4
    """
    config = resolve(RunConfig, argparse.Namespace(), must_be_run(folder) / CONFIG)
    if config.model.model != "ledger":
        raise UserError(
            f"{folder} holds the model {config.model.model}; only the ledger explains itself. "
            "Train one with python -m tfrec.train --model ledger"
        )
    from tfrec.interest.reading import LedgerReader
    from tfrec.interest.readouts import READOUTS, Readouts

    data, split, model, epoch = load_trained(folder, config)
    readouts = Readouts.load(folder) if (folder / READOUTS).exists() else None
    ledger: Any = model
    return LedgerRun(folder, config, data, split, LedgerReader(ledger), epoch, readouts)
