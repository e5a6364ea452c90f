"""Every command of the README runs, in its order, as a stranger would type it.

Three changes only: the named sets are read from small folders of the same form, because tests never
download logs; the first training ends after one epoch, because eight take minutes; and `make test`
is not run, because it is what runs this.
"""

import ast
import configparser
import contextlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tfrec.text.scratch import make_scratch

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", README, re.MULTILINE)


def write_movielens(folder: Path) -> None:
    """Both old layouts of MovieLens in one folder: thirty users who watch twenty films in order."""
    stars = [(u, (u + n) % 20 + 1, n % 5 + 1, 60 * n) for u in range(1, 31) for n in range(12)]
    for name, separator in (("ratings.dat", "::"), ("u.data", "\t")):
        rows = [separator.join(map(str, row)) for row in stars]
        (folder / name).write_text("\n".join(rows) + "\n")
    films = [f"{n}::Film {n} (1999)::Drama|Comedy\n" for n in range(1, 21)]
    (folder / "movies.dat").write_text("".join(films))
    flags = "|".join("1" if n in (5, 8) else "0" for n in range(19))
    films = [f"{n}|Film {n} (1999)|01-Jan-1999||address|{flags}\n" for n in range(1, 21)]
    (folder / "u.item").write_text("".join(films))


