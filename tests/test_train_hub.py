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
from tests.text.tiny_saved_models import DIM, write_bert, write_words
from tests.training.worlds import arguments, write_log
from tfrec.append import main as append
from tfrec.config import resolve
from tfrec.run import CONFIG, RunConfig
from tfrec.text.catalogue_vectors import VECTORS
from tfrec.text.hub_encoder import load_hub
from tfrec.train import main
from tfrec.trained import load_trained, with_own_encoder

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
    write_words(made / "words")
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
    given = {name: value for name, value in (given | changes).items() if value}
    return arguments(folder / "log.csv", folder / out, **given)


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    assert main(options(folder, "run", query_share="0.3")) == 0
    return folder / "run"


def config_of(run: Path) -> RunConfig:
    return resolve(RunConfig, argparse.Namespace(), run / CONFIG)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_tuning": "lora"}, "--text-tuning lora: the layers of tfhub:"),
        ({"text_tuning": "last:1"}, "Take full or frozen"),
        ({"text_tuning": "full", "strategy": "mirrored"}, "trains on one replica"),
        (
            {"text_tuning": "full", "text_encoder": "words", "text_max_length": ""},
            "words reads strings and has no tokens to learn from",
        ),
    ],
)
def test_what_cannot_be_tuned_is_named(
    folder: Path, changes: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = f"tfhub:{folder / changes.get('text_encoder', 'bert')}"
    assert main(options(folder, "refused", **(changes | {"text_encoder": encoder}))) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not (folder / "refused").exists()


def test_its_variables_are_tuned_and_kept(folder: Path, run: Path) -> None:
    changes = {"text_tuning": "full", "text_learning_rate": "0.01", "text_items": "12"}
    assert main(options(folder, "tuned", text_loss="0", **changes)) == 0
    tuned = folder / "tuned"
    config = config_of(tuned)
    own = with_own_encoder(tuned, config).text.text_encoder
    assert own == f"tfhub:{tuned / 'encoder'}"
    items = load_trained(tuned, config).data.items["item_id"].to_pylist()
    known = np.array([name != "i7" for name in items])
    encoder = load_hub(own, 16)
    expected = encoder(tf.constant([TITLES[int(name[1:])] for name in items])).numpy()[known]
    found, before = np.load(tuned / VECTORS)[known], np.load(run / VECTORS)[known]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - before).max() > 0.005


def test_it_trains_on_the_vectors(folder: Path, run: Path) -> None:
    items = load_trained(run, config_of(run)).data.items["item_id"].to_pylist()
    encoder = load_hub(f"tfhub:{folder / 'bert'}", 16)
    expected = encoder(tf.constant([TITLES[int(name[1:])] for name in items])).numpy()
    expected[items.index("i7")] = 0
    found = np.load(run / VECTORS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    cached = folder / "cache" / "texts" / encoder.fingerprint
    assert any(cached.glob("*.npy"))


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
    placed = model.items.block(tower.said(vectors))
    typical = model.items.block(tower()).numpy().mean(axis=0)
    np.testing.assert_allclose(found[:, :4], placed - typical, atol=1e-4)


def test_items_join_by_its_vectors(folder: Path, run: Path) -> None:
    (folder / "new.csv").write_text(f"item_id,title\nagain,<b>{TITLES[3]}</b>\nmore,a coast\n")
    assert append([str(run), str(folder / "new.csv"), "--out", str(folder / "longer")]) == 0
    found = load_trained(folder / "longer", config_of(folder / "longer"))
    items = found.data.items["item_id"].to_pylist()
    assert items[-2:] == ["again", "more"]
    texts = np.load(folder / "longer" / VECTORS)
    encoder = load_hub(f"tfhub:{folder / 'bert'}", 16)
    expected = encoder(tf.constant([TITLES[3], "a coast"])).numpy()
    np.testing.assert_allclose(texts[-2:], expected, atol=1e-5)
    np.testing.assert_allclose(texts[items.index("i3")], expected[0], atol=1e-5)
    # What is said alike is placed alike, but for what the log says of the older one.
    tower = found.model.tower
    placed = tower.said(expected)
    np.testing.assert_allclose(tower()[-2:], placed, atol=1e-4)
