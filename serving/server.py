"""One server from its flags: models first, then the ports, and the way down in order."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

from tensorflow_serving.config import model_server_config_pb2

from serving.batching import BatchingRunner, read_parameters
from serving.config import ModelConfig, read_config
from serving.console import log
from serving.flags import Flags
from serving.grpc_server import start_grpc
from serving.keeper import Load, Schedule, Servable
from serving.loader import Runner, SavedModel
from serving.metrics import Metrics
from serving.models import Models
from serving.protos import MonitoringConfig, read_text
from serving.rest_api import RestApi
from serving.rest_server import RestServer
from serving.service import Service
from serving.status import ServingError, from_exception, invalid
from serving.warmup import warm_up

GRACE_SECONDS = 5.0
PROMETHEUS_PATH = "/monitoring/prometheus/metrics"


def serve(flags: Flags, stop: threading.Event) -> None:
    """Runs until `stop` is set; requests under way then have a few seconds to finish.

    Raises:
        ServingError: it cannot start, and nothing listens.
    """
    _check(flags)
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
    service = Service(models, metrics, flags.enable_signature_method_name_check)
    # What exists by now stays: looking through it after every unload would take a second.
    gc.freeze()
    closing: list[Callable[[], None]] = []
    try:
        prometheus = _prometheus_path(flags.monitoring_config_file)
        models.configure(_configs(flags), stop.is_set)
        if stop.is_set():
            return
        grpc_server = start_grpc(flags, service)
        closing.append(lambda: grpc_server.stop(GRACE_SECONDS).wait())
        log.info("gRPC on %s:%d", flags.host, flags.port)
        if flags.rest_api_port and flags.rest_api_port == flags.port:
            log.error("--rest_api_port cannot be same as --port: no REST API")
        elif flags.rest_api_port:
            cors = flags.rest_api_enable_cors_support
            api = RestApi(service, prometheus, cors, flags.max_message_bytes)
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
    both = flags.tensorflow_session_parallelism
    intra = both or flags.tensorflow_intra_op_parallelism
    inter = both or flags.tensorflow_inter_op_parallelism
    tags = set(flags.saved_model_tags.split(","))
    parameters = None
    if flags.enable_batching:
        parameters = read_parameters(flags.batching_parameters_file)

    def load(name: str, version: int, path: Path) -> Servable:
        try:
            model = SavedModel(path, tags, intra, inter)
        except Exception as raised:
            error = from_exception(raised)
            metrics.load_attempts.add(str(path), "fail")
            raise error from None
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
                warm_up(servable, path, flags.num_request_iterations_for_warmup, metrics)
        except BaseException:
            for close in closing:
                close()
            raise
        metrics.load_attempts.add(str(path), "success")
        return servable

    return load


def _check(flags: Flags) -> None:
    if not flags.model_base_path and not flags.model_config_file:
        raise invalid(
            "Both server_options.model_base_path and server_options.model_config_file "
            "are empty! Name a folder of versions with --model_base_path=DIR."
        )
    if flags.batching_parameters_file and not flags.enable_batching:
        raise invalid(
            "server_options.batching_parameters_file cannot be set without setting "
            "enable_batching to true."
        )
    if not flags.port and not flags.grpc_socket_path:
        raise invalid("server_options.port is not set: name a --port or a --grpc_socket_path.")


def _configs(flags: Flags) -> dict[str, ModelConfig]:
    if flags.model_config_file:
        return read_config_file(flags.model_config_file)
    base_path = Path(os.path.abspath(flags.model_base_path))
    return {flags.model_name: ModelConfig(flags.model_name, base_path)}


def read_config_file(path: str) -> dict[str, ModelConfig]:
    """The models that a text ModelServerConfig names."""
    return read_config(read_text(path, model_server_config_pb2.ModelServerConfig()))


def _prometheus_path(config_file: str) -> str | None:
    if not config_file:
        return None
    config = read_text(config_file, MonitoringConfig()).prometheus_config
    return (config.path or PROMETHEUS_PATH) if config.enable else None


def _follow_config(flags: Flags, models: Models, stop: threading.Event) -> None:
    """Waits for the end; meanwhile re-reads the config file as often as asked for."""
    wait = flags.model_config_file_poll_wait_seconds
    if not flags.model_config_file or wait <= 0:
        stop.wait()
        return
    while not stop.wait(wait):
        try:
            models.configure(read_config_file(flags.model_config_file), stop.is_set)
        except ServingError as error:
            log.error("the config stays as it was: %s", error)
