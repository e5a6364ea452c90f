"""The logs of `cold_items.py`, and what they say of their items."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfrec.console import say
from tfrec.data.locate import locate
from tfrec.data.options import DataConfig
from tfrec.errors import UserError

BEAUTY_HISTORIES, BEAUTY_KEYWORDS = "Beauty_asin_sequences.txt", "Beauty_asin_keywords.txt"


def write_log(
    source: str, abstracts: Path | None, out: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of a training: those of the log with its catalogue, and those that describe items.

    Arguments:
        source: folder of MovieLens-1M, MovieLens-100k or Amazon Beauty, or "synthetic".
        abstracts: a JSON object, MovieLens-1M id -> text, joined by title for MovieLens-100k.
        out: where events.csv and items.csv are written.

    Raises:
        UserError: the folder holds none of the three.
    """
    folder = Path(source)
    categories = {"data.categories": "categories"}
    if source == "synthetic":
        world = locate(DataConfig(), say).events.paths[0]
        log = {"data.data": str(world), "data.items": str(world.with_name("items.csv"))}
        return log, {"data.text": ["title", "description"]} | categories
    log = {"data.data": str(out / "events.csv"), "data.items": str(out / "items.csv")}
    if (folder / BEAUTY_HISTORIES).exists():
        _write_beauty(folder, out)
        return log | {"data.columns": {"timestamp": ""}}, {"data.text": ["keywords"]}
    old = (folder / "u.data").exists()
    if not old and not (folder / "ratings.dat").exists():
        raise UserError(f"{folder} holds neither u.data, nor ratings.dat, nor {BEAUTY_HISTORIES}")
    told = json.loads(abstracts.read_text("utf-8")) if abstracts else {}
    (_write_movielens_100k if old else _write_movielens_1m)(folder, told, out)
    texts = ["title"] + ["abstract"] * (abstracts is not None)
    return log | {"data.columns": {"strength": "rating"}}, {"data.text": texts} | categories


def _write_beauty(folder: Path, out: Path) -> None:
    histories = (line.split() for line in _lines(folder / BEAUTY_HISTORIES))
    events = ((user, item) for user, *items in histories for item in items)
    _write(out / "events.csv", ["user_id", "item_id"], events)
    items = (line.split(" ", 1) for line in _lines(folder / BEAUTY_KEYWORDS))
    _write(out / "items.csv", ["item_id", "keywords"], items)


def _write_movielens_1m(folder: Path, told: dict[str, str], out: Path) -> None:
    _write_ratings((line.split("::") for line in _lines(folder / "ratings.dat")), out)
    films = (line.split("::") for line in _lines(folder / "movies.dat"))
    _write_films(
        ((number, title, genres, told.get(number, "")) for number, title, genres in films), out
    )


def _write_movielens_100k(folder: Path, told: dict[str, str], out: Path) -> None:
    _write_ratings((line.split("\t") for line in _lines(folder / "u.data")), out)
    named = [line.split("|")[0] for line in _lines(folder / "u.genre") if line]
    newer = _lines(folder.parent / "ml-1m" / "movies.dat") if told else []
    titles = (line.split("::") for line in newer)
    by_title = {title: told.get(number, "") for number, title, _ in titles}
    films = (line.split("|") for line in _lines(folder / "u.item"))
    _write_films(
        (
            (
                number,
                title,
                "|".join(genre for genre, is_in in zip(named, flags, strict=True) if is_in == "1"),
                by_title.get(title, ""),
            )
            for number, title, _, _, _, *flags in films
        ),
        out,
    )


def _write_ratings(rows: Iterable[Iterable[str]], out: Path) -> None:
    _write(out / "events.csv", ["user_id", "item_id", "rating", "timestamp"], rows)


def _write_films(rows: Iterable[Iterable[str]], out: Path) -> None:
    _write(out / "items.csv", ["item_id", "title", "categories", "abstract"], rows)


def _write(path: Path, header: list[str], rows: Iterable[Iterable[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _lines(path: Path) -> list[str]:
    return path.read_text("latin-1").splitlines()
