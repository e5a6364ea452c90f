"""Items join a trained run: what is old stays, what is new is placed, and mistakes are refused."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.export.served_model import Served
from tests.export.small_runs import trained
from tfrec import append
from tfrec.config import resolve
from tfrec.data.options import DataConfig
from tfrec.evaluate import main as evaluate
from tfrec.evaluation.results import Results
from tfrec.evaluation.run_evaluation import RESULTS
from tfrec.interest.reading import LedgerReader, matrix
from tfrec.interest.readouts import Readouts
from tfrec.run import CONFIG, RunConfig, start
from tfrec.text.scratch import make_scratch
from tfrec.train import main as train
from tfrec.trained import Trained, load_trained

IDS = ["東京 7", *(f"i{n}" for n in range(1, 40))]
KINDS = "Love", "Space"
HEADER = "item_id,title,kinds\n"
NEW = HEADER + "moon x,The 90th moon,Space\n東京 7,said again,Love\nsong y,,Love|Polka\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty users who each take ten of the twenty items of one kind."""
    folder = tmp_path_factory.mktemp("append")
    rng = np.random.default_rng(0)
    lines = ["user_id,item_id,timestamp,rating"]
    for user in range(60):
        taken = 2 * rng.permutation(20)[:10] + user % 2
        lines += [f"u{user},{IDS[item]},{1000 * n},{n % 5 + 1}" for n, item in enumerate(taken)]
    (folder / "log.csv").write_text("\n".join(lines), encoding="utf-8")
    titles = [f"the {n}th {'moon' if n % 2 else 'song'}" for n in range(len(IDS))]
    rows = [f"{name},{titles[n]},{KINDS[n % 2]}\n" for n, name in enumerate(IDS)]
    (folder / "items.csv").write_text(HEADER + "".join(rows), encoding="utf-8")
    make_scratch("tiny", titles, folder / "encoder")
    # Pictures of one kind are alike; the first item has none.
    pictures = np.eye(2)[np.arange(1, len(IDS)) % 2] + rng.normal(0, 0.1, (len(IDS) - 1, 2))
    np.save(folder / "image.npy", pictures)
    (folder / "image.ids.txt").write_text("\n".join(IDS[1:]) + "\n")
    return folder


@pytest.fixture(scope="module")
def run(world: Path) -> Path:
    return trained(
        world,
        "ledger",
        model="ledger",
        facets="1",
        deletion_loss="0",
        text_encoder=str(world / "encoder"),
        item_vectors=str(world / "image.npy"),
        batch_size="4",
        learning_rate="0.02",
        epochs="15",
    )


@pytest.fixture(scope="module")
def longer(world: Path, run: Path) -> Path:
    (world / "new.csv").write_text(NEW, encoding="utf-8")
    np.save(world / "new.npy", np.array([[0.0, 1.0], [1.0, 0.0]]))
    (world / "new.ids.txt").write_text("moon x\nsong y\n")
    argv = [str(run), str(world / "new.csv"), "--item-vectors", str(world / "new.npy")]
    assert append.main(argv) == 0
    return world / "ledger+2"


def opened(run: Path) -> Trained:
    return load_trained(run, resolve(RunConfig, argparse.Namespace(), run / CONFIG))


def test_old_items_stay_as_they_were(run: Path, longer: Path) -> None:
    before, after = opened(run), opened(longer)
    old = before.data.num_items
    assert after.data.items["item_id"].to_pylist()[:old] == before.data.items["item_id"].to_pylist()
    assert after.split.hash == before.split.hash
    a, b = (LedgerReader(found.model).catalogue for found in (before, after))
    # Blocks are centred over the catalogue, which has grown: all have moved alike.
    moved = b.blocks[:old] - a.blocks
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:1], moved.shape), atol=1e-5)
    np.testing.assert_allclose(b.popularity[:, :old], a.popularity, atol=1e-6)
    for mine, theirs in zip(before.model.variables, after.model.variables, strict=True):
        same = theirs.numpy()[tuple(map(slice, mine.shape))]
        np.testing.assert_array_equal(same, mine.numpy())


