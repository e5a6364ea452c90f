"""goodbooks-10k: six million book ratings in the order in which they were given, without times.

Z. Zajac, Goodbooks-10k, 2017. https://github.com/zygmuntz/goodbooks-10k
"""

from __future__ import annotations

from pathlib import Path

from tfrec.data.download import Remote
from tfrec.data.layout import LogLayout, TableLayout
from tfrec.data.named.named_set import NamedSet, find, optional

LICENCE = "goodbooks-10k, Creative Commons BY-SA 4.0"
URL = "https://github.com/zygmuntz/goodbooks-10k/releases/download/v1.0/goodbooks-10k.zip"
SHA256 = "261b97b56db61f3fb2ce5aadbb13704d30179fcc986c17ace665a0af9ed00731"


def goodbooks_10k() -> NamedSet:
    """Ratings of 10,000 books by 53,424 users; the order of the file stands in for time."""
    return NamedSet([Remote(URL, f"sha256:{SHA256}")], LICENCE, _layout)


def _layout(folder: Path) -> LogLayout:
    (ratings,) = find(folder, "ratings.csv")
    books = optional(ratings.parent, "books.csv")
    return LogLayout(
        source="goodbooks-10k",
        events=TableLayout([ratings], columns={"item_id": "book_id", "strength": "rating"}),
        items=TableLayout([books], columns={"item_id": "book_id"}) if books else None,
        text_columns=["title", "authors"] if books else [],
        ordinal_time=True,
    )
