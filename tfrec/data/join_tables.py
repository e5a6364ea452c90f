"""The catalogues and the users of several logs as one table each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfrec.data.domains import DOMAIN
from tfrec.data.prepared import ITEMS, PreparedData
from tfrec.data.sequences import Int64
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

# Names in a message.
_SHOWN = 3


def join_items(logs: Mapping[str, PreparedData], separate: bool) -> pyarrow.Table:
    """All items, log after log: item_id, domain, and every text column and category of any log.

    What a log does not say of its items is the empty text, or no category.

    Raises:
        UserError: an id is in two logs and not `separate`; a column has the name of the domain.
    """
    import pyarrow

    tables = []
    columns = dict.fromkeys(name for data in logs.values() for name in data.items.column_names)
    for domain, data in logs.items():
        if DOMAIN in data.items.column_names:
            raise UserError(
                f"{data.folder / ITEMS} has a column {DOMAIN!r}, the name under which the join "
                "writes what log an item is of. Join logs that are not joined yet, and rename the "
                "text column"
            )
        table = pyarrow.table({"item_id": _ids(data.items["item_id"], domain, separate)})
        table = table.append_column(DOMAIN, pyarrow.repeat(domain, len(table)))
        for name in list(columns)[1:]:
            table = table.append_column(name, _column(data.items, name))
        tables.append(table)
    joined = pyarrow.concat_tables(tables)
    _must_differ(joined, logs)
    return joined


def join_users(
    logs: Mapping[str, PreparedData], separate: bool
) -> tuple[pyarrow.Table, list[Int64]]:
    """All users, each once, and for every log the joined number of each of its users, int64.

    Who has a profile in several logs keeps, column by column, what the first of them says.
    """
    import pyarrow
    import pyarrow.compute

    ids = [_ids(data.users["user_id"], domain, separate) for domain, data in logs.items()]
    # Numbers in the order of the first appearance.
    coded = pyarrow.concat_arrays([chunk for one in ids for chunk in one.chunks])
    coded = coded.dictionary_encode()
    ends = np.cumsum([len(one) for one in ids])[:-1]
    numbers = np.split(coded.indices.to_numpy().astype(np.int64), ends)
    users = pyarrow.table({"user_id": coded.dictionary})
    columns = dict.fromkeys(name for data in logs.values() for name in data.users.column_names)
    for name in list(columns)[1:]:
        said = []
        for data, number in zip(logs.values(), numbers, strict=True):
            if name in data.users.column_names:
                row = np.full(len(users), -1)
                row[number] = np.arange(len(number))
                rows = pyarrow.array(row, mask=row < 0)
                said.append(data.users[name].cast(pyarrow.string()).take(rows))
        users = users.append_column(name, pyarrow.compute.coalesce(*said))
    return users, numbers


def _must_differ(items: pyarrow.Table, logs: Mapping[str, PreparedData]) -> None:
    import pyarrow.compute as pc

    ids = items["item_id"].combine_chunks().dictionary_encode()
    number = ids.indices.to_numpy()
    if len(ids.dictionary) == len(items):
        return
    _, first = np.unique(number, return_index=True)
    again = np.setdiff1d(np.arange(len(items)), first)
    # Of the first log that repeats an id, and of the log that had the first of them.
    domain = items[DOMAIN][int(again[0])].as_py()
    owner = items[DOMAIN][int(first[number[again[0]]])].as_py()
    both = again[pc.equal(items[DOMAIN], domain).to_numpy()[again]]
    shown = ", ".join(repr(name) for name in items["item_id"].take(both[:_SHOWN]).to_pylist())
    more = f" and {len(both) - _SHOWN:,} more" if len(both) > _SHOWN else ""
    raise UserError(
        f"item_id {shown}{more}: in {owner} and in {domain} ({logs[domain].folder / ITEMS}). An "
        "item is of one domain. If equal ids are different items, give --separate items"
    )


def _ids(column: pyarrow.ChunkedArray, domain: str, separate: bool) -> pyarrow.ChunkedArray:
    import pyarrow
    import pyarrow.compute

    names = column.cast(pyarrow.string())
    if separate:
        names = pyarrow.compute.binary_join_element_wise(domain, names, "/")
    return names


def _column(items: pyarrow.Table, name: str) -> pyarrow.ChunkedArray:
    import pyarrow

    if name in items.column_names:
        return items[name]
    nothing = [] if name == "categories" else ""
    kind = pyarrow.list_(pyarrow.string()) if name == "categories" else pyarrow.string()
    return pyarrow.chunked_array([pyarrow.repeat(pyarrow.scalar(nothing, kind), len(items))])
