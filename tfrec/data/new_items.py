"""Items for a catalogue that is there already: only new ones, only with something said of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfrec.console import count, say
from tfrec.data.catalogue import read_items
from tfrec.data.domains import DOMAIN, domains
from tfrec.data.locate import items_layout
from tfrec.data.options import DataConfig
from tfrec.data.prepared import PreparedData
from tfrec.data.rejected import REJECTED, Rejected
from tfrec.data.sequences import Bool
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

# Names in a message.
_SHOWN = 5


def read_new_items(
    items: str,
    data: PreparedData,
    config: DataConfig,
    categories: Sequence[str],
    described: Callable[[pyarrow.Table], Bool] | None,
    wanted: str,
) -> pyarrow.Table:
    """The rows of a file that a catalogue does not have, with the catalogue's columns.

    Arguments:
        items: the file.
        data: with the catalogue.
        config: that the catalogue was read with.
        categories: those that may stay; others are taken off, and named.
        described: rows -> which of them are told by something else than categories; None where
            nothing else is read.
        wanted: what places an item, for a message.

    Raises:
        UserError: a row cannot be used, or nothing is said of an item; or none is new.
    """
    import pyarrow
    import pyarrow.compute as pc

    table = _read(items, data, config, bool(categories))
    known = pc.is_in(table["item_id"], data.items["item_id"].combine_chunks())
    if here := pc.sum(known).as_py():
        say(f"{count(here)} items of {items} are in the catalogue already and stay as they are")
    table = table.filter(pc.invert(known))
    if not len(table):
        raise UserError(f"{items} holds no item that the catalogue does not have already")
    told = np.zeros(len(table), bool)
    if categories:
        table, told = _with_known_categories(table, set(categories))
    if described is not None:
        told |= described(table)
    if not told.all():
        silent = table["item_id"].filter(pyarrow.array(~told)).to_pylist()
        raise UserError(
            f"{items} says nothing of {count(len(silent))} items to place them by: "
            f"{_few(silent)}. Give each a {wanted}"
        )
    return table


def _read(items: str, data: PreparedData, config: DataConfig, categories: bool) -> pyarrow.Table:
    import pyarrow

    known = domains(data)
    # A joined catalogue has one column more, which is read as text.
    texts = [*data.meta.text_columns, *([DOMAIN] if known else [])]
    layout = items_layout(items, config, texts, categories)
    with tempfile.TemporaryDirectory() as folder, Rejected(Path(folder) / REJECTED) as rejected:
        found = read_items(layout, rejected)
    if rejected.total:
        raise UserError(
            f"{count(rejected.total)} rows of {items} cannot be used: "
            f"{'; '.join(map(str, rejected.first))}"
        )
    if known and (strange := sorted(set(found.table[DOMAIN].to_pylist()) - set(known.names))):
        raise UserError(
            f"{items}, column {DOMAIN!r}: {_few(list(map(repr, strange)))} is no domain of the "
            f"run. Its domains are {', '.join(known.names)}"
        )
    table = pyarrow.table({"item_id": pyarrow.array(found.ids, pyarrow.string())})
    for name in data.items.column_names[1:]:
        table = table.append_column(name, found.table[name])
    return table


def _with_known_categories(table: pyarrow.Table, known: set[str]) -> tuple[pyarrow.Table, Bool]:
    """The rows with the categories that may stay, and which rows have one."""
    import pyarrow

    lists = table["categories"].to_pylist()
    if strange := sorted({name for row in lists for name in row} - known):
        say(f"categories that nothing was learned of are left out: {_few(strange)}")
    kept = [[name for name in row if name in known] for row in lists]
    column = pyarrow.array(kept, pyarrow.list_(pyarrow.string()))
    place = table.column_names.index("categories")
    return table.set_column(place, "categories", column), np.array([bool(row) for row in kept])


def _few(names: Sequence[str]) -> str:
    more = f" and {count(len(names) - _SHOWN)} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
