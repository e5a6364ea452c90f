"""python -m export --index and --vectors: what is promised, what is written, what is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from export.__main__ import main
from export.contract import read_contract
from tests.export.small_runs import IDS, Model
from tfrec.run import load_data


class Written(NamedTuple):
    """A version with an index, the vectors beside it, and what was said."""

    version: Path
    vectors: Path
    console: str


@pytest.fixture(scope="module")
def indexed(sasrec: Model, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Four items are recommended out of about half the catalogue."""
    folder = tmp_path_factory.mktemp("indexed")
    options = ["--index", "ivf", "--lists", "6", "--probes", "4", "--int8-lists"]
    more = ["--min-recall", "0.7", "--top-k", "4"]
    command = [str(sasrec.run), str(folder / "shop"), *options, *more]
    with pytest.MonkeyPatch.context() as patch, (folder / "out").open("w") as out:
        patch.setattr("sys.stdout", out)
        assert main([*command, "--vectors", str(folder / "v")]) == 0
    return Written(folder / "shop" / "1", folder / "v", (folder / "out").read_text())


def test_a_version_with_an_index_passes_the_check_and_says_how_good_it_is(
    indexed: Written,
) -> None:
    said = indexed.console
    assert "FAIL" not in said
    assert "ok    every op is TensorFlow's or TF Text's " in said
    assert "ok    recommend is most of the head of distribution" in said
    assert "recommend is the head of distribution" not in said
    assert "items are few" in said
    promises = read_contract(indexed.version)["index"]
    assert promises["kind"] == "ivf"
    assert (promises["lists"], promises["probes"]) == (6, 4)
    assert promises["int8"] is True
    assert "index ivf in int8: reads 4 of 6 lists" in said
    assert promises["users asked"] == 10
    assert 0.7 <= promises["recall@4"] <= 1
    card = (indexed.version / "assets.extra" / "MODEL_CARD.md").read_text()
    for text in (said, card):
        [found] = re.findall(r"4 best items it finds ([\d.]+)%", text)
        assert float(found) == pytest.approx(100 * promises["recall@4"], abs=0.06)


def vectors(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    table = pq.read_table(path)
    flat = table["vector"].combine_chunks().flatten().to_numpy()
    return table["id"].to_pylist(), flat.reshape(len(table), -1)


def test_the_product_of_two_vectors_is_the_score(indexed: Written, sasrec: Model) -> None:
    users, states = vectors(indexed.vectors / "users.parquet")
    items, matrix = vectors(indexed.vectors / "items.parquet")
    data = load_data(sasrec.run, sasrec.exported.config)
    assert sorted(items) == sorted(IDS)
    assert users == data.users["user_id"].to_pylist()
    score = tf.saved_model.load(str(indexed.version)).signatures["score"]
    ids = data.items["item_id"].to_pylist()
    for user in (0, 7, 39):
        events = slice(*data.user_offsets[user : user + 2])
        history = [ids[n].encode() for n in data.columns.item[events]]
        answer = score(
            history_items=tf.constant([history]),
            history_times=tf.constant(data.columns.timestamp[events][None]),
            candidate_items=tf.constant([[name.encode() for name in items]]),
        )
        np.testing.assert_allclose(
            answer["score"].numpy()[0], matrix @ states[user], rtol=1e-4, atol=1e-5
        )


def test_an_index_that_finds_too_little_is_not_published(
    sasrec: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--index", "ivf", "--lists", "12", "--probes", "1", "--min-recall", "1"]
    command = [str(sasrec.run), str(tmp_path / "shop"), "--top-k", "1", *options]
    assert main([*command, "--vectors", str(tmp_path / "v")]) == 1
    said = capsys.readouterr().out
    assert re.search(r"FAIL  recall@1 of the index is 0\.\d+ with 1 of \d+ lists read", said)
    assert "--min-recall is 1.0: take more --probes" in said
    assert "is not published" in said
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--index", "ivf", "--lists", "25"], "--lists 25 must be between 1 and 24"),
        (["--index", "ivf", "--lists", "3", "--probes", "4"], "--probes 4 must be between 1 and 3"),
        (["--index", "ivf", "--probes", "0"], "--probes 0 must be at least 1"),
        (["--index", "ivf", "--min-recall", "1.5"], "--min-recall 1.5 must be above 0"),
        (["--int8-lists"], "--int8-lists are those of an inverted file"),
        (["--probes", "2"], "--lists and --probes are those of an index"),
    ],
)
def test_a_wrong_option_of_an_index_is_one_clear_line(
    sasrec: Model,
    tmp_path: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(sasrec.run), str(tmp_path / "models"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "models").exists()
