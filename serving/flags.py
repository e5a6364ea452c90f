"""The flags: names, meanings and defaults of tensorflow_model_server, and a few of our own."""

from __future__ import annotations

import dataclasses
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, get_args, get_type_hints

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
INT32_MAX = 2**31 - 1
# Requests wait inside a worker for their batch, so a batch can hold no more of them than there
# are workers; idle threads cost next to nothing.
BATCHING_THREADS = 64

# Flags of TensorFlow Serving that change no answer of a server on a processor. A command line that
# works in production should work here, and be told what it does not get.
WITHOUT_EFFECT = frozenset(
    (
        "enforce_session_run_timeout",
        "flush_filesystem_caches",
        "mixed_precision",
        "num_tflite_interpreters_per_pool",
        "num_tflite_pools",
        "per_process_gpu_memory_fraction",
        "prefer_tflite_model",
        "remove_unused_fields_from_bundle_metagraph",
        "skip_initialize_tpu",
        "xla_cpu_compilation_enabled",
        "xla_gpu_compilation_enabled",
    )
)

INTRODUCTION = """\
usage: python -m serving --model_base_path=DIR [flags]

Serves SavedModels with the gRPC and REST interfaces of TensorFlow Serving. DIR holds one folder
per version, named by a number: DIR/1/saved_model.pb, DIR/2/saved_model.pb. New versions are found
while the server runs, and replace the old one without a failed request.

examples:
  python -m serving --model_name=tfrec --model_base_path=exported --rest_api_port=8501
  curl -d '{"instances": [1.0, 2.0]}' http://localhost:8501/v1/models/tfrec:predict
  python -m serving --model_config_file=models.txt --model_config_file_poll_wait_seconds=5

flags (--name=value or --name value; a boolean is switched on by its name alone):
"""


class BadFlag(Exception):
    """A known flag with a value that cannot be read."""


@dataclass(frozen=True)
class Flags:
    """One field per flag. The default is what an absent flag means; 0 and "" mean off or auto."""

    host: Annotated[
        str,
        "Address to listen on. Only this machine by default; 0.0.0.0 opens the ports to the "
        "network (own flag: TensorFlow Serving always listens on 0.0.0.0).",
    ] = "127.0.0.1"
    port: Annotated[int, "Port of the gRPC API; 0 switches it off (then --grpc_socket_path)."] = (
        8500
    )
    grpc_socket_path: Annotated[str, "Unix socket that serves the gRPC API too."] = ""
    rest_api_port: Annotated[int, "Port of the REST API; 0 switches it off."] = 0
    rest_api_num_threads: Annotated[int, "Threads that answer REST requests."] = 4 * CPUS
    rest_api_timeout_in_ms: Annotated[int, "Longest time for one REST request."] = 30000
    rest_api_enable_cors_support: Annotated[bool, "Let web pages of any origin call REST."] = False
    model_name: Annotated[str, "Name of the one model (without --model_config_file)."] = "default"
    model_base_path: Annotated[str, "Folder of its versions (without --model_config_file)."] = ""
    model_config_file: Annotated[str, "Text ModelServerConfig: several models, policies."] = ""
    model_config_file_poll_wait_seconds: Annotated[int, "Re-read it this often; 0: never."] = 0
    file_system_poll_wait_seconds: Annotated[
        int, "Look for new versions this often; 0: at the start only."
    ] = 1
    max_num_load_retries: Annotated[int, "Times a failed load is tried again."] = 5
    load_retry_interval_micros: Annotated[int, "Pause between two tries."] = 60_000_000
    num_load_threads: Annotated[int, "Loads at the same time; 0: one by one."] = 0
    num_unload_threads: Annotated[int, "Unloads at the same time; 0: one by one."] = 0
    enable_batching: Annotated[bool, "Merge requests that wait at the same time."] = False
    batching_parameters_file: Annotated[str, "Text BatchingParameters; needs batching."] = ""
    enable_per_model_batching_parameters: Annotated[
        bool, "Read batching_params.pbtxt in a version's folder instead, where there is one."
    ] = False
    allow_version_labels_for_unavailable_models: Annotated[
        bool, "Labels may name versions that are not loaded yet."
    ] = False
    monitoring_config_file: Annotated[str, "Text MonitoringConfig: Prometheus page."] = ""
    ssl_config_file: Annotated[str, "Text SSLConfig: TLS for the gRPC API."] = ""
    use_alts_credentials: Annotated[
        bool, "ALTS for the gRPC API: refused, it exists on Google Cloud only."
    ] = False
    enable_model_warmup: Annotated[bool, "Replay a version's warm-up requests first."] = True
    num_request_iterations_for_warmup: Annotated[int, "Times each is replayed; 0: once."] = 0
    saved_model_tags: Annotated[str, "Tags of the graph to load, with commas."] = "serve"
    tensorflow_session_parallelism: Annotated[
        int, "Sets both of the next two, unless one of them is set; 0: auto."
    ] = 0
    tensorflow_intra_op_parallelism: Annotated[
        int,
        "Threads inside one operation. With 1, models of small operations answer sooner: waking "
        "further threads costs them more than it saves.",
    ] = 0
    tensorflow_inter_op_parallelism: Annotated[
        int,
        "Threads that run the operations of all requests; 0: those of a request run one by one in "
        "the thread that brings it, those of a batch on as many threads as TensorFlow chooses.",
    ] = 0
    grpc_channel_arguments: Annotated[str, "gRPC options: name=value,name=value."] = ""
    grpc_max_threads: Annotated[int, "Threads that answer gRPC requests."] = 4 * CPUS
    enable_profiler: Annotated[
        bool, "Serve tensorflow.ProfilerService to clients on this machine: TensorBoard's capture."
    ] = True
    enable_grpc_healthcheck_service: Annotated[bool, "Serve grpc.health.v1.Health."] = False
    enable_grpc_reflection: Annotated[bool, "Serve gRPC reflection (own flag)."] = False
    enable_signature_method_name_check: Annotated[
        bool,
        "Classify and Regress only signatures made for it (TF1 exports), Predict only those whose "
        "method_name is one of TensorFlow Serving's.",
    ] = False
    enable_serialization_as_tensor_content: Annotated[
        bool, "Answer with tensor_content instead of float_val and the like."
    ] = False
    api_keys_file: Annotated[
        str,
        "File of API keys, one per line, '#' begins a comment; only its owner and group may touch "
        "it (chmod 600). Requests then need x-api-key: KEY or authorization: Bearer KEY, as gRPC "
        "metadata or HTTP header; the health service and a model's status over REST stay open. "
        "A changed file counts at once (own flag).",
    ] = ""
    max_message_bytes: Annotated[
        int, "Largest gRPC message or REST body, before and after gzip (own flag)."
    ] = INT32_MAX
    max_tensor_bytes: Annotated[
        int, "Largest input that a request may hold or expand to (own flag)."
    ] = 2**31
    max_request_rows: Annotated[
        int,
        "Most rows (size of the inputs' first dimension) of a request, batched with others or not; "
        "0: any number (own flag).",
    ] = 0
    version: Annotated[bool, "Print the version and end."] = False
    help: Annotated[bool, "Print this and end."] = False


