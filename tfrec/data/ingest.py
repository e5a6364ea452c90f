"""From a raw log to a prepared folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tfrec.data.layout import LogLayout
from tfrec.data.options import DataConfig
from tfrec.data.prepared import PreparedData

Log = Callable[[str], None]


def prepare(layout: LogLayout, config: DataConfig, out: Path, log: Log = print) -> PreparedData:
    """Reads, checks, filters and sorts a log into the prepared folder `out`."""
    raise NotImplementedError


def load(config: DataConfig, log: Log = print) -> PreparedData:
    """The prepared log that `config.data` names, prepared into the cache where it is not yet."""
    raise NotImplementedError
