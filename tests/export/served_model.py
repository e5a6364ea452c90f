"""A SavedModel in a process of its own that knows neither tfrec nor export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Answer = dict[str, NDArray[Any]]


class Served:
    """Asks signatures by name.

    Example:
        >>> with Served(folder) as served:                              # doctest: +SKIP
        ...     served.ask("embed_items", items=["i3"])["known"]
        array([ True])
    """

    def __init__(self, folder: Path) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        worker = Path(__file__).with_name("served_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(worker), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        )

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.communicate()
        self._errors.close()

    def ask(self, name: str, /, **request: Any) -> Answer:
        """One request; inputs are lists or arrays."""
        assert self._process.stdin
        assert self._process.stdout
        given = {
            key: value.tolist() if isinstance(value, np.ndarray) else value
            for key, value in request.items()
        }
        self._process.stdin.write(json.dumps([name, given]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise AssertionError(self._errors.read())
        return {
            key: np.array(values, object if dtype == "string" else dtype).reshape(shape)
            for key, (dtype, shape, values) in json.loads(line).items()
        }
