"""The main job as a user meets it: options, files, messages, exit codes."""

import json
from pathlib import Path

import pytest
import yaml

from tests.training.worlds import arguments, results, train, write_log
from tfrec.config import to_yaml
from tfrec.run import RunConfig
from tfrec.train import main


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log") / "log.csv", users=300)


@pytest.fixture(scope="module")
def run(log: Path) -> Path:
    folder = log.parent / "run"
    options = {"epochs": "25", "baselines": "popularity,ease,decayed-ease"}
    done = train(*arguments(log, folder, **options))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (folder / "console.txt").write_text(done.stdout)
    return folder


def test_it_learns_the_order_that_is_there(run: Path) -> None:
    """The next item is known in this log: a sequence model finds it, popularity cannot."""
    scores = {m["name"]: m["metrics"]["hit_rate@5"]["value"] for m in results(run)["models"]}
    assert scores["SASRec"] > 0.95
    assert scores["SASRec"] > 2 * scores["Popularity"]


def test_the_run_folder_holds_what_the_help_says(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "config.yaml", "split.npy", "split.json", "data.json", "epochs.jsonl", "checkpoints",
        "tensorboard", "results.json", "results.md", "report.html", "cases",
    }  # fmt: skip
    epochs = [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert list((run / "tensorboard").iterdir())


def test_the_console_tells_the_story(run: Path) -> None:
    console = (run / "console.txt").read_text()
    protocol = results(run)["protocol"]
    assert protocol.startswith("full ranking over 30 items, seen removed, leave-one-out, split ")
    assert " ".join(protocol.split()) in " ".join(console.split())
    assert console.count("\nepoch ") == len(results(run)["epochs"])
    for name in ("SASRec", "Popularity", "EASE", "EASE, recency-decayed"):
        assert name in console
    assert f"report: {run / 'report.html'}" in console
    assert "\r" not in console  # no progress bar where there is no terminal


def test_the_config_makes_the_run_again(log: Path, run: Path) -> None:
    again = log.parent / "again"
    done = train("--config", str(run / "config.yaml"), "--out", str(again))
    assert done.returncode == 0, done.stderr
    assert [m["metrics"] for m in results(again)["models"]] == [
        m["metrics"] for m in results(run)["models"]
    ]
    assert yaml.safe_load((again / "config.yaml").read_text()) == yaml.safe_load(
        (run / "config.yaml").read_text()
    )


def test_config_defaults_are_the_defaults_of_the_flags() -> None:
    assert yaml.safe_load(to_yaml(RunConfig()))["model"]["dim"] == RunConfig().model.dim
    names = [name for section in yaml.safe_load(to_yaml(RunConfig())).values() for name in section]
    assert len(names) == len(set(names)), "two sections share a flag"


def test_two_tower_trains_on_a_log_with_texts(log: Path) -> None:
    items = log.parent / "items.csv"
    rows = [f"i{n},title {n},c{n % 3}|d{n % 2}" for n in range(30)]
    items.write_text("\n".join(["item_id,title,categories", *rows]) + "\n")
    folder = log.parent / "towers"
    done = train(
        *arguments(
            log, folder, model="two-tower", loss="sampled", negatives="10", epochs="4",
            items=str(items), text="title", categories="categories", split="global-time",
        )
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert results(folder)["models"][0]["metrics"]
    assert "global-time" in results(folder)["protocol"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "nowhere.csv"}, "nowhere.csv"),
        ({"data": "movielens-9m"}, "movielens"),
        ({"columns": "user=uid"}, "uid"),
        ({"metric": "auc"}, "--metric 'auc' is not known"),
        ({"baselines": "svd"}, "--baselines 'svd' is not known"),
        ({"dim": "9", "heads": "2"}, "--heads 2 does not divide --dim 9"),
        ({"epochs": "0"}, "--epochs must be at least 1"),
        ({"model": "ledger", "facets": "9"}, "--facets 9 must not be more than --dim 8"),
        ({"topics": "-1"}, "--topics -1 must not be negative"),
        ({"deletion-rows": "0"}, "--deletion-rows 0 must be at least 1"),
        ({"deletion-loss": "-1"}, "--deletion-loss -1.0 must not be negative"),
        ({"exposure-loss": "1", "exposure-mix": "a=1"}, "need the ledger, not sasrec"),
        ({"k-core": "1000"}, "1000-core"),
        ({"learning-rate": "1e30", "warmup-steps": "0"}, "diverged"),
        ({"config": "missing.yaml"}, "missing.yaml"),
    ],
)
def test_a_mistake_is_one_clear_line(
    log: Path,
    options: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments(log, tmp_path / "run", **options)) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err + printed.out
    assert len(printed.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()  # so that the corrected command can be given again


def test_a_run_is_never_overwritten(log: Path, run: Path) -> None:
    before = (run / "results.json").read_bytes()
    done = train(*arguments(log, run))
    assert done.returncode == 2
    assert "holds a run already" in done.stderr
    assert (run / "results.json").read_bytes() == before


def test_the_salt_of_hashed_users_is_never_written(log: Path) -> None:
    folder = log.parent / "hashed"
    salt = "rosemary-and-thyme"
    done = train(*arguments(log, folder, hash_ids=salt, epochs="1"))
    assert done.returncode == 0, done.stderr
    kept = [path for path in folder.rglob("*") if path.is_file()]
    prepared = Path(json.loads((folder / "data.json").read_text())["prepared"])
    kept += [path for path in prepared.rglob("*") if path.is_file()]
    assert not [path for path in kept if salt.encode() in path.read_bytes()]
    assert not [path for path in prepared.rglob("*") if b"u17" in path.read_bytes()]
    done = train(*arguments(log, log.parent / "joined", epochs="1"), f"--hash-ids={salt}")
    assert done.returncode == 0, done.stderr
    kept = [path for path in (log.parent / "joined").rglob("*") if path.is_file()]
    assert not [path for path in kept if salt.encode() in path.read_bytes()]
    assert "python -m tfrec.train" in results(log.parent / "joined")["environment"]["command"]
    # The run goes on from the prepared log, but the config alone cannot make it again.
    assert train("--resume", str(folder)).returncode == 0
    done = train("--config", str(folder / "config.yaml"), "--out", str(log.parent / "other"))
    assert done.returncode == 2
    assert "--hash-ids" in done.stderr
