"""Versions come and go, fail and warm up, while requests are answered."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    prediction_log_pb2,
)

from tests.serving.running import Server, predict_request


def copy(source: Path, target: Path) -> None:
    """Puts a version in place at once, as an export does."""
    aside = target.parent.parent / f"aside-{target.name}"
    shutil.copytree(source, aside)
    aside.rename(target)


def remove(version: Path) -> None:
    aside = version.parent.parent / f"gone-{version.name}-{time.monotonic_ns()}"
    version.rename(aside)
    shutil.rmtree(aside)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


class Living:
    """A server whose one model, "m", the tests change; starts with versions 1."""

    def __init__(self, folder: Path, saved: Path) -> None:
        self.folder = folder
        self.saved = saved
        (folder / "m").mkdir()
        copy(saved / "half" / "1", folder / "m" / "1")
        (folder / "m" / "not-a-version").mkdir()
        self.config = folder / "models.txt"
        self.configure(self.entry("m"))
        self.server = Server(
            f"--model_config_file={self.config}",
            "--model_config_file_poll_wait_seconds=1",
            "--file_system_poll_wait_seconds=1",
            "--max_num_load_retries=0",
            "--rest_api_enable_cors_support",
            log=folder / "log.txt",
        )

    def entry(self, name: str, more: str = "") -> str:
        return (
            f'config {{ name: "{name}" base_path: "{self.folder / name}" '
            f'model_platform: "tensorflow" {more} }}'
        )

    def configure(self, *entries: str) -> None:
        aside = self.config.with_suffix(".part")
        aside.write_text(f"model_config_list {{ {' '.join(entries)} }}")
        os.replace(aside, self.config)

    def states(self, name: str = "m") -> dict[int, str]:
        found = self.server.http("GET", f"/v1/models/{name}")
        if found.status != 200:
            return {}
        listed = found.json["model_version_status"]
        return {int(entry["version"]): entry["state"] for entry in listed}

    def answer(self) -> float:
        value: float = self.server.predict("m", {"instances": [2.0]}).json["predictions"][0]
        return value

    def reload(self, text: str) -> Any:
        from google.protobuf import text_format

        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(text, request.config)
        return self.server.models.HandleReloadConfigRequest(request, timeout=30)


@pytest.fixture(scope="module")
def living(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    made = Living(tmp_path_factory.mktemp("living"), saved)
    yield made
    assert made.server.stop() == 0


def test_swapping_under_load_fails_no_request(living: Living) -> None:
    stop = threading.Event()
    failures: list[object] = []
    counts = [0, 0]

    def over_grpc() -> None:
        request = predict_request("m", x=[2.0])
        while not stop.is_set():
            try:
                y = living.server.prediction.Predict(request, timeout=20).outputs["y"].float_val[0]
                if y not in (3.0, 4.0):
                    failures.append(y)
                counts[0] += 1
            except grpc.RpcError as error:
                failures.append(error)

    def over_rest() -> None:
        while not stop.is_set():
            found = living.server.predict("m", {"instances": [2.0]})
            if found.status != 200:
                failures.append(found.body)
            counts[1] += 1

    threads = [threading.Thread(target=work) for work in (over_grpc, over_grpc, over_rest)]
    for thread in threads:
        thread.start()
    try:
        base = living.folder / "m"
        for number in range(2, 6):  # a new version appears, then its predecessor is deleted
            copy(living.saved / "half" / ("2" if number % 2 == 0 else "1"), base / str(number))
            until(lambda number=number: living.states().get(number) == "AVAILABLE")
            until(lambda number=number: living.states().get(number - 1) == "END")
            remove(base / str(number - 1))
        copy(living.saved / "half" / "1", base / "00000006")
        until(lambda: living.states().get(6) == "AVAILABLE")
        remove(base / "00000006")  # back to the one before
        until(lambda: living.states().get(6) == "END")
        assert living.states()[5] == "AVAILABLE"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert min(counts) > 50


def test_a_broken_version_is_reported_and_the_good_one_serves(living: Living) -> None:
    broken = living.folder / "m" / "50"
    broken.mkdir()
    until(lambda: living.states().get(50) == "END")
    found = living.server.http("GET", "/v1/models/m/versions/50").json["model_version_status"][0]
    assert found["status"]["error_code"] == "NOT_FOUND"
    assert "Could not find SavedModel" in found["status"]["error_message"]
    assert living.states()[5] == "AVAILABLE"
    assert living.answer() == 3.0
    remove(broken)
    time.sleep(1.5)  # one look at the folder without it


def test_a_version_comes_back(living: Living) -> None:
    base = living.folder / "m"
    until(lambda: living.states().get(5) == "AVAILABLE")
    copy(living.saved / "half" / "2", base / "50")  # broken before, good now
    until(lambda: living.states().get(50) == "AVAILABLE")
    until(lambda: living.states().get(5) == "END")
    assert living.answer() == 4.0
    remove(base / "50")
    until(lambda: living.states().get(5) == "AVAILABLE")
    assert living.answer() == 3.0


def _warmup(folder: Path, *records: bytes) -> None:
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record)


def test_warm_up_runs_before_a_version_is_available(living: Living) -> None:
    good = prediction_log_pb2.PredictionLog()
    good.predict_log.request.CopyFrom(predict_request("any", "pair", x=[[1.0]]))
    bad = prediction_log_pb2.PredictionLog()
    bad.predict_log.request.CopyFrom(predict_request("any", "no such", x=[1.0]))
    session = prediction_log_pb2.PredictionLog()
    session.session_run_log.SetInParent()
    cases = {
        60: ([good.SerializeToString()] * 3, "AVAILABLE", "OK"),
        61: ([bad.SerializeToString()], "END", "FAILED_PRECONDITION"),
        62: ([b"\xff\xff\xff"], "END", "INVALID_ARGUMENT"),
        63: ([session.SerializeToString()], "END", "UNIMPLEMENTED"),
        64: ([good.SerializeToString()] * 1001, "END", "INVALID_ARGUMENT"),
        65: (None, "END", "DATA_LOSS"),
    }
    base = living.folder / "warm"
    for number, (records, _, _) in cases.items():
        aside = living.folder / "new"
        shutil.copytree(living.saved / "half" / "1", aside)
        if records is None:
            (aside / "assets.extra").mkdir()
            (aside / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no record" * 9)
        else:
            _warmup(aside, *records)
        base.mkdir(exist_ok=True)
        aside.rename(base / str(number))
    living.configure(living.entry("m"), living.entry("warm", "model_version_policy { all {} }"))
    until(lambda: sorted(set(living.states("warm").values())) == ["AVAILABLE", "END"])
    until(lambda: len([s for s in living.states("warm").values() if s != "START"]) == len(cases))
    until(lambda: "LOADING" not in living.states("warm").values())
    listed = living.server.http("GET", "/v1/models/warm").json["model_version_status"]
    found = {int(v["version"]): (v["state"], v["status"]["error_code"]) for v in listed}
    assert found == {number: case[1:] for number, case in cases.items()}
    living.configure(living.entry("m"))
    until(lambda: set(living.states("warm").values()) == {"END"})


def test_a_broken_config_file_changes_nothing(living: Living) -> None:
    living.config.write_text("nonsense {")
    until(lambda: "stays as it was" in (living.folder / "log.txt").read_text())
    assert living.answer() == 3.0
    living.configure(living.entry("m"))


def test_reload_request(living: Living) -> None:
    base = living.folder
    (base / "n").mkdir(exist_ok=True)
    copy(living.saved / "half" / "1", base / "n" / "1")
    copy(living.saved / "half" / "2", base / "n" / "2")
    both = "model_version_policy { specific { versions: 1 versions: 2 versions: 7 } }"
    living.configure(living.entry("m"), living.entry("n", both))
    until(lambda: sorted(living.states("n")) == [1, 2])
    until(lambda: set(living.states("n").values()) == {"AVAILABLE"})
    labels = 'version_labels { key: "old" value: 1 } version_labels { key: "new" value: 2 }'
    with_labels = f"{living.entry('m')} {living.entry('n', f'{both} {labels}')}"
    living.configure(with_labels)  # the file is polled as well: both must say the same
    answer = living.reload(f"model_config_list {{ {with_labels} }}")
    assert answer.status.error_code == 0
    for label, y in (("old", 3.0), ("new", 4.0)):
        found = living.server.predict(f"n/labels/{label}", {"instances": [2.0]})
        assert found.json == {"predictions": [y]}


RELOAD_FAILURES = {
    "duplicates": ("{m} {m}", "Illegal to list model m multiple times in config list"),
    "relative path": (
        'config {{ name: "r" base_path: "r" model_platform: "tensorflow" }}',
        "Expected model r to have an absolute path or URI; got base_path()=r",
    ),
    "platform": (
        'config {{ name: "r" base_path: "/r" model_platform: "torch" }}',
        "Model r requests unsupported platform torch",
    ),
    "another platform": (
        'config {{ name: "m" base_path: "/r" model_platform: "torch" }}',
        "Illegal to change a model's platform. For model m platform was tensorflow and new "
        "platform requested is torch",
    ),
    "no platform": (
        'config {{ name: "r" base_path: "/r" }}',
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
        "ModelServerConfig::model_platform.",
    ),
    "platform twice": (
        'config {{ name: "m" base_path: "/r" model_platform: "tensorflow" '
        "model_type: TENSORFLOW }}",
        "Illegal setting both ModelServerConfig::model_type (deprecated) and "
        "ModelServerConfig::model_platform.",
    ),
    "type": (
        'config {{ name: "r" base_path: "/r" model_type: OTHER }}',
        "ModelServerConfig::model_type choice 2 not supported.",
    ),
}


@pytest.mark.parametrize("case", RELOAD_FAILURES)
def test_reload_failures(living: Living, case: str) -> None:
    entries, text = RELOAD_FAILURES[case]
    entries = entries.format(m=living.entry("m"))
    with pytest.raises(grpc.RpcError) as failed:
        living.reload(f"model_config_list {{ {entries} }}")
    assert (failed.value.code(), failed.value.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        text,
    )
    assert living.answer() == 3.0


def test_a_label_of_a_missing_version_is_refused(living: Living) -> None:
    entry = living.entry("m", 'version_labels { key: "next" value: 99 }')
    with pytest.raises(grpc.RpcError) as failed:
        living.reload(f"model_config_list {{ {entry} }}")
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == (
        "Request to assign label to version 99 of model m, which is not currently available for "
        "inference"
    )
    with pytest.raises(grpc.RpcError) as failed:
        living.reload("")
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_new_model_that_fails_is_reported(living: Living) -> None:
    (living.folder / "bad" / "1").mkdir(parents=True)
    entries = f"{living.entry('m')} {living.entry('bad')}"
    with pytest.raises(grpc.RpcError) as failed:
        living.reload(f"model_config_list {{ {entries} }}")
    told = failed.value.details()
    assert told.startswith(
        "1 model(s) did not become available: {{{name: bad version: 1} due to error: NOT_FOUND: "
    )
    assert told.endswith("}, }")
    assert living.answer() == 3.0


def test_cors(living: Living) -> None:
    for found in (
        living.server.http("GET", "/v1/models/m"),
        living.server.predict("m", "{"),
        living.server.http("OPTIONS", "/v1/models/m", headers={"Origin": "https://a.b"}),
    ):
        assert found.headers["Access-Control-Allow-Origin"] == "*"
        assert found.headers["Access-Control-Allow-Methods"] == "POST, GET"
        assert found.headers["Access-Control-Allow-Headers"] == "Content-Type"
    assert living.server.http("OPTIONS", "/v1/x", headers={"Origin": "https://a.b"}).status == 200
    assert living.server.http("OPTIONS", "/v1/x").status == 400


def test_requests_stay_out_of_the_log(living: Living) -> None:
    secret = "user-4711-secret"
    living.server.predict("m", {"instances": [secret]})
    living.server.predict(secret, {"instances": [1.0]})
    living.server.http("GET", f"/v1/models/{secret}/x/y")
    with pytest.raises(grpc.RpcError):
        living.server.prediction.Predict(predict_request(secret, x=[1.0]), timeout=10)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = secret
    with pytest.raises(grpc.RpcError):
        living.server.models.GetModelStatus(request, timeout=10)
    assert secret not in (living.folder / "log.txt").read_text()


def test_removing_everything_unloads_the_model(living: Living) -> None:
    base = living.folder / "m"
    away = living.folder / "away"
    base.rename(away)  # unreadable: nothing changes
    time.sleep(2.5)
    assert living.answer() == 3.0
    base.mkdir()  # readable and empty: everything goes
    until(lambda: set(living.states().values()) == {"END"})
    found = living.server.predict("m", {"instances": [2.0]})
    assert (found.status, found.json) == (
        404,
        {"error": "Servable not found for request: Latest(m)"},
    )
