"""Classify and Regress: real clients, over gRPC and REST, of a server that insists on methods."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from tests.export.asked_requests import UNKNOWN, random_request
from tests.export.published import Published
from tests.export.small_runs import IDS, TOP_K
from tests.serving.running import Server

WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"


def warm_up_logs(published: Published) -> list[Any]:
    records = tf.data.TFRecordDataset(str(published.models / "1" / WARMUP))
    return [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in records]


@pytest.fixture(scope="module")
def server(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It refuses a signature whose method is another one than that of the request.

    Of the warm-up records it answers those of Classify and Regress before it is ready.
    """
    models = tmp_path_factory.mktemp("forms") / "shop"
    shutil.copytree(published.models / "1", models / "1")
    with tf.io.TFRecordWriter(str(models / "1" / WARMUP)) as writer:
        for log in warm_up_logs(published):
            if log.WhichOneof("log_type") != "predict_log":
                writer.write(log.SerializeToString())
    running = Server(
        "--model_name=shop",
        f"--model_base_path={models}",
        "--enable_signature_method_name_check",
        "--max_num_load_retries=0",
        ready=False,
        log=models.parent / "server.log",
    )
    try:
        running.wait(240)
        yield running
    finally:
        code = running.stop()
    assert code == 0


def features(row: int, **more: list[str]) -> dict[str, list[Any]]:
    """A user of a random request, without padding."""
    asked = random_request(IDS, 0, 6, 12, seed=11)
    real = asked.items[row] != ""
    return {
        "history_items": asked.items[row, real].tolist(),
        "history_times": asked.times[row, real].tolist(),
        **more,
    }


def fill(request: Any, signature: str, rows: list[dict[str, list[Any]]]) -> Any:
    request.model_spec.name, request.model_spec.signature_name = "shop", signature
    for row in rows:
        example = request.input.example_list.examples.add()
        for name, values in row.items():
            if name == "history_times":
                example.features.feature[name].int64_list.value.extend(values)
            else:
                data = [value.encode() for value in values]
                example.features.feature[name].bytes_list.value.extend(data)
    return request


def test_classify_is_recommend(published: Published, server: Server) -> None:
    rows = [features(row, exclude_items=IDS[row : row + 2]) for row in range(6)]
    del rows[5]["exclude_items"]  # it may be left out, and so may a history
    rows.append({})
    found = server.prediction.Classify(
        fill(classification_pb2.ClassificationRequest(), "classify", rows), timeout=30
    )
    assert found.model_spec.signature_name == "classify"
    assert found.model_spec.version.value == 1
    shape = published.signatures["recommend"]["outputs"]["items"]["shape"]
    for row, one in zip(rows, found.result.classifications, strict=True):
        expected = published.model.served.ask(
            "recommend",
            history_items=[row.get("history_items", [])],
            history_times=[row.get("history_times", [])],
            exclude_items=[row.get("exclude_items", [])],
        )
        # What was published recommends more items than the model that answers here.
        assert len(one.classes) == shape[1] > TOP_K
        assert [given.label for given in one.classes[:TOP_K]] == expected["items"][0].tolist()
        scores = [given.score for given in one.classes[:TOP_K]]
        np.testing.assert_allclose(scores, expected["probabilities"][0], rtol=1e-4, atol=1e-6)


def test_regress_is_intensity(published: Published, server: Server) -> None:
    rows = [features(row, candidate_items=[item]) for row, item in enumerate([*IDS[:5], UNKNOWN])]
    found = server.prediction.Regress(
        fill(regression_pb2.RegressionRequest(), "regress", rows), timeout=30
    )
    values = [one.value for one in found.result.regressions]
    for row, value in zip(rows, values, strict=True):
        expected = published.model.served.ask(
            "score",
            history_items=[row["history_items"]],
            history_times=[row["history_times"]],
            candidate_items=[row["candidate_items"]],
        )
        np.testing.assert_allclose(value, expected["intensity"][0, 0], rtol=1e-4, atol=1e-6)
    assert len(set(values)) > 3
    assert values[-1] == 0


def test_several_inferences_at_once(server: Server) -> None:
    """One at a time: each signature has an input of its own, and a server wants one for all."""
    request = inference_pb2.MultiInferenceRequest()
    task = request.tasks.add(method_name="tensorflow/serving/classify")
    task.model_spec.name, task.model_spec.signature_name = "shop", "classify"
    fill(request_ := classification_pb2.ClassificationRequest(), "classify", [features(2)])
    request.input.CopyFrom(request_.input)
    [found] = server.prediction.MultiInference(request, timeout=30).results
    assert found.classification_result == server.prediction.Classify(request_).result


