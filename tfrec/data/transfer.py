"""Bringing one file from a server to disk, going on after every interruption.

What has arrived lies in the part file, and beside it, in `<part>.etag`, the server's version of
it: a later try asks for the rest of that version only, and starts anew when there is another.
Only the standard library is used, so proxies come from the usual environment variables.
"""

from __future__ import annotations

import errno
import http.client
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tfrec.console import Progress, size
from tfrec.errors import UserError

TIMEOUT_SECONDS = 30.0
TRIES_WITHOUT_PROGRESS = 4
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
CHUNK_BYTES = 1 << 18
TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}

Log = Callable[[str], None]
Result = TypeVar("Result")


def transfer(url: str, part: Path, log: Log) -> None:
    """Fills `part` with the whole content of `url`, trying again as long as bytes keep arriving.

    Raises:
        UserError: no network, or the server refuses the file; `part` stays for a later try.
        OSError: `part` cannot be written (ENOSPC: the disk is full).
    """
    _persist(lambda: _request(url, part, log), lambda: _length(part), url, log)


def read_small(url: str, log: Log) -> str:
    """The text of a small file, such as a checksum file. Raises UserError."""

    def attempt() -> str:
        with _open(url, {}) as response:
            return _read(response).decode("utf-8", "replace")

    return _persist(attempt, lambda: 0, url, log)


class _Transient(Exception):
    """A failure that a later try may not meet again; `wait`: what the server asked for, seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def _persist(
    attempt: Callable[[], Result], progress: Callable[[], int], url: str, log: Log
) -> Result:
    """Repeats `attempt`, waiting twice as long each time, until it fails too often in a row."""
    failures, best = 0, progress()
    while True:
        try:
            return attempt()
        except _Transient as failure:
            failures = 1 if progress() > best else failures + 1
            best = max(best, progress())
            if failures == TRIES_WITHOUT_PROGRESS:
                raise UserError(
                    f"{url}: {failure}, {failures} times in a row. Check the network (HTTPS_PROXY "
                    "behind a proxy) and run the same command again: what has arrived is kept. "
                    "Or fetch the files yourself and name their folder, NAME:/path/to/folder"
                ) from None
            wait = max(FIRST_WAIT_SECONDS * 2 ** (failures - 1), failure.wait)
            wait = min(wait, LONGEST_WAIT_SECONDS)
            log(f"{url}: {failure}; trying again in {wait:.0f} s")
            time.sleep(wait)


def _request(url: str, part: Path, log: Log) -> None:
    """One request: appends what `part` lacks, or starts it anew when it cannot be continued."""
    etag = part.with_name(part.name + ".etag")
    have = _length(part) if etag.exists() else 0
    # If-Range: the server sends the rest only if it still has the version that we began.
    headers = (
        {"Range": f"bytes={have}-", "If-Range": etag.read_text(encoding="utf-8")} if have else {}
    )
    try:
        response = _open(url, headers)
    except urllib.error.HTTPError as error:
        # 416, nothing lies after our last byte: the part is whole, or it is of another file.
        if error.headers.get("Content-Range", "") == f"bytes */{have}":
            return
        part.unlink()
        raise _Transient("the partial file does not fit the server's, starting anew") from None
    with response:
        start, total = _extent(response, have)
        if start == 0:
            _remember_version(response, etag)
        if total is not None and total - start > shutil.disk_usage(part.parent).free:
            raise OSError(errno.ENOSPC, "disk full")
        resumed = f", of which {size(start)} are here already" if start else ""
        log(f"downloading {url} ({size(total) if total else 'size unknown'}{resumed})")
        with (
            Progress(total, part.name.removesuffix(".part"), "B", start) as bar,
            part.open("r+b" if start else "wb") as file,
        ):
            file.seek(start)
            file.truncate()
            while chunk := _read(response):
                file.write(chunk)
                bar.update(len(chunk))
            arrived = file.tell()
    if total is not None and arrived < total:
        raise _Transient(f"broke off after {size(arrived)} of {size(total)}")


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Opens `url`. Failures become _Transient or UserError, except 416 (no such range)."""
    headers = {"User-Agent": "tfrec", "Accept-Encoding": "identity", **headers}
    try:
        return urllib.request.urlopen(  # type: ignore[no-any-return]
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        if error.code == 416 and "Range" in headers:
            raise
        if error.code in TRANSIENT_STATUS:
            after = error.headers.get("Retry-After", "")
            wait = float(after) if after.isdigit() else 0.0
            raise _Transient(f"the server answered {error.code} {error.reason}", wait) from None
        raise UserError(
            f"{url}: the server answered {error.code} {error.reason}. If the file has moved, "
            "fetch it yourself and name its folder, NAME:/path/to/folder"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        # URLError, an OSError itself, wraps the one that says why.
        raise _explained(url, getattr(error, "reason", error)) from None


def _explained(url: str, error: object) -> Exception:
    if isinstance(error, ssl.SSLCertVerificationError):
        return UserError(
            f"{url}: the server's certificate is not accepted ({error.verify_message}). Fetch the "
            "files yourself and name their folder, NAME:/path/to/folder"
        )
    if isinstance(error, socket.gaierror):
        return _Transient(f"the host is not found, no network? ({error.strerror})")
    if isinstance(error, TimeoutError):
        return _Transient(f"no answer within {TIMEOUT_SECONDS:.0f} s")
    return _Transient(f"no connection ({error})")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK_BYTES)
    except http.client.IncompleteRead as error:
        return error.partial
    except (OSError, http.client.HTTPException) as error:
        raise _Transient(f"broke off ({error})") from None


def _extent(response: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """First byte that this response brings, and the size of the whole file where it is told."""
    length = response.headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else None
    if response.status != 206:
        return 0, size
    sent = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", sent)
    if match is None or int(match[1]) != have:
        raise UserError(
            f"{response.url}: asked for the bytes from {have} on, the server sent {sent!r}. "
            "Delete the .part file and run the same command again"
        )
    if match[2] != "*":
        return have, int(match[2])
    return have, None if size is None else have + size


def _remember_version(response: http.client.HTTPResponse, etag: Path) -> None:
    tag = response.headers.get("ETag", "")
    # A weak tag (W/) does not promise equal bytes, so nothing can be continued with it.
    version = response.headers.get("Last-Modified") if tag.startswith("W/") or not tag else tag
    if version:
        etag.write_text(version, encoding="utf-8")
    else:
        etag.unlink(missing_ok=True)


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
