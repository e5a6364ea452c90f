"""A text file as blocks of whole records, unpacked on the way, with the number of their first line.

A record ends at a line end, unless that stands inside a quoted field. Blocks are found without
parsing: where no quote occurs the last line end is the cut; where every opening quote stands at
the start of a field, the last line end after an even number of quotes is; otherwise, and only
there, records are walked one by one.
"""

from __future__ import annotations

import codecs
import functools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrec.errors import UserError

BLOCK = 4 << 20
# A record that is longer than this has an opening quote that never closes.
LONGEST_RECORD = 1 << 20
_GZIP = b"\x1f\x8b"
# What a file is that is not text, by its first bytes.
_MAGIC = {
    b"PK\x03\x04": "a zip archive or a spreadsheet; unpack or export it first",
    b"BZh": "bzip2; unpack it first",
    b"\xfd7zXZ": "xz; unpack it first",
    b"\x28\xb5\x2f\xfd": "zstd; unpack it first",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"%PDF": "a PDF document",
    b"SQLite": "an SQLite database; export the table as CSV",
    b"\x89HDF": "an HDF5 file; export the table as CSV or Parquet",
}
_WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


@dataclass(frozen=True)
class Block:
    """Whole records.

    Attributes:
        data: the bytes, in the encoding of the file (UTF-8 where that is UTF-16 or UTF-32).
        first_line: number of the line on which the data begins, counted from 1.
        last: the file ends here, so the last record may lack its line end.
    """

    data: bytes
    first_line: int
    last: bool


def read_blocks(
    path: Path, encoding: str = "utf-8", quote: str | None = None, size: int = BLOCK
) -> Iterator[Block]:
    """Reads a text file, plain or gzip, block by block.

    Arguments:
        path: the file.
        encoding: of the file; a byte order mark is taken off.
        quote: the field separator when double quotes protect fields, else None.
        size: bytes read at a time.

    Raises:
        UserError: the file is missing, empty, not text, cut short or in no known encoding.
    """
    name = _encoding(encoding)
    rest, line, started = b"", 1, False
    for piece in _text(path, name, size):
        if not started:
            piece = _checked_start(path, piece, name)
            started = True
        data = rest + piece
        cut = last_record_end(data, quote)
        if cut:
            yield Block(data[:cut], line, last=False)
            line += count_lines(data[:cut])
        elif len(data) > 64 * LONGEST_RECORD:
            raise UserError(f"{path}:{line}: a line of over 64 MB. Is this a text file?")
        rest = data[cut:]
    if not started:
        raise UserError(f"{path} is empty")
    if rest:
        yield Block(rest, line, last=True)


def count_lines(data: bytes) -> int:
    """Line ends in the data. NumPy counts them ten times as fast as `bytes.count` does."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))


def last_record_end(data: bytes, quote: str | None) -> int:
    """Where the last whole record of `data` ends, 0 if there is none. Data begins with a record."""
    cut = data.rfind(b"\n") + 1
    if quote is None or not cut or b'"' not in data:
        return cut
    buffer = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(buffer == ord('"'))
    opening = quotes[::2]
    before = buffer[np.maximum(opening - 1, 0)]
    regular = (opening == 0) | (before == ord(quote)) | (before == ord("\n")) | (before == ord('"'))
    if regular.all():
        ends = np.flatnonzero(buffer == ord("\n"))
        outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
        end = int(outside[-1]) + 1 if len(outside) else 0
        if len(data) - end < LONGEST_RECORD:
            return end
    end = 0
    while following := record_end(data, end, quote, last=False):
        end = following
    return end


def record_end(data: bytes, at: int, quote: str | None, last: bool) -> int:
    """Where the record that begins at `at` ends; 0 when it goes on after the data.

    A line whose quote never closes is a record by itself. `last` says that no more data follows.
    """
    line_end = data.find(b"\n", at) + 1
    if quote is not None and data.find(b'"', at, line_end or len(data)) >= 0:
        match = _record(quote).match(data, at)
        if match is not None and (last or match.group().endswith(b"\n")):
            return match.end()
        if not last and len(data) - at < LONGEST_RECORD:
            return 0
    return line_end or (len(data) if last else 0)


def is_closed(record: bytes, quote: str) -> bool:
    """Whether every quote that opens a field of the record closes again."""
    return _record(quote).fullmatch(record) is not None


@functools.cache
def _record(separator: str) -> re.Pattern[bytes]:
    mark = re.escape(separator.encode())
    field = rb'(?:"[^"]*(?:""[^"]*)*"(?!")[^%b\n]*|[^"%b\n][^%b\n]*|)' % (mark, mark, mark)
    return re.compile(rb"%b(?:%b%b)*(?:\n|\Z)" % (field, mark, field))


def stored_encoding(encoding: str) -> str:
    """The encoding of the bytes that `read_blocks` gives for a file in `encoding`."""
    name = _encoding(encoding)
    return "utf-8" if name in _WIDE else name


def _encoding(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name.removesuffix("-sig")
    except LookupError:
        raise UserError(
            f"--encoding {encoding!r} is not known. Common ones: utf-8, iso-8859-1, cp1252, gb18030"
        ) from None


def _checked_start(path: Path, start: bytes, encoding: str) -> bytes:
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise UserError(f"{path} is not text: it is {what}")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and encoding == "utf-8":
        raise UserError(f"{path} is UTF-16: add --encoding utf-16")
    if _is_binary(start[: 1 << 16]):
        raise UserError(f"{path} is not text: it holds control characters, as binary files do")
    return start.removeprefix(codecs.BOM_UTF8)


def _is_binary(start: bytes) -> bool:
    """Many kinds of control characters, or many NULs. A few NULs are a text file after a crash."""
    counts = np.bincount(np.frombuffer(start, np.uint8), minlength=256)
    others = np.count_nonzero(counts[1:7]) + np.count_nonzero(counts[14:26])
    return bool(counts[0] and (others >= 3 or 10 * counts[0] > 3 * len(start)))


def _text(path: Path, encoding: str, size: int) -> Iterator[bytes]:
    """The unpacked bytes; UTF-16 and UTF-32, where a line end is no single byte, as UTF-8."""
    if encoding not in _WIDE:
        yield from _bytes(path, size)
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for piece in _bytes(path, size):
            if text := decoder.decode(piece):
                yield text.encode("utf-8")
        if text := decoder.decode(b"", final=True):
            yield text.encode("utf-8")
    except UnicodeError as error:
        raise UserError(f"{path} is not {encoding}: {error}. Check --encoding") from None


def _bytes(path: Path, size: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            piece = file.read(size)
            if piece.startswith(_GZIP):
                file.seek(0)
                yield from _unzipped(path, iter(lambda: file.read(size // 4), b""), size)
                return
            while piece:
                yield piece
                piece = file.read(size)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None


def _unzipped(path: Path, pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    gzip_format = zlib.MAX_WBITS | 16
    unzip = zlib.decompressobj(gzip_format)
    done = 0
    try:
        for piece in pieces:
            while piece:
                # A file may be several gzip members in a row.
                if unzip.eof:
                    unzip = zlib.decompressobj(gzip_format)
                data = unzip.decompress(piece, size)
                done += len(data)
                if data:
                    yield data
                piece = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
                if unzip.eof and not piece.strip(b"\0"):
                    piece = b""
        if not unzip.eof:
            raise zlib.error("the end is missing")
    except zlib.error as error:
        raise UserError(
            f"{path} is damaged or cut short: its gzip data breaks after {done:,} unpacked bytes "
            f"({error}). Copy or download it again"
        ) from None
