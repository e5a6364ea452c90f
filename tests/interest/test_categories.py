"""Names of items and categories -> what is blocked."""

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from tfrec.data.prepared import ITEMS, Meta, PreparedData
from tfrec.data.sequences import Columns
from tfrec.errors import UserError
from tfrec.interest.categories import blocked_items
from tfrec.models.build import category_matrix, category_names

GENRES = [["Drama"], ["Comedy", "Drama"], [], ["Horror", "Comedy"], ["Horror"]]


def catalogue(folder: Path, categories: list[list[str]] | None = GENRES) -> PreparedData:
    items: dict[str, object] = {"item_id": ["b1", "b2", "b3", "b4", "b5"]}
    if categories is not None:
        items["categories"] = pyarrow.array(categories, pyarrow.list_(pyarrow.string()))
    pyarrow.parquet.write_table(pyarrow.table(items), folder / ITEMS)
    meta = Meta("test", num_events=0, num_users=0, num_items=5)
    nothing = Columns(np.zeros(0, np.int32), np.zeros(0, np.int64))
    return PreparedData(folder, meta, np.zeros(1, np.int64), nothing)


def test_names_are_those_of_the_matrix(tmp_path: Path) -> None:
    data = catalogue(tmp_path)
    names, matrix = category_names(data), category_matrix(data)
    assert matrix is not None
    assert sorted(names) == ["Comedy", "Drama", "Horror"]
    for row, genres in zip(matrix, GENRES, strict=True):
        assert {names[c] for c in np.flatnonzero(row)} == set(genres)
    assert category_names(catalogue(tmp_path, None)) == []
    assert category_names(catalogue(tmp_path, [[]] * 5)) == []


@pytest.mark.parametrize(
    ("items", "categories", "expected"),
    [
        ([], [], []),
        (["b3", "b3"], [], [2]),
        ([], ["Comedy"], [1, 3]),
        (["b1"], ["Horror"], [0, 3, 4]),
        ([], ["Drama", "Horror"], [0, 1, 3, 4]),
    ],
)
def test_any_named_category_blocks(tmp_path, items, categories, expected) -> None:
    blocked = blocked_items(catalogue(tmp_path), items, categories)
    assert blocked.dtype == np.bool_
    assert np.flatnonzero(blocked).tolist() == expected


def test_a_log_without_categories_blocks_items(tmp_path: Path) -> None:
    blocked = blocked_items(catalogue(tmp_path, None), ["b5"])
    assert np.flatnonzero(blocked).tolist() == [4]


def test_mistakes_are_named(tmp_path: Path) -> None:
    data = catalogue(tmp_path)
    with pytest.raises(UserError, match=r"category 'horor' is not in the catalogue.*'Horror'"):
        blocked_items(data, categories=["Drama", "horor"])
    with pytest.raises(UserError, match="item 'B4' is not in the catalogue; did you mean 'b4'"):
        blocked_items(data, items=["B4"])
    with pytest.raises(UserError, match="'Drama' is not in the catalogue; there are none"):
        blocked_items(catalogue(tmp_path, None), categories=["Drama"])
    with pytest.raises(UserError, match="all 5 items are blocked"):
        blocked_items(catalogue(tmp_path), ["b3"], ["Drama", "Comedy", "Horror"])
    with pytest.raises(ValueError, match="must be a list, got the text 'b1'"):
        blocked_items(data, items="b1")
