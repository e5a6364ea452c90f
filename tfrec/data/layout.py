"""How a raw log lies on disk: what a named set knows about its files and a user says by flags.

`ingest` reads a `LogLayout` and knows nothing of MovieLens or Amazon; a named set builds one and
knows nothing of parsing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow

Format = Literal["csv", "jsonl", "parquet"]

LINE = "__line__"


@dataclass(frozen=True)
class TableLayout:
    """One table, in one or many files of the same form.

    Attributes:
        paths: the files, in the order in which their rows count (ties in time keep it).
        format: csv covers every delimited text; gzip is recognised by content.
        separator: field separator of delimited text, one or more characters ("::").
        names: column names when the files have no header line; None when they have one.
        encoding: of text files.
        columns: our name -> the file's name, e.g. {"user_id": "uid"}.
        transform: for sources that are not plain rows: chunk of string columns -> chunk. The
            chunk has one column more, `LINE`, with each row's line number; a transform that
            changes the number of rows carries it along, so that errors can name the line.
        quotes: fields of delimited text may be protected by double quotes.
    """

    paths: list[Path]
    format: Format = "csv"
    separator: str = ","
    names: list[str] | None = None
    encoding: str = "utf-8"
    columns: dict[str, str] = field(default_factory=dict)
    transform: Callable[[pyarrow.Table], pyarrow.Table] | None = None
    quotes: bool = True


@dataclass(frozen=True)
class LogLayout:
    """A whole log: events, and optionally the catalogue and the users.

    Attributes:
        source: how the user named it; it is printed and kept in meta.json.
        events: needs user_id and item_id; timestamp, action, strength, context where present.
        items: needs item_id.
        users: needs user_id.
        text_columns: columns of `items` to keep as text, in this order.
        category_column: column of `items` that holds the categories, if any.
        category_separator: splits a category string ("Action|Drama"); lists need none.
        ordinal_time: the log has no timestamp; the order of the file stands in for time.
        licence: one line that `prepare` prints for a named set.
    """

    source: str
    events: TableLayout
    items: TableLayout | None = None
    users: TableLayout | None = None
    text_columns: list[str] = field(default_factory=list)
    category_column: str | None = None
    category_separator: str = "|"
    ordinal_time: bool = False
    licence: str | None = None
