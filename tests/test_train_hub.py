"""A ledger on an encoder of TensorFlow Hub, from training to the exported graph."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from export.probe.ops import not_served, op_names
from export.saved_model import save_run
from tests.export.served_model import Served
from tests.text.tiny_saved_models import DIM, write_bert
from tests.training.worlds import arguments, write_log
from tfrec import append
from tfrec.config import resolve
from tfrec.explain import main as explain
from tfrec.run import CONFIG, RunConfig
from tfrec.text.catalogue_vectors import VECTORS
from tfrec.text.hub_encoder import load_hub
from tfrec.train import main
from tfrec.trained import load_trained

ITEMS = 30
TITLES = [f"Walk {n} of the {'north' if n % 2 else 'south'} coast" for n in range(ITEMS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log, a catalogue with titles, and SavedModels that read them."""
    made = tmp_path_factory.mktemp("hub")
    write_log(made / "log.csv", users=30, items=ITEMS)
    titles = [f"<b>{title}</b>" if n != 7 else "" for n, title in enumerate(TITLES)]
    rows = [f"i{n},{title}" for n, title in enumerate(titles)]
    (made / "items.csv").write_text("\n".join(["item_id,title", *rows]) + "\n")
    write_bert(made / "bert")
    return made


def options(folder: Path, out: str, **changes: str) -> list[str]:
    given = {
        "model": "ledger",
        "layers": "1",
        "facets": "1",
        "facet_dim": "4",
        "deletion_loss": "0",
        "epochs": "1",
        "batch_size": "40",
        "baselines": "none",
        "items": str(folder / "items.csv"),
        "text": "title",
        "text_encoder": f"tfhub:{folder / 'bert'}",
        "text_max_length": "16",
    }
    return arguments(folder / "log.csv", folder / out, **(given | changes))


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    assert main(options(folder, "run", query_share="0.3")) == 0
    return folder / "run"


def config_of(run: Path) -> RunConfig:
    return resolve(RunConfig, argparse.Namespace(), run / CONFIG)


def test_it_is_not_tuned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(folder, "refused", text_tuning="lora")) == 2
    assert "--text-tuning lora: tfhub:" in capsys.readouterr().err
    assert not (folder / "refused").exists()


def test_it_trains_on_the_vectors(folder: Path, run: Path) -> None:
    items = load_trained(run, config_of(run)).data.items["item_id"].to_pylist()
    encoder = load_hub(f"tfhub:{folder / 'bert'}", 16)
    expected = encoder(tf.constant([TITLES[int(name[1:])] for name in items])).numpy()
    expected[items.index("i7")] = 0
    found = np.load(run / VECTORS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    cached = folder / "cache" / "texts" / encoder.fingerprint
    assert any(cached.glob("*.npy"))


def test_new_items_and_searches_are_read_by_it(
    folder: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "new.csv").write_text("item_id,title\nx,Walk 90 of the east coast\n")
    assert append.main([str(run), str(folder / "new.csv"), "--out", str(folder / "longer")]) == 0
    found = np.load(folder / "longer" / VECTORS)
    assert found.shape == (ITEMS + 1, DIM)
    expected = load_hub(f"tfhub:{folder / 'bert'}", 16)(tf.constant(["Walk 90 of the east coast"]))
    np.testing.assert_allclose(found[-1], expected[0], atol=1e-5)
    capsys.readouterr()
    asked = []
    for query in ("north coast", "walk of the south"):
        assert explain([str(run), "--user", "u3", "--query", query]) == 0
        asked.append(capsys.readouterr().out)
    assert asked[0] != asked[1]


def test_the_export_reads_strings_without_the_folder(folder: Path, run: Path) -> None:
    version = folder / "models" / "1"
    save_run(run, version)
    assert not_served(op_names(version)) == []
    (folder / "bert").rename(folder / "elsewhere")
    try:
        with Served(version) as served:
            texts = ["Walk <i>3</i> of the north coast", "a walk", ""]
            found = served.ask("embed_text", texts=texts)["embedding"]
    finally:
        (folder / "elsewhere").rename(folder / "bert")
    model = load_trained(run, config_of(run)).model
    vectors = load_hub(f"tfhub:{folder / 'bert'}", 16)(
        tf.constant(["Walk 3 of the north coast", "a walk"])
    )
    vectors = np.concatenate([vectors, np.zeros((1, DIM))]).astype(np.float32)
    tower = model.tower
    placed = model.item_block(tower.norm(vectors @ tower.text_projection.numpy()))
    typical = model.item_block(tower()).numpy().mean(axis=0)
    np.testing.assert_allclose(found[:, :4], placed - typical, atol=1e-4)
