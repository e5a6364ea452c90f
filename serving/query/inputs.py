"""Texts of the command line and files -> events, lists and times."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from serving.client import Event

_COLUMNS = ("item", "time", "action", "value", "gain")
# As milliseconds this is March 1973: smaller numbers are seconds that somebody forgot to multiply.
_SMALLEST = 10**11


class BadInput(ValueError):
    """Something that the user has to put right."""


def events(given: str) -> list[Event]:
    """A history as the command line has it: ITEM@TIME,… or @FILE or @-.

    Raises:
        BadInput: with the place and what is wrong there.

    Example:
        >>> [event.item for event in events("s3@2023-11-14T22:13:20Z,a@b@1700000090000")]
        ['s3', 'a@b']
    """
    if given.startswith("@"):
        return list(_file_events(given[1:]))
    found = []
    for part in filter(None, given.split(",")):
        item, at, when = part.rpartition("@")
        if not at or not item:
            raise BadInput(
                f"--history: {part!r} is not ITEM@TIME; ids with commas fit into a file, @FILE"
            )
        found.append(Event(item, time(when, f"--history: {part}")))
    return found


def words(given: str | None) -> list[str]:
    """A list as the command line has it: A,B,… or @FILE with one per line."""
    if given is None:
        return []
    if given.startswith("@"):
        return [line for line in _lines(_read(given[1:])) if line]
    return [word for word in given.split(",") if word]


def texts(given: str) -> list[str]:
    """@FILE with a text per line, or one text."""
    return _lines(_read(given[1:])) if given.startswith("@") else [given]


def numbers(given: str, flag: str) -> list[float]:
    """Numbers with commas between them."""
    try:
        return [float(word) for word in given.split(",")]
    except ValueError as error:
        raise BadInput(f"{flag}: {error}") from None


def time(given: str, where: str) -> int | datetime:
    """ISO 8601 with its zone, or unix milliseconds.

    Raises:
        BadInput: neither, or a number that would be seconds.
    """
    try:
        number = int(given)
    except ValueError:
        pass
    else:
        if 0 < abs(number) < _SMALLEST:
            raise BadInput(
                f"{where}: {number} is too small for unix milliseconds; seconds need 000 behind "
                "them, a date looks like 2023-11-14T22:13:20Z"
            )
        return number
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise BadInput(
            f"{where}: {given!r} is no time; write 2023-11-14T22:13:20Z or 1700000000000"
        ) from None
    if found.tzinfo is None:
        raise BadInput(f"{where}: {given} has no time zone; write {given}Z for UTC")
    return found


def api_key(path: Path | None) -> str | None:
    """The key in a file: its first line that is no comment."""
    if path is None:
        return None
    for line in _lines(_read(str(path))):
        if line.strip() and not line.startswith("#"):
            return line.strip()
    raise BadInput(f"{path} holds no API key")


def _file_events(name: str) -> Iterator[Event]:
    content = _read(name)
    where = "standard input" if name == "-" else name
    if content.lstrip()[:1] in ("[", "{"):
        rows = _json_rows(content, where)
    else:
        rows = _csv_rows(content, where)
    for place, row in rows:
        for needed in ("item", "time"):
            if row.get(needed) in (None, ""):
                raise BadInput(f"{place}: {needed} is missing")
        try:
            yield Event(
                item=str(row["item"]),
                time=time(str(row["time"]), place),
                action=str(row.get("action") or ""),
                value=_number(row.get("value"), math.nan),
                gain=_number(row.get("gain"), 1.0),
            )
        except BadInput:
            raise
        except ValueError as error:
            raise BadInput(f"{place}: {error}") from None


def _csv_rows(content: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(content))
    columns = reader.fieldnames or []
    _check_names(columns, f"{where}, line 1")
    for row in reader:
        if None in row:
            raise BadInput(f"{where}, line {reader.line_num}: more fields than columns")
        yield f"{where}, line {reader.line_num}", row


def _json_rows(content: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if content.lstrip().startswith("["):
        documents = [(f"{where}, event {n}", row) for n, row in enumerate(_parsed(content, where))]
    else:
        lines = enumerate(_lines(content), 1)
        places = [(f"{where}, line {n}", line) for n, line in lines if line.strip()]
        documents = [(place, _parsed(line, place)) for place, line in places]
    for place, row in documents:
        if not isinstance(row, dict):
            raise BadInput(f"{place}: an event is an object such as {{'item': 's3', 'time': …}}")
        _check_names(list(row), place)
        yield place, row


def _check_names(columns: Any, where: str) -> None:
    unknown = [name for name in columns if name not in _COLUMNS]
    if unknown or not {"item", "time"} <= set(columns):
        raise BadInput(
            f"{where}: the columns are {', '.join(columns) or 'none'}; item and time are needed, "
            "action, value and gain may be there"
        )


def _parsed(content: str, where: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise BadInput(f"{where}: no JSON: {error}") from None


def _number(given: Any, absent: float) -> float:
    return absent if given in (None, "") else float(given)


def _lines(content: str) -> list[str]:
    """Lines as files have them; str.splitlines would end one at letters that ids may hold."""
    lines = [line.removesuffix("\r") for line in content.split("\n")]
    return lines if lines[-1] else lines[:-1]


def _read(name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read()
        with Path(name).open(encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError:
        raise BadInput(f"{name} is not UTF-8") from None
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror}") from None
