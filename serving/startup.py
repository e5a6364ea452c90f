"""What the flags and the files that they name say, checked before anything slow begins."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

from tensorflow_serving.config import model_server_config_pb2

from serving.config import ModelConfig, read_config
from serving.flags import Flags
from serving.protos import MonitoringConfig, read_text
from serving.status import Code, ServingError, invalid

PROMETHEUS_PATH = "/monitoring/prometheus/metrics"


def check(flags: Flags) -> None:
    """Flags that contradict each other.

    Raises:
        ServingError: INVALID_ARGUMENT, in the words of TensorFlow Serving, or UNIMPLEMENTED.
    """
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
    intra, inter = flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism
    if min(flags.tensorflow_session_parallelism, intra, inter) > 0:
        raise invalid(
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, "
            "server_options.tensorflow_inter_op_parallelism) separately. You cannot configure all."
        )
    if flags.use_alts_credentials and flags.ssl_config_file:
        raise invalid("use_alts_credentials and ssl_config_file cannot both be set.")
    if flags.use_alts_credentials:
        # To go on without would answer in clear text who asked for the opposite.
        raise ServingError(
            Code.UNIMPLEMENTED,
            "use_alts_credentials works on Google Cloud only; use --ssl_config_file",
        )
    if not flags.port and not flags.grpc_socket_path:
        raise invalid("server_options.port is not set: name a --port or a --grpc_socket_path.")


def model_configs(flags: Flags) -> dict[str, ModelConfig]:
    """The models to start with, by name."""
    if flags.model_config_file:
        return read_config_file(flags.model_config_file)
    base_path = Path(os.path.abspath(flags.model_base_path))
    return {flags.model_name: ModelConfig(flags.model_name, base_path)}


def read_config_file(path: str, served: Container[str] = ()) -> dict[str, ModelConfig]:
    """The models that a text ModelServerConfig names, some of which may be `served` already."""
    return read_config(read_text(path, model_server_config_pb2.ModelServerConfig()), served)


def prometheus_path(config_file: str) -> str | None:
    """Where a MonitoringConfig wants the metrics; None for nowhere."""
    if not config_file:
        return None
    config = read_text(config_file, MonitoringConfig()).prometheus_config
    return (config.path or PROMETHEUS_PATH) if config.enable else None
