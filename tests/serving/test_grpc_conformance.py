"""gRPC against the table of TensorFlow Serving's answers: values, codes and texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.tensors import to_proto
from tests.serving.running import Server, predict_request

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def example(*values: float) -> example_pb2.Example:
    message = example_pb2.Example()
    message.features.feature["x"].float_list.value.extend(values)
    return message


def test_predict_answers_with_typed_fields_and_says_who_answered(server: Server) -> None:
    answer = server.prediction.Predict(predict_request("half", x=[2.0]), timeout=10)
    assert list(answer.outputs["y"].float_val) == [4.0]
    assert not answer.outputs["y"].tensor_content
    assert answer.outputs["y"].dtype == 1
    assert answer.model_spec.name == "half"
    assert answer.model_spec.version.value == 2
    assert answer.model_spec.signature_name == "serving_default"


@pytest.mark.parametrize("shape", [(1,), (2, 2), (3, 1), (0, 1)])
def test_declared_shapes_are_not_enforced(server: Server, shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    answer = server.prediction.Predict(predict_request("half", x=x), timeout=10)
    y = answer.outputs["y"]
    assert tuple(dim.size for dim in y.tensor_shape.dim) == shape
    assert list(y.float_val) == list((x / 2 + 3).ravel())


@pytest.mark.parametrize(("version", "expected"), [(1, 3.0), (2, 4.0)])
def test_a_version_by_number(server: Server, version: int, expected: float) -> None:
    request = predict_request("half", x=[2.0])
    request.model_spec.version.value = version
    answer = server.prediction.Predict(request, timeout=10)
    assert list(answer.outputs["y"].float_val) == [expected]


def test_a_version_by_label(server: Server) -> None:
    request = predict_request("half", x=[2.0])
    request.model_spec.version_label = "stable"
    answer = server.prediction.Predict(request, timeout=10)
    assert answer.model_spec.version.value == 1


def test_tensor_content_is_read(server: Server) -> None:
    request = predict_request("half")
    x = np.arange(5, dtype=np.float32)
    to_proto(x, request.inputs["x"], as_content=True)
    assert request.inputs["x"].tensor_content
    answer = server.prediction.Predict(request, timeout=10)
    assert list(answer.outputs["y"].float_val) == list(x / 2 + 3)


def test_the_last_value_fills_the_shape(server: Server) -> None:
    request = predict_request("half", x=[4.0])
    request.inputs["x"].tensor_shape.dim[0].size = 3
    answer = server.prediction.Predict(request, timeout=10)
    assert list(answer.outputs["y"].float_val) == [5.0, 5.0, 5.0]


def test_an_output_filter_chooses(server: Server) -> None:
    request = predict_request("half", "pair", x=[[2.0]])
    request.output_filter.append("z")
    answer = server.prediction.Predict(request, timeout=10)
    assert list(answer.outputs) == ["z"]
    assert list(answer.outputs["z"].float_val) == [4.0, 8.0]


def test_strings_and_tables(server: Server) -> None:
    names = np.array([b"red", b"\xff\x00", b""], object)
    request = predict_request("mixed", name=names, weight=[1.0, 2.0, 3.0])
    answer = server.prediction.Predict(request, timeout=10)
    assert list(answer.outputs["echo"].string_val) == names.tolist()
    assert list(answer.outputs["number"].int64_val) == [1, -1, -1]
    assert list(answer.outputs["weighted"].float_val) == [3.0, 4.0, 0.0]


def test_a_large_message(server: Server) -> None:
    x = np.arange(3_000_000, dtype=np.float32)  # 12 MB, three times gRPC's own limit
    answer = server.prediction.Predict(predict_request("half", x=x), timeout=20)
    assert len(answer.outputs["y"].float_val) == x.size


def test_a_message_over_the_limit_is_refused(server: Server) -> None:
    x = np.zeros(10_100_000, np.float32)
    with pytest.raises(grpc.RpcError) as failed:
        server.prediction.Predict(predict_request("half", x=x), timeout=20)
    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def _edited(edit: Callable[[Any], None], **inputs: Any) -> predict_pb2.PredictRequest:
    request = predict_request("half", **(inputs or {"x": [1.0]}))
    edit(request)
    return request


def _spec(**fields: Any) -> predict_pb2.PredictRequest:
    def edit(request: Any) -> None:
        for name, value in fields.items():
            if name == "version":
                request.model_spec.version.value = value
            else:
                setattr(request.model_spec, name, value)

    return _edited(edit)


def _bad_tensor(text: str) -> predict_pb2.PredictRequest:
    def edit(request: Any) -> None:
        request.inputs["x"].Clear()
        text_format.Parse(text, request.inputs["x"])

    return _edited(edit)


def _filtered(*names: str) -> predict_pb2.PredictRequest:
    return _edited(lambda request: request.output_filter.extend(names))


INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
FAILURES = {
    "no spec": (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
    "no name": (_spec(name=""), INVALID, "ModelSpec has no name specified."),
    "no such model": (
        _spec(name="m"),
        MISSING,
        "Servable not found for request: Latest(m)",
    ),
    "no such version": (
        _spec(version=9),
        MISSING,
        "Servable not found for request: Specific(half, 9)",
    ),
    "no such label": (
        _spec(version_label="x"),
        INVALID,
        "Unrecognized servable version label: x",
    ),
    "no such signature": (
        _spec(signature_name="x"),
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "x" not found.',
    ),
    "too few inputs": (
        predict_request("mixed", name=np.array([b"a"], object)),
        INVALID,
        "input size does not match signature: 1!=2 len({name}) != len({name,weight}). "
        "Sent extra: {}. Missing but required: {weight}.",
    ),
    "too many inputs": (
        predict_request("half", x=[1.0], b=[1.0], a=[2.0]),
        INVALID,
        "input size does not match signature: 3!=1 len({a,b,x}) != len({x}). "
        "Sent extra: {a,b}. Missing but required: {}.",
    ),
    "wrong name": (
        predict_request("half", z=[1.0]),
        INVALID,
        "Signature input alias: x(feed name: x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {z}, or default input alias set: ",
    ),
    "no tensor": (_bad_tensor(""), INVALID, "tensor parsing error: x"),
    "content of another size": (
        _bad_tensor('dtype: DT_FLOAT tensor_shape { dim { size: 2 } } tensor_content: "abc"'),
        INVALID,
        "tensor parsing error: x",
    ),
    "negative size": (
        _bad_tensor("dtype: DT_FLOAT tensor_shape { dim { size: -1 } } float_val: 1"),
        INVALID,
        "tensor parsing error: x",
    ),
    "a shape of terabytes": (
        _bad_tensor(
            "dtype: DT_FLOAT tensor_shape { dim { size: 1000000 } dim { size: 1000000 } } "
            "float_val: 1"
        ),
        INVALID,
        "tensor parsing error: x",
    ),
    "no such output": (
        _filtered("z"),
        INVALID,
        "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
    ),
    "an output twice": (_filtered("y", "y"), INVALID, "duplicate output tensor alias: y"),
    "another type": (
        predict_request("half", x=np.array([b"a"], object)),
        INVALID,
        "Expects arg[0] to be float but string is provided",
    ),
    "a failing operation": (
        predict_request("mixed", "fail", x=[11.0]),
        INVALID,
        "assertion failed: [x must be small]",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_predict_failures(server: Server, case: str) -> None:
    request, code, text = FAILURES[case]
    with pytest.raises(grpc.RpcError) as failed:
        server.prediction.Predict(request, timeout=10)
    assert failed.value.code() == code
    assert failed.value.details().startswith(text)


def test_long_details_are_cut(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        server.prediction.Predict(_spec(name="m" * 2000), timeout=10)
    assert len(failed.value.details()) == 1024 + len("...TRUNCATED")
    assert failed.value.details().endswith("m...TRUNCATED")


@pytest.mark.parametrize(
    ("signature", "label"), [("classify_x_to_y", ""), ("classify_labelled", "4.0")]
)
def test_classify(server: Server, signature: str, label: str) -> None:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "half", signature
    request.input.example_list.examples.extend([example(2.0), example(4.0)])
    answer = server.prediction.Classify(request, timeout=10)
    rows = [[(c.label, c.score) for c in row.classes] for row in answer.result.classifications]
    assert rows == [[(label, 4.0)], [(label and "5.0", 5.0)]]
    assert answer.model_spec.signature_name == signature


def test_regress_with_a_context(server: Server) -> None:
    request = regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "half", "regress_x_to_y"
    listed = request.input.example_list_with_context
    listed.context.CopyFrom(example(6.0))
    listed.examples.add()
    listed.examples.add().features.feature["other"].int64_list.value.append(1)
    answer = server.prediction.Regress(request, timeout=10)
    assert [r.value for r in answer.result.regressions] == [6.0, 6.0]


INFERENCE_FAILURES = {
    "no such signature": ("x", [example(1.0)], "No signature was found with the name: x"),
    "several inputs": ("", [example(1.0)], "Expected one input Tensor."),
    "no examples": ("{}_x_to_y", [], "Input is empty."),
    "no signature before no examples": ("x", [], "No signature was found with the name: x"),
}


@pytest.mark.parametrize("case", INFERENCE_FAILURES)
@pytest.mark.parametrize("api", ["Classify", "Regress"])
def test_classify_and_regress_failures(server: Server, api: str, case: str) -> None:
    signature, examples, text = INFERENCE_FAILURES[case]
    request = (
        classification_pb2.ClassificationRequest()
        if api == "Classify"
        else regression_pb2.RegressionRequest()
    )
    request.model_spec.name = "mixed" if case == "several inputs" else "half"
    request.model_spec.signature_name = signature.format(api.lower())
    request.input.example_list.examples.extend(examples)
    with pytest.raises(grpc.RpcError) as failed:
        getattr(server.prediction, api)(request, timeout=10)
    assert failed.value.code() == INVALID
    assert failed.value.details().startswith(text)


@pytest.mark.parametrize(
    ("api", "signature", "text"),
    [
        ("Classify", "serving_default", "No classification inputs found in SignatureDef: "),
        ("Classify", "regress_x_to_y", "Expected classification signature outputs to contain"),
        ("Regress", "serving_default", "No regression inputs found in SignatureDef: "),
        ("Regress", "pair", "Expected one output Tensor."),
        ("Regress", "classify_x_to_y", "No regression outputs found in SignatureDef: "),
    ],
)
def test_signatures_of_another_form(server: Server, api: str, signature: str, text: str) -> None:
    kind = {
        "Classify": classification_pb2.ClassificationRequest,
        "Regress": regression_pb2.RegressionRequest,
    }[api]
    request = kind()
    request.model_spec.name, request.model_spec.signature_name = "half", signature
    request.input.example_list.examples.append(example(1.0))
    with pytest.raises(grpc.RpcError) as failed:
        getattr(server.prediction, api)(request, timeout=10)
    assert failed.value.code() == INVALID
    assert failed.value.details().startswith(text)


def _multi(*tasks: tuple[str, str, str]) -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest()
    for model, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = model, signature
    request.input.example_list.examples.append(example(2.0))
    return request


def test_multi_inference(server: Server) -> None:
    request = _multi(("half", "regress_x_to_y", REGRESS), ("half", "classify_x_to_y", CLASSIFY))
    answer = server.prediction.MultiInference(request, timeout=10)
    assert answer.results[0].regression_result.regressions[0].value == 4.0
    assert answer.results[1].classification_result.classifications[0].classes[0].score == 4.0
    assert answer.results[1].model_spec.signature_name == "classify_x_to_y"
    assert answer.results[0].model_spec.version.value == 2


@pytest.mark.parametrize(
    ("tasks", "code"),
    [
        ([("half", "regress_x_to_y", REGRESS), ("mixed", "a", REGRESS)], INVALID),
        ([("half", "regress_x_to_y", REGRESS)] * 2, INVALID),
        ([("half", "x", REGRESS)], INVALID),
        (
            [("half", "regress_x_to_y", "tensorflow/serving/predict")],
            grpc.StatusCode.UNIMPLEMENTED,
        ),
        ([("m", "regress_x_to_y", REGRESS)], MISSING),
        ([("m", "regress_x_to_y", REGRESS), ("half", "a", REGRESS)], MISSING),
    ],
)
def test_multi_inference_failures(
    server: Server, tasks: list[tuple[str, str, str]], code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        server.prediction.MultiInference(_multi(*tasks), timeout=10)
    assert failed.value.code() == code


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        ([], "ModelSpec has no name specified."),
        ([("", "regress_x_to_y", REGRESS)], "ModelSpec has no name specified."),
        (
            [("half", "regress_x_to_y", REGRESS), ("", "a", REGRESS)],
            "Found ModelSpec with an empty model name.",
        ),
        # The first task that is wrong counts, whatever is wrong with the next one.
        (
            [("half", "x", REGRESS), ("mixed", "a", REGRESS)],
            "Requested signature not found in model graph: x",
        ),
    ],
)
def test_which_task_is_told(server: Server, tasks: list[tuple[str, str, str]], text: str) -> None:
    request = _multi(*tasks)
    request.input.Clear()  # is looked at last
    with pytest.raises(grpc.RpcError) as failed:
        server.prediction.MultiInference(request, timeout=10)
    assert (failed.value.code(), failed.value.details()) == (INVALID, text)


@pytest.mark.parametrize(
    "request_",
    [classification_pb2.ClassificationRequest(), regression_pb2.RegressionRequest()],
    ids=["Classify", "Regress"],
)
def test_a_missing_model_is_told_before_an_empty_input(server: Server, request_: Any) -> None:
    request_.model_spec.name = "m"
    api = "Classify" if "Classification" in type(request_).__name__ else "Regress"
    with pytest.raises(grpc.RpcError) as failed:
        getattr(server.prediction, api)(request_, timeout=10)
    assert failed.value.code() == MISSING


def test_metadata(server: Server) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "half"
    answer = server.prediction.GetModelMetadata(request, timeout=10)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs["x"].name == "x:0"
    assert answer.model_spec.signature_name == ""
    assert answer.model_spec.version.value == 2
    request.model_spec.name = "mixed"
    answer = server.prediction.GetModelMetadata(request, timeout=10)
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert "__saved_model_init_op" in signatures.signature_def


@pytest.mark.parametrize("fields", [[], ["foo"]])
def test_metadata_failures(server: Server, fields: list[str]) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = "half"
    with pytest.raises(grpc.RpcError) as failed:
        server.prediction.GetModelMetadata(request, timeout=10)
    assert failed.value.code() == INVALID
    if fields:
        assert failed.value.details() == "Metadata field foo is not supported"
    request.model_spec.name = ""  # the fields come first
    with pytest.raises(grpc.RpcError) as again:
        server.prediction.GetModelMetadata(request, timeout=10)
    assert again.value.details() == failed.value.details()


def _status(name: str, version: int | None = None) -> get_model_status_pb2.GetModelStatusRequest:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    return request


def test_status_lists_the_newest_first(server: Server) -> None:
    answer = server.models.GetModelStatus(_status("half"), timeout=10)
    listed = [(v.version, v.state, v.status.error_code) for v in answer.model_version_status]
    assert listed == [(2, 30, 0), (1, 30, 0)]
    answer = server.models.GetModelStatus(_status("half", 1), timeout=10)
    assert [v.version for v in answer.model_version_status] == [1]


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (_status("m"), "Could not find any versions of model m"),
        (_status("half", 9), "Could not find version 9 of model half"),
    ],
)
def test_status_failures(server: Server, request_: Any, text: str) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        server.models.GetModelStatus(request_, timeout=10)
    assert (failed.value.code(), failed.value.details()) == (MISSING, text)


def test_random_bytes_are_refused_and_the_server_lives(server: Server) -> None:
    rng = np.random.default_rng(0)
    for path in ("PredictionService/Predict", "ModelService/HandleReloadConfigRequest"):
        call = server.channel.unary_unary(f"/tensorflow.serving.{path}")
        for size in (1, 7, 100, 5000):
            with pytest.raises(grpc.RpcError):
                call(rng.bytes(size), timeout=10)
    whole = predict_request("half", x=[2.0]).SerializeToString()
    call = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    for cut in range(1, len(whole)):
        with pytest.raises(grpc.RpcError):
            call(whole[:cut], timeout=10)
    assert call(whole, timeout=10)
