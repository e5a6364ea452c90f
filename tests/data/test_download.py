"""Downloads against a real local HTTP server that can break off, forget ranges and lie."""

from __future__ import annotations

import hashlib
import http.server
import random
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tfrec.data import transfer
from tfrec.data.download import Remote, fetch, unpack
from tfrec.errors import UserError

CONTENT = random.Random(0).randbytes(3 * transfer.CHUNK_BYTES + 777)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server does; a test changes it between requests."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"v1"'
    ranges: bool = True
    break_after: list[int] = field(default_factory=list)  # bytes of each next body to send
    statuses: list[int] = field(default_factory=list)  # answers to give before the real one
    requests: list[dict[str, str]] = field(default_factory=list)

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.requests.append(dict(handler.headers))
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
            return
        name = handler.path.lstrip("/")
        if name not in self.files:
            handler.send_error(404)
            return
        body, start = self.files[name], 0
        asked = handler.headers.get("Range")
        if asked and self.ranges and handler.headers.get("If-Range") == self.etag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(body)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        cut = self.break_after.pop(0) if self.break_after else len(body)
        handler.wfile.write(body[start : start + cut])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(transfer, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(transfer, "LONGEST_WAIT_SECONDS", 0.02)
    state = Server(files={"log.zip": CONTENT})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        state.url = f"http://127.0.0.1:{listening.server_port}"
        yield state
        listening.shutdown()


@pytest.fixture
def lines() -> list[str]:
    return []


def remote(server: Server, checksum: str | None = f"sha256:{SHA256}") -> Remote:
    return Remote(f"{server.url}/log.zip", checksum)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"log.zip.lock"}


def test_complete_download_is_checked_renamed_and_not_repeated(
    server: Server, tmp_path: Path, lines: list[str]
) -> None:
    path = fetch(remote(server), tmp_path, lines.append)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == {"log.zip", "log.zip.sha256"}
    assert (tmp_path / "log.zip.sha256").read_text() == f"{SHA256}  log.zip\n"
    assert "checked, sha256 sum pinned in tfrec" in lines[-1]
    assert fetch(remote(server), tmp_path, lines.append) == path
    assert len(server.requests) == 1


@pytest.mark.parametrize("checksum", [f"md5:{MD5}", f"sha256:{SHA256}"])
def test_download_that_breaks_off_again_and_again_is_resumed_where_it_stopped(
    server: Server, tmp_path: Path, lines: list[str], checksum: str
) -> None:
    # More breaks than tries in a row: each brought something, so none of them counts.
    server.break_after = [100_000] * (transfer.TRIES_WITHOUT_PROGRESS + 2)
    assert fetch(remote(server, checksum), tmp_path, lines.append).read_bytes() == CONTENT
    asked = [request.get("Range") for request in server.requests]
    assert asked == [None] + [f"bytes={100_000 * n}-" for n in range(1, len(asked))]
    assert len(asked) == transfer.TRIES_WITHOUT_PROGRESS + 3
    assert any("broke off after 100.0 kB" in line for line in lines)


def test_part_of_an_earlier_process_is_continued(
    server: Server, tmp_path: Path, lines: list[str]
) -> None:
    (tmp_path / "log.zip.part").write_bytes(CONTENT[:1234])
    (tmp_path / "log.zip.part.etag").write_text('"v1"')
    assert fetch(remote(server), tmp_path, lines.append).read_bytes() == CONTENT
    assert server.requests[0]["Range"] == "bytes=1234-"
    assert names(tmp_path) == {"log.zip", "log.zip.sha256"}


def test_part_of_another_version_is_not_continued(
    server: Server, tmp_path: Path, lines: list[str]
) -> None:
    (tmp_path / "log.zip.part").write_bytes(b"old" * 1000)
    (tmp_path / "log.zip.part.etag").write_text('"v0"')
    assert fetch(remote(server), tmp_path, lines.append).read_bytes() == CONTENT