def test_new_items_are_placed_by_what_is_said_of_them(longer: Path) -> None:
    found = opened(longer)
    names = found.data.items["item_id"].to_pylist()
    assert names[-2:] == ["moon x", "song y"]
    assert found.data.items["categories"].to_pylist()[-2:] == [["Space"], ["Love"]]
    reader = LedgerReader(found.model)
    cases = found.split.cases("test")
    scores = reader.read(cases).scores(reader.catalogue)
    # Users with odd numbers like Space; ids of odd items are of Space.
    users = found.data.users["user_id"].take(cases.histories.users).to_pylist()
    odd = np.array([int(user[1:]) % 2 == 1 for user in users])
    difference = scores[:, -2] - scores[:, -1]
    assert difference[odd].mean() > difference[~odd].mean() + 0.5


def test_the_new_run_is_measured_asked_and_exported(run: Path, longer: Path) -> None:
    results, before = (Results.load(folder / RESULTS) for folder in (longer, run))
    assert results.cases == before.cases
    assert results.data["num_items"] == before.data["num_items"] + 2
    assert Readouts.load(longer).temperature == Readouts.load(run).temperature
    assert evaluate([str(longer), "--baselines", "none", "--out", str(longer / "again")]) == 0
    from export.options import Options
    from export.saved_model import save_run

    save_run(longer, longer / "model", Options(6))
    found = opened(longer)
    with Served(longer / "model") as served:
        items = served.ask("embed_items", items=["song y", "moon x"])
        assert items["known"].all()
        expected = matrix(LedgerReader(found.model).catalogue)[[-1, -2]]
        np.testing.assert_allclose(items["embedding"], expected, atol=1e-4)


def test_more_may_join_later_by_a_vector_alone_or_without_one(
    world: Path, longer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"item_id": "w", "title": "a song", "kinds": "Love"}, {"item_id": "z", "title": ""}
    lines = [json.dumps(row) + "\n" for row in said]
    (world / "later.jsonl").write_text("".join(lines))
    np.save(world / "later.npy", np.array([[0.0, 1.0], [9.0, 9.0]]))
    (world / "later.ids.txt").write_text("z\nnobody\n")
    out = world / "later"
    argv = [str(longer), str(world / "later.jsonl"), "--out", str(out)]
    assert append.main(argv) == 2
    assert "z. Give each a text or vector or category" in capsys.readouterr().err
    assert append.main([*argv, "--item-vectors", str(world / "later.npy")]) == 0
    printed = capsys.readouterr().out
    assert "vectors of 2 for 1 items; 1 items have none; 1 are of no item here" in printed
    assert "2 items joined" in printed
    found = opened(out)
    tower = found.model.tower  # type: ignore[attr-defined]
    assert np.asarray(tower.cold)[-4:].all()
    known = np.asarray(tower.vectors)[-4:].any(axis=1)
    assert known.tolist() == [True, True, False, True]
    assert json.loads((out / "appended.json").read_text())["items"] == ["w", "z"]
    # Odd items are of Space: their pictures are like that of z.
    vectors = np.asarray(tower())
    like = vectors[:40] @ vectors[-1]
    names = found.data.items["item_id"].to_pylist()[:40]
    odd = np.array([IDS.index(name) % 2 == 1 for name in names])
    assert like[odd].mean() > like[~odd].mean() + 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + IDS[6] + ",again,Love\n", "holds no item that"),
        (HEADER + "new,,Polka\n", "says nothing of 1 items .*: new. Give each a text"),
        ("item_id,name,kinds\nnew,x,Love\n", "title"),
        (HEADER + "new,x,Love\nnew,y,Love\n", "bad.csv:3 item_id: item_id occurs twice"),
        (HEADER + ",x,Love\n", "bad.csv:2 item_id: missing item_id"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_nothing_is_left(
    world: Path, run: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (world / "bad.csv").write_text(text, encoding="utf-8")
    before = sorted(world.iterdir())
    assert append.main([str(run), str(world / "bad.csv"), "--out", str(world / "bad")]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error), error
    assert sorted(world.iterdir()) == before


def test_a_folder_that_is_there_is_left_alone(
    world: Path, run: Path, longer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert append.main([str(run), str(world / "new.csv"), "--out", str(longer)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert train(["--resume", str(longer)]) == 2
    assert "items added by tfrec.append" in capsys.readouterr().err


def test_only_what_reads_items_can_place_them(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = world / "blind"
    cache = str(world / "cache")
    config = RunConfig(data=DataConfig(data=str(world / "log.csv"), cache=cache))
    start(blind, config)
    (world / "new.csv").write_text(NEW, encoding="utf-8")
    assert append.main([str(blind), str(world / "new.csv")]) == 2
    assert "reads neither texts nor categories" in capsys.readouterr().err
