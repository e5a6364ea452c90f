"""Flags that change what a server does, each at work on a small model."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from serving.flags import Flags
from serving.server import serve
from serving.status import ServingError
from tests.serving.running import free_port, predict_request
from tests.serving.test_grpc_conformance import CLASSIFY, REGRESS, example
from tests.serving.test_life_cycle import copy, until


class Here:
    """A server in this process, and how to ask it."""

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        self.channel = grpc.insecure_channel(f"127.0.0.1:{flags.port}")
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def http(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.flags.rest_api_port, timeout=20)
        try:
            connection.request(method, path, json.dumps(body) if body else None)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ask(self, x: float) -> float:
        answer = self.prediction.Predict(predict_request("m", x=[x]), timeout=20)
        value: float = answer.outputs["y"].float_val[0]
        return value

    def metric(self, line: str) -> float:
        _, page = self.http("GET", "/monitoring/prometheus/metrics")
        found = [row for row in page.splitlines() if row.startswith(line)]
        return float(found[0].split()[-1]) if found else 0.0

    def states(self) -> dict[int, int]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "m"
        listed = self.models.GetModelStatus(request, timeout=20).model_version_status
        return {entry.version: entry.state for entry in listed}

    def reload(self, text: str, *metrics: str) -> Any:
        request = model_management_pb2.ReloadConfigRequest(metric_names=metrics)
        text_format.Parse(text, request.config)
        return self.models.HandleReloadConfigRequest(request, timeout=20)


@contextmanager
def serving(folder: Path, flags: Flags) -> Iterator[Here]:
    """Serves folder/m as "m" on free ports, with metrics."""
    monitoring = folder / "monitoring.txt"
    monitoring.write_text("prometheus_config { enable: true }")
    flags = replace(
        flags,
        port=free_port(),
        rest_api_port=free_port(),
        model_name="m",
        model_base_path=str(folder / "m"),
        monitoring_config_file=str(monitoring),
        max_num_load_retries=0,
    )
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(serve, flags, stop)
        here = Here(flags)
        try:
            ready = grpc.channel_ready_future(here.channel)
            until(lambda: ready.done() or running.done())
            if running.done():
                running.result()
            until(lambda: _listens(here))
            yield here
        finally:
            here.channel.close()
            stop.set()
            running.result(20)


def _listens(here: Here) -> bool:
    try:
        return here.http("GET", "/v1/models/m")[0] == 200
    except OSError:
        return False


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """Its m/1 is y = x/2 + 2."""
    (tmp_path / "m").mkdir()
    copy(saved / "half" / "1", tmp_path / "m" / "1")
    return tmp_path


def test_answers_as_raw_bytes(folder: Path) -> None:
    with serving(folder, Flags(enable_serialization_as_tensor_content=True)) as here:
        y = here.prediction.Predict(predict_request("m", x=[2.0, 4.0]), timeout=20).outputs["y"]
    assert not y.float_val
    assert np.frombuffer(y.tensor_content, np.float32).tolist() == [3.0, 4.0]


def test_limits_on_rows_and_bytes(folder: Path) -> None:
    limits = Flags(max_request_rows=4, max_tensor_bytes=64)
    rows = "Input x has 5 rows; this server takes 4 at most (--max_request_rows): send several"
    large = "tensor parsing error: x is larger than 64 bytes (--max_tensor_bytes)"
    with serving(folder, limits) as here:
        assert here.ask(2.0) == 3.0
        for x, text in (([0.0] * 5, rows), ([[0.0] * 17], large)):
            with pytest.raises(grpc.RpcError) as failed:
                here.prediction.Predict(predict_request("m", x=x), timeout=20)
            assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert failed.value.details().startswith(text)
            status, body = here.http("POST", "/v1/models/m:predict", {"inputs": x})
            assert (status, json.loads(body)["error"].startswith(text)) == (400, True)


def test_a_request_over_rest_is_waited_for_so_long(folder: Path) -> None:
    (folder / "batching.txt").write_text("batch_timeout_micros { value: 2000000 }")
    slow = Flags(
        enable_batching=True,
        batching_parameters_file=str(folder / "batching.txt"),
        rest_api_timeout_in_ms=200,
    )
    with serving(folder, slow) as here:
        started = time.monotonic()
        status, body = here.http("POST", "/v1/models/m:predict", {"instances": [2.0]})
        assert time.monotonic() - started < 1.5
    assert status == 504
    assert json.loads(body) == {"error": "Timed out waiting for notification"}


def test_a_version_brings_its_own_batching(folder: Path) -> None:
    (folder / "m" / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    with serving(folder, Flags(enable_batching=True)) as here:
        assert here.http("POST", "/v1/models/m:predict", {"instances": [2.0] * 3})[0] == 200
    own = Flags(enable_batching=True, enable_per_model_batching_parameters=True)
    with serving(folder, own) as here:
        status, body = here.http("POST", "/v1/models/m:predict", {"instances": [2.0] * 3})
        assert (status, json.loads(body)) == (
            400,
            {"error": "Task size 3 is larger than maximum input batch size 2"},
        )
        assert here.ask(2.0) == 3.0


def test_both_interfaces_on_one_port(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        flags = Flags(model_base_path=str(folder / "m"), port=port, rest_api_port=port)
        running = pool.submit(serve, flags, stop)
        until(lambda: "--rest_api_port cannot be same as --port" in caplog.text or running.done())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(20)  # goes on without REST
        stop.set()
        running.result(20)


def test_options_of_grpc(folder: Path) -> None:
    with serving(folder, Flags(grpc_channel_arguments="grpc.max_receive_message_length=100")) as h:
        assert h.ask(2.0) == 3.0
        with pytest.raises(grpc.RpcError) as failed:
            h.prediction.Predict(predict_request("m", x=[0.0] * 100), timeout=20)
        assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    flags = Flags(model_base_path=str(folder / "m"), grpc_channel_arguments="grpc.so_reuseport")
    with pytest.raises(ServingError, match=r"no value for grpc\.so_reuseport"):
        serve(flags, threading.Event())


def test_tags_choose_the_graph(folder: Path) -> None:
    flags = Flags(
        model_base_path=str(folder / "m"), saved_model_tags="serve,gpu", max_num_load_retries=0
    )
    with pytest.raises(ServingError, match=r"did not become available: .*NOT_FOUND.*gpu"):
        serve(flags, threading.Event())


def test_a_folder_that_is_looked_at_once(folder: Path, saved: Path) -> None:
    with serving(folder, Flags(file_system_poll_wait_seconds=0)) as here:
        copy(saved / "half" / "2", folder / "m" / "2")
        time.sleep(1.5)
        assert here.states() == {1: 30}
        config = f'name: "m" base_path: "{folder / "m"}" model_platform: "tensorflow"'
        both = "model_version_policy { all {} }"
        here.reload(f"model_config_list {{ config {{ {config} {both} }} }}")
        until(lambda: here.states() == {1: 30, 2: 30})


def test_a_reload_tells_what_it_moved_and_may_take_everything_away(folder: Path) -> None:
    loads = "/tensorflow/cc/saved_model/load_attempt_count"
    (folder / "n").mkdir()
    copy(folder / "m" / "1", folder / "n" / "1")
    entries = " ".join(
        f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" }}'
        for name in ("m", "n")
    )
    with serving(folder, Flags()) as here:
        answer = here.reload(f"model_config_list {{ {entries} }}", loads, "/no/such")
        moved = {metric.name: metric.int64_value_increase for metric in answer.metric}
        assert moved == {loads: 1, "/no/such": 0}
        here.reload("model_config_list {}")
        until(lambda: here.states() == {1: 50})
        with pytest.raises(grpc.RpcError) as failed:
            here.ask(2.0)
        assert failed.value.details() == "Servable not found for request: Latest(m)"


def test_policies_and_labels_change_with_every_reload(folder: Path, saved: Path) -> None:
    copy(saved / "half" / "2", folder / "m" / "2")
    copy(saved / "half" / "1", folder / "m" / "3")

    def reload(more: str) -> None:
        entry = f'name: "m" base_path: "{folder / "m"}" model_platform: "tensorflow" {more}'
        here.reload(f"model_config_list {{ config {{ {entry} }} }}")

    def labelled(label: str) -> str:
        request = predict_request("m", x=[2.0])
        request.model_spec.version_label = label
        try:
            answer = here.prediction.Predict(request, timeout=20)
        except grpc.RpcError as error:
            return str(error.details())
        return str(answer.model_spec.version.value)

    ahead = Flags(allow_version_labels_for_unavailable_models=True)
    with serving(folder, ahead) as here:
        assert here.states() == {3: 30}
        reload("model_version_policy { latest { num_versions: 2 } }")
        until(lambda: here.states() == {3: 30, 2: 30})
        reload("model_version_policy { specific { versions: 1 versions: 9 } }")
        until(lambda: here.states() == {3: 50, 2: 50, 1: 30})
        assert here.ask(2.0) == 3.0
        everything = "model_version_policy { all {} }"
        reload(f'{everything} version_labels {{ key: "next" value: 9 }}')
        until(lambda: here.states() == {3: 30, 2: 30, 1: 30})  # those that had ended come back
        assert labelled("next") == "Servable not found for request: Specific(m, 9)"
        with pytest.raises(grpc.RpcError) as failed:  # it says 9, and 8 is not there to take it
            reload(f'{everything} version_labels {{ key: "next" value: 8 }}')
        assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        reload(f'{everything} version_labels {{ key: "next" value: 2 }}')
        assert labelled("next") == "2"
        reload(everything)
        assert labelled("next") == "Unrecognized servable version label: next"


def _records() -> list[bytes]:
    """One of every kind that is replayed."""
    predict, classify, regress, multi = (prediction_log_pb2.PredictionLog() for _ in range(4))
    predict.predict_log.request.CopyFrom(predict_request("any", x=[1.0]))
    classify.classify_log.request.model_spec.signature_name = "classify_x_to_y"
    classify.classify_log.request.input.example_list.examples.append(example(1.0))
    regress.regress_log.request.model_spec.signature_name = "regress_x_to_y"
    regress.regress_log.request.input.example_list.examples.append(example(1.0))
    request = multi.multi_inference_log.request
    for signature, method in (("classify_x_to_y", CLASSIFY), ("regress_x_to_y", REGRESS)):
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = "any", signature
    request.input.example_list.examples.append(example(1.0))
    return [log.SerializeToString() for log in (predict, classify, regress, multi)]


def _write_warmup(version: Path, records: list[bytes]) -> None:
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record)


def test_warm_up_replays_every_kind_as_often_as_asked(folder: Path) -> None:
    version = folder / "m" / "1"
    _write_warmup(version, _records())
    batching = folder / "batching.txt"
    batching.write_text("max_batch_size { value: 8 }")
    flags = Flags(
        enable_batching=True,  # counts the runs
        batching_parameters_file=str(batching),
        num_request_iterations_for_warmup=3,
    )
    with serving(folder, flags) as here:
        read = f':tensorflow:serving:model_warmup_records_read{{model_path="{version}"}}'
        assert here.metric(read) == 4
        runs = ":tensorflow:serving:batching_session:wrapped_run_count{}"
        assert here.metric(runs) == 12
        took = (
            f':tensorflow:serving:model_warmup_latency_count{{model_path="{version}",status="OK"}}'
        )
        assert here.metric(took) == 1


def test_warm_up_can_be_left_out(folder: Path) -> None:
    _write_warmup(folder / "m" / "1", [b"no record"])
    with pytest.raises(ServingError, match=r"INVALID_ARGUMENT: Failed to parse warmup record"):
        serve(Flags(model_base_path=str(folder / "m"), max_num_load_retries=0), threading.Event())
    with serving(folder, Flags(enable_model_warmup=False)) as here:
        assert here.ask(2.0) == 3.0


def test_examples_are_counted(folder: Path) -> None:
    with serving(folder, Flags()) as here:
        body = {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]}
        assert here.http("POST", "/v1/models/m:regress", body)[0] == 200
        assert here.metric(':tensorflow:serving:request_example_counts_sum{model="m"}') == 2
        assert here.metric(':tensorflow:serving:request_example_counts_count{model="m"}') == 1
        assert here.metric(':tensorflow:serving:request_example_count_total{model="m"}') == 2
        ran = (
            ':tensorflow:serving:runtime_latency_count{model_name="m",API="Regress",runtime="TF1"}'
        )
        assert here.metric(ran) == 1


def test_a_load_is_tried_again(folder: Path, saved: Path) -> None:
    base = folder / "late"
    (base / "1").mkdir(parents=True)  # empty: it cannot be loaded yet
    flags = Flags(
        port=free_port(),
        model_name="m",
        model_base_path=str(base),
        max_num_load_retries=100,
        load_retry_interval_micros=200_000,
    )
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(serve, flags, stop)
        time.sleep(0.5)
        shutil.copytree(saved / "half" / "1", base / "1", dirs_exist_ok=True)
        here = Here(flags)
        grpc.channel_ready_future(here.channel).result(20)
        assert here.ask(2.0) == 3.0
        assert here.states() == {1: 30}
        here.channel.close()
        stop.set()
        running.result(20)
