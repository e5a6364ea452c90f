"""The synthetic world: a log whose every cause is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tfrec.data.layout import LogLayout, TableLayout

EVENTS, ITEMS, USERS, TRUTH = "events.csv", "items.csv", "users.csv", "truth"


def layout(folder: Path) -> LogLayout:
    """How the log that `write_world` wrote into `folder` is to be read."""
    return LogLayout(
        source="synthetic",
        events=TableLayout([folder / EVENTS], columns={"context": "domain"}),
        items=TableLayout([folder / ITEMS]),
        users=TableLayout([folder / USERS]),
        text_columns=["title", "description"],
        category_column="categories",
        category_separator="|",
    )


def write_world(
    folder: Path,
    users: int = 2000,
    items: int = 1000,
    events: int = 200_000,
    seed: int = 0,
    log: Callable[[str], None] = lambda line: None,
) -> None:
    """Writes events.csv, items.csv, users.csv and truth/ into `folder`."""
    raise NotImplementedError
