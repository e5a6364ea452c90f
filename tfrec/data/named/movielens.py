"""MovieLens: film ratings with times, titles and genres, in three file layouts.

F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015.
https://grouplens.org/datasets/movielens/
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfrec.data.download import Remote
from tfrec.data.layout import LogLayout, TableLayout
from tfrec.data.named.named_set import NamedSet, find, optional

if TYPE_CHECKING:
    import pyarrow

LICENCE = "MovieLens, GroupLens terms: research use with acknowledgement, no redistribution"
BASE = "https://files.grouplens.org/datasets/movielens"

# Column order of u.item in MovieLens 100k, as its u.genre lists it.
GENRES_100K = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
]


def ml_100k() -> NamedSet:
    """100,000 ratings of 1997 and 1998: tab-separated events, one flag column per genre."""
    remote = Remote(f"{BASE}/ml-100k.zip", "md5:0e33842e24a9c977be4e0107933c0723")
    return NamedSet([remote], LICENCE, _layout_100k)


def ml_1m() -> NamedSet:
    """1,000,209 ratings of 2000 to 2003, fields separated by two colons."""
    remote = Remote(f"{BASE}/ml-1m.zip", "md5:c4d9eecfca2ab87c1945afe126590906")
    return NamedSet([remote], LICENCE, _layout_1m)


def ml_20m() -> NamedSet:
    """20,000,263 ratings of 1995 to 2015."""
    remote = Remote(f"{BASE}/ml-20m.zip", "md5:cd245b17a1ae2cc31bb14903e1204af3")
    return NamedSet([remote], LICENCE, _layout_csv)


def ml_32m() -> NamedSet:
    """32,000,204 ratings of 1995 to 2023."""
    remote = Remote(f"{BASE}/ml-32m.zip", "md5:d472be332d4daa821edc399621853b57")
    return NamedSet([remote], LICENCE, _layout_csv)


def ml_latest_small() -> NamedSet:
    """About 100,000 ratings; GroupLens replaces it now and then, so no sum can be pinned."""
    name = "ml-latest-small.zip"
    remote = Remote(f"{BASE}/{name}", checksum_url=f"{BASE}/{name}.md5")
    return NamedSet([remote], LICENCE, _layout_csv)


def _layout_100k(folder: Path) -> LogLayout:
    (ratings,) = find(folder, "u.data")
    items = optional(ratings.parent, "u.item")
    users = optional(ratings.parent, "u.user")
    latin = "iso-8859-1"
    return LogLayout(
        source="movielens-100k",
        events=TableLayout(
            [ratings],
            separator="\t",
            names=["user_id", "item_id", "strength", "timestamp"],
            encoding=latin,
            quotes=False,
        ),
        items=TableLayout(
            [items],
            separator="|",
            names=["item_id", "title", "released", "video_released", "url", *GENRES_100K],
            encoding=latin,
            quotes=False,
            transform=_genre_flags,
        )
        if items
        else None,
        users=TableLayout(
            [users],
            separator="|",
            names=["user_id", "age", "gender", "occupation", "zip_code"],
            encoding=latin,
            quotes=False,
        )
        if users
        else None,
        text_columns=["title"] if items else [],
        category_column="genres" if items else None,
    )


def _layout_1m(folder: Path) -> LogLayout:
    (ratings,) = find(folder, "ratings.dat")
    items = optional(ratings.parent, "movies.dat")
    users = optional(ratings.parent, "users.dat")

    def table(path: Path, names: list[str]) -> TableLayout:
        return TableLayout([path], separator="::", names=names, encoding="iso-8859-1", quotes=False)

    return LogLayout(
        source="movielens-1m",
        events=table(ratings, ["user_id", "item_id", "strength", "timestamp"]),
        items=table(items, ["item_id", "title", "genres"]) if items else None,
        users=table(users, ["user_id", "gender", "age", "occupation", "zip_code"])
        if users
        else None,
        text_columns=["title"] if items else [],
        category_column="genres" if items else None,
    )


def _layout_csv(folder: Path) -> LogLayout:
    (ratings,) = find(folder, "ratings.csv")
    items = optional(ratings.parent, "movies.csv")
    return LogLayout(
        source="movielens",
        events=TableLayout(
            [ratings],
            columns={"user_id": "userId", "item_id": "movieId", "strength": "rating"},
        ),
        items=TableLayout([items], columns={"item_id": "movieId"}, transform=_no_genres)
        if items
        else None,
        text_columns=["title"] if items else [],
        category_column="genres" if items else None,
    )


def _genre_flags(chunk: pyarrow.Table) -> pyarrow.Table:
    """19 columns of 0 and 1 -> one column "Action|Drama"."""
    import pyarrow
    import pyarrow.compute as pc

    none = pyarrow.scalar(None, pyarrow.string())
    named = [pc.if_else(pc.equal(chunk[genre], "1"), genre, none) for genre in GENRES_100K]
    genres = pc.binary_join_element_wise(*named, "|", null_handling="skip")
    return chunk.drop_columns(GENRES_100K).append_column("genres", genres)


def _no_genres(chunk: pyarrow.Table) -> pyarrow.Table:
    """Turns "(no genres listed)" into nothing."""
    import pyarrow
    import pyarrow.compute as pc

    none = pyarrow.scalar(None, pyarrow.string())
    genres = pc.if_else(pc.equal(chunk["genres"], "(no genres listed)"), none, chunk["genres"])
    return chunk.set_column(chunk.column_names.index("genres"), "genres", genres)
