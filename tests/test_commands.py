"""Commands start fast, explain themselves and stay quiet."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMANDS = [
    ("tfrec.train",),
    ("tfrec.pretrain",),
    ("tfrec.evaluate",),
    ("tfrec.data",),
    ("tfrec.data", "prepare"),
    ("tfrec.data", "inspect"),
    ("tfrec.data", "simulate"),
    ("export",),
    ("export.check",),
]
HEAVY = {"numpy", "pandas", "pyarrow", "scipy", "matplotlib", "tensorflow", "keras", "yaml"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_fast_and_says_how(command: tuple[str, ...]) -> None:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", *command, "--help"], capture_output=True, text=True, check=False
        )
        times.append(time.perf_counter() - started)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "example" in done.stdout
    # The best of three: on a busy machine the others measure the neighbours.
    assert min(times) < 0.5


@pytest.mark.parametrize(
    "module",
    [
        "tfrec",
        "tfrec.train",
        "tfrec.pretrain",
        "tfrec.evaluate",
        "tfrec.data.__main__",
        "export.__main__",
        "export.check",
    ],
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(loaded.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_a_usage_error(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command, "--no-such-option"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stop", ["KeyboardInterrupt", "Interrupted('saved', 2)"])
def test_ctrl_c_while_a_text_is_executed_has_the_exit_code_of_every_ctrl_c(
    stop: str, tmp_path: Path
) -> None:
    """As it may come during any import: `python -m` would end by the signal, -2, instead."""
    (tmp_path / "works.py").write_text(
        "from tfrec.errors import Interrupted, command\n"
        "@command\n"
        "def main(argv):\n"
        "    try:\n"
        "        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n"
        f"        raise {stop} from None\n"
        "raise SystemExit(main())\n"
    )
    here = os.pathsep.join([str(tmp_path), os.getcwd()])
    done = subprocess.run(
        [sys.executable, "-m", "works"],
        env={**os.environ, "PYTHONPATH": here},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr in ("interrupted\n", "saved\n")
    assert done.returncode == 130
