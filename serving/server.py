"""One server from its flags: models first, then the ports, and the way down in order."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

from serving.api_keys import ApiKeys
from serving.batching import BatchingRunner, read_parameters
from serving.console import log
from serving.flags import Flags
from serving.keeper import Load, Schedule, Servable
from serving.limits import Limits
from serving.loader import Runner, SavedModel
from serving.metrics import Metrics
from serving.models import Models
from serving.service import Service
from serving.startup import check, model_configs, prometheus_path, read_config_file
from serving.status import ServingError, from_exception
from serving.warmup import warm_up

GRACE_SECONDS = 5.0


def serve(flags: Flags, stop: threading.Event) -> None:
    """Runs until `stop` is set; requests under way then have a few seconds to finish.

    Raises:
        ServingError: it cannot start, and nothing listens.
    """
    check(flags)
    configs, prometheus = model_configs(flags), prometheus_path(flags.monitoring_config_file)
    keys = ApiKeys(flags.api_keys_file) if flags.api_keys_file else None
    metrics = Metrics()
    schedule = Schedule(
        flags.file_system_poll_wait_seconds,
        flags.max_num_load_retries,
        flags.load_retry_interval_micros / 1e6,
    )
    models = Models(
        make_loader(flags, metrics),
        schedule,
        flags.num_load_threads,
        flags.num_unload_threads,
        flags.allow_version_labels_for_unavailable_models,
    )
    # These bring TensorFlow in, which takes seconds: a mistake above is reported at once.
    from serving.grpc_server import grpc_addresses, start_grpc
    from serving.rest_api import RestApi
    from serving.rest_server import RestServer

    limits = Limits(flags.max_request_rows, flags.max_tensor_bytes)
    service = Service(models, metrics, flags.enable_signature_method_name_check, limits)
    # What exists by now stays: looking through it after every unload would take a second.
    gc.freeze()
    closing: list[Callable[[], None]] = []
    try:
        models.configure(configs, stop.is_set)
        if stop.is_set():
            return
        grpc_server = start_grpc(flags, service, keys)
        closing.append(lambda: grpc_server.stop(GRACE_SECONDS).wait())
        log.info("gRPC on %s", ", ".join(grpc_addresses(flags)))
        if flags.rest_api_port and flags.rest_api_port == flags.port:
            log.error("--rest_api_port cannot be same as --port: no REST API")
        elif flags.rest_api_port:
            cors = flags.rest_api_enable_cors_support
            api = RestApi(service, prometheus, cors, flags.max_message_bytes, keys)
            rest = RestServer(flags, api)
            closing.append(lambda: rest.stop(GRACE_SECONDS))
            log.info("REST on http://%s:%d/v1/models", flags.host, flags.rest_api_port)
        _follow_config(flags, models, stop)
        log.info("stopping")
    finally:
        for close in reversed(closing):
            close()


def make_loader(flags: Flags, metrics: Metrics) -> Load:
    """How a version becomes ready: loaded, batched if asked for, warmed up."""
    intra, inter = flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism
    if not intra and not inter:
        intra = inter = flags.tensorflow_session_parallelism
    tags = set(flags.saved_model_tags.split(","))
    parameters = None
    if flags.enable_batching:
        parameters = read_parameters(flags.batching_parameters_file)

    def load(name: str, version: int, path: Path) -> Servable:
        started = time.perf_counter()
        try:
            # The operations of a batch are worth a second thread, those of a request are not.
            model = SavedModel(path, tags, intra, inter, pooled=flags.enable_batching)
        except Exception as raised:
            error = from_exception(raised)
            metrics.load_attempts.add(str(path), "fail")
            raise error from None
        elapsed = (time.perf_counter() - started) * 1e6
        metrics.load_latency.add(str(path), by=round(elapsed))
        runner: Runner = model
        closing = [model.close]
        try:
            if parameters is not None:
                own = path / "batching_params.pbtxt"
                use_own = flags.enable_per_model_batching_parameters and own.is_file()
                chosen = read_parameters(own) if use_own else parameters
                runner = batching = BatchingRunner(model, chosen, metrics)
                closing.insert(0, batching.close)
            servable = Servable(name, version, model, runner, closing)
            if flags.enable_model_warmup:
                repeats = flags.num_request_iterations_for_warmup
                check_methods = flags.enable_signature_method_name_check
                warm_up(servable, path, repeats, metrics, check_methods)
        except BaseException:
            for close in closing:
                close()
            raise
        metrics.load_attempts.add(str(path), "success")
        return servable

    return load


def _follow_config(flags: Flags, models: Models, stop: threading.Event) -> None:
    """Waits for the end; meanwhile re-reads the config file as often as asked for."""
    wait = flags.model_config_file_poll_wait_seconds
    if not flags.model_config_file or wait <= 0:
        stop.wait()
        return
    while not stop.wait(wait):
        try:
            configs = read_config_file(flags.model_config_file, models.names())
            models.configure(configs, stop.is_set)
        except ServingError as error:
            log.error("the config stays as it was: %s", error)
