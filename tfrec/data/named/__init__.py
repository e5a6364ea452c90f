"""Public data sets by name: downloaded once, or read from a folder.

To add one, write a small module with a function that returns its `NamedSet`, and add its line to
`SETS`.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from pathlib import Path

from tfrec.data.download import fetch, unpack
from tfrec.data.layout import LogLayout
from tfrec.data.named import amazon, goodbooks, mind, movielens, steam
from tfrec.data.named.named_set import NamedSet
from tfrec.errors import UserError

SETS: dict[str, Callable[[], NamedSet]] = {
    "movielens-100k": movielens.ml_100k,
    "movielens-latest-small": movielens.ml_latest_small,
    "movielens-1m": movielens.ml_1m,
    "movielens-20m": movielens.ml_20m,
    "movielens-32m": movielens.ml_32m,
    "goodbooks-10k": goodbooks.goodbooks_10k,
    "mind-small": mind.small,
    "steam": steam.steam,
}
AMAZON = "amazon-reviews-2023"


def layout(name: str, folder: Path | None, cache: Path, log: Callable[[str], None]) -> LogLayout:
    """How the named set lies on disk, after downloading it where no folder is given.

    Arguments:
        name: "movielens-1m", "amazon-reviews-2023/Video_Games", …
        folder: where the files are already; None downloads them into `cache`/downloads/`name`.
        cache: tfrec's cache folder.
        log: takes one line of news at a time.

    Raises:
        UserError: unknown name, missing files, or a download that failed.

    Example:
        >>> layout("movielens-1m", Path("data/ml-1m"), Path("cache"), print)  # doctest: +SKIP
        LogLayout(source='movielens-1m:data/ml-1m', ...)
    """
    named = _named_set(name)
    if folder is not None:
        found, source = named.layout(folder), f"{name}:{folder}"
    else:
        found, source = named.layout(_download(named, cache / "downloads" / name, log)), name
    return dataclasses.replace(found, source=source, licence=named.licence)


def is_name(text: str) -> bool:
    """Whether `text` names a set: "movielens-1m", "amazon-reviews-2023/Books".

    An unknown Amazon category counts, so that the error can list the known ones.
    """
    return text in SETS or text.partition("/")[0] == AMAZON


def _named_set(name: str) -> NamedSet:
    if name in SETS:
        return SETS[name]()
    first, _, category = name.partition("/")
    if first == AMAZON:
        return amazon.reviews_2023(category)
    names = [*SETS, f"{AMAZON}/<category>"]
    near = difflib.get_close_matches(name, names, n=3)
    raise UserError(
        f"no data set is called {name!r}"
        + (f"; did you mean {' or '.join(near)}?" if near else ".")
        + f" Named sets: {', '.join(names)}"
    )


def _download(named: NamedSet, folder: Path, log: Callable[[str], None]) -> Path:
    for remote in named.remotes:
        archive = remote.name.endswith(".zip")
        if archive and (folder / remote.name).with_suffix("").is_dir():
            continue  # unpacked earlier; the archive itself may be gone
        file = fetch(remote, folder, log)
        if archive:
            unpack(file, log)
    return folder
