"""Pre-training as a user meets it: what is learned, kept, stopped and gone on with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.training.worlds import same, stopped, weights, write_log
from tfrec.pretrain import main
from tfrec.text.encoder import load_encoder

TOPICS = [
    "brass copper iron silver nickel cobalt",
    "maple willow birch cedar aspen poplar",
    "violin cello flute oboe trumpet piano",
    "harbour lagoon river delta canal island",
]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every text has the words of one topic: what is hidden can be told from the rest."""
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(TOPICS[n % 4].split(), 6, replace=False)) for n in range(600)]
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def arguments(source: Path, out: Path, **changes: str) -> list[str]:
    options = {"texts": str(source), "out": str(out), "encoder": "scratch:tiny", "epochs": "12"}
    options |= {"batch-tokens": "512", "learning-rate": "0.002", "held-out": "0.2"}
    options |= {name.replace("_", "-"): value for name, value in changes.items()}
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def pretrain(*argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tfrec.pretrain", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def results(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def run(texts: Path) -> Path:
    folder = texts.parent / "run"
    done = pretrain(*arguments(texts, folder))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (folder / "console.txt").write_text(done.stdout)
    return folder


def test_it_learns_to_guess_what_frequencies_cannot(run: Path) -> None:
    found = results(run)
    # 24 words, as frequent as each other; a topic leaves at most 6.
    assert found["unigram"]["perplexity"] == pytest.approx(24, rel=0.15)
    assert found["before"]["perplexity"] > 24
    assert found["after"]["perplexity"] < 12
    assert found["after"]["accuracy"] > 2 * found["unigram"]["accuracy"]
    epochs = [epoch["validation perplexity"] for epoch in found["epochs"]]
    assert len(epochs) == 12
    assert found["after"]["perplexity"] == pytest.approx(min(epochs), rel=1e-5)
    console = (run / "console.txt").read_text()
    assert "validation perplexity" in console
    assert f"encoder: {run / 'encoder'}" in console


def test_what_it_leaves_is_an_encoder_that_has_changed(run: Path) -> None:
    before = load_encoder(run / "start", 128)
    after = load_encoder(run / "encoder")
    assert after.tokenizer.max_length == 128
    alike = tf.constant(["brass copper iron", "cobalt nickel silver", "violin cello flute"])

    def cosines(encoder: Any) -> Any:
        vectors = tf.math.l2_normalize(encoder(alike) - tf.reduce_mean(encoder(alike), 0), axis=1)
        return (vectors @ tf.transpose(vectors)).numpy()

    # Texts of one topic share no word; only what was read says that they belong together.
    assert cosines(after)[0, 1] > cosines(before)[0, 1] + 0.3
    assert cosines(after)[0, 1] > cosines(after)[0, 2] + 0.5


def test_stopped_it_ends_the_same(texts: Path, run: Path) -> None:
    folder = texts.parent / "stopped"
    argv = arguments(texts, folder, steps_per_call="3")
    code, errors = stopped("tfrec.pretrain", argv, "epoch   2", signal.SIGTERM)
    assert code == 143
    assert f"python -m tfrec.pretrain --resume {folder}" in errors
    done = pretrain("--resume", str(folder))
    assert done.returncode == 0, done.stderr
    assert "resuming at epoch" in done.stdout
    assert same(weights(folder), weights(run))
    kept = [load_encoder(where / "encoder").fingerprint for where in (folder, run)]
    assert kept[0] == kept[1]
    assert results(folder)["before"] == results(run)["before"]


def test_going_on_begins_where_it_ended(texts: Path, run: Path) -> None:
    """On a catalogue this time, two replicas, its head and all."""
    folder = texts.parent
    log = write_log(folder / "log.csv", items=150)
    titles = texts.read_text().splitlines()
    rows = [f"i{n},<b>{title}</b>" for n, title in enumerate(titles[:150])]
    (folder / "items.csv").write_text("\n".join(["item_id,title", *rows]) + "\n")
    argv = ["--data", str(log), "--items", str(folder / "items.csv"), "--text", "title"]
    argv += ["--encoder", str(run / "encoder"), "--out", str(folder / "on"), "--epochs", "1"]
    argv += ["--strategy", "mirrored", "--replicas", "2", "--cache", str(folder / "cache")]
    done = pretrain(*argv)
    assert done.returncode == 0, done.stderr
    assert "2 replica(s)" in done.stdout
    found = results(folder / "on")
    assert found["before"]["perplexity"] < 14
    assert found["after"]["perplexity"] < 14
    assert "base_model: encoder\n" in (folder / "on" / "encoder" / "README.md").read_text()
    assert not (run / "encoder" / "README.md").exists()
    before, after = (load_encoder(where / "encoder").fingerprint for where in (run, folder / "on"))
    assert before != after


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": "nowhere.txt"}, "nowhere.txt does not exist"),
        ({"encoder": "scratch:huge"}, "known: tiny, mini, small"),
        ({"encoder": "nowhere"}, "there is no folder nowhere"),
        ({"mask-rate": "1.5"}, "--mask-rate 1.5 must be between 0 and 1"),
        ({"epochs": "0"}, "--epochs must be at least 1"),
    ],
)
def test_a_mistake_is_one_clear_line(
    texts: Path, changes: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(texts, texts.parent / "refused", **changes)) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not (texts.parent / "refused").exists()
