"""API keys: a file of them that is read again when it changes, and who may pass.

Keys and what is presented in their place never reach a log or an answer.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path

from serving.console import log
from serving.status import Code, ServingError, invalid

HEADER = "x-api-key"
_BEARER = "bearer "
# When a file was last written, how long it is, and which file it is.
_State = tuple[int, int, int]


class ApiKeys:
    """The keys of a file: one per line; blank lines and those that begin with # say nothing.

    The file is looked at with every request. A version of it that cannot be used is reported once
    and leaves the keys as they were.

    Arguments:
        path: of the file, which nobody but its owner and group may touch.

    Raises:
        ServingError: it cannot be read, others may read or write it, or it holds no key.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._state = self._now()
        self._digests = _digests(self._path)

    def check(self, headers: Mapping[str, str]) -> None:
        """Lets a request pass that has a key: as `x-api-key: KEY` or `authorization: Bearer KEY`.

        Arguments:
            headers: of the request, by names in lower case.

        Raises:
            ServingError: UNAUTHENTICATED.
        """
        self._read_again()
        given = headers.get(HEADER)
        if given is None:
            authorization = headers.get("authorization", "")
            if authorization[: len(_BEARER)].lower() == _BEARER:
                given = authorization[len(_BEARER) :].strip()
        if given is None:
            raise ServingError(
                Code.UNAUTHENTICATED,
                "This server wants an API key: send x-api-key: KEY or authorization: Bearer KEY",
            )
        # Every key is compared, and digests of one length are, so that time tells nothing.
        digest, found = _digest(given), False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        if not found:
            raise ServingError(Code.UNAUTHENTICATED, "The API key is not valid")

    def _read_again(self) -> None:
        if self._now() == self._state:
            return
        with self._lock:
            state = self._now()
            if state == self._state:
                return
            self._state = state
            try:
                self._digests = _digests(self._path)
            except ServingError as error:
                log.error("the API keys stay as they were: %s", error.message)
            else:
                log.info("%s is read again: %d API keys", self._path, len(self._digests))

    def _now(self) -> _State | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _digests(path: Path) -> list[bytes]:
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & stat.S_IRWXO:
                raise invalid(
                    f"{path} may be touched by every user of this machine (mode "
                    f"{stat.S_IMODE(mode):03o}); keep the keys to yourself: chmod 600 {path}"
                )
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise invalid(f"Cannot read {path}: {why}") from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise invalid(f"{path} holds no API key: write one per line")
    return [_digest(key) for key in keys]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
