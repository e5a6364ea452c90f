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

    owner: dict[str, str] = {}
    tables = []
    columns = dict.fromkeys(name for data in logs.values() for name in data.items.column_names)
    for domain, data in logs.items():
        if DOMAIN in data.items.column_names:
            raise UserError(
                f"{data.folder / ITEMS} has a column {DOMAIN!r}, the name under which the join "
                "writes what log an item is of. Join logs that are not joined yet, and rename the "
                "text column"
            )
        ids = _ids(data.items["item_id"], domain, separate)
        if both := [name for name in ids if name in owner]:
            more = f" and {len(both) - _SHOWN:,} more" if len(both) > _SHOWN else ""
            raise UserError(
                f"item_id {', '.join(map(repr, both[:_SHOWN]))}{more}: in {owner[both[0]]} and in "
                f"{domain} ({data.folder / ITEMS}). An item is of one domain. If equal ids are "
                "different items, give --separate items"
            )
        owner |= dict.fromkeys(ids, domain)
        table = pyarrow.table({"item_id": pyarrow.array(ids, pyarrow.string())})
        table = table.append_column(DOMAIN, pyarrow.array([domain] * len(ids), pyarrow.string()))
        for name in list(columns)[1:]:
            table = table.append_column(name, _column(data.items, name))
        tables.append(table)
    return pyarrow.concat_tables(tables)


def join_users(
    logs: Mapping[str, PreparedData], separate: bool
) -> tuple[pyarrow.Table, list[Int64]]:
    """All users, each once, and for every log the joined number of each of its users, int64.

    Who has a profile in several logs keeps, column by column, what the first of them says.
    """
    import pyarrow
    import pyarrow.compute

    ids = [_ids(data.users["user_id"], domain, separate) for domain, data in logs.items()]
    place: dict[str, int] = {}
    for names in ids:
        for name in names:
            place.setdefault(name, len(place))
    numbers = [np.fromiter(map(place.__getitem__, names), np.int64, len(names)) for names in ids]
    users = pyarrow.table({"user_id": pyarrow.array(list(place), pyarrow.string())})
    columns = dict.fromkeys(name for data in logs.values() for name in data.users.column_names)
    for name in list(columns)[1:]:
        said = []
        for data, number in zip(logs.values(), numbers, strict=True):
            if name in data.users.column_names:
                row = np.full(len(place), -1)
                row[number] = np.arange(len(number))
                rows = pyarrow.array(row, mask=row < 0)
                said.append(data.users[name].cast(pyarrow.string()).take(rows))
        users = users.append_column(name, pyarrow.compute.coalesce(*said))
    return users, numbers


def _ids(column: pyarrow.ChunkedArray, domain: str, separate: bool) -> list[str]:
    names: list[str] = column.to_pylist()
    return [f"{domain}/{name}" for name in names] if separate else names


def _column(items: pyarrow.Table, name: str) -> pyarrow.ChunkedArray:
    import pyarrow

    if name in items.column_names:
        return items[name]
    if name == "categories":
        nothing = pyarrow.array([[]] * len(items), pyarrow.list_(pyarrow.string()))
    else:
        nothing = pyarrow.array([""] * len(items), pyarrow.string())
    return pyarrow.chunked_array([nothing])
