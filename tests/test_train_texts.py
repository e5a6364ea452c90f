"""Training on texts: vectors of a frozen encoder join the items, and stay with the run."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.training.worlds import arguments, train, write_log
from tfrec.config import resolve
from tfrec.data.splits import make_split
from tfrec.models.build import build_model
from tfrec.run import CONFIG, RunConfig, load_data
from tfrec.text.catalogue_vectors import VECTORS
from tfrec.text.encoder import load_encoder
from tfrec.text.scratch import make_scratch
from tfrec.train import main
from tfrec.trained import load_trained
from tfrec.training import setup

ITEMS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log, a catalogue with titles and an encoder of our own."""
    made = tmp_path_factory.mktemp("texts")
    write_log(made / "log.csv", items=ITEMS)
    titles = [f"<b>Walk</b> {n} of the {'north' if n % 2 else 'south'} coast" for n in range(ITEMS)]
    titles[7] = ""
    rows = [f"i{n},{title}" for n, title in enumerate(titles)]
    (made / "items.csv").write_text("\n".join(["item_id,title", *rows]) + "\n")
    make_scratch("tiny", titles, made / "bert")
    return made


def options(folder: Path, out: str, **changes: str) -> list[str]:
    given = {
        "model": "ledger",
        "facets": "2",
        "facet_dim": "4",
        "deletion_loss": "0",
        "items": str(folder / "items.csv"),
        "text": "title",
        "text_encoder": str(folder / "bert"),
        "text_max_length": "16",
    }
    given = {name: value for name, value in (given | changes).items() if value}
    return arguments(folder / "log.csv", folder / out, **given)


def test_a_run_keeps_its_vectors_and_opens_without_the_encoder(folder: Path) -> None:
    done = train(*options(folder, "run", epochs="2"))
    assert done.returncode == 0, done.stderr
    assert "texts of 29 items as vectors of 128; 1 items have none" in done.stdout
    found = np.load(folder / "run" / VECTORS)
    assert found.shape == (ITEMS, 128)
    config = resolve(RunConfig, argparse.Namespace(), folder / "run" / CONFIG)
    data = load_data(folder / "run", config)
    items = data.items["item_id"].to_pylist()
    encoder = load_encoder(folder / "bert", 16)
    texts = [f"Walk {n[1:]} of the {'north' if int(n[1:]) % 2 else 'south'} coast" for n in items]
    known = np.array([n != "i7" for n in items])
    expected = encoder(tf.constant(texts)).numpy()
    np.testing.assert_allclose(found[known], expected[known], atol=1e-4)
    assert not found[~known].any()
    model = load_trained(folder / "run", config).model
    np.testing.assert_array_equal(model.tower.texts, found)
    # Where training began: not elsewhere, and not there any more.
    setup.seed_everything(config.training)
    fresh = build_model(config.model, data, make_split(data, config.split, 0).train(), found)
    trained = np.asarray(model.tower.text_projection).ravel()
    begun = np.asarray(fresh.tower.text_projection).ravel()
    assert np.corrcoef(trained, begun)[0, 1] > 0.3
    assert np.abs(trained - begun).max() > 0.005

    shutil.move(folder / "bert", folder / "elsewhere")
    try:
        for command in ("tfrec.evaluate", "tfrec.explain"):
            more = ["--user", "u3"] if command == "tfrec.explain" else []
            again = subprocess.run(
                [sys.executable, "-m", command, str(folder / "run"), *more],
                capture_output=True,
                text=True,
                check=False,
            )
            assert again.returncode == 0, again.stderr
    finally:
        shutil.move(folder / "elsewhere", folder / "bert")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "", "items": ""}, "needs texts"),
        ({"text_encoder": "nowhere"}, "nowhere"),
        ({"text_template": "{plot}"}, "plot"),
        ({"model": "sasrec"}, "--text-encoder needs the ledger"),
        ({"long_texts": "chunks", "text_tuning": "lora"}, "--long-texts chunks"),
        ({"text_encoder": "scratch:tiny"}, "tfrec.pretrain --encoder scratch:tiny"),
    ],
)
def test_what_cannot_be_read_is_named(
    folder: Path, changes: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(folder, "refused", **changes)) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not (folder / "refused").exists()
