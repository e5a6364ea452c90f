"""The console: TensorFlow is silent, real errors are not, bars keep to terminals."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tfrec import console

WORK = """
from tfrec.console import import_tensorflow
tf = import_tensorflow()

@tf.function(jit_compile=True)
def doubled(x):
    return x * 2 + tf.reduce_sum(x)

assert doubled(tf.constant([1.0])).numpy() == 3.0
assert sum(int(b.numpy().sum()) for b in tf.data.Dataset.range(5).shuffle(3).batch(2)) == 10
import keras
assert keras.backend.backend() == "tensorflow"
keras.layers.Dense(2)(tf.ones((1, 2)))
"""


def fresh_process(
    code: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "KERAS_", "GRPC_"))}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=kept | environment,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=120,
    )


def test_tensorflow_starts_and_works_in_silence() -> None:
    done = fresh_process(WORK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_errors_after_the_import_still_show() -> None:
    code = WORK + (
        "import os\n"
        "os.write(2, b'2026-01-01 00:00:00.0: E external/xla/some.cc:51] device lost\\n')\n"
        "print(tf.reshape(tf.ones((3,)), (2, 2)))\n"
    )
    done = fresh_process(code)
    assert done.returncode == 1
    assert "E external/xla/some.cc:51] device lost" in done.stderr
    assert "Traceback" in done.stderr
    assert "InvalidArgumentError" in done.stderr


def import_of(
    tensorflow: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Imports a package called tensorflow that makes noise, then runs the given code."""
    noisy = """
import os, sys
os.write(2, b"I0000 00:00:1795321715.283932    4228 device_compiler.h:196] Compiled\\n")
os.write(2, b"E0000 00:00:1795321715.283932    4228 gpu.cc:1] out of memory\\n")
print("AttributeError: 'MessageFactory' object has no attribute 'GetPrototype'", file=sys.stderr)
print("from python", file=sys.stderr)
"""
    (folder / "tensorflow.py").write_text(noisy + tensorflow)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import tfrec.console as c; "
    return fresh_process(code + "c.import_tensorflow()", str(folder), **environment)


def test_only_noise_is_dropped_while_the_import_runs(tmp_path: Path) -> None:
    done = import_of("", tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "E0000 00:00:1795321715.283932    4228 gpu.cc:1] out of memory",
        "from python",
    ]


def test_a_failing_import_still_shows(tmp_path: Path) -> None:
    done = import_of("raise ImportError('libstdc++ too old')", tmp_path)
    assert done.returncode == 1
    assert "ImportError: libstdc++ too old" in done.stderr


def test_the_last_words_of_a_crash_come_through(tmp_path: Path) -> None:
    done = import_of("os.write(2, b'F0000 the CPU lacks AVX\\n'); os.abort()", tmp_path)
    assert done.returncode == -signal.SIGABRT
    assert "F0000 the CPU lacks AVX" in done.stderr


def test_the_user_can_ask_for_every_message(tmp_path: Path) -> None:
    assert "Compiled" in import_of("", tmp_path, TF_CPP_MIN_LOG_LEVEL="0").stderr


def test_variables_that_the_user_set_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    console.quiet_tensorflow()
    assert os.environ["KERAS_BACKEND"] == "jax"
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "1"
    assert os.environ["GRPC_VERBOSITY"] == "ERROR"
    monkeypatch.delenv("GRPC_VERBOSITY")


def test_the_console_imports_nothing_heavy() -> None:
    done = fresh_process(
        "import sys, tfrec.console\n"
        "print({'numpy', 'tqdm', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    assert done.stdout == "set()\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.Progress(total=4, description="epoch 3/100") as bar:
        bar.update(3, loss=6.25, examples_per_s=12345.6, **{"ndcg@10": 0.1712})
        assert bar._bar is not None
        bar._bar.refresh()
    drawn = terminal.getvalue()
    for part in (
        "epoch 3/100",
        " 75%",
        "3/4 steps",
        "loss 6.2500",
        "12,346 examples/s",
        "ndcg@10 0.1712",
        "left",
    ):
        assert part in drawn


def test_nothing_is_drawn_when_the_output_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with console.Progress(total=2, description="epoch") as bar:
        bar.update(2, loss=1.0)
    assert list(console.progress(iter("abc"), "letters")) == ["a", "b", "c"]
    assert file.getvalue() == ""


def test_a_line_said_during_a_bar_stands_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    for n in console.progress(range(2), "ranking"):
        console.say(f"line {n}")
    console.say("after")
    assert capsys.readouterr().out == "line 0\nline 1\nafter\n"


def test_a_terminal_without_unicode_shows_a_question_mark() -> None:
    done = fresh_process(
        "from tfrec.console import say; say('0.18 ± 0.01 夏')", PYTHONIOENCODING="latin-1:strict"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.encode("utf-8", "surrogateescape").endswith(b" 0.01 ?\n")


def test_a_bar_leaves_the_terminal_when_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(KeyError), console.Progress(total=2):
        raise KeyError
    assert console.Progress._drawn == 0


def test_bytes_are_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.Progress(total=20_000_000, description="ml-1m.zip", unit="B") as bar:
        bar.update(5_000_000)
        assert bar._bar is not None
        bar._bar.refresh()
    assert "5.00M/20.0MB" in terminal.getvalue()


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0.042, "0.04 s"),
        (7.25, "7.2 s"),
        (9.99, "10 s"),
        (59.7, "1 min"),
        (192, "3 min 12 s"),
        (3599.9, "1 h"),
        (100000, "27 h 47 min"),
    ],
)
def test_seconds(duration: float, text: str) -> None:
    assert console.seconds(duration) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_600, "1.0 MB"),
        (24_594_131, "24.6 MB"),
        (3.2e12, "3.2 TB"),
    ],
)
def test_size(num_bytes: float, text: str) -> None:
    assert console.size(num_bytes) == text


def test_count() -> None:
    assert console.count(3416) == "3,416"