def workers(threads: int, flags: Flags) -> int:
    """How many threads answer requests where so many are asked for.

    Example:
        >>> workers(8, Flags()), workers(8, Flags(enable_batching=True))
        (8, 64)
    """
    return max(1, threads, BATCHING_THREADS if flags.enable_batching else 0)


def parse(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """Reads a command line.

    Returns:
        The flags, and the arguments that are none of ours: the caller reports them and goes on,
        as TensorFlow Serving does. Those of WITHOUT_EFFECT are among them.

    Raises:
        BadFlag: a known flag has no value, or one of the wrong type.

    Example:
        >>> flags, unknown = parse(["--port=9000", "--enable_batching", "--colour=red"])
        >>> flags.port, flags.enable_batching, unknown
        (9000, True, ['--colour=red'])
    """
    types = {name: get_args(hint)[0] for name, hint in _hints().items()}
    values: dict[str, str | int | bool] = {}
    unknown = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in types:
            unknown.append(argument)
        elif types[name] is bool:
            values[name] = _boolean(name, text if equals else "true")
        else:
            if not equals:
                if not rest or rest[0].startswith("--"):
                    raise BadFlag(f"--{name} needs a value")
                text = rest.pop(0)
            values[name] = _integer(name, text) if types[name] is int else text
    return Flags(**values), unknown  # type: ignore[arg-type]


def without_effect(argument: str) -> bool:
    """Whether this is a flag of TensorFlow Serving that means nothing here.

    Example:
        >>> without_effect("--prefer_tflite_model=true"), without_effect("--colour=red")
        (True, False)
    """
    return argument.removeprefix("--").partition("=")[0] in WITHOUT_EFFECT


def usage() -> str:
    """What --help prints."""
    lines = [INTRODUCTION]
    hints = _hints()
    for field in dataclasses.fields(Flags):
        kind, text = get_args(hints[field.name])
        default = {True: "true", False: "false", "": '""'}.get(field.default, field.default)
        if kind is int:
            default = str(field.default)
        lines.append(f"  --{field.name}={default}\n")
        lines.append(textwrap.indent(textwrap.fill(text, 88), " " * 8) + "\n")
    return "".join(lines)


def _hints() -> dict[str, object]:
    return get_type_hints(Flags, include_extras=True)


def _boolean(name: str, text: str) -> bool:
    if text.lower() in ("true", "1", "t", "yes", "y"):
        return True
    if text.lower() in ("false", "0", "f", "no", "n"):
        return False
    raise BadFlag(f"--{name} must be true or false, not {text!r}")


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadFlag(f"--{name} must be a whole number, not {text!r}") from None
