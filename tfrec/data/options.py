"""The options of `--data` and everything that says how a log is read and filtered."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tfrec.config import option


@dataclass(frozen=True)
class DataConfig:
    """The log.

    Example:
        >>> DataConfig(data="log.csv", columns={"user": "uid", "item": "sku"}).k_core
        0
    """

    data: str = option(
        "synthetic",
        "a named set (movielens-1m, or movielens-1m:/folder for a copy on disk), a file, a glob, "
        "a folder of files, or a folder that tfrec prepared",
    )
    items: str | None = option(None, "the catalogue: file, glob or folder with item_id and texts")
    users: str | None = option(None, "the users: file, glob or folder with user_id and profile")
    columns: dict[str, str] = option(
        {},
        "names in your files of user, item, timestamp, action, strength, context, e.g. "
        "user=uid,item=sku; 'timestamp=' says that there is none and the order of the file counts",
        metavar="OURS=YOURS,…",
    )
    text: list[str] = option([], "text columns of the catalogue, in this order")
    categories: str | None = option(None, "column of the catalogue that holds categories")
    category_separator: str = option("|", "what separates the categories of one item")
    separator: str | None = option(
        None,
        "field separator of text files, one or more characters; told from the first line when not "
        "given. Double quotes protect fields only in files separated by , or ;",
    )
    encoding: str = option("utf-8", "encoding of text files")
    column_names: list[str] = option([], "names of the columns of files that have no header line")
    actions: list[str] = option([], "keep only events with these actions")
    min_strength: float | None = option(None, "keep only events with at least this strength")
    start: str | None = option(None, "keep only events at or after this time (ISO 8601 or unix)")
    end: str | None = option(None, "keep only events before this time (ISO 8601 or unix)")
    duplicates: Literal["keep", "first", "last"] = option(
        "keep", "of a user's repeated events with the same item keep all, the first or the last"
    )
    min_user_events: int = option(0, "drop users with fewer events than this, once", metavar="N")
    min_item_events: int = option(0, "drop items with fewer events than this, once", metavar="N")
    k_core: int = option(
        0, "drop users and items with fewer events than this until none is left", metavar="K"
    )
    max_bad_rows: float = option(
        0.01, "stop when more than this fraction of the rows is bad", metavar="FRACTION"
    )
    hash_ids: str | None = option(
        None,
        "replace user ids by a keyed hash with this salt before anything is stored",
        metavar="SALT",
    )
    cache: str | None = option(
        None, "folder for downloads and prepared logs (default ~/.cache/tfrec)", metavar="FOLDER"
    )

    @property
    def cache_folder(self) -> Path:
        """`cache`, or tfrec's folder under XDG_CACHE_HOME, or ~/.cache/tfrec."""
        if self.cache:
            return Path(self.cache).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfrec"


@dataclass(frozen=True)
class VectorsConfig:
    """Vectors of items that are there already.

    Example:
        >>> VectorsConfig(item_vectors=["image.npy", "sound.parquet"]).item_vectors[0]
        'image.npy'
    """

    item_vectors: list[str] = option(
        [],
        "files with a vector per item, of pictures, sounds or anything: X.npy with X.ids.txt "
        "beside it, one item_id per line; or Parquet with item_id and one column of lists (ledger)",
        metavar="FILE,…",
    )


@dataclass(frozen=True)
class SplitConfig:
    """The split."""

    split: Literal["leave-one-out", "global-time", "per-user-time", "cold-items", "intervened"] = (
        option("leave-one-out", "which events are held out for validation and test")
    )
    split_validation: float = option(
        0.1,
        "share of events (cold-items: of items) for validation; leave-one-out has no use for it",
    )
    split_test: float = option(0.1, "the same for test")
    min_history: int = option(
        1, "evaluate only on histories with at least this many events; 0 keeps users without any"
    )
