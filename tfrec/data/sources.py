"""Files -> chunks of rows: delimited text, JSON Lines and Parquet, plain or gzip, many in a row.

Memory stays flat: a few blocks of some megabytes are in flight, parsed in threads, and come out in
the order of the files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tfrec.data.blocks import Block, read_blocks, record_end, stored_encoding
from tfrec.data.chunk import Chunk
from tfrec.data.delimited import Delimited
from tfrec.data.jsonlines import JsonLines, first_types
from tfrec.data.layout import LINE, TableLayout
from tfrec.data.parallel import in_order
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

Made = TypeVar("Made")

_PEEK = 1 << 18
_PARQUET_ROWS = 1 << 17


def peek(layout: TableLayout) -> Chunk:
    """The first rows of a table, all columns: shows which there are and what they hold.

    Raises:
        UserError: no file holds a row, or a file cannot be read.
    """
    chunk = None
    for path in layout.paths:
        for parse in _tasks(path, layout, None, _PEEK):
            chunk = _transformed(parse(), layout)
            if len(chunk):
                return chunk
            break
    if chunk is None or not chunk.bad:
        raise UserError(f"{_several(layout.paths)} holds no rows")
    row = chunk.bad[0]
    raise UserError(
        f"{row.file}:{row.line}: {row.reason}. No row at the beginning of the file can be read: "
        "check --separator, --column-names and --encoding"
    )


def read_chunks(
    layout: TableLayout,
    columns: Sequence[str] | None,
    work: Callable[[Chunk], Made],
    types: Mapping[str, pyarrow.DataType] | None = None,
) -> Iterator[Made]:
    """Every row of a table, chunk by chunk, each already put through `work`.

    Arguments:
        layout: the files and how they are written.
        columns: names (as in the files, after the transform if there is one) to read; None for all.
        work: runs in a thread on every chunk; what it makes comes out in the order of the files.
        types: columns of delimited text that most likely hold this type: parsing them at once is
            faster. Where a value does not fit, a chunk has the column as text all the same.

    Raises:
        UserError: a file cannot be read, or lacks a column.

    Example:
        >>> layout = TableLayout([Path("log.csv")])                       # doctest: +SKIP
        >>> sum(read_chunks(layout, ["user_id"], len))                    # doctest: +SKIP
        1000209
    """
    # What a transform needs is its own business.
    read = None if layout.transform else columns

    def tasks() -> Iterator[Callable[[], Chunk]]:
        for path in layout.paths:
            yield from _tasks(path, layout, read, None, types)

    def run(parse: Callable[[], Chunk]) -> Made:
        chunk = _transformed(parse(), layout)
        if layout.transform and columns is not None:
            check_columns(chunk.file, layout, columns, chunk.table.column_names)
            chunk = dataclasses.replace(chunk, table=chunk.table.select(list(columns)))
        return work(chunk)

    yield from in_order(run, tasks())


def check_columns(
    file: str, layout: TableLayout, wanted: Sequence[str], present: Sequence[str]
) -> None:
    """Raises UserError, saying how to put it right, when a wanted column is missing or double."""
    for name in wanted:
        if present.count(name) > 1:
            raise UserError(f"{file}: {list(present).count(name)} columns are called {name!r}")
    missing = [name for name in wanted if name not in present]
    if not missing:
        return
    ours = {theirs: name for name, theirs in layout.columns.items()}
    roles = [ours.get(name, name).removesuffix("_id") for name in missing]
    known = ("user", "item", "timestamp", "action", "strength", "context")
    flags = ",".join(f"{role}=<column>" for role in roles if role in known)
    message = (
        f"{file} has no column {' and no column '.join(map(repr, missing))}. "
        f"It has: {', '.join(present)}."
    )
    if flags:
        message += f" Name yours with --columns {flags}"
    if len(present) == 1:
        message += f". If fields are not separated by {layout.separator!r}, give --separator"
    elif layout.names is None and any(name.replace(".", "").isdigit() for name in present):
        message += ". If the file has no header line, give --column-names"
    raise UserError(message)


def _tasks(
    path: Path,
    layout: TableLayout,
    columns: Sequence[str] | None,
    size: int | None,
    types: Mapping[str, pyarrow.DataType] | None = None,
) -> Iterator[Callable[[], Chunk]]:
    """One call per block of the file; calling it parses the block."""
    if layout.format == "parquet":
        yield from _parquet_tasks(path, layout, columns)
        return
    quote = layout.separator if layout.format == "csv" and _quotes(layout) else None
    sizes = {} if size is None else {"size": size}
    blocks = read_blocks(path, layout.encoding, quote, **sizes)
    first = next(blocks, None)
    if first is None:  # a byte-order mark and nothing behind it
        raise UserError(f"{path} is empty")
    if layout.format == "csv":
        parse, first = _delimited(path, layout, columns, first, types or {})
    else:
        parse, first = _json(path, layout, columns, first)
    if first.data:
        yield _bound(parse, first)
    for block in blocks:
        yield _bound(parse, block)


def _bound(parse: Callable[[Block], Chunk], block: Block) -> Callable[[], Chunk]:
    return lambda: parse(block)


def _quotes(layout: TableLayout) -> bool:
    return layout.quotes and len(layout.separator) == 1


def _delimited(
    path: Path,
    layout: TableLayout,
    columns: Sequence[str] | None,
    first: Block,
    types: Mapping[str, pyarrow.DataType],
) -> tuple[Callable[[Block], Chunk], Block]:
    encoding = stored_encoding(layout.encoding)
    names = layout.names
    if names is None:
        quote = layout.separator if _quotes(layout) else None
        end = record_end(first.data, 0, quote, last=True)
        header = Delimited(str(path), [], [], layout.separator, encoding, _quotes(layout))
        names = header.header(first.data[:end])
        lines = first.data.count(b"\n", 0, end)
        first = Block(first.data[end:], first.first_line + lines, first.last)
    if columns is not None:
        check_columns(str(path), layout, columns, names)
    if columns is None:
        columns = [name for name in names if names.count(name) == 1]
    # A transform expects text.
    chosen = {} if layout.transform else types
    form = Delimited(str(path), names, columns, layout.separator, encoding, _quotes(layout), chosen)
    return form.parse, first


def _json(
    path: Path, layout: TableLayout, columns: Sequence[str] | None, first: Block
) -> tuple[Callable[[Block], Chunk], Block]:
    if first.data.lstrip()[:1] == b"[":
        raise UserError(
            f"{path} is one JSON array. tfrec reads JSON Lines: one object per line "
            f"(jq -c '.[]' {path.name} writes that)"
        )
    encoding = stored_encoding(layout.encoding)
    types = first_types(first, encoding)
    if not types:
        raise UserError(f"{path}:1: not JSON Lines: no line of its beginning is a JSON object")
    if columns is not None:
        check_columns(str(path), layout, columns, list(types))
    return JsonLines(str(path), columns or list(types), encoding, types).parse, first


def _parquet_tasks(
    path: Path, layout: TableLayout, columns: Sequence[str] | None
) -> Iterator[Callable[[], Chunk]]:
    import pyarrow
    import pyarrow.parquet

    try:
        # By default Arrow would fetch the whole file ahead.
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            if columns is not None:
                check_columns(str(path), layout, columns, file.schema_arrow.names)
            row = 1
            for batch in file.iter_batches(
                _PARQUET_ROWS, columns=None if columns is None else list(columns)
            ):
                yield _bound_rows(pyarrow.Table.from_batches([batch]), str(path), row)
                row += len(batch)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except pyarrow.ArrowException as error:
        raise UserError(f"{path} is no Parquet file that can be read ({error})") from None


def _bound_rows(table: pyarrow.Table, file: str, first: int) -> Callable[[], Chunk]:
    return lambda: Chunk(table, file, np.arange(first, first + len(table), dtype=np.int64))


def _transformed(chunk: Chunk, layout: TableLayout) -> Chunk:
    if layout.transform is None:
        return chunk
    import pyarrow

    table = layout.transform(chunk.table.append_column(LINE, pyarrow.array(chunk.lines)))
    lines = table[LINE].to_numpy()
    return dataclasses.replace(chunk, table=table.drop_columns([LINE]), lines=lines)


def _several(paths: Sequence[Path]) -> str:
    return str(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
