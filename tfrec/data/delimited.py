"""Delimited text (CSV, TSV, "::"): block of bytes -> chunk of string columns.

Arrow's reader parses a block at once. Only where it fails, or where rows and lines do not agree,
is the block cut into small pieces, and only the pieces that still fail are read row by row, which
finds the line, the field and the reason. So one bad row in a million costs a few milliseconds.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tfrec.data.blocks import Block, count_lines, is_closed, last_record_end, record_end
from tfrec.data.chunk import Chunk, concatenate
from tfrec.data.rejected import BadRow
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

PIECE = 1 << 16
# Stands in for separators of several characters, which Arrow does not know.
_UNIT = b"\x1f"


@dataclass(frozen=True)
class Delimited:
    """How the lines of one file are cut into fields.

    Attributes:
        file: its name, for reports.
        names: of all columns, in file order.
        columns: those to keep.
        separator: one or more characters.
        encoding: of the file.
        quotes: double quotes protect fields.
        types: of columns that are worth parsing at once; where that fails they come as text.
    """

    file: str
    names: Sequence[str]
    columns: Sequence[str]
    separator: str
    encoding: str
    quotes: bool
    types: Mapping[str, pyarrow.DataType] = field(default_factory=dict)

    @property
    def quote(self) -> str | None:
        """The separator where quotes count: what `blocks` needs to know."""
        return self.separator if self.quotes else None

    def header(self, line: bytes) -> list[str]:
        """The column names in the first line of a file.

        Raises:
            UserError: it cannot be decoded, or is blank.
        """
        try:
            text = line.decode(self.encoding).rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.file}:1: the first line is not {self.encoding} text ({error.reason} "
                f"{line[error.start : error.end]!r}). Check --encoding"
            ) from None
        if not text.strip():
            raise UserError(f"{self.file}:1: the first line is blank, expected column names")
        fields = text.split(self.separator)
        if self.quotes and '"' in text:
            fields = next(csv.reader([text], delimiter=self.separator))
        return [field.strip() for field in fields]

    def parse(self, block: Block) -> Chunk:
        """The rows of a block. Never raises for what stands in it: bad rows are in `bad`."""
        return self._at_once(block, self.types) or concatenate(
            [self._at_once(piece, {}) or self._row_by_row(piece) for piece in self._pieces(block)]
        )

    def _at_once(self, block: Block, types: Mapping[str, pyarrow.DataType]) -> Chunk | None:
        """The block through Arrow, or None where a row needs a closer look."""
        import pyarrow
        import pyarrow.csv

        data = _utf8(block.data, self.encoding)
        # Arrow would take NUL bytes, the mark of a crash while writing, for text.
        if data is None or b"\0" in data:
            return None
        delimiter = self.separator.encode()
        if len(delimiter) > 1:
            if _UNIT in data:
                return None
            data, delimiter = data.replace(delimiter, _UNIT), _UNIT
        lines = count_lines(data) + (not data.endswith(b"\n"))
        try:
            table = pyarrow.csv.read_csv(
                pyarrow.BufferReader(data),
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False, block_size=len(data) + 1, column_names=self.names
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=delimiter.decode(),
                    quote_char='"' if self.quotes else False,
                    newlines_in_values=self.quotes,
                    ignore_empty_lines=False,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types={**dict.fromkeys(self.names, pyarrow.string()), **types},
                    include_columns=self.columns,
                    null_values=[],
                    strings_can_be_null=False,
                ),
            )
        except pyarrow.ArrowInvalid:
            return None
        if len(table) != lines:
            return None
        numbers = np.arange(block.first_line, block.first_line + lines, dtype=np.int64)
        return Chunk(table, self.file, numbers)

    def _pieces(self, block: Block) -> Iterator[Block]:
        at, line, size = 0, block.first_line, PIECE
        while at < len(block.data):
            ahead = block.data[at : at + size]
            cut = last_record_end(ahead, self.quote)
            if at + size >= len(block.data):
                cut = len(ahead)
            if not cut:
                size *= 2
                continue
            yield Block(ahead[:cut], line, block.last and at + cut == len(block.data))
            line += ahead.count(b"\n", 0, cut)
            at, size = at + cut, PIECE

    def _row_by_row(self, block: Block) -> Chunk:
        import pyarrow

        rows: list[list[str]] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        at, line = 0, block.first_line
        while at < len(block.data):
            record = block.data[at : record_end(block.data, at, self.quote, last=True)]
            result = self._fields(record, line, cut_short=block.last and not record.endswith(b"\n"))
            if isinstance(result, BadRow):
                # A stray quote may have swallowed good lines: only its own line is lost.
                record = record[: record.find(b"\n") + 1 or len(record)]
                bad.append(result)
            elif result:
                rows.append(result)
                lines.append(line)
            at += len(record)
            line += record.count(b"\n")
        chosen = [self.names.index(name) for name in self.columns]
        table = pyarrow.table(
            [pyarrow.array([row[n] for row in rows], pyarrow.string()) for n in chosen],
            names=list(self.columns),
        )
        return Chunk(table, self.file, np.array(lines, np.int64), bad)

    def _fields(self, record: bytes, line: int, cut_short: bool) -> list[str] | BadRow:
        """The fields of one record, none for an empty line, or what is wrong with it."""
        record = record.rstrip(b"\r\n")
        if not record.strip():
            return []
        shown = record.split(b"\n", 1)[0].decode(self.encoding, "replace")
        if b"\0" in record:
            return BadRow(self.file, line, "", shown.replace("\0", "\\0"), "NUL bytes, not text")
        try:
            text = record.decode(self.encoding)
        except UnicodeDecodeError:
            return self._undecodable(record, line)
        if self.quotes and '"' in text:
            if not is_closed(record, self.separator):
                return BadRow(self.file, line, "", shown, "a quote that does not close")
            fields = next(csv.reader([text], delimiter=self.separator))
        else:
            fields = text.split(self.separator)
        if len(fields) == len(self.names):
            return fields
        reason = f"{len(fields)} fields instead of {len(self.names)}"
        if cut_short:
            reason = f"half-written last line ({reason})"
        elif self.quotes and "\n" in text:
            reason = f"a quote that does not close ({reason})"
        return BadRow(self.file, line, "", shown, reason)

    def _undecodable(self, record: bytes, line: int) -> BadRow:
        fields = record.split(self.separator.encode())
        for name, value in zip(self.names, fields, strict=False):
            try:
                value.decode(self.encoding)
            except UnicodeDecodeError:
                shown = value.decode(self.encoding, "backslashreplace")
                return BadRow(self.file, line, name, shown, f"not valid {self.encoding}")
        shown = record.decode(self.encoding, "backslashreplace")
        return BadRow(self.file, line, "", shown, f"not valid {self.encoding}")


def _utf8(data: bytes, encoding: str) -> bytes | None:
    """The same text in UTF-8 (which Arrow checks itself), or None where it cannot be decoded."""
    if encoding == "utf-8" or data.isascii():
        return data
    try:
        return data.decode(encoding).encode()
    except UnicodeDecodeError:
        return None
