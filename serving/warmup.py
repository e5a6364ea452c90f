"""Replays the requests that an export brings along, before its first real one arrives."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from serving import inference, predict
from serving.console import import_tensorflow
from serving.flags import CPUS
from serving.keeper import Servable
from serving.metrics import Metrics
from serving.status import Code, ServingError, from_exception, invalid

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000

_ON_EXAMPLES: dict[str, tuple[str, Callable[..., Any]]] = {
    "classify_log": (inference.CLASSIFY, inference.classify),
    "regress_log": (inference.REGRESS, inference.regress),
}


def warm_up(
    servable: Servable, path: Path, repeats: int, metrics: Metrics, check_methods: bool = False
) -> None:
    """Runs the PredictionLog records in a version's folder, if there are any.

    Arguments:
        path: the version's folder.
        repeats: times each record is run; 0 means once.
        check_methods: as for requests, see `Service`.

    Raises:
        ServingError: DATA_LOSS for a file that is no TFRecord file, INVALID_ARGUMENT for records
            that are no PredictionLog or for too many, or the code of the request that failed.
    """
    file = path / FILE
    if not file.is_file():
        return
    started = time.perf_counter()
    code = Code.OK
    try:
        records = list(itertools.islice(_records(file), MAX_RECORDS + 1))
        if len(records) > MAX_RECORDS:
            raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}).")
        # The first run of a signature optimises its functions, on one processor. Half of them are
        # left to requests. Where records could be merged it is one after the other: they need not
        # fit each other.
        workers = max(1, CPUS // 2) if servable.runner is servable.model else 1
        with ThreadPoolExecutor(workers, "warm-up") as threads:
            runs = [
                threads.submit(_replay, servable, record, max(1, repeats), check_methods)
                for record in records
            ]
            try:
                for run in runs:
                    run.result()
                    metrics.warmup_records.add(str(path))
            finally:
                threads.shutdown(cancel_futures=True)
    except Exception as raised:
        error = from_exception(raised)
        code = error.code
        raise error from None
    finally:
        elapsed = (time.perf_counter() - started) * 1e6
        metrics.warmup.observe(elapsed, str(path), code.name)


def _records(file: Path) -> Iterator[Any]:
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    tf = import_tensorflow()
    for record in tf.compat.v1.io.tf_record_iterator(str(file)):
        try:
            yield prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError:
            raise invalid(
                f"Failed to parse warmup record from {file}: not a PredictionLog"
            ) from None


def _replay(servable: Servable, record: Any, times: int, check_methods: bool) -> None:
    run = _reader(servable, record, check_methods)
    for _ in range(times):
        run()


def _reader(servable: Servable, record: Any, check_methods: bool) -> Callable[[], object]:
    kind = record.WhichOneof("log_type")
    signatures, runner = servable.model.signatures, servable.runner
    if kind == "predict_log":
        request = record.predict_log.request
        signature = predict.find_signature(signatures, request.model_spec.signature_name)
        if check_methods:
            predict.check_method(signature)
        inputs = predict.read_inputs(signature, request.inputs)
        return lambda: predict.predict(runner, signature, inputs, request.output_filter)
    if kind in _ON_EXAMPLES:
        method, infer = _ON_EXAMPLES[kind]
        request = getattr(record, kind).request
        examples = inference.read_examples(request.input)
        name = request.model_spec.signature_name
        signature = inference.find_signature(signatures, name, method, check_methods)
        return lambda: infer(runner, signature, examples)
    if kind == "multi_inference_log":
        request = record.multi_inference_log.request
        examples = inference.read_examples(request.input)
        tasks = [
            (task.model_spec.name, task.model_spec.signature_name, task.method_name)
            for task in request.tasks
        ]
        planned = inference.plan(signatures, tasks, check_methods)
        return lambda: inference.multi_inference(runner, planned, examples)
    raise ServingError(
        Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind or 'LOG_TYPE_NOT_SET'}"
    )
