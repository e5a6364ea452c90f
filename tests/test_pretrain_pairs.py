"""Pre-training on item pairs as a user meets it: what is learned, from what, and refusals."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfrec.config import resolve
from tfrec.data.sequences import count_items
from tfrec.data.splits import make_split
from tfrec.pretrain import PAIRS, main
from tfrec.run import CONFIG, PretrainConfig, load_data
from tfrec.text.encoder import load_encoder
from tfrec.text.pretraining.item_pairs import ItemPairs

TOPICS = [
    "brass copper iron silver nickel cobalt zinc tin",
    "maple willow birch cedar aspen poplar larch elm",
    "violin cello flute oboe trumpet piano harp horn",
    "harbour lagoon river delta canal island cape bay",
]
ITEMS = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users keep to a topic; a title has two of its words, so that most titles share none."""
    random = np.random.default_rng(0)
    made = tmp_path_factory.mktemp("pairs")
    titles = [
        " ".join(random.choice(TOPICS[n % 4].split(), 2, replace=False)) for n in range(ITEMS)
    ]
    rows = [f"i{n},{title} {n}" for n, title in enumerate(titles)]
    (made / "items.csv").write_text("\n".join(["item_id,title", *rows]) + "\n")
    lines = ["user_id,item_id,timestamp"]
    for user in range(150):
        taken = 4 * random.permutation(ITEMS // 4)[:12] + user % 4
        lines += [f"u{user},i{item},{60 * n}" for n, item in enumerate(taken)]
    (made / "log.csv").write_text("\n".join(lines) + "\n")
    return made


def arguments(folder: Path, **changes: str) -> list[str]:
    options = {"objective": "item-pairs", "data": str(folder / "log.csv"), "text": "title"}
    options |= {"items": str(folder / "items.csv"), "cache": str(folder / "cache")}
    options |= {"encoder": "scratch:tiny", "epochs": "2", "learning-rate": "0.002"}
    options |= {"text-max-length": "12", "held-out": "0.2", "split": "cold-items"}
    options |= {"out": str(folder / "run")} | changes
    return [part for name, value in options.items() for part in (f"--{name}", value) if value]


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    command = [sys.executable, "-m", "tfrec.pretrain", *arguments(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (folder / "console.txt").write_text(done.stdout)
    return folder / "run"


def results(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())  # type: ignore[no-any-return]


def test_it_finds_partners_that_words_do_not(folder: Path, run: Path) -> None:
    found = results(run)
    assert list(found) == ["popularity", "tf-idf", "before", "after", "epochs"]
    assert found["popularity"]["accuracy"] == pytest.approx(0.5, abs=0.1)
    # A text that shares no word with the one that asks: of four topics it is likely the wrong one.
    assert 0.55 < found["tf-idf"]["accuracy"] < 0.75
    assert found["after"]["accuracy"] > found["tf-idf"]["accuracy"] + 0.1
    assert found["after"]["mrr"] > found["before"]["mrr"]
    best = max(epoch["validation mrr"] for epoch in found["epochs"])
    assert found["after"]["mrr"] == pytest.approx(best, rel=1e-4)
    console = (folder / "console.txt").read_text()
    assert "training events of cold-items" in console
    assert f"encoder: {run / 'encoder'}" in console
    before, after = (load_encoder(run / name, 12) for name in ("start", "encoder"))
    assert before.fingerprint != after.fingerprint
    assert after.tokenizer.max_length == 12


def test_only_training_events_are_read(run: Path) -> None:
    config = resolve(PretrainConfig, argparse.Namespace(), run / CONFIG)
    data = load_data(run, config)
    train = make_split(data, config.split, seed=0).train()
    known = int((count_items(train, data.num_items) > 0).sum())
    assert known < data.num_items
    pairs = ItemPairs.load(run / PAIRS)
    # Every title is another one and every user has neighbours: an item in training is a text.
    assert len(pairs) == known
    near = sum(np.maximum(train.lengths - distance, 0).sum() for distance in range(1, 6))
    assert pairs.counts.sum() == 2 * near


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": "reviews.txt"}, "--objective item-pairs needs a log"),
        ({"batch-pairs": "1"}, "--batch-pairs 1 must be at least 2"),
        ({"pair-window": "0"}, "--pair-window must be at least 1"),
        ({"items": "", "text": ""}, "needs texts"),
    ],
)
def test_a_mistake_is_one_clear_line(
    folder: Path, changes: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, **{"out": str(folder / "refused")} | changes)) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not (folder / "refused").exists()
