"""Killed, stopped or left alone: the final weights are the same, bit for bit."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.worlds import arguments, results, same, stopped, train, weights, write_log


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log") / "log.csv")


@pytest.fixture(scope="module")
def uninterrupted(log: Path) -> Path:
    run = log.parent / "uninterrupted"
    done = train(*arguments(log, run, epochs="6"))
    assert done.returncode == 0, done.stderr
    return run


def test_a_seed_fixes_every_bit(log: Path, uninterrupted: Path) -> None:
    again = log.parent / "again"
    assert train(*arguments(log, again, epochs="6")).returncode == 0
    assert same(weights(again), weights(uninterrupted))
    assert same(weights(again, "best.npz"), weights(uninterrupted, "best.npz"))
    numbers = [
        [model["metrics"] for model in results(run)["models"]] for run in (again, uninterrupted)
    ]
    assert numbers[0] == numbers[1]
    other = log.parent / "other"
    assert train(*arguments(log, other, epochs="6", seed="1")).returncode == 0
    assert not same(weights(other), weights(uninterrupted))


def test_killed_again_and_again_it_ends_the_same(log: Path, uninterrupted: Path) -> None:
    run = log.parent / "killed"
    # A checkpoint at every graph call, so that most kills fall inside an epoch.
    argv = arguments(log, run, epochs="6", checkpoint_minutes="0")
    generator = random.Random(0)
    kills = 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-m", "tfrec.train", *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        latest = run / "checkpoints" / "latest.npz"
        before = latest.stat().st_mtime_ns if latest.exists() else 0
        while process.poll() is None:
            if latest.exists() and latest.stat().st_mtime_ns != before:
                time.sleep(generator.uniform(0, 0.15))
                process.send_signal(signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
                break
            time.sleep(0.001)
        argv = ["--resume", str(run)]
    assert kills >= 3
    done = train("--resume", str(run))
    assert done.returncode == 0, done.stderr
    assert "resuming at epoch" in done.stdout
    assert same(weights(run), weights(uninterrupted))
    assert same(weights(run, "best.npz"), weights(uninterrupted, "best.npz"))
    assert len((run / "epochs.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_stops(
    log: Path, uninterrupted: Path, number: signal.Signals, code: int
) -> None:
    run = log.parent / f"stopped-{number}"
    argv = arguments(log, run, epochs="6", steps_per_call="1")
    found, errors = stopped("tfrec.train", argv, "epoch   2", number)
    assert found == code
    assert "everything is saved" in errors
    assert "Traceback" not in errors
    assert f"--resume {run}" in errors
    assert train("--resume", str(run)).returncode == 0
    assert same(weights(run), weights(uninterrupted))


def test_a_stopped_ledger_ends_the_same(log: Path) -> None:
    """Its losses have random numbers and a strength that changes from epoch to epoch."""
    whole, run = log.parent / "ledger-whole", log.parent / "ledger-stopped"
    options = {"model": "ledger", "facet-dim": "4", "baselines": "none", "xla": "auto"}
    assert train(*arguments(log, whole, **options)).returncode == 0
    code, _ = stopped("tfrec.train", arguments(log, run, **options), "epoch   1", signal.SIGTERM)
    assert code == 143
    assert train("--resume", str(run)).returncode == 0
    assert same(weights(run), weights(whole))


def test_a_finished_run_resumes_to_the_same_table(uninterrupted: Path) -> None:
    before = results(uninterrupted)["models"][0]["metrics"]
    done = train("--resume", str(uninterrupted))
    assert done.returncode == 0, done.stderr
    assert results(uninterrupted)["models"][0]["metrics"] == before


def test_without_its_checkpoints_a_run_begins_again(log: Path, uninterrupted: Path) -> None:
    run = log.parent / "emptied"
    shutil.copytree(uninterrupted, run, ignore=shutil.ignore_patterns("checkpoints"))
    done = train("--resume", str(run))
    assert done.returncode == 0, done.stderr
    assert "epoch   1" in done.stdout
    assert same(weights(run), weights(uninterrupted))


def test_resume_takes_no_other_options(log: Path, uninterrupted: Path) -> None:
    done = train("--resume", str(uninterrupted), "--dim", "16")
    assert done.returncode == 2
    assert "leave out --dim" in done.stderr
    done = train("--resume", str(log.parent))
    assert done.returncode == 2
    assert "is not a run folder" in done.stderr


def test_two_processes_cannot_share_a_run(log: Path, uninterrupted: Path) -> None:
    import fcntl

    with (uninterrupted / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = train("--resume", str(uninterrupted))
    assert done.returncode == 2
    assert "another process is training in" in done.stderr
    assert os.path.exists(uninterrupted / "results.json")


def test_ctrl_c_among_the_baselines_keeps_the_training(log: Path) -> None:
    run = log.parent / "baselines"
    argv = arguments(log, run, baselines="all")
    code, errors = stopped("tfrec.train", argv, "SASRec: 60 cases ranked", signal.SIGINT)
    assert code == 130
    assert errors.strip() == f"interrupted. Go on with python -m tfrec.train --resume {run}"
    before = weights(run)
    done = train("--resume", str(run))
    assert done.returncode == 0, done.stderr
    assert same(weights(run), before)
    assert len(results(run)["models"]) == 7
