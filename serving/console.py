"""What reaches the console: TensorFlow without its noise, and our own lines on standard error."""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import logging
import os
import re
import subprocess
import sys
import traceback
from typing import Any

log = logging.getLogger("serving")

# Lines that TensorFlow's C++ libraries write to file descriptor 2 whatever the log level is.
NOISE = re.compile(
    "|".join(
        [
            r"[IW]0000 00:00:\d+\.\d+ +\d+ \S+:\d+\] ",
            r"E0000 .* Unknown experiment: event_engine_listener",
            r"WARNING: All log messages before absl::InitializeLog\(\) is called",
            r".*Unable to register cu(DNN|FFT|BLAS) factory",
            r".*failed call to cuInit: .*(\(303\)|CUDA_ERROR_NO_DEVICE|\(100\))",
            r".* oneDNN supports DT_\w+ only on platforms with",
            r"AttributeError: 'MessageFactory' object has no attribute 'GetPrototype'",
        ]
    )
)
_FILTER = """
import re, sys
noise = re.compile(sys.argv[1].encode())
for line in sys.stdin.buffer:
    if not noise.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


class _Formatter(logging.Formatter):
    """Says of an exception what kind it is and where, not its text, which may quote a request."""

    def formatException(self, ei: Any) -> str:
        kind, _, where = ei
        return f"{''.join(traceback.format_tb(where))}{kind.__name__}"


def set_up_logging() -> None:
    """Time, level and text on standard error; contents of requests are never logged."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname).1s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def quiet_stderr() -> None:
    """Drops TensorFlow's start-up noise from standard error; every other line passes.

    Variables that the user has set win: TF_CPP_MIN_LOG_LEVEL=0 brings every message back.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] in ("0", "1"):
        return
    # A process of its own, so that the last words of a crash still come through. It ends by
    # itself when the last writer of the pipe does.
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _FILTER, NOISE.pattern],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C stops the server, not the filter
    )
    assert process.stdin is not None
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    process.returncode = 0  # nobody waits for it


@functools.cache
def import_tensorflow() -> Any:
    """The tensorflow module, imported late: it takes seconds, and `--help` must not."""
    # None of its million objects is garbage. Looking for some made the import a quarter longer, and
    # would go on at every full collection, in the middle of requests, and at the end. Once only:
    # whatever else is in memory by then, such as a version's graph, would never be freed.
    gc.disable()
    try:
        tensorflow = importlib.import_module("tensorflow")
    finally:
        gc.enable()
    gc.freeze()
    atexit.register(gc.freeze)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return tensorflow
