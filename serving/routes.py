"""What the path of a REST request asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from serving.models import Reference
from serving.status import Code, ServingError, invalid

PREDICTIONS = ("classify", "regress", "predict")
METADATA = "metadata"

# Matched in full against path and query together: a query makes a prediction malformed.
_PREDICTION = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/([0-9]+)|/labels/([^/:]+))?:(classify|regress|predict)",
    re.IGNORECASE,
)
_LOOK_UP = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:/versions/([0-9]+)|/labels/([^/:]+))?(?:/(metadata))?",
    re.IGNORECASE,
)
_OURS = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


class VersionTooLarge(ServingError):
    """A version beyond int64: TensorFlow Serving answers 400 without a word."""


@dataclass(frozen=True)
class Route:
    """A path taken apart, or as much of it as could be.

    Fields:
        name: of the model, "" if there is none.
        action: one of PREDICTIONS, METADATA, or "" for the states of a model's versions.
        digits: of the version; None: none is asked for.
        malformed: what is wrong with it.
    """

    name: str = ""
    action: str = ""
    digits: str | None = None
    label: str | None = None
    malformed: str | None = None

    def reference(self) -> Reference:
        """The model that is asked for.

        Raises:
            ServingError: INVALID_ARGUMENT, the path is malformed.
        """
        if self.malformed is not None:
            raise invalid(self.malformed)
        if self.digits is None:
            return Reference(self.name, None, self.label)
        digits = self.digits.lstrip("0") or "0"  # int() itself refuses thousands of digits
        if len(digits) > 19 or int(digits) >= 2**63:
            raise VersionTooLarge(Code.INVALID_ARGUMENT, "")
        return Reference(self.name, int(digits), self.label)


def find_route(method: str, path: str) -> Route:
    """Reads method and path.

    Example:
        >>> find_route("GET", "/v1/models/sh%6Fp/versions/007").reference()
        Reference(name='shop', version=7, label=None)
        >>> find_route("GET", "/v1/models/shop:predict").malformed
        'Malformed request: GET /v1/models/shop:predict'
    """
    pattern = {"POST": _PREDICTION, "GET": _LOOK_UP}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    malformed = f"Malformed request: {method} {path}"
    if match is None:
        return Route(malformed=malformed)
    name, digits, label, action = match.groups()
    name, label = _decoded(name or ""), _decoded(label) if label else None
    # The pattern ignores case, but what follows it is looked up as it is written.
    if method == "GET":
        return Route(name, METADATA if action == METADATA else "", digits, label)
    return Route(name, action, digits, label, None if action in PREDICTIONS else malformed)


def is_ours(path: str) -> bool:
    """Whether a path, without its query, is one of the REST interface's."""
    return _OURS.fullmatch(path) is not None


def without_authority(target: str) -> str:
    """The path out of a whole address, which a proxy may send in its place.

    Example:
        >>> without_authority("http://localhost:8501/v1/models/shop")
        '/v1/models/shop'
    """
    return target if target.startswith("/") else _AUTHORITY.sub("", target, count=1)


def _decoded(text: str) -> str:
    return unquote(text, errors="surrogateescape")
