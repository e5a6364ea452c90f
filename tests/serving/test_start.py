"""Flags, refusals to start, TLS, sockets, health, reflection and the end of a server."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.client import Client, Question, Tls
from serving.flags import BadFlag, Flags, parse, usage, without_effect
from serving.server import serve
from serving.status import ServingError
from tests.serving.running import Server, free_port, predict_request
from tests.serving.unreliable import Plan, place, unreliable


def test_flags_in_every_form() -> None:
    flags, unknown = parse(
        ["--port=1", "--model_name", "m", "--enable_batching", "--enable_model_warmup=false", "x"]
    )
    assert (flags.port, flags.model_name) == (1, "m")
    assert flags.enable_batching
    assert not flags.enable_model_warmup
    assert unknown == ["x"]


@pytest.mark.parametrize("bad", ["--port=x", "--port", "--enable_batching=maybe"])
def test_bad_values(bad: str) -> None:
    with pytest.raises(BadFlag):
        parse([bad])


def test_flags_of_production_that_mean_nothing_here_are_told_apart() -> None:
    _, unknown = parse(["--flush_filesystem_caches=true", "--xla_cpu_compilation_enabled", "--a"])
    assert [without_effect(argument) for argument in unknown] == [True, True, False]


def test_help_names_every_flag() -> None:
    text = usage()
    assert all(f"--{name}=" in text for name in vars(Flags()))
    assert Flags().host == "127.0.0.1"


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_help_version_and_bad_values_need_no_tensorflow() -> None:
    started = time.perf_counter()
    helped = run("--help")
    elapsed = time.perf_counter() - started
    bare = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    bare = time.perf_counter() - bare
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "python -m serving --model_base_path=DIR" in helped.stdout
    assert elapsed < 0.5 + 5 * bare
    versions = run("--version")
    assert versions.returncode == 0
    assert versions.stdout.splitlines()[1].startswith("TensorFlow Library: 2.20")
    bad = run("--port=x")
    assert bad.returncode == 255
    assert "usage:" in bad.stdout


def test_an_unreadable_config_ends_the_process(tmp_path: Path) -> None:
    file = tmp_path / "models.txt"
    file.write_text("improperly formatted file")
    ended = run(f"--model_config_file={file}", "--port=1")
    assert ended.returncode == 255
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in ended.stderr
    assert "Failed to start server. Error: INVALID_ARGUMENT: " in ended.stdout
    assert "Traceback" not in ended.stderr


def entry(path: Path, more: str = "") -> str:
    return (
        f'model_config_list {{ config {{ name: "m" base_path: "{path}" '
        f'model_platform: "tensorflow" {more} }} }}'
    )


def test_refusals(tmp_path: Path, saved: Path) -> None:
    labelled = tmp_path / "labelled.txt"
    labelled.write_text(entry(saved / "half", 'version_labels { key: "a" value: 1 }'))
    (tmp_path / "bad" / "1").mkdir(parents=True)
    good = str(saved / "half")
    cases = [
        (Flags(), "INVALID_ARGUMENT", "are empty"),
        (Flags(model_base_path=good, batching_parameters_file="x"), "INVALID", "enable_batching"),
        (Flags(model_base_path=good, port=0), "INVALID_ARGUMENT", "server_options.port is not set"),
        (
            Flags(
                model_base_path=good,
                tensorflow_session_parallelism=1,
                tensorflow_intra_op_parallelism=1,
                tensorflow_inter_op_parallelism=1,
            ),
            "INVALID_ARGUMENT",
            "You cannot configure all.",
        ),
        (
            Flags(model_base_path=good, use_alts_credentials=True, ssl_config_file="x"),
            "INVALID_ARGUMENT",
            "cannot both be set",
        ),
        (Flags(model_base_path=good, use_alts_credentials=True), "UNIMPLEMENTED", "Google Cloud"),
        (Flags(model_config_file="/no/such"), "NOT_FOUND", "/no/such; No such file"),
        (Flags(model_config_file=str(labelled)), "FAILED_PRECONDITION", "Request to assign label"),
        (
            Flags(model_base_path=str(tmp_path / "bad"), max_num_load_retries=0),
            "UNKNOWN",
            "did not become available",
        ),
    ]
    for flags, code, text in cases:
        with pytest.raises(ServingError) as refused:
            serve(flags, threading.Event())
        assert str(refused.value).startswith(code)
        assert text in refused.value.message


@pytest.mark.parametrize(
    ("content", "mode", "text"),
    [
        ("s3cret", 0o604, r"mode 604\); keep the keys to yourself: chmod 600"),
        ("s3cret", 0o602, "may be touched by every user"),
        ("# none\n\n", 0o600, "holds no API key"),
        (None, 0o600, "Cannot read .*keys.txt: No such file"),
    ],
)
def test_api_keys_that_keep_nobody_out_are_refused(
    tmp_path: Path, saved: Path, content: str | None, mode: int, text: str
) -> None:
    file = tmp_path / "keys.txt"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(ServingError, match=text) as refused:
        serve(
            Flags(model_base_path=str(saved / "half"), api_keys_file=str(file)), threading.Event()
        )
    assert "key" not in str(refused.value).replace("API key", "").replace("keys", "")


def test_a_taken_port_is_refused(saved: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        flags = Flags(model_base_path=str(saved / "half"), port=taken.getsockname()[1])
        with pytest.raises(ServingError, match="cannot listen on"):
            serve(flags, threading.Event())


def certificate(folder: Path, name: str, issuer: str | None = None) -> None:
    """name.key and name.crt, signed by the issuer or by itself."""
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    by = ["-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key"] if issuer else []
    files = ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*command, *subject, *by, *files], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def secure(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """Mutual TLS on a port and a socket, batching, and a model that appears late.

    Of its signatures `scalar` has a method of its own, and methods are checked.
    """
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates")
    folder = tmp_path_factory.mktemp("secure")
    certificate(folder, "authority")
    certificate(folder, "server", "authority")
    certificate(folder, "client", "authority")
    certificate(folder, "stranger")

    def pem(name: str) -> str:
        return (folder / name).read_text().replace("\n", "\\n")

    (folder / "ssl.txt").write_text(
        f'server_key: "{pem("server.key")}" server_cert: "{pem("server.crt")}" '
        f'custom_ca: "{pem("authority.crt")}" client_verify: true'
    )
    (folder / "batching.txt").write_text(
        "max_batch_size { value: 64 } batch_timeout_micros { value: 2000 } "
        "num_batch_threads { value: 2 } max_enqueued_batches { value: 100 }"
    )
    (folder / "monitoring.txt").write_text(
        'prometheus_config { enable: true path: "/own/metrics" }'
    )
    (folder / "m").mkdir()
    server = Server(
        f"--model_base_path={folder / 'm'}",
        "--model_name=m",
        f"--ssl_config_file={folder / 'ssl.txt'}",
        f"--grpc_socket_path={folder / 's.sock'}",
        "--enable_batching=true",
        "--enable_signature_method_name_check",
        f"--batching_parameters_file={folder / 'batching.txt'}",
        f"--monitoring_config_file={folder / 'monitoring.txt'}",
        ready=False,
        log=folder / "log.txt",
    )
    time.sleep(1)
    with pytest.raises(OSError, match="refused"):  # waits for a version without limit
        socket.create_connection(("127.0.0.1", server.rest_port), 1)
    shutil.copytree(saved / "half" / "1", folder / "aside")
    rename_method(folder / "aside" / "saved_model.pb", "scalar", "own/method")
    (folder / "aside").rename(folder / "m" / "1")
    server.wait(120)
    yield server, folder
    assert server.stop() == 0


def rename_method(file: Path, signature: str, method: str) -> None:
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    saved.meta_graphs[0].signature_def[signature].method_name = method
    file.write_bytes(saved.SerializeToString())


def channel(folder: Path, address: str, name: str | None) -> grpc.Channel:
    pair = [(folder / f"{name}.{kind}").read_bytes() if name else None for kind in ("key", "crt")]
    authority = (folder / "authority.crt").read_bytes()
    credentials = grpc.ssl_channel_credentials(authority, *pair)
    options = [("grpc.ssl_target_name_override", "localhost")]
    return grpc.secure_channel(address, credentials, options)


def ask(over: grpc.Channel, x: float) -> float:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(over)
    value: float = stub.Predict(predict_request("m", x=[x]), timeout=20).outputs["y"].float_val[0]
    return value


def test_mutual_tls(secure: tuple[Server, Path]) -> None:
    server, folder = secure
    for address in (f"127.0.0.1:{server.port}", f"unix:{folder / 's.sock'}"):
        with channel(folder, address, "client") as over:
            assert ask(over, 2.0) == 3.0
    for name in (None, "stranger"):
        with channel(folder, f"127.0.0.1:{server.port}", name) as over:
            with pytest.raises(grpc.RpcError) as failed:
                ask(over, 2.0)
            assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.RpcError):
        ask(server.channel, 2.0)  # no TLS at all


def two(signature: str) -> Question[list[float]]:
    given = {"x": np.array([2.0], np.float32)}
    return Question(signature, given, lambda found: found["y"].tolist())


def test_a_client_over_mutual_tls(secure: tuple[Server, Path]) -> None:
    server, folder = secure

    def known_as(name: str) -> Tls:
        return Tls(folder / "authority.crt", folder / f"{name}.crt", folder / f"{name}.key")

    address = f"localhost:{server.port}"
    with Client(address, model="m", tls=known_as("client"), deadline=20) as client:
        assert client.ask(two("serving_default")) == [3.0]
    with (
        Client(address, model="m", tls=known_as("stranger"), retries=0) as stranger,
        pytest.raises(ServingError, match="UNAVAILABLE"),
    ):
        stranger.ask(two("serving_default"))


def test_a_client_over_https_that_asks_for_certificates(secure: tuple[Server, Path]) -> None:
    _, folder = secure
    plan, where = Plan(None, failures=0), place("rest")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "authority.crt")
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    secured = f"https://localhost:{where.port}"
    with unreliable("rest", plan, where, context):
        with (
            Client(secured, model="double", tls=Tls(folder / "authority.crt")) as anybody,
            pytest.raises(ServingError, match="UNAVAILABLE"),
        ):
            anybody.ask(two("double"))
        tls = Tls(folder / "authority.crt", folder / "client.crt", folder / "client.key")
        with Client(secured, model="double", tls=tls) as client:
            assert client.ask(two("double")) == [4.0]


BATCHING = ":tensorflow:serving:batching_session:"


def test_requests_at_the_same_time_share_runs(secure: tuple[Server, Path]) -> None:
    server, folder = secure

    def runs() -> int:
        page = server.http("GET", "/own/metrics").body.decode()
        name = f"{BATCHING}wrapped_run_count{{}} "
        return int(next(n for n in page.splitlines() if n.startswith(name)).split()[-1])

    with channel(folder, f"127.0.0.1:{server.port}", "client") as over:
        ask(over, 0.0)
        before = runs()
        with ThreadPoolExecutor(16) as clients:
            inputs = [float(n) for n in range(320)]
            answers = list(clients.map(lambda x: ask(over, x), inputs))
    assert answers == [x / 2 + 2 for x in inputs]
    assert runs() - before < 240
    page = server.http("GET", "/own/metrics").body.decode()
    waited = f'{BATCHING}queuing_latency_bucket{{thread_pool_name="batch_threads",le="'
    bounds = [float(n.split('le="')[1].split('"')[0]) for n in page.splitlines() if waited in n]
    assert bounds == pytest.approx([*100 * 1.2 ** np.arange(52), np.inf], rel=1e-5)
    too_large = server.predict("m", {"instances": [1.0] * 65})
    assert too_large.status == 400
    assert too_large.json == {"error": "Task size 65 is larger than maximum input batch size 64"}
    assert server.predict("m", {"instances": [1.0] * 64}).status == 200
    assert server.http("GET", "/monitoring/prometheus/metrics").status == 404


def test_only_methods_of_the_interface_are_run_when_they_are_checked(
    secure: tuple[Server, Path],
) -> None:
    server, folder = secure
    text = (
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: own/method"
    )
    with channel(folder, f"127.0.0.1:{server.port}", "client") as over:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(over)
        for inputs in ({"x": [1.0]}, {}):  # told before what the inputs lack
            with pytest.raises(grpc.RpcError) as failed:
                stub.Predict(predict_request("m", "scalar", **inputs), timeout=20)
            assert failed.value.code() == grpc.StatusCode.INTERNAL
            assert failed.value.details() == text
    over_rest = server.predict("m", {"signature_name": "scalar", "inputs": [1.0]})
    assert (over_rest.status, over_rest.json) == (500, {"error": text})
    refused = server.http("POST", "/v1/models/m:classify", '{"examples": [{"x": 1.0}]}')
    assert refused.status == 400
    assert "method_name to be tensorflow/serving/classify" in refused.json["error"]
    examples = '{"signature_name": "classify_x_to_y", "examples": [{"x": 1.0}]}'
    assert server.http("POST", "/v1/models/m:classify", examples).status == 200


def test_requests_under_way_are_answered_at_the_end(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "batching.txt").write_text("batch_timeout_micros { value: 1000000 }")
    port, rest_port = free_port(), free_port()
    flags = Flags(
        port=port,
        rest_api_port=rest_port,
        model_name="half",
        model_base_path=str(saved / "half"),
        enable_batching=True,
        batching_parameters_file=str(tmp_path / "batching.txt"),
    )
    stop = threading.Event()
    body = b'{"instances": [2.0]}'

    def over_rest() -> bytes:
        url = f"http://127.0.0.1:{rest_port}/v1/models/half:predict"
        with urllib.request.urlopen(url, body, 20) as answer:
            return bytes(answer.read())

    with ThreadPoolExecutor(3) as pool:
        serving = pool.submit(serve, flags, stop)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as over:
            grpc.channel_ready_future(over).result(30)
            stub = prediction_service_pb2_grpc.PredictionServiceStub(over)
            asked = stub.Predict.future(predict_request("half", x=[2.0]), timeout=20)
            asked_over_rest = pool.submit(over_rest)
            time.sleep(0.3)
            assert not asked.done()
            stop.set()
            assert asked.result().outputs["y"].float_val[0] == 4.0
            assert asked_over_rest.result() == b'{"predictions": [4.0]}'
        serving.result(20)
    for closed in (port, rest_port):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", closed), 1)


def test_health_and_reflection(server: Server) -> None:
    health = health_pb2_grpc.HealthStub(server.channel)
    for name in ("", "ModelService", "PredictionService"):
        found = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        assert found.status == health_pb2.HealthCheckResponse.SERVING
    listing = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = reflection_pb2_grpc.ServerReflectionStub(server.channel).ServerReflectionInfo(
        iter([listing]), timeout=10
    )
    names = {service.name for service in next(answers).list_services_response.service}
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"} <= names


def test_only_loopback_listens(server: Server) -> None:
    listening = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        address, port = local.split(":")
        if state == "0A" and int(port, 16) in (server.port, server.rest_port):
            listening.add(address)
    assert listening == {"0100007F"}


def test_an_unknown_flag_is_reported_and_ignored(server: Server) -> None:
    assert server.log is not None
    text = server.log.read_text()
    assert "unknown argument: --no_such_flag=1\n" in text
    assert "without effect on this server: --prefer_tflite_model=true\n" in text
    assert "usage: python -m serving" in text
