"""How a request fails: one of gRPC's codes and a text, the same over gRPC and REST."""

from __future__ import annotations

import enum
import re

# Which functions of the graph the failing operation was in. TensorFlow Serving dissolves them
# before it runs the graph, so its texts begin with the reason.
_WITHIN = re.compile(r"^(\{\{function_node [^}]*\}\} )+")


class Code(enum.IntEnum):
    """The canonical codes; the numbers are those of gRPC and of TensorFlow's errors."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class ServingError(Exception):
    """A request, a configuration or a load that failed.

    Example:
        >>> str(ServingError(Code.NOT_FOUND, "Could not find any versions of model m"))
        'NOT_FOUND: Could not find any versions of model m'
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.code is Code.UNAVAILABLE

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def invalid(message: str) -> ServingError:
    """By far the most frequent failure: INVALID_ARGUMENT."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def from_exception(error: BaseException) -> ServingError:
    """Any exception as a status: ours as it is, TensorFlow's by its own code, the rest INTERNAL."""
    if isinstance(error, ServingError):
        return error
    code = getattr(error, "error_code", None)
    if isinstance(code, int) and code in Code.__members__.values():
        message = str(getattr(error, "message", None) or error)
        return ServingError(Code(code), _WITHIN.sub("", message))
    if isinstance(error, RecursionError):
        return invalid("JSON Parse error: nested too deeply")
    if isinstance(error, MemoryError):
        return ServingError(Code.RESOURCE_EXHAUSTED, "out of memory")
    return ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
