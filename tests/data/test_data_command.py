"""`python -m tfrec.data`, as a user meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tfrec.data.__main__ import main
from tfrec.data.prepared import PreparedData

COMMAND = [sys.executable, "-m", "tfrec.data"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rows = [f"u{n % 7},i{n % 5},{1_600_000_000 + 3600 * n}" for n in range(200)]
    path = tmp_path / "log.csv"
    path.write_text("uid,sku,time\n" + "\n".join([*rows, "u1,,1600000000"]) + "\n", "utf-8")
    return path


COLUMNS = "user=uid,item=sku,timestamp=time"


def test_prepare_says_what_it_did_and_inspect_reads_it(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shop"
    code = main(["prepare", "--data", str(log), "--columns", COLUMNS, "-o", str(out)])
    said = capsys.readouterr().out
    assert code == 0
    assert "rejected rows: 1" in said
    assert "201 events" in said
    assert "200 events" in said
    assert str(out / "rejected.csv") in said
    assert PreparedData.open(out).num_events == 200

    facts, plot = tmp_path / "facts.json", tmp_path / "plot.html"
    code = main(["inspect", "--data", str(out), "--json", str(facts), "--plot", str(plot)])
    said = capsys.readouterr().out
    assert code == 0
    assert "200 events of 7 users with 5 items" in said
    assert json.loads(facts.read_text("utf-8"))["size"]["events"] == 200
    assert "<svg" in plot.read_text("utf-8")


def test_inspect_reads_a_raw_log_and_keeps_news_off_the_page(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = str(tmp_path / "cache")
    code = main(["inspect", "--data", str(log), "--columns", COLUMNS, "--cache", cache])
    said = capsys.readouterr()
    assert code == 0
    assert said.out.startswith(str(log))
    assert "reading" in said.err


def test_simulate_then_prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, out = tmp_path / "world", tmp_path / "out"
    numbers = ["--users", "30", "--items", "80", "--events", "300", "--seed", "3"]
    assert main(["simulate", *numbers, "-o", str(world)]) == 0
    hint = capsys.readouterr().out.splitlines()[-1]
    # The command that it recommends works.
    flags = hint.partition("tfrec.data inspect ")[2].split()
    assert main(["prepare", *flags, "-o", str(out)]) == 0
    data = PreparedData.open(out)
    assert data.num_events == 300
    assert data.meta.text_columns == ["title", "description"]
    assert data.meta.actions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "--data", "nothing.csv", "-o", "out"], "nothing.csv"),
        (["prepare", "--data", "movielens-2m", "-o", "out"], "or movielens-20m"),
        (["inspect", "--data", "nowhere.csv"], "nowhere.csv"),
        (["inspect", "--plot", "plot.pdf"], "--plot plot.pdf"),
        (["simulate", "--items", "3", "-o", "world"], "too small"),
    ],
)
def test_mistakes_end_with_2_and_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_too_many_bad_rows_end_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,timestamp\na,x,1600000000\nb,,1600000001\n", "utf-8")
    assert main(["prepare", "--data", str(path), "-o", str(tmp_path / "out")]) == 2
    assert f"{path}:3" in capsys.readouterr().err


def test_a_prepared_folder_is_not_prepared_again(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shop"
    main(["prepare", "--data", str(log), "--columns", COLUMNS, "-o", str(out)])
    assert main(["prepare", "--data", str(out), "-o", str(tmp_path / "again")]) == 2
    assert "prepared folder already" in capsys.readouterr().err


def test_files_that_cannot_be_written(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shop"
    main(["prepare", "--data", str(log), "--columns", COLUMNS, "-o", str(out)])
    for flag, name in (("--json", "facts.json"), ("--plot", "plot.png")):
        wrong = tmp_path / "no" / name
        assert main(["inspect", "--data", str(out), flag, str(wrong)]) == 2
        assert f"cannot write {wrong}" in capsys.readouterr().err
    assert main(["simulate", "-o", str(log), "--users", "9", "--events", "90"]) == 2
    assert f"cannot write to {log}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["prepare"], ["inspect"], ["simulate"]])
def test_help_is_quick_and_shows_examples(arguments: list[str]) -> None:
    imported = (
        "import sys; from tfrec.data.__main__ import main\n"
        f"try: main({[*arguments, '--help']!r})\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'pyarrow', 'scipy', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", imported], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert "python -m tfrec.data" in run.stdout
    if arguments:
        assert "example" in run.stdout
        assert max(map(len, run.stdout.splitlines())) <= 100


def test_reader_that_goes_away_is_no_error(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "shop"
    main(["prepare", "--data", str(log), "--columns", COLUMNS, "-o", str(out)])
    with subprocess.Popen(
        [*COMMAND, "inspect", "--data", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert b"Traceback" not in run.stderr.read()


def test_ctrl_c_ends_quietly_and_leaves_no_half_folder(tmp_path: Path) -> None:
    log, out = tmp_path / "log.csv", tmp_path / "out"
    rows = "".join(f"u{n % 997},i{n % 89},{1_600_000_000 + n}\n" for n in range(100_000))
    log.write_text("user_id,item_id,timestamp\n" + 25 * rows, "utf-8")
    run = subprocess.Popen(
        [*COMMAND, "prepare", "--data", str(log), "-o", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    while not run.stdout.readline().startswith("timestamps"):
        assert run.poll() is None
    run.send_signal(signal.SIGINT)
    _, error = run.communicate(timeout=30)
    assert run.returncode == 130
    assert error.strip() == "interrupted"
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv"}
