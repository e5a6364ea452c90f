"""tensorflow.ProfilerService: a trace of the running server, as TensorBoard's capture button asks.

As in TensorFlow Serving, the trace is written by the server, to the folder that the request names.
Whoever can reach the port could so make it write elsewhere; therefore it is offered to clients on
this machine only, makes no file but HOST.xplane.pb, and never replaces one.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import grpc

from serving.console import import_tensorflow
from serving.descriptors import message_classes
from serving.grpc_services import guarded
from serving.status import Code, ServingError, invalid

SERVICE = "tensorflow.ProfilerService"
LONGEST_MS = 60_000
_LOOK_AGAIN = 0.05  # seconds, whether the client is still there
_NAME = re.compile(r"[\w.:+-]{1,200}")

_messages = message_classes(
    "tensorflow",
    {
        "ProfileOptions": {
            "host_tracer_level": (2, "int32"),
            "device_tracer_level": (3, "int32"),
            "python_tracer_level": (4, "int32"),
            "version": (5, "int32"),
            "duration_ms": (9, "int64"),
        },
        "ProfileRequest": {
            "duration_ms": (1, "int64"),
            "opts": (4, "tensorflow.ProfileOptions"),
            "repository_root": (5, "string"),
            "session_id": (6, "string"),
            "host_name": (7, "string"),
        },
        "ProfileResponse": {"empty_trace": (7, "bool")},
    },
)
ProfileRequest = _messages["ProfileRequest"]
ProfileResponse = _messages["ProfileResponse"]


class Profiler:
    """Takes one trace at a time.

    Arguments:
        local: only clients on this machine can reach the server.
    """

    def __init__(self, local: bool) -> None:
        self._local = local
        self._busy = threading.Lock()

    def handler(self) -> Any:
        """What a gRPC server registers."""
        profile = grpc.unary_unary_rpc_method_handler(
            self._profile, ProfileRequest.FromString, ProfileResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Profile": profile})

    def _profile(self, request: Any, context: Any) -> Any:
        return guarded(context, lambda: self._answer(request, context), ProfileResponse)

    def _answer(self, request: Any, context: Any) -> Any:
        target = self._target(request)
        duration = request.opts.duration_ms or request.duration_ms
        if not 0 <= duration <= LONGEST_MS:
            raise invalid(f"duration_ms is {duration}; a trace takes {LONGEST_MS} at most")
        if not self._busy.acquire(blocking=False):
            raise ServingError(Code.ALREADY_EXISTS, "Another profiler is running.")
        try:
            trace = _trace(request.opts, duration / 1000, context.is_active)
        finally:
            self._busy.release()
        if target is not None and trace:
            _write(target, trace)
        return ProfileResponse(empty_trace=not trace)

    def _target(self, request: Any) -> Path | None:
        """The file that a request asks for; None: it names no folder."""
        if not self._local:
            raise ServingError(
                Code.PERMISSION_DENIED,
                "A profile is written to a folder that the request names, so only a server that "
                "listens on loopback alone takes one; this one was started with --host",
            )
        if not request.repository_root:
            return None
        root, host = Path(request.repository_root), request.host_name or "localhost"
        for name in (request.session_id, host):
            if not _NAME.fullmatch(name) or name in (".", ".."):
                raise invalid(f"session_id and host_name name a folder and a file, not {name!r}")
        if not root.is_absolute() or ".." in root.parts:
            raise invalid("repository_root must be the absolute path of a folder")
        return root / str(request.session_id) / f"{host.replace(':', '_')}.xplane.pb"


def is_local(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only.

    Example:
        >>> is_local("127.0.0.1"), is_local("localhost"), is_local("0.0.0.0")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _trace(options: Any, seconds: float, wanted: Any) -> bytes:
    """An XSpace, serialised; cut short when nobody waits for it any more."""
    profiler = import_tensorflow().profiler.experimental
    levels = {}
    if options.version:  # without one, zeros are fields that nobody set
        levels = {
            "host_tracer_level": options.host_tracer_level,
            "device_tracer_level": options.device_tracer_level,
            "python_tracer_level": options.python_tracer_level,
        }
    with tempfile.TemporaryDirectory() as folder:
        profiler.start(folder, profiler.ProfilerOptions(**levels))
        try:
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0 and wanted():
                time.sleep(min(left, _LOOK_AGAIN))
        finally:
            profiler.stop()
        return b"".join(path.read_bytes() for path in Path(folder).rglob("*.xplane.pb"))


def _write(target: Path, trace: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".trace-") as part:
            part.write(trace)
            part.flush()
            os.link(part.name, target)  # all of it or nothing, and not over anything
    except OSError as error:
        code = Code.ALREADY_EXISTS if isinstance(error, FileExistsError) else Code.INTERNAL
        raise ServingError(code, f"Cannot write {target}: {error.strerror}") from None
