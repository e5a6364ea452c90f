"""Items and categories by the names that people use, and what is to be kept out by them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from tfrec.data.sequences import Bool
from tfrec.errors import UserError

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData


def blocked_items(
    data: PreparedData, items: Sequence[str] = (), categories: Sequence[str] = ()
) -> Bool:
    """What must never be recommended: these items, and all with one of these categories.

    Arguments:
        data: the catalogue.
        items: item ids.
        categories: names; an item with several is blocked if any of them is named.

    Returns:
        bool [I], True = blocked.

    Raises:
        UserError: an item or a category is not in the catalogue, or nothing would be left.

    Example:
        >>> blocked = blocked_items(data, categories=["Horror"])  # doctest: +SKIP
    """
    from tfrec.models.build import category_matrix, category_names

    ids: list[str] = data.items["item_id"].to_pylist()
    blocked = np.zeros(len(ids), np.bool_)
    blocked[_places("item", items, ids)] = True
    shares = category_matrix(data)
    chosen = _places("category", categories, category_names(data))
    if shares is not None:
        blocked |= (shares[:, chosen] > 0).any(axis=1)
    if blocked.all():
        raise UserError(f"all {len(ids)} items are blocked; block fewer items or categories")
    return blocked


def _places(what: str, wanted: Sequence[str], names: Sequence[str]) -> list[int]:
    if isinstance(wanted, str):
        raise ValueError(f"{what} names must be a list, got the text {wanted!r}")
    if not wanted:
        return []
    place = {name: number for number, name in enumerate(names)}
    for name in wanted:
        if name not in place:
            raise UserError(f"{what} {name!r} is not in the catalogue{_nearest(name, names)}")
    return [place[name] for name in wanted]


def _nearest(name: str, names: Sequence[str]) -> str:
    if not names:
        return "; there are none"
    folded = {other.casefold(): other for other in names}
    close = get_close_matches(name.casefold(), folded, n=1, cutoff=0.0)
    return f"; did you mean {folded[close[0]]!r}?"
