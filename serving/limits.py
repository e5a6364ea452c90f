"""How much one request may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serving.status import ServingError, invalid
from serving.tensors import MAX_BYTES, STRING_BYTES, Array


@dataclass(frozen=True)
class Limits:
    """Limits on the inputs of a request.

    Attributes:
        rows: the largest first dimension; 0 for any.
        tensor_bytes: the largest input; a string counts for `STRING_BYTES`.
    """

    rows: int = 0
    tensor_bytes: int = MAX_BYTES

    def check(self, inputs: Mapping[str, Array]) -> None:
        """Lets inputs pass.

        Raises:
            ServingError: INVALID_ARGUMENT, one is too large.
        """
        for name, array in inputs.items():
            if self.rows and array.ndim and len(array) > self.rows:
                raise invalid(
                    f"Input {name} has {len(array)} rows; this server takes {self.rows} at most "
                    "(--max_request_rows): send several requests"
                )
            if size(array) > self.tensor_bytes:
                raise too_large(name, self.tensor_bytes)


def size(array: Array) -> int:
    """Bytes of an array, a string for `STRING_BYTES`."""
    return array.size * (STRING_BYTES if array.dtype == object else array.itemsize)


def too_large(name: str, limit: int) -> ServingError:
    """Says that an input is."""
    return invalid(
        f"tensor parsing error: {name} is larger than {limit} bytes (--max_tensor_bytes)"
    )
