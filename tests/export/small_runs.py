"""Small runs for the tests of the export, and their SavedModels in processes of their own."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from export.options import Options
from export.saved_model import Exported, save_run
from tests.export.served_model import Served
from tests.training.worlds import arguments
from tfrec.text.scratch import make_scratch
from tfrec.train import main

DAY = 86_400
# Ids may be any text.
ODD = ["東京 7", '"a", b', "🎧", "naïve/é?", "<b>&amp;</b>", "0"]
IDS = [*ODD, *(f"i{n}" for n in range(len(ODD), 24))]
TOP_K = 6
PLAIN = Options(TOP_K)


class Saved(NamedTuple):
    """A run and its SavedModel."""

    run: Path
    folder: Path
    exported: Exported


class Model(NamedTuple):
    """A run, its SavedModel, and the process that serves it."""

    run: Path
    folder: Path
    exported: Exported
    served: Served


def _rows(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def write_world(folder: Path) -> Path:
    """40 users, 24 items of two kinds with titles, actions, ratings, and an encoder of texts."""
    rng = np.random.default_rng(0)
    events = [["user_id", "item_id", "timestamp", "action", "rating"]]
    for user in range(40):
        for n in range(rng.integers(6, 14)):
            item = 2 * rng.integers(len(IDS) // 2) + ((rng.random() < 0.1) ^ (user % 2))
            time = 1_000_000_000 + user * 3600 + n * 2 * DAY
            action = rng.choice(["view", "rate", "buy"], p=[0.2, 0.5, 0.3])
            events.append([f"u{user}", IDS[item], str(time), action, str(n % 5 + 1)])
    _rows(folder / "log.csv", events)
    titles = [f"The {n}th <b>{'moon' if n % 2 else 'song'}</b>" for n in range(len(IDS))]
    titles[4] = ""
    kinds = ["Space", "Love"]
    items = [[name, titles[n], kinds[n % 2]] for n, name in enumerate(IDS)]
    _rows(folder / "items.csv", [["item_id", "title", "kinds"], *items])
    # Only some of the users say what they like.
    says = [[f"u{user}", kinds[user % 2] if user >= 30 else ""] for user in range(40)]
    _rows(folder / "users.csv", [["user_id", "likes"], *says])
    make_scratch("tiny", titles, folder / "encoder")
    return folder


def trained(world: Path, name: str, **changes: str) -> Path:
    """Trains on a world; the run has this name."""
    given = {
        "max_length": "8",
        "layers": "1",
        "epochs": "2",
        "batch_size": "40",
        "steps_per_call": "1",
        "dropout": "0.2",
        "xla": "off",
        "baselines": "none",
        "items": str(world / "items.csv"),
        "text": "title",
        "categories": "kinds",
        "columns": "strength=rating",
    }
    assert main(arguments(world / "log.csv", world / name, **(given | changes))) == 0
    return world / name


def saved(run: Path, name: str = "model", options: Options = PLAIN) -> Saved:
    """Exports a run; the folder has this name."""
    folder = run.parent / f"{run.name}-{name}" / "1"
    return Saved(run, folder, save_run(run, folder, options))


@contextmanager
def served(one: Saved) -> Iterator[Model]:
    """Starts a process that answers for it."""
    with Served(one.folder) as process:
        yield Model(*one, process)
