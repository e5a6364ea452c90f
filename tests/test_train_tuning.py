"""Tuning the encoder by the command: what it leaves, two replicas, and what is refused."""

from __future__ import annotations

import argparse
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from export.assembly import assemble
from export.options import Options
from tests.training.worlds import arguments, stopped, weights, write_log
from tfrec.config import resolve
from tfrec.errors import UserError
from tfrec.interest.readouts import Readouts
from tfrec.run import CONFIG, RunConfig
from tfrec.text.catalogue_vectors import VECTORS
from tfrec.text.encoder import load_encoder
from tfrec.text.scratch import make_scratch
from tfrec.text.tuning.adapters import apply_adapters
from tfrec.train import main
from tfrec.trained import load_trained, with_own_encoder
from tfrec.training.options import TrainingConfig
from tfrec.training.text_setup import ADAPTERS, TUNED, compilable

ITEMS = 30
TITLES = [f"Walk {n} of the {'north' if n % 2 else 'south'} coast" for n in range(ITEMS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log, a catalogue with titles and an encoder of our own."""
    made = tmp_path_factory.mktemp("tuning")
    write_log(made / "log.csv", items=ITEMS)
    titles = [title if n != 7 else "" for n, title in enumerate(TITLES)]
    rows = [f"i{n},{title}" for n, title in enumerate(titles)]
    (made / "items.csv").write_text("\n".join(["item_id,title", *rows]) + "\n")
    make_scratch("tiny", titles, made / "bert")
    return made


def options(folder: Path, out: str, **changes: str) -> list[str]:
    # Without what is random or differs from replica to replica.
    given = {
        "model": "ledger",
        "layers": "1",
        "facets": "2",
        "facet_dim": "4",
        "epochs": "2",
        "dropout": "0",
        "id_dropout": "0",
        "deletion_loss": "0",
        "independence_loss": "0",
        "balance_loss": "0",
        "text_loss": "0",
        "baselines": "none",
        "items": str(folder / "items.csv"),
        "text": "title",
        "text_encoder": str(folder / "bert"),
        "text_max_length": "16",
        "text_tuning": "lora",
        "text_learning_rate": "0.01",
        "text_items": "12",
    }
    given = {name: value for name, value in (given | changes).items() if value}
    return arguments(folder / "log.csv", folder / out, **given)


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    assert main(options(folder, "run")) == 0
    return folder / "run"


def config_of(run: Path) -> RunConfig:
    return resolve(RunConfig, argparse.Namespace(), run / CONFIG)


def test_a_run_leaves_the_tuned_encoder_and_its_vectors(folder: Path, run: Path) -> None:
    trained = load_trained(run, config_of(run))
    names = trained.data.items["item_id"].to_pylist()
    texts = tf.constant([TITLES[int(name[1:])] for name in names])
    known = np.array([name != "i7" for name in names])
    kept = np.load(run / VECTORS)
    np.testing.assert_array_equal(trained.model.tower.texts, kept)
    assert not kept[~known].any()
    own = load_encoder(run / TUNED)
    np.testing.assert_allclose(kept[known], own(texts).numpy()[known], atol=1e-4)
    base = load_encoder(folder / "bert", 16)
    before = base(texts).numpy()
    assert np.abs(kept - before)[known].max() > 0.01
    assert (run / ADAPTERS).stat().st_size < (
        run / TUNED / "encoder.weights.h5"
    ).stat().st_size / 20
    beside = apply_adapters(base, run / ADAPTERS)
    np.testing.assert_allclose(beside(texts).numpy()[known], kept[known], atol=1e-4)


def test_the_export_places_texts_by_the_tuned_encoder(run: Path) -> None:
    config = config_of(run)
    trained = load_trained(run, config)
    own = with_own_encoder(run, config)
    embed = assemble(own, trained, Readouts.load(run), Options(top_k=3)).answers["embed_text"]
    texts = tf.constant(["Walk <i>3</i> of the north coast", "a walk"])
    found = embed(texts=texts)["embedding"].numpy()
    tower = trained.model.tower
    vectors = load_encoder(run / TUNED)(tf.constant(["Walk 3 of the north coast", "a walk"]))
    placed = trained.model.items.block(tower.said(vectors.numpy()))
    typical = trained.model.items.block(tower()).numpy().mean(axis=0)
    np.testing.assert_allclose(found[:, :8], placed - typical, atol=1e-4)


def test_two_replicas_tune_what_one_tunes(folder: Path, run: Path) -> None:
    # What comes after training is not asked for.
    argv = options(folder, "two", strategy="mirrored", replicas="2")
    code, errors = stopped("tfrec.train", argv, "trained 2 epochs", signal.SIGTERM)
    assert (code, errors) == (-signal.SIGTERM, "")
    one, two = weights(run), weights(folder / "two")
    assert one.keys() == two.keys()
    for name in one:
        # The bias of an attention's keys moves no softmax: its gradient is rounding, which Adam
        # grows.
        np.testing.assert_allclose(one[name], two[name], atol=2e-3, err_msg=name)


def test_it_goes_on_with_its_own_encoder_only(
    folder: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(folder / "bert", folder / "elsewhere")
    make_scratch("tiny", TITLES, folder / "bert", seed=1)
    try:
        assert main(["--resume", str(run)]) == 2
    finally:
        shutil.rmtree(folder / "bert")
        shutil.move(folder / "elsewhere", folder / "bert")
    assert f"is not the encoder that {run} began with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_encoder": ""}, "--text-tuning needs an encoder to tune"),
        ({"lora_targets": "key,q_proj"}, "--lora-targets q_proj: the encoder has no such layer"),
        ({"text_tuning": "last:7"}, "Take at most last:2"),
    ],
)
def test_what_cannot_be_tuned_is_named(
    folder: Path, changes: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(folder, "refused", **changes)) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not (folder / "refused").exists()


def test_xla_is_off_where_replicas_meet() -> None:
    one: Any = SimpleNamespace(num_replicas_in_sync=1)
    two: Any = SimpleNamespace(num_replicas_in_sync=2)
    assert compilable(TrainingConfig(xla="on"), one).xla == "on"
    assert compilable(TrainingConfig(), two).xla == "off"
    with pytest.raises(UserError, match="--xla on"):
        compilable(TrainingConfig(xla="on"), two)