def test_complete_part_is_recognised(server: Server, tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "log.zip.part").write_bytes(CONTENT)
    (tmp_path / "log.zip.part.etag").write_text('"v1"')
    assert fetch(remote(server), tmp_path, lines.append).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_part_longer_than_the_file_is_started_anew(
    server: Server, tmp_path: Path, lines: list[str]
) -> None:
    (tmp_path / "log.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "log.zip.part.etag").write_text('"v1"')
    assert fetch(remote(server), tmp_path, lines.append).read_bytes() == CONTENT


def test_server_without_ranges_starts_anew(
    server: Server, tmp_path: Path, lines: list[str]
) -> None:
    server.ranges = False
    server.break_after = [50_000]
    assert fetch(remote(server), tmp_path, lines.append).read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_version_nothing_is_continued(
    server: Server, tmp_path: Path, lines: list[str], etag: str | None
) -> None:
    server.etag = etag
    server.break_after = [50_000]
    assert fetch(remote(server), tmp_path, lines.append).read_bytes() == CONTENT
    assert [request.get("Range") for request in server.requests] == [None, None]


def test_server_that_never_sends_a_byte_is_given_up(
    server: Server, tmp_path: Path, lines: list[str]
) -> None:
    server.break_after = [0] * 20
    with pytest.raises(UserError, match=r"broke off after 0 B .* 4 times in a row.*HTTPS_PROXY"):
        fetch(remote(server), tmp_path, lines.append)
    assert len(server.requests) == transfer.TRIES_WITHOUT_PROGRESS
    assert not (tmp_path / "log.zip").exists()


def test_wrong_checksum_keeps_the_file_aside_and_names_both_sums(
    server: Server, tmp_path: Path, lines: list[str]
) -> None:
    wanted = "0" * 64
    with pytest.raises(UserError, match=rf"{SHA256}.*expected {wanted}.*log\.zip\.wrong"):
        fetch(remote(server, f"sha256:{wanted}"), tmp_path, lines.append)
    assert (tmp_path / "log.zip.wrong").read_bytes() == CONTENT
    assert not (tmp_path / "log.zip").exists()
    assert not (tmp_path / "log.zip.part").exists()


def test_later_download_must_match_the_first(
    server: Server, tmp_path: Path, lines: list[str]
) -> None:
    fetch(remote(server, None), tmp_path, lines.append)
    assert f"no sum is published; sha256 {SHA256} recorded" in lines[-1]
    (tmp_path / "log.zip").unlink()
    assert fetch(remote(server, None), tmp_path, lines.append).read_bytes() == CONTENT
    assert "of the earlier download" in lines[-1]
    (tmp_path / "log.zip").unlink()
    server.files["log.zip"] = b"changed" + CONTENT
    with pytest.raises(UserError, match=r"of the earlier download, kept in .*log\.zip\.sha256"):
        fetch(remote(server, None), tmp_path, lines.append)


@pytest.mark.parametrize(
    "text",
    [f"{MD5}  log.zip\n", f"MD5 (log.zip) = {MD5.upper()}\n", f"{'0' * 32}  other\n{MD5}  log.zip"],
)
def test_published_checksum_file(
    server: Server, tmp_path: Path, lines: list[str], text: str
) -> None:
    server.files["log.zip.md5"] = text.encode()
    source = Remote(f"{server.url}/log.zip", checksum_url=f"{server.url}/log.zip.md5")
    assert fetch(source, tmp_path, lines.append).read_bytes() == CONTENT
    assert f"md5 sum published at {server.url}/log.zip.md5" in lines[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{'0' * 32}  log.zip", f"{MD5}.*expected {'0' * 32}"),
        ("<html>hello</html>", "holds no md5"),
    ],
)
def test_published_checksum_that_does_not_match_or_is_none(
    server: Server, tmp_path: Path, lines: list[str], text: str, message: str
) -> None:
    server.files["log.zip.md5"] = text.encode()
    source = Remote(f"{server.url}/log.zip", checksum_url=f"{server.url}/log.zip.md5")
    with pytest.raises(UserError, match=message):
        fetch(source, tmp_path, lines.append)
    assert not (tmp_path / "log.zip").exists()


