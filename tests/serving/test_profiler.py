"""ProfilerService: a client of TensorFlow's own takes a trace of a server that answers requests."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from serving.profiler import Profiler, ProfileRequest, ProfileResponse, is_local
from tests.serving.running import Server, predict_request


def call(server: Server, **fields: Any) -> Any:
    over = server.channel.unary_unary(
        "/tensorflow.ProfilerService/Profile",
        ProfileRequest.SerializeToString,
        ProfileResponse.FromString,
    )
    return over(ProfileRequest(**fields), timeout=20)


def test_a_trace_shows_the_operations_of_the_model(server: Server, tmp_path: Path) -> None:
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            server.prediction.Predict(predict_request("mixed", "total", x=[[2.0]]), timeout=20)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        tf.profiler.experimental.client.trace(f"grpc://localhost:{server.port}", str(tmp_path), 400)
    finally:
        stop.set()
        asking.join()
    [path] = tmp_path.glob("plugins/profile/*/*.xplane.pb")  # where TensorBoard looks
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    names = {found.name for plane in space.planes for found in plane.event_metadata.values()}
    assert any(name.endswith(":Sum") for name in names)


@pytest.mark.parametrize(
    "fields",
    [
        {"repository_root": "profiles", "session_id": "1"},
        {"repository_root": "/tmp/../etc", "session_id": "1"},
        {"repository_root": "/tmp", "session_id": "../etc"},
        {"repository_root": "/tmp", "session_id": ".."},
        {"repository_root": "/tmp", "session_id": ""},
        {"repository_root": "/tmp", "session_id": "1", "host_name": "a/b"},
        {"duration_ms": 3_600_000},
        {"duration_ms": -1},
    ],
)
def test_a_request_that_names_another_place_is_refused(
    server: Server, fields: dict[str, Any]
) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        call(server, **fields)
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_nothing_is_replaced_and_nothing_written_unasked(server: Server, tmp_path: Path) -> None:
    asked = {"repository_root": str(tmp_path), "session_id": "1", "host_name": "me:8500"}
    assert not call(server, duration_ms=1).empty_trace
    assert not list(tmp_path.iterdir())
    call(server, duration_ms=1, **asked)
    file = tmp_path / "1" / "me_8500.xplane.pb"
    assert list(file.parent.iterdir()) == [file]
    first = file.read_bytes()
    with pytest.raises(grpc.RpcError) as failed:
        call(server, duration_ms=1, **asked)
    assert failed.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert file.read_bytes() == first


def test_a_server_on_the_network_takes_none(tmp_path: Path) -> None:
    assert [is_local(host) for host in ("::1", "127.8.0.1", "0.0.0.0", "::", "example.org")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    from concurrent.futures import ThreadPoolExecutor

    open_to_all = grpc.server(ThreadPoolExecutor(1))
    open_to_all.add_generic_rpc_handlers((Profiler(local=False).handler(),))
    port = open_to_all.add_insecure_port("127.0.0.1:0")
    open_to_all.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        over = channel.unary_unary("/tensorflow.ProfilerService/Profile")
        with pytest.raises(grpc.RpcError) as failed:
            over(ProfileRequest(repository_root=str(tmp_path)).SerializeToString(), timeout=10)
    open_to_all.stop(None)
    assert failed.value.code() == grpc.StatusCode.PERMISSION_DENIED
