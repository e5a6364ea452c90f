"""PredictionService and ModelService over gRPC: messages in, the service's answers out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.config import read_config
from serving.inference import Classes, read_examples
from serving.models import Reference
from serving.service import Answer, Service
from serving.status import Code, ServingError, from_exception, invalid
from serving.tensors import Array, to_proto

MAX_DETAILS = 1024
_GRPC_CODES = {Code(code.value[0]): code for code in grpc.StatusCode}
_NEVER = 1e9  # seconds; gRPC gives about 292 years when the client set no deadline


class PredictionService:
    """The five methods of tensorflow.serving.PredictionService.

    Arguments:
        as_content: answer with tensor_content instead of typed fields.
    """

    def __init__(self, service: Service, as_content: bool = False) -> None:
        self._service = service
        self._as_content = as_content

    def Predict(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            answer = self._service.predict(
                reference(request),
                request.model_spec.signature_name,
                request.inputs,
                request.output_filter,
                _deadline(context),
            )
            response = predict_pb2.PredictResponse()
            _fill_spec(response.model_spec, request.model_spec.name, answer)
            for alias, array in answer.value.items():
                to_proto(array, response.outputs[alias], self._as_content)
            return response

        return self._answer("Predict", request, context, work, predict_pb2.PredictResponse)

    def Classify(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            target = reference(request)
            answer = self._service.classify(
                target,
                request.model_spec.signature_name,
                lambda: read_examples(request.input),
                _deadline(context),
            )
            response = classification_pb2.ClassificationResponse()
            _fill_spec(response.model_spec, target.name, answer)
            fill_classes(response.result, answer.value)
            return response

        empty = classification_pb2.ClassificationResponse
        return self._answer("Classify", request, context, work, empty)

    def Regress(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            target = reference(request)
            answer = self._service.regress(
                target,
                request.model_spec.signature_name,
                lambda: read_examples(request.input),
                _deadline(context),
            )
            response = regression_pb2.RegressionResponse()
            _fill_spec(response.model_spec, target.name, answer)
            fill_values(response.result, answer.value)
            return response

        return self._answer("Regress", request, context, work, regression_pb2.RegressionResponse)

    def MultiInference(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            return multi_inference(self._service, request, _deadline(context))

        return guarded(context, work, inference_pb2.MultiInferenceResponse)

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            if not request.metadata_field:
                raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != "signature_def":
                    raise invalid(f"Metadata field {field} is not supported")
            return metadata(self._service, reference(request))

        return guarded(context, work, get_model_metadata_pb2.GetModelMetadataResponse)

    def _answer(
        self,
        api: str,
        request: Any,
        context: Any,
        work: Callable[[], Any],
        empty: Callable[[], Any],
    ) -> Any:
        name = request.model_spec.name
        return guarded(context, lambda: self._service.counted(name, api, "GRPC", work), empty)


class ModelService:
    """The two methods of tensorflow.serving.ModelService."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def GetModelStatus(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            return status(self._service, _from_spec(request.model_spec))

        return guarded(context, work, get_model_status_pb2.GetModelStatusResponse)

    def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            if request.config.WhichOneof("config") is None:
                raise invalid(
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                    "ModelConfigList is currently supported"
                )
            before = self._values(request.metric_names)
            models = self._service.models
            configs = read_config(request.config, models.names())
            models.configure(configs, stopped=lambda: not context.is_active())
            response = model_management_pb2.ReloadConfigResponse()
            for name, value in self._values(request.metric_names).items():
                response.metric.add(name=name, int64_value_increase=value - before[name])
            return response

        def failed(error: ServingError) -> Any:
            response = model_management_pb2.ReloadConfigResponse()
            response.status.error_code = int(error.code)
            response.status.error_message = error.message
            return response

        return guarded(context, work, model_management_pb2.ReloadConfigResponse, failed)

    def _values(self, names: Any) -> dict[str, int]:
        return {name: self._service.metrics.value(name) for name in names}


def reference(request: Any) -> Reference:
    """The model that a request names.

    Raises:
        ServingError: INVALID_ARGUMENT, it names none.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.model_spec.name:
        raise invalid("ModelSpec has no name specified.")
    return _from_spec(request.model_spec)


def multi_inference(service: Service, request: Any, deadline: float | None) -> Any:
    """A MultiInferenceRequest -> its response. The first task says which model."""
    if not request.tasks or not request.tasks[0].model_spec.name:
        raise invalid("ModelSpec has no name specified.")
    target = _from_spec(request.tasks[0].model_spec)
    tasks = [
        (task.model_spec.name, task.model_spec.signature_name, task.method_name)
        for task in request.tasks
    ]
    answer = service.multi_inference(target, tasks, lambda: read_examples(request.input), deadline)
    response = inference_pb2.MultiInferenceResponse()
    for (_, name, _), value in zip(tasks, answer.value, strict=True):
        result = response.results.add()
        _fill_spec(result.model_spec, target.name, answer)
        result.model_spec.signature_name = name or "serving_default"
        if isinstance(value, Classes):
            fill_classes(result.classification_result, value)
        else:
            fill_values(result.regression_result, value)
    return response


def metadata(service: Service, target: Reference) -> Any:
    """A model's signatures as GetModelMetadataResponse."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with service.held(target) as servable:
        for name, proto in servable.model.signature_protos.items():
            signatures.signature_def[name].CopyFrom(proto)
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
    response.metadata["signature_def"].Pack(signatures)
    return response


def status(service: Service, target: Reference) -> Any:
    """The states of a model's versions as GetModelStatusResponse."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, found in service.models.statuses(target).items():
        entry = response.model_version_status.add(version=number, state=int(found.state))
        error = found.error
        entry.status.error_code = int(error.code) if error else 0
        entry.status.error_message = error.message if error else ""
    return response


def fill_classes(result: Any, classes: Classes) -> None:
    """Classes -> ClassificationResult."""
    present = classes.labels if classes.labels is not None else classes.scores
    assert present is not None
    for row in range(present.shape[0]):
        entry = result.classifications.add()
        for column in range(present.shape[1]):
            item = entry.classes.add()
            if classes.labels is not None:
                item.label = classes.labels[row, column].decode("utf-8", "replace")
            if classes.scores is not None:
                item.score = classes.scores[row, column]


def fill_values(result: Any, values: Array) -> None:
    """Values -> RegressionResult."""
    for value in values.tolist():
        result.regressions.add(value=value)


def guarded(
    context: Any,
    work: Callable[[], Any],
    empty: Callable[[], Any],
    failed: Callable[[ServingError], Any] | None = None,
) -> Any:
    """Runs `work`; a failure becomes the call's code and text."""
    try:
        return work()
    except Exception as raised:
        error = from_exception(raised)
        details = error.message
        if len(details) > MAX_DETAILS:
            details = details[:MAX_DETAILS] + "...TRUNCATED"
        context.set_code(_GRPC_CODES[error.code])
        context.set_details(details)
        return failed(error) if failed else empty()


def _from_spec(spec: Any) -> Reference:
    kind = spec.WhichOneof("version_choice")
    return Reference(
        spec.name,
        spec.version.value if kind == "version" else None,
        spec.version_label if kind == "version_label" else None,
    )


def _fill_spec(spec: Any, name: str, answer: Answer) -> None:
    spec.name = name
    spec.version.value = answer.version
    spec.signature_name = answer.signature_name


def _deadline(context: Any) -> float | None:
    left = context.time_remaining()
    return None if left is None or left > _NEVER else time.monotonic() + left
