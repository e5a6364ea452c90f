"""The gRPC port: services, credentials, threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.api_keys import ApiKeys
from serving.flags import Flags, workers
from serving.grpc_services import ModelService, PredictionService
from serving.profiler import Profiler, is_local
from serving.protos import SSLConfig, read_text
from serving.service import Service
from serving.status import Code, ServingError, invalid

_HEALTH = "/grpc.health.v1.Health/"


def start_grpc(flags: Flags, service: Service, keys: ApiKeys | None = None) -> Any:
    """Opens the port and the socket that the flags name.

    Arguments:
        keys: what requests must bring, but for those of the health service.

    Returns:
        The running server; `stop(grace)` ends it.

    Raises:
        ServingError: a file cannot be read, or an address is taken.
    """
    options = {
        "grpc.max_receive_message_length": flags.max_message_bytes,
        "grpc.max_send_message_length": flags.max_message_bytes,
        "grpc.so_reuseport": 0,  # two servers on one port would share requests unnoticed
        **_channel_arguments(flags.grpc_channel_arguments),  # of two values gRPC takes the first
    }
    server = grpc.server(
        ThreadPoolExecutor(workers(flags.grpc_max_threads, flags), "grpc"),
        interceptors=[_Guard(keys)] if keys else [],
        options=list(options.items()),
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(service, flags.enable_serialization_as_tensor_content), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(service), server)
    if flags.enable_profiler:
        local = not flags.port or is_local(flags.host)
        server.add_generic_rpc_handlers((Profiler(local).handler(),))
    if flags.enable_grpc_healthcheck_service:
        _add_health(server)
    if flags.enable_grpc_reflection:
        _add_reflection(server, flags.enable_grpc_healthcheck_service)
    credentials = _credentials(flags.ssl_config_file) if flags.ssl_config_file else None
    for address in grpc_addresses(flags):
        try:
            if credentials is None:
                server.add_insecure_port(address)
            else:
                server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise ServingError(Code.UNAVAILABLE, f"cannot listen on {address}: {error}") from None
    server.start()
    return server


class _Guard(grpc.ServerInterceptor):  # type: ignore[misc]
    """Turns away calls without a key before their message is read."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        if details.method.startswith(_HEALTH):
            return continuation(details)
        sent = {
            name: value for name, value in details.invocation_metadata if isinstance(value, str)
        }
        try:
            self._keys.check(sent)
        except ServingError as error:
            message = error.message

            def refuse(_: Any, context: Any) -> None:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, message)

            return grpc.unary_unary_rpc_method_handler(refuse)
        return continuation(details)


def grpc_addresses(flags: Flags) -> list[str]:
    """Where the gRPC API listens.

    Example:
        >>> grpc_addresses(Flags(host="::1", port=1, grpc_socket_path="/run/s.sock"))
        ['[::1]:1', 'unix:/run/s.sock']
    """
    host = f"[{flags.host}]" if ":" in flags.host else flags.host
    addresses = [f"{host}:{flags.port}"] if flags.port else []
    if flags.grpc_socket_path:
        addresses.append(f"unix:{flags.grpc_socket_path}")
    return addresses


def _credentials(path: str) -> Any:
    config = read_text(path, SSLConfig())
    if not config.server_key or not config.server_cert:
        raise invalid(f"{path} needs server_key and server_cert, as PEM text")
    if config.client_verify and not config.custom_ca:
        raise invalid(f"{path} asks for client certificates but has no custom_ca to check them")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _channel_arguments(text: str) -> dict[str, int | str]:
    """ "name=value,name=value" -> values by name; whole numbers as such."""
    values: dict[str, int | str] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise invalid(f"--grpc_channel_arguments has no value for {name}")
        try:
            values[name] = int(value)
        except ValueError:
            values[name] = value
    return values


def _add_health(server: Any) -> None:
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    servicer = health.HealthServicer()
    for name in ("", "ModelService", "PredictionService"):
        servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)


def _add_reflection(server: Any, with_health: bool) -> None:
    from grpc_reflection.v1alpha import reflection

    names = [
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        reflection.SERVICE_NAME,
    ]
    if with_health:
        names.append("grpc.health.v1.Health")
    reflection.enable_server_reflection(names, server)
