"""Files fetched once: checked before they count, renamed at the end, unpacked safely.

Beside `ml-1m.zip` a download leaves `ml-1m.zip.sha256` (as sha256sum writes it), which a later
download of the same file must match. A broken-off one leaves `.part` and `.part.etag`, a file
with a wrong sum is kept as `.wrong`, and `.lock` makes a second process wait for the first.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from tfrec.console import size
from tfrec.data.transfer import Log, read_small, transfer
from tfrec.errors import UserError

if sys.platform != "win32":
    import fcntl


@dataclass(frozen=True)
class Remote:
    """A file on a server and what is known about its content.

    Attributes:
        url: http or https address; its last part names the file.
        checksum: "md5:<hex>" or "sha256:<hex>" when the content is known to be fixed.
        checksum_url: a file beside it in which the publisher keeps the md5 or sha256 sum, for
            content that may change; not used when `checksum` is given.
    """

    url: str
    checksum: str | None = None
    checksum_url: str | None = None

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


def fetch(remote: Remote, folder: Path, log: Log) -> Path:
    """The local file of `remote` in `folder`, downloaded if it is not there yet.

    Raises:
        UserError: no network, the server refuses the file, the disk is full, or the content has
            a checksum other than the pinned, published or earlier recorded one.

    Example:
        >>> fetch(Remote("https://host/a.zip"), Path("cache"), print)  # doctest: +SKIP
        PosixPath('cache/a.zip')
    """
    target = folder / remote.name
    with _writing(folder), _alone(target, log):
        if not target.exists():
            part = _beside(target, ".part")
            transfer(remote.url, part, log)
            checked = _verify(remote, part, target, log)
            os.replace(part, target)
            _beside(part, ".etag").unlink(missing_ok=True)
            log(f"{target} ({size(target.stat().st_size)}): {checked}")
    return target


def unpack(archive: Path, log: Log) -> Path:
    """The folder with the content of a zip file, beside it and named like it; unpacked once.

    A single folder at the top of the archive becomes that folder.

    Raises:
        UserError: not a zip file, damaged, an entry that would land outside the folder, or the
            disk is full. Nothing half-unpacked is ever left under the final name.
    """
    folder = archive.with_suffix("")
    with _writing(archive.parent), _alone(archive, log):
        if folder.exists():
            return folder
        aside = _beside(folder, ".unpacking")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            with zipfile.ZipFile(archive) as content:
                _refuse_unsafe(archive, content)
                unpacked = sum(entry.file_size for entry in content.infolist())
                if unpacked > shutil.disk_usage(archive.parent).free:
                    raise OSError(errno.ENOSPC, "disk full")
                log(f"unpacking {archive} ({size(unpacked)})")
                content.extractall(aside)
            top = list(aside.iterdir())
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            # RuntimeError: encrypted, or packed by a method that Python does not know.
            raise UserError(
                f"{archive} is not a whole zip file ({error}). Delete it and run the same command "
                "again to download it anew"
            ) from None
        # Most archives hold one folder with everything in it: that folder is what we want.
        single = len(top) == 1 and top[0].is_dir()
        os.replace(top[0] if single else aside, folder)
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _refuse_unsafe(archive: Path, content: zipfile.ZipFile) -> None:
    for entry in content.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        drive = PureWindowsPath(entry.filename).drive
        outside = path.is_absolute() or ".." in path.parts or drive
        if outside or stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(
                f"{archive} holds the entry {entry.filename!r}, which would land outside its "
                "folder. Nothing was unpacked; do not trust this file"
            )


def _verify(remote: Remote, part: Path, target: Path, log: Log) -> str:
    """Checks the complete `part` against all that is known; says in words what was checked."""
    record = _beside(target, ".sha256")
    expected = []
    if remote.checksum is not None:
        expected.append((remote.checksum, "pinned in tfrec"))
    elif remote.checksum_url is not None:
        expected.append((_published(remote, log), f"published at {remote.checksum_url}"))
    if record.exists():
        earlier = record.read_text(encoding="utf-8").split()[0]
        expected.append((f"sha256:{earlier}", f"of the earlier download, kept in {record}"))
    sums = _digests(part, [checksum.partition(":")[0] for checksum, _ in expected])
    for checksum, origin in expected:
        kind, _, wanted = checksum.partition(":")
        if sums[kind] != wanted:
            wrong = _beside(target, ".wrong")
            os.replace(part, wrong)
            raise UserError(
                f"{remote.url}: the {kind} sum of what arrived is {sums[kind]}, expected {wanted} "
                f"({origin}). The file is kept as {wrong}. Run the same command to download it "
                "anew; if the publisher has changed it on purpose, unpack it yourself and name "
                f"its folder, NAME:/path/to/folder, or delete {record} if that is what it "
                "disagrees with"
            )
    if not record.exists():
        record.write_text(f"{sums['sha256']}  {target.name}\n", encoding="utf-8")
    if not expected:
        return f"no sum is published; sha256 {sums['sha256']} recorded for later downloads"
    return "checked, " + " and ".join(
        f"{checksum.partition(':')[0]} sum {origin}" for checksum, origin in expected
    )


def _published(remote: Remote, log: Log) -> str:
    """The sum in the publisher's checksum file, as "md5:<hex>" or "sha256:<hex>"."""
    assert remote.checksum_url is not None
    lines = read_small(remote.checksum_url, log).splitlines()
    text = " ".join([line for line in lines if remote.name in line] or lines)
    for kind, digits in (("sha256", 64), ("md5", 32)):
        match = re.search(rf"\b[0-9a-fA-F]{{{digits}}}\b", text)
        if match:
            return f"{kind}:{match[0].lower()}"
    raise UserError(
        f"{remote.checksum_url} holds no md5 or sha256 sum of {remote.name}. Fetch that file "
        "yourself, unpack it and name its folder, NAME:/path/to/folder"
    )


def _digests(path: Path, kinds: list[str]) -> dict[str, str]:
    """Sums of a file in one pass; sha256 is always among them."""
    sums = {kind: hashlib.new(kind, usedforsecurity=False) for kind in {*kinds, "sha256"}}
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            for digest in sums.values():
                digest.update(block)
    return {kind: digest.hexdigest() for kind, digest in sums.items()}


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Makes `folder`, and says in words why something in it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BrokenPipeError:
        raise  # the reader of our output went away: nothing is wrong with the folder
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(
                f"the disk of {folder} is full. Free some space and run the same command again: "
                "a download goes on where it stopped"
            ) from None
        raise UserError(f"cannot write to {folder}: {error.strerror or error}") from None


@contextlib.contextmanager
def _alone(target: Path, log: Log) -> Iterator[None]:
    """Two processes that want the same file: the second waits for the first."""
    if sys.platform == "win32":
        yield
        return
    with _beside(target, ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"another process is getting {target.name}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