@pytest.mark.parametrize(
    ("method", "signature", "row", "said"),
    [
        ("Regress", "classify", {}, "tensorflow/serving/regress"),
        ("Classify", "regress", {}, "tensorflow/serving/classify"),
        ("Classify", "recommend", {}, "tensorflow/serving/classify"),
        ("Regress", "regress", {}, "candidate_items"),
        (
            "Classify",
            "classify",
            {"history_items": ["0"]},
            "as many history_times as history_items",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    server: Server, method: str, signature: str, row: dict[str, list[Any]], said: str
) -> None:
    kind = {
        "Classify": classification_pb2.ClassificationRequest,
        "Regress": regression_pb2.RegressionRequest,
    }[method]
    with pytest.raises(grpc.RpcError) as raised:
        getattr(server.prediction, method)(fill(kind(), signature, [row]), timeout=30)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert said in raised.value.details()


@pytest.mark.parametrize("form", ["classify", "regress"])
def test_samples_get_their_answers_from_the_server(
    published: Published, server: Server, form: str
) -> None:
    samples = published.models / "1" / "assets.extra" / "samples"
    asked = (samples / "requests" / f"{form}.examples.json").read_text("utf-8")
    answer = server.http("POST", f"/v1/models/shop:{form}", asked.encode())
    assert answer.status == 200
    expected = json.loads((samples / "answers" / f"{form}.examples.json").read_text("utf-8"))
    assert len(expected["results"]) == len(published.model.exported.samples)
    found, wanted = (_flat(body["results"]) for body in (answer.json, expected))
    assert [x for x in found if isinstance(x, str)] == [x for x in wanted if isinstance(x, str)]
    np.testing.assert_allclose(
        [x for x in found if not isinstance(x, str)],
        [x for x in wanted if not isinstance(x, str)],
        rtol=1e-4,
    )
    kinds: dict[str, Any] = {
        "classify": classification_pb2.ClassificationRequest,
        "regress": regression_pb2.RegressionRequest,
    }
    text = (samples / "requests" / f"{form}.pbtxt").read_text("utf-8")
    request = text_format.Parse(text, kinds[form]())
    given = json.loads(asked)["examples"]
    assert fill(kinds[form](), form, given) == request


def _flat(value: Any) -> list[Any]:
    return [x for part in value for x in _flat(part)] if isinstance(value, list) else [value]


def test_the_warm_up_holds_both_as_they_will_be_asked(published: Published) -> None:
    logs = warm_up_logs(published)
    kinds = [log.WhichOneof("log_type") for log in logs]
    assert kinds.count("classify_log") == kinds.count("regress_log") == 1
    [log] = [log for log in logs if log.WhichOneof("log_type") == "regress_log"]
    history = log.regress_log.request.input.example_list.examples[0].features.feature
    user = published.model.exported.samples[0]
    items = [item.decode() for item in history["history_items"].bytes_list.value]
    assert items == user.items


def test_the_file_carries_the_fingerprint_of_what_it_is(published: Published) -> None:
    """The method names are written into a file that was finished."""
    version = published.models / "1"
    saved = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    methods = {name: one.method_name for name, one in saved.meta_graphs[0].signature_def.items()}
    named = {"classify": "tensorflow/serving/classify", "regress": "tensorflow/serving/regress"}
    for name in published.signatures:
        assert methods[name] == named.get(name, "tensorflow/serving/predict")
    stored = tf.saved_model.experimental.read_fingerprint(str(version))
    computed = fingerprinting.CreateFingerprintDef(str(version))
    assert FingerprintDef.FromString(computed).signature_def_hash == stored.signature_def_hash


def test_predict_still_reads_examples(published: Published, server: Server) -> None:
    """A client of Predict may ask the same signature with the same strings."""
    request = fill(
        regression_pb2.RegressionRequest(), "regress", [features(1, candidate_items=["0"])]
    )
    strings = [one.SerializeToString() for one in request.input.example_list.examples]
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "shop", "regress"
    asked.inputs["inputs"].CopyFrom(tf.make_tensor_proto(strings))
    found = server.prediction.Predict(asked, timeout=30).outputs["outputs"].float_val
    expected = server.prediction.Regress(request, timeout=30).result.regressions[0].value
    assert list(found) == [expected]
