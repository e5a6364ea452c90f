"""MIND-small: clicks on news articles with titles, abstracts and topics.

F. Wu et al., MIND: A Large-scale Dataset for News Recommendation, ACL 2020.
https://msnews.github.io

A line of behaviors.tsv is one impression: a user, a time, the earlier clicks, and the articles
shown with 1 for a click and 0 for none. Each click of an impression becomes an event at the
impression's time. The earlier clicks are left out, for they carry no time and repeat from line to
line; articles that were shown and not clicked are no events. Train (six days) and dev (the day
after) are read as one log.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfrec.data.download import Remote
from tfrec.data.layout import LogLayout, TableLayout
from tfrec.data.named.named_set import NamedSet, find, optional
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

LICENCE = "MIND, Microsoft Research License Terms: non-commercial research, no redistribution"
# The publisher's own storage was closed in 2024; the authors of Recommenders keep this copy, and
# the server states the same sha256 sums.
BASE = "https://huggingface.co/datasets/Recommenders/MIND/resolve/main"
SHA256_TRAIN = "6ef97a271580b98ccfc4301ada55cc639423cb0576a78b8dcfcf74a4dbcc3194"
SHA256_DEV = "d6ce515dcaa6b6d47ddf0a326eebc8a31b84735ae410285c9882ca2a06eec669"
PARTS = ("MINDsmall_train", "MINDsmall_dev", "train", "dev", ".")


def small() -> NamedSet:
    """50,000 users of Microsoft News, 9 to 15 November 2019."""
    remotes = [
        Remote(f"{BASE}/MINDsmall_train.zip", f"sha256:{SHA256_TRAIN}"),
        Remote(f"{BASE}/MINDsmall_dev.zip", f"sha256:{SHA256_DEV}"),
    ]
    return NamedSet(remotes, LICENCE, _layout)


def _layout(folder: Path) -> LogLayout:
    behaviors, news = _parts(folder)
    return LogLayout(
        source="mind-small",
        events=TableLayout(
            behaviors,
            separator="\t",
            names=["impression_id", "user_id", "timestamp", "history", "impressions"],
            transform=_clicks,
            quotes=False,
        ),
        items=TableLayout(
            news,
            separator="\t",
            names=[
                *("item_id", "category", "subcategory", "title", "abstract", "url"),
                *("title_entities", "abstract_entities"),
            ],
            transform=_topics,
            quotes=False,
        )
        if news
        else None,
        text_columns=["title", "abstract"] if news else [],
        category_column="topics" if news else None,
    )


def _parts(folder: Path) -> tuple[list[Path], list[Path]]:
    """behaviors.tsv and news.tsv of train and dev, train first."""
    behaviors: list[Path] = []
    news: list[Path] = []
    for part in PARTS:
        if not (folder / part).is_dir():
            continue
        try:
            (clicks,) = find(folder / part, "behaviors.tsv")
        except UserError:
            continue
        if clicks not in behaviors:
            behaviors.append(clicks)
            articles = optional(clicks.parent, "news.tsv")
            news += [articles] if articles else []
    if not behaviors:
        find(folder, "behaviors.tsv")  # says what is missing
    return behaviors, news


def _clicks(chunk: pyarrow.Table) -> pyarrow.Table:
    """One row per impression "N1-0 N2-1 N3-1" -> one row per clicked article.

    Example:
        user  impressions        user  item
        U7    N1-0 N2-1 N3-1  -> U7    N2
                                 U7    N3
    """
    import pyarrow
    import pyarrow.compute as pc

    chunk = chunk.combine_chunks()
    # A row without impressions stays, as one event without an item, so that it is rejected.
    impressions = pc.fill_null(chunk["impressions"], "")
    shown = pc.split_pattern_regex(pc.utf8_trim_whitespace(impressions), r"\s+")
    rows, labelled = pc.list_parent_indices(shown), pc.list_flatten(shown)
    events = pc.invert(pc.ends_with(labelled, "-0"))
    rows, labelled = rows.filter(events), labelled.filter(events)
    # What is neither clicked nor unclicked becomes an event without an item: rejected, not lost.
    none = pyarrow.scalar(None, pyarrow.string())
    items = pc.if_else(pc.ends_with(labelled, "-1"), pc.utf8_slice_codeunits(labelled, 0, -2), none)
    kept = chunk.drop_columns(["impression_id", "history", "impressions"]).take(rows)
    times = kept.column_names.index("timestamp")
    return kept.set_column(times, "timestamp", _iso(kept["timestamp"])).append_column(
        "item_id", items
    )


def _iso(times: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """11/9/2019 8:55:22 PM -> 2019-11-09T20:55:22; what is not of that form stays as it is."""
    import pyarrow.compute as pc

    parsed = pc.strptime(times, "%m/%d/%Y %I:%M:%S %p", unit="s", error_is_null=True)
    return pc.coalesce(pc.strftime(parsed, "%Y-%m-%dT%H:%M:%S"), times)


def _topics(chunk: pyarrow.Table) -> pyarrow.Table:
    """category "news", subcategory "newsworld" -> topics "news|newsworld"."""
    import pyarrow.compute as pc

    topics = pc.binary_join_element_wise(
        chunk["category"], chunk["subcategory"], "|", null_handling="skip"
    )
    return chunk.append_column("topics", topics)