def write_clicks(folder: Path) -> None:
    """clicks, items, new, users, rentals.csv: forty shoppers who walk along the shelves."""
    rng = np.random.default_rng(0)
    lines = ["uid,sku,ts"]
    for user in range(40):
        walk = (rng.integers(25) + np.arange(rng.integers(6, 14))) % 25
        lines += [f"u{user},s{item},{1_700_000_000 + 90 * n}" for n, item in enumerate(walk)]
    (folder / "clicks.csv").write_text("\n".join(lines) + "\n")
    rows = [f"s{n},thing number {n},shelf {n % 4}" for n in range(25)]
    (folder / "items.csv").write_text("\n".join(["item_id,title,category", *rows]) + "\n")
    (folder / "new.csv").write_text("item_id,title,category\ns90,thing number ninety,shelf 2\n")
    rented = [f"u{n % 40},r{n % 7},{1_700_000_000 + 90 * n}" for n in range(200)]
    (folder / "rentals.csv").write_text("\n".join(["user_id,item_id,timestamp", *rented]) + "\n")
    likes = [f"u{user},thing number {user % 25}" for user in range(40)]
    (folder / "users.csv").write_text("\n".join(["user_id,likes", *likes]) + "\n")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with this environment as its .venv, and a user's files in it."""
    folder = tmp_path_factory.mktemp("stranger") / "tfrec"
    skipped = shutil.ignore_patterns(
        ".git", ".venv", "runs", "build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, folder, ignore=skipped)
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != ".installed":
            (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv" / ".installed").touch()
    write_clicks(folder)
    make_scratch("tiny", ["thing number one", "thing of the shelf"], folder / "minilm")
    (folder / "movielens").mkdir()
    write_movielens(folder / "movielens")
    return folder


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "COLUMNS": "100",
    }


@contextlib.contextmanager
def background(command: str, folder: Path) -> Iterator[None]:
    """A command that ends in &; Ctrl-C at the end must be enough to stop it."""
    command = command.removesuffix("&")
    running = subprocess.Popen(
        f"exec {command}", shell=True, cwd=folder, env=environment(folder), start_new_session=True
    )
    try:
        yield
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 0
    finally:
        running.kill()


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_the_first_command_prints_what_the_readme_shows(checkout: Path) -> None:
    assert COMMANDS[0].startswith("make train")
    printed = run(COMMANDS[0].replace("--epochs 8", "--epochs 1"), checkout)
    assert "epoch   2" not in printed
    shown = README.partition(f"$ {COMMANDS[0]}\n")[2].partition("```")[0]
    # Speeds and the last digits depend on the machine; the log, the split and the models do not.
    for pattern in (
        r"full ranking over .*",
        r"\d[\d,]* events, .*",
        r"^[> ] \S[A-Za-z, -]+(?= +0)",
    ):
        ours = re.findall(pattern, printed, re.MULTILINE)
        assert ours
        assert sorted(ours) == sorted(re.findall(pattern, shown, re.MULTILINE))


def test_every_other_command_runs(checkout: Path) -> None:
    others = [c for c in COMMANDS[1:] if c not in ("make test", "pip install .")]
    assert len(others) > 8
    printed = {}
    with contextlib.ExitStack() as until_the_end, socket.socket() as a, socket.socket() as b:
        ports = {}
        for shown, free in (("8500", a), ("8501", b)):
            free.bind(("127.0.0.1", 0))
            ports[shown] = str(free.getsockname()[1])
        a.close()
        b.close()
        for command in others:
            for name in ("movielens-1m", "movielens-100k"):
                folder = f"{name}:{checkout}/movielens"
                command = re.sub(rf"--data {name}\b", f"--data {folder}", command)
            for shown, free in ports.items():
                command = re.sub(rf"\b{shown}\b", free, command)
            if command.endswith("&"):
                until_the_end.enter_context(background(command, checkout))
            else:
                printed[command] = run(command, checkout)
    [recommended] = [text for command, text in printed.items() if '"recommend"' in command]
    items = json.loads(recommended)["outputs"]["items"][0]
    assert len(items) > 10
    assert not {"s3", "s4", "s9"} & set(items)  # seen and excluded
    [explained] = [text for command, text in printed.items() if "query explain" in command]
    *lines, score = re.findall(r"^(?:s3|s4|quality|conformity|context|score) .*", explained, re.M)
    parts = [float(line.split()[-1]) for line in (*lines, score)]
    assert len(parts) == 6
    assert abs(sum(parts[:-1]) - parts[-1]) < 1e-3
    assert (checkout / "why-s5.png").stat().st_size > 1000
    assert "runs/shop" in README
    for name in ("shop", "towers", "prepared"):
        assert (checkout / "runs" / name / "report.html").stat().st_size > 10_000
    kept = "config.yaml" + README.partition("```\nconfig.yaml")[2].partition("```")[0]
    names = re.findall(r"^(\S+) +\S", kept, re.MULTILINE)
    assert len(names) > 8
    for name in names:
        assert (checkout / "runs" / "texts" / name).exists(), name


def test_pip_install_puts_a_whole_tfrec_beside_its_requirements(
    checkout: Path, tmp_path: Path
) -> None:
    """The requirements are borrowed from this environment: they take minutes to install."""
    assert "pip install ." in COMMANDS
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    bin_folder = tmp_path / "env" / "bin"
    own = sysconfig.get_path("purelib")
    theirs = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    (theirs / "requirements.pth").write_text(f"{own}\n")
    run(f"{bin_folder}/pip install --quiet .", checkout)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(checkout / "clicks.csv", elsewhere)
    printed = run(
        f"{bin_folder}/python -m tfrec.train --data clicks.csv --epochs 1 --model sasrec "
        "--columns user=uid,item=sku,timestamp=ts --baselines popularity",
        elsewhere,
    )
    assert "report: " in printed
    found = run(f"{bin_folder}/python -c 'import tfrec; print(tfrec.__file__)'", elsewhere)
    assert str(theirs) in found


def test_everything_that_is_imported_is_required() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    # What only an option needs is an extra, and the option says so where it is missing.
    lines = config["options"]["install_requires"].split("\n")
    lines += config["options.extras_require"]["scann"].split("\n")
    required = {re.split(r"[ <>=!]", line)[0].lower() for line in lines if line.strip()}
    homes = importlib.metadata.packages_distributions()
    missing = set()
    ours = ("tfrec", "export", "serving")
    for path in (path for package in ours for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in {full.split(".")[0] for full in names}:
                if name not in sys.stdlib_module_names and name not in ours:
                    owners = {o.lower().replace("_", "-") for o in homes.get(name, [])}
                    if not owners & required:
                        missing.add(f"{name} in {path.relative_to(ROOT)}")
    assert not missing
