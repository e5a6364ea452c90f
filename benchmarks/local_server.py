"""`python -m serving` in a process of its own, for benchmarks that put it under load."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from tfrec.errors import UserError

BATCHING = "batching.config"


class LocalServer:
    """Serves one model folder on free ports; ready when entered.

    Arguments:
        models: the folder that holds the versions.
        name: under which the model is served.
        batching: merge requests as the folder's batching.config says.

    Raises:
        UserError: it does not start; its log says why.

    Example:
        >>> with LocalServer(Path("models/shop"), "shop") as server:    # doctest: +SKIP
        ...     print(server.grpc, server.rest)
        127.0.0.1:40123 http://127.0.0.1:40124
    """

    def __init__(self, models: Path, name: str, *flags: str, batching: bool = False) -> None:
        ports = free_ports(2)
        self.grpc, self.rest = f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
        command = [sys.executable, "-m", "serving", f"--port={ports[0]}"]
        command += [f"--rest_api_port={ports[1]}", f"--model_name={name}"]
        command += [f"--model_base_path={models.resolve()}", *flags]
        if batching:
            parameters = models.resolve() / BATCHING
            if not parameters.is_file():
                raise UserError(f"{models} holds no {BATCHING}; export into it once more")
            command += ["--enable_batching", f"--batching_parameters_file={parameters}"]
        self._command, self._port = command, ports[1]

    def __enter__(self) -> LocalServer:
        # A kill must not leave the server behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        self._log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            self._command, stdout=self._log, stderr=subprocess.STDOUT, env=os.environ
        )
        try:
            until_open(self._port, self.process)
        except BaseException as error:
            self.process.kill()
            self.process.wait()
            if isinstance(error, TimeoutError):
                raise UserError(f"the server does not start:\n{self.log()}") from None
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def log(self) -> str:
        """What it has written so far."""
        self._log.seek(0)
        return self._log.read()

    def resident_mb(self) -> float:
        """Memory that it holds, in MB (Linux)."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def until_open(port: int, process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    """Waits until somebody listens. Raises TimeoutError, also when the process has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError
