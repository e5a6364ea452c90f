"""The tables beside the events: items with texts and categories, users with profiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfrec.data.chunk import Chunk
from tfrec.data.encode import Ids, read_ids
from tfrec.data.layout import LogLayout, TableLayout
from tfrec.data.prepared import ITEMS, USERS
from tfrec.data.rejected import BadRow, Rejected
from tfrec.data.sequences import Int64
from tfrec.data.sources import check_columns, peek, read_chunks
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class SideTable:
    """A table with one row per id.

    Attributes:
        ids: of the rows.
        table: the other columns.
        read: rows that the files hold, bad ones included.
        bad: how many of them are bad.
    """

    ids: list[str]
    table: pyarrow.Table
    read: int
    bad: int

    @property
    def repeated(self) -> int:
        """Rows that say again, word for word, what an earlier row said."""
        return self.read - self.bad - len(self.ids)


def read_items(layout: LogLayout, rejected: Rejected) -> SideTable:
    """item_id, the text columns as text and `categories` as lists, as far as the layout has them.

    Raises:
        UserError: a column is missing, or a file cannot be read.
    """
    import pyarrow

    assert layout.items is not None
    taken = {"item_id", "categories"} if layout.category_column else {"item_id"}
    if clash := taken.intersection(layout.text_columns):
        raise UserError(f"--text {clash.pop()}: the name is taken by a column that is no text")
    found = _read(layout.items, "item_id", [*layout.text_columns, *_category(layout)], rejected)
    columns: dict[str, pyarrow.ChunkedArray] = {}
    for name in layout.text_columns:
        columns[name] = _as_text(found.table[name])
    for name in _category(layout):
        columns["categories"] = _as_lists(found.table[name], layout.category_separator)
    table = pyarrow.table(columns) if columns else found.table.select([])
    return SideTable(found.ids, table, found.read, found.bad)


def read_users(layout: LogLayout, rejected: Rejected) -> SideTable:
    """user_id and all the other columns, as text.

    Raises:
        UserError: the id column is missing, or a file cannot be read.
    """
    assert layout.users is not None
    return _read(layout.users, "user_id", None, rejected)


def _category(layout: LogLayout) -> list[str]:
    return [layout.category_column] if layout.category_column else []


def _read(
    layout: TableLayout, id_name: str, others: list[str] | None, rejected: Rejected
) -> SideTable:
    import pyarrow

    start = peek(layout)
    present = start.table.column_names
    theirs = layout.columns.get(id_name, id_name)
    if others is None:
        others = [name for name in present if name not in (theirs, id_name)]
    check_columns(start.file, layout, [theirs, *others], present)
    chosen = list(dict.fromkeys([theirs, *others]))

    def with_ids(chunk: Chunk) -> tuple[Chunk, Ids]:
        return chunk, read_ids(chunk.table[theirs])

    seen: dict[str, tuple[pyarrow.Table, int]] = {}
    tables: list[pyarrow.Table] = []
    read = bad = 0
    for chunk, ids in read_chunks(layout, chosen, with_ids):
        names, contents = ids.texts(), chunk.table.select(others)
        # A catalogue is far smaller than its log; one pass in Python keeps the rule readable.
        good = np.ones(len(names), bool)
        rows = list(chunk.bad)
        for row, name in enumerate(names):
            if not name or name in seen:
                good[row] = False
                # A catalogue in several files often repeats rows: the same again says nothing new.
                if name and _same(*seen[name], contents, row):
                    continue
                reason = (
                    f"missing {id_name}"
                    if not name
                    else f"{id_name} occurs twice, with other content"
                )
                rows.append(BadRow(chunk.file, int(chunk.lines[row]), theirs, name, reason))
            else:
                seen[name] = (contents, row)
        rejected.add(sorted(rows, key=lambda row: row.line))
        read, bad = read + len(names) + len(chunk.bad), bad + len(rows)
        tables.append(chunk.keep(good).table.select(others))
    return SideTable(
        list(seen), pyarrow.concat_tables(tables, promote_options="permissive"), read, bad
    )


def _same(table: pyarrow.Table, row: int, other: pyarrow.Table, other_row: int) -> bool:
    return bool(table.slice(row, 1).equals(other.slice(other_row, 1)))


def _as_text(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Text; several texts become one, joined by spaces; none becomes the empty text."""
    import pyarrow
    import pyarrow.compute

    if pyarrow.types.is_list(column.type) or pyarrow.types.is_large_list(column.type):
        texts = column.cast(pyarrow.list_(pyarrow.string()))
        column = pyarrow.compute.binary_join(texts, " ")
    return column.cast(pyarrow.string()).fill_null("")


def _as_lists(column: pyarrow.ChunkedArray, separator: str) -> pyarrow.ChunkedArray:
    import pyarrow
    import pyarrow.compute

    if pyarrow.types.is_list(column.type) or pyarrow.types.is_large_list(column.type):
        lists = column.cast(pyarrow.list_(pyarrow.string())).combine_chunks()
    else:
        text = column.cast(pyarrow.string()).fill_null("").combine_chunks()
        lists = pyarrow.compute.split_pattern(text, separator)
    return _trimmed(lists)


def _trimmed(lists: pyarrow.ListArray) -> pyarrow.ListArray:
    """Without surrounding spaces and without empty entries; no list becomes the empty list."""
    import pyarrow
    import pyarrow.compute

    if isinstance(lists, pyarrow.ChunkedArray):
        lists = pyarrow.concat_arrays(lists.chunks)
    flat = pyarrow.compute.utf8_trim_whitespace(lists.flatten())
    parents = pyarrow.compute.list_parent_indices(lists).to_numpy()
    kept = pyarrow.compute.not_equal(flat, "").fill_null(False).to_numpy(zero_copy_only=False)
    lengths = np.bincount(parents[kept], minlength=len(lists))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pyarrow.ListArray.from_arrays(pyarrow.array(offsets), flat.filter(pyarrow.array(kept)))


def write_items(
    folder: Path, names: list[str], numbers: Int64, catalogue: SideTable | None
) -> None:
    """items.parquet: the items of these names, with what rows `numbers` of the catalogue say."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"item_id": pyarrow.array(names, pyarrow.string())})
    if catalogue is not None:
        table = _beside(table, catalogue.table.take(pyarrow.array(numbers)))
    pyarrow.parquet.write_table(table, folder / ITEMS)


def write_users(
    folder: Path,
    names: list[str],
    profiles: SideTable | None,
    hash_id: Callable[[str], str] | None,
) -> None:
    """users.parquet: the users of these names, with their profiles; ids hashed where asked."""
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    stored = names if hash_id is None else [hash_id(name) for name in names]
    table = pyarrow.table({"user_id": pyarrow.array(stored, pyarrow.string())})
    if profiles is not None:
        rows = pyarrow.compute.index_in(
            pyarrow.array(names, pyarrow.string()), pyarrow.array(profiles.ids, pyarrow.string())
        )
        table = _beside(table, profiles.table.take(rows))
    pyarrow.parquet.write_table(table, folder / USERS)


def _beside(table: pyarrow.Table, others: pyarrow.Table) -> pyarrow.Table:
    for name in others.column_names:
        table = table.append_column(name, others[name])
    return table