def test_missing_file_is_reported_at_once(server: Server, tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(UserError, match=r"nothing\.zip: the server answered 404 Not Found"):
        fetch(Remote(f"{server.url}/nothing.zip"), tmp_path, lines.append)
    assert len(server.requests) == 1


def test_passing_server_errors_are_tried_again(
    server: Server, tmp_path: Path, lines: list[str]
) -> None:
    server.statuses = [503, 429, 500]
    assert fetch(remote(server), tmp_path, lines.append).read_bytes() == CONTENT
    assert any("503 Service Unavailable; trying again" in line for line in lines)


def test_no_server(tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "FIRST_WAIT_SECONDS", 0.01)
    with pytest.raises(UserError, match=r"no connection .* 4 times in a row"):
        fetch(Remote("http://127.0.0.1:9/log.zip"), tmp_path, lines.append)


def test_full_disk(
    server: Server, tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: free)
    with pytest.raises(UserError, match=r"disk of .* is full.*goes on where it stopped"):
        fetch(remote(server), tmp_path, lines.append)


def test_folder_that_cannot_be_made(server: Server, tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*file"):
        fetch(remote(server), tmp_path / "file" / "cache", lines.append)


def test_two_processes_download_once(server: Server, tmp_path: Path, lines: list[str]) -> None:
    server.break_after = [1000, 1000, 1000]
    threads = [
        threading.Thread(target=fetch, args=(remote(server), tmp_path, lines.append))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (tmp_path / "log.zip").read_bytes() == CONTENT
    assert sum("Range" not in request for request in server.requests) == 1


def pack(path: Path, entries: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    "entries",
    [{"ml/a.csv": "1", "ml/sub/b.csv": "2"}, {"a.csv": "1", "sub/b.csv": "2"}],
    ids=["one top folder", "no top folder"],
)
def test_unpack(tmp_path: Path, lines: list[str], entries: dict[str, str]) -> None:
    archive = pack(tmp_path / "set.zip", entries)
    folder = unpack(archive, lines.append)
    assert folder == tmp_path / "set"
    assert (folder / "a.csv").read_text() == "1"
    assert (folder / "sub" / "b.csv").read_text() == "2"
    archive.write_bytes(b"")  # a second call does not look at it
    assert unpack(archive, lines.append) == folder
    assert not list(tmp_path.glob("*.unpacking"))


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "C:\\evil.txt"])
def test_unpack_refuses_paths_that_lead_outside(
    tmp_path: Path, lines: list[str], name: str
) -> None:
    archive = pack(tmp_path / "set.zip", {"fine.txt": "1", name: "evil"})
    with pytest.raises(UserError, match="outside"):
        unpack(archive, lines.append)
    assert names(tmp_path) - {"set.zip.lock"} == {"set.zip"}


def test_unpack_refuses_links(tmp_path: Path, lines: list[str]) -> None:
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as content:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        content.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="'link'"):
        unpack(archive, lines.append)


def test_unpack_of_a_damaged_archive_leaves_nothing(tmp_path: Path, lines: list[str]) -> None:
    archive = pack(tmp_path / "set.zip", {"ml/a.csv": "1" * 100_000})
    whole = archive.read_bytes()
    archive.write_bytes(whole[:50_000] + b"\0" + whole[50_001:])
    with pytest.raises(UserError, match=r"set\.zip is not a whole zip file.*Delete it"):
        unpack(archive, lines.append)
    assert not (tmp_path / "set").exists()
    archive.write_bytes(whole)
    assert (unpack(archive, lines.append) / "a.csv").exists()
