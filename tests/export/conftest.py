"""Two small runs, trained and exported once for all tests of the export."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from export.contract import read_contract
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


class Model(NamedTuple):
    """A run, its SavedModel, and the process that serves it."""

    run: Path
    folder: Path
    exported: Exported
    served: Served


def _write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 users, 24 items of two kinds with titles, actions, ratings, and an encoder of texts."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    events = [["user_id", "item_id", "timestamp", "action", "rating"]]
    for user in range(40):
        for n in range(rng.integers(6, 14)):
            item = 2 * rng.integers(len(IDS) // 2) + ((rng.random() < 0.1) ^ (user % 2))
            time = 1_000_000_000 + user * 3600 + n * 2 * DAY
            action = rng.choice(["view", "rate", "buy"], p=[0.2, 0.5, 0.3])
            events.append([f"u{user}", IDS[item], str(time), action, str(n % 5 + 1)])
    _write(folder / "log.csv", events)
    titles = [f"The {n}th <b>{'moon' if n % 2 else 'song'}</b>" for n in range(len(IDS))]
    titles[4] = ""
    kinds = ["Space", "Love"]
    items = [[name, titles[n], kinds[n % 2]] for n, name in enumerate(IDS)]
    _write(folder / "items.csv", [["item_id", "title", "kinds"], *items])
    make_scratch("tiny", titles, folder / "encoder")
    return folder


def _trained(world: Path, name: str, **changes: str) -> Path:
    given = {
        "max_length": "8",
        "layers": "1",
        "epochs": "2",
        "batch_size": "40",
        "steps_per_call": "1",
        "xla": "off",
        "baselines": "none",
        "items": str(world / "items.csv"),
        "text": "title",
        "categories": "kinds",
        "columns": "strength=rating",
    }
    assert main(arguments(world / "log.csv", world / name, **(given | changes))) == 0
    return world / name


def _served(run: Path) -> Iterator[Model]:
    folder = run.parent / f"{run.name}-model" / "1"
    exported = save_run(run, folder, TOP_K)
    with Served(folder) as served:
        yield Model(run, folder, exported, served)


@pytest.fixture(scope="session")
def ledger(world: Path) -> Iterator[Model]:
    """Texts, categories, actions, strengths, topics and a residual line."""
    run = _trained(
        world,
        "ledger",
        model="ledger",
        facets="1",
        facet_dim="4",
        topics="2",
        deletion_loss="0",
        residual="",
        learning_rate="0.05",
        text_encoder=str(world / "encoder"),
        text_max_length="16",
    )
    yield from _served(run)


@pytest.fixture(scope="session")
def sasrec(world: Path) -> Iterator[Model]:
    """A model that knows nothing but items and their order."""
    yield from _served(_trained(world, "sasrec", model="sasrec"))


class Published(NamedTuple):
    """What python -m export made of the ledger.

    Attributes:
        ledger: the run.
        models: the model folder.
        console: what it printed.
        signatures: of the contract that it wrote.
    """

    ledger: Model
    models: Path
    console: str
    signatures: dict[str, Any]


@pytest.fixture(scope="session")
def published(ledger: Model, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The ledger's first version. Tests leave it as it is."""
    models = tmp_path_factory.mktemp("models") / "shop"
    done = subprocess.run(
        [sys.executable, "-m", "export", ledger.run, models, "--name", "shop"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return Published(ledger, models, done.stdout, read_contract(models / "1")["signatures"])
