"""Steam: reviews of computer games with the hours played, by day.

W.-C. Kang and J. McAuley, Self-Attentive Sequential Recommendation, ICDM 2018.
https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data

Each line of both files is a Python dictionary in Python 2 notation, {u'username': u'Ana', …}. The
user is the username, as in the paper: only half of the reviews carry a user_id. The few reviews
without hours are rejected as events without a strength. Nothing is published to check the files
against.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrec.data.download import Remote
from tfrec.data.layout import LINE, LogLayout, TableLayout
from tfrec.data.named.named_set import NamedSet, find, optional

if TYPE_CHECKING:
    import pyarrow

LICENCE = "Steam reviews, McAuley Lab, UC San Diego: research use"
BASE = "https://cseweb.ucsd.edu/~wckang"

# Python's notation writes control characters as escapes, so this one never stands in a line.
NO_SEPARATOR = "\x01"

STRING = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
VALUE = rf"""(?:{STRING}|[^'"\[\]{{}},]+|\[(?:[^'"\[\]]|{STRING})*\])"""
RECORD = rf"^\s*\{{{STRING}: {VALUE}(?:, {STRING}: {VALUE})*\}}\s*$"


def steam() -> NamedSet:
    """7.8 million reviews of 15,000 games by 2.6 million users, 2010 to 2018."""
    remotes = [Remote(f"{BASE}/steam_reviews.json.gz"), Remote(f"{BASE}/steam_games.json.gz")]
    return NamedSet(remotes, LICENCE, _layout)


def _layout(folder: Path) -> LogLayout:
    (reviews,) = find(folder, "steam_reviews.json")
    games = optional(reviews.parent, "steam_games.json")

    def lines(path: Path, transform: Any) -> TableLayout:
        return TableLayout(
            [path], separator=NO_SEPARATOR, names=["record"], transform=transform, quotes=False
        )

    return LogLayout(
        source="steam",
        events=lines(reviews, _reviews),
        items=lines(games, _games) if games else None,
        text_columns=["title", "tags", "developer"] if games else [],
        category_column="genres" if games else None,
    )


def _reviews(chunk: pyarrow.Table) -> pyarrow.Table:
    """Records -> columns. A line that is no whole record has null fields and is rejected."""
    import pyarrow
    import pyarrow.compute as pc

    none = pyarrow.scalar(None, pyarrow.string())
    records = chunk["record"].combine_chunks()
    records = pc.if_else(pc.match_substring_regex(records, RECORD), records, none)
    return pyarrow.table(
        {
            LINE: chunk[LINE],
            "user_id": _field(records, "username"),
            "item_id": _field(records, "product_id"),
            "timestamp": _field(records, "date"),
            "strength": _field(records, "hours"),
        }
    )


def _field(records: pyarrow.Array, name: str) -> pyarrow.Array:
    """The value of one key in each record, as text.

    The expression walks over whole keys and values from the start of the line, so a review that
    quotes another record cannot be taken for one; it is 40 times as fast as ast.literal_eval.
    """
    import pyarrow
    import pyarrow.compute as pc

    before = rf"^\s*\{{(?:{STRING}: {VALUE}, )*?"
    found = pc.extract_regex(records, rf"{before}u?'{name}': (?P<value>{VALUE})(?:, |\}})")
    values = pc.struct_field(found, [0])
    values = pc.if_else(pc.equal(values, "None"), pyarrow.scalar(None, pyarrow.string()), values)
    plain = pc.replace_substring_regex(values, r"""(?s)^u?['"](.*)['"]$""", r"\1")
    escaped = pc.fill_null(pc.match_substring(values, "\\"), False)
    if not pc.any(escaped).as_py():
        return plain
    # Only names with quotes or letters beyond ASCII carry escapes; each distinct one is read once.
    words = values.filter(escaped).dictionary_encode()
    read = pyarrow.array([_literal(word) for word in words.dictionary.to_pylist()], "string")
    return pc.replace_with_mask(plain, escaped, read.take(words.indices))


def _literal(text: str) -> str | None:
    try:
        # Half of a surrogate pair, which Python 2 could write, is no text.
        return str(ast.literal_eval(text)).encode("utf-16", "surrogatepass").decode("utf-16")
    except (ValueError, SyntaxError):
        return None


def _games(chunk: pyarrow.Table) -> pyarrow.Table:
    """Records -> columns; the catalogue is small, so each record is read by Python itself."""
    import pyarrow

    games = [_record(line) for line in chunk["record"].to_pylist()]

    def column(*names: str) -> pyarrow.Array:
        return pyarrow.array([_text(game, *names) for game in games], "string")

    return pyarrow.table(
        {
            LINE: chunk[LINE],
            "item_id": column("id"),
            "title": column("app_name", "title"),
            "tags": column("tags"),
            "developer": column("developer"),
            "genres": pyarrow.array(
                ["|".join(map(str, game.get("genres") or [])) or None for game in games], "string"
            ),
        }
    )


def _record(line: str | None) -> dict[str, Any]:
    try:
        record = ast.literal_eval(line or "")
    except (ValueError, SyntaxError):
        return {}
    return record if isinstance(record, dict) else {}


def _text(game: dict[str, Any], *names: str) -> str | None:
    value = next((game[name] for name in names if game.get(name)), None)
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return None if value is None else str(value).encode("utf-8", "replace").decode("utf-8")
