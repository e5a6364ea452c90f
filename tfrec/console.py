"""What reaches the console: TensorFlow without its start-up noise, progress bars, plain lines."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, TypeVar

from tfrec.interrupts import interrupts_wait

Element = TypeVar("Element")

# Lines that TensorFlow's C++ libraries write to file descriptor 2 whatever the log level is.
# Everything else, every other error included, passes.
NOISE = re.compile(
    "|".join(
        [
            # Information and warnings logged before absl is initialised, which TensorFlow never
            # does in Python; the date is always 0000.
            r"[IW]0000 00:00:\d+\.\d+ +\d+ \S+:\d+\] ",
            r"WARNING: All log messages before absl::InitializeLog\(\) is called",
            # cuDNN, cuFFT and cuBLAS are linked twice in the CUDA build; harmless.
            r".*Unable to register cu(DNN|FFT|BLAS) factory",
            # The CUDA build, or the plain one, on a machine without an NVIDIA driver or device.
            r".*failed call to cuInit: .*(\(303\)|CUDA_ERROR_NO_DEVICE|\(100\))",
            # Information at the level of errors, on types that oneDNN does not take: Eigen does it.
            r".* oneDNN supports DT_\w+ only on platforms with",
            # A newer protobuf than TensorFlow was built with; it falls back by itself.
            r"AttributeError: 'MessageFactory' object has no attribute 'GetPrototype'",
        ]
    )
)

# The filter is a process of its own, so that the last words of a crash (a failed C++ check, an
# unsupported CPU) still come through when the process that spoke them is gone.
_FILTER = """
import re, sys
noise = re.compile(sys.argv[1].encode())
for line in sys.stdin.buffer:
    if not noise.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def quiet_tensorflow() -> None:
    """Sets the environment for a clean console. Call it before TensorFlow is imported.

    Variables that the user has set win: TF_CPP_MIN_LOG_LEVEL=0 brings every message back.
    """
    # 2 keeps errors: 3 would hide them too.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def import_tensorflow() -> Any:
    """The tensorflow module, imported on first use without its start-up noise.

    From then on what C++ code writes to standard error passes through a filter that drops the
    lines matching `NOISE`; Python's own sys.stderr stays connected directly.

    Raises:
        ImportError: as `import tensorflow` does.
    """
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    quiet_tensorflow()
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] in ("0", "1"):  # the user asked to see it all
        return _uncollected("tensorflow")
    stderr = _filter_stderr()
    try:
        return _uncollected("tensorflow")
    finally:
        if stderr is not None:
            sys.stderr = stderr


def _uncollected(name: str) -> Any:
    """Imports a module of a million objects, none of them garbage, without looking for any.

    Python searches for garbage cycles while such modules are imported, ever again while the program
    runs, and when it ends: that took a quarter of the import and two seconds of every exit.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with interrupts_wait():
            module = importlib.import_module(name)
    finally:
        if collecting:
            gc.enable()
    gc.freeze()
    atexit.register(gc.freeze)  # the memory of what is left goes with the process
    return module


def _filter_stderr() -> Any:
    """Routes file descriptor 2 through the filter.

    Returns:
        A text stream on the unfiltered standard error, or None when sys.stderr is not on file
        descriptor 2 (a notebook, a test's capture) or there is no standard error at all.
    """
    try:
        real = os.dup(2)
    except OSError:
        return None
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _FILTER, NOISE.pattern],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must stop the run, not the filter
        )
    except OSError:
        os.close(real)
        return None
    assert process.stdin is not None
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()

    def stop() -> None:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(real, 2)  # closes the last write end, so the filter prints what it holds and ends
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.returncode = 0  # a child process of ours still holds the pipe; leave it be

    atexit.register(stop)
    try:
        on_stderr = sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):
        on_stderr = False
    if not on_stderr:
        return None
    return open(
        real,
        "w",
        buffering=1,
        encoding=sys.stderr.encoding,
        errors="backslashreplace",
        closefd=False,
    )


class Progress:
    """A progress bar on a terminal; elsewhere it draws nothing.

    Arguments:
        total: steps to do, or None when unknown.
        description: what stands before the bar, e.g. "epoch 3/100".
        unit: what is counted; "B" counts bytes and prints kB, MB, GB.
        initial: steps already done, after a resume.

    Example:
        >>> with Progress(total=2, description="epoch 1/1") as bar:
        ...     bar.update(1, loss=6.91, examples_per_s=5120.0)
        ...     bar.update(1, loss=6.42, examples_per_s=5231.0)
    """

    # Bars now on the terminal: `say` must not write across them.
    _drawn = 0

    def __init__(
        self, total: int | None, description: str = "", unit: str = "steps", initial: int = 0
    ) -> None:
        self._bar: Any = None
        if not _terminal():
            return
        from tqdm import tqdm

        done = "{n_fmt}B" if unit == "B" else f"{{n_fmt}} {unit}"
        layout = f"{{desc}} {done}{{postfix}}, {{elapsed}}"
        if total is not None:
            done = done.replace("{n_fmt}", "{n_fmt}/{total_fmt}")
            layout = (
                f"{{desc}} {{percentage:3.0f}}% |{{bar}}| {done}{{postfix}}, {{remaining}} left"
            )
        self._bar = tqdm(
            total=total,
            initial=initial,
            desc=description,
            unit=unit,
            unit_scale=unit == "B",
            leave=False,
            dynamic_ncols=True,
            file=sys.stderr,
            bar_format=layout,
        )
        Progress._drawn += 1

    def update(self, steps: int = 1, **values: float) -> None:
        """Moves the bar by `steps` and shows `values`: loss, metrics, examples_per_s."""
        if self._bar is None:
            return
        if values:
            text = ", ".join(_value(name, value) for name, value in values.items())
            self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(steps)

    def close(self) -> None:
        """Takes the bar off the terminal. A second call does nothing."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            Progress._drawn -= 1

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def progress(
    elements: Iterable[Element], description: str, unit: str = "batches", total: int | None = None
) -> Iterator[Element]:
    """Passes the elements on, with a bar. `total` defaults to len(elements) where there is one.

    Example:
        >>> sum(progress([1, 2, 3], "adding", unit="numbers"))
        6
    """
    if total is None and isinstance(elements, Sized):
        total = len(elements)
    with Progress(total, description, unit) as bar:
        for element in elements:
            yield element
            bar.update(1)


def say(text: str = "") -> None:
    """Prints a line to standard output at once, above any progress bar.

    A character that the terminal's encoding lacks comes out as "?", never as a stack trace.
    """
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    if Progress._drawn:
        from tqdm import tqdm

        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()
    else:
        print(text, flush=True)


def count(number: int) -> str:
    """3416 -> '3,416'."""
    return f"{number:,}"


def seconds(duration: float) -> str:
    """192 -> '3 min 12 s'; two units at most.

    Example:
        >>> [seconds(s) for s in (0.042, 7.25, 192, 3600, 100000)]
        ['0.04 s', '7.2 s', '3 min 12 s', '1 h', '27 h 47 min']
    """
    if duration < 1:
        return f"{duration:.2f} s"
    if duration < 9.95:
        return f"{duration:.1f} s"
    whole = round(duration)
    minutes, rest = divmod(whole, 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(duration / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(num_bytes: float) -> str:
    """24594131 -> '24.6 MB'; decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _value(name: str, value: float) -> str:
    if name.endswith("_per_s"):
        return f"{value:,.0f} {name.removesuffix('_per_s')}/s"
    return f"{name} {value:.4f}" if value < 100 else f"{name} {value:.1f}"
