"""One text per item from its columns: "{title} ({year}). {description}"."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tfrec.errors import UserError

# Between two values: up to the first such mark belongs to the value before, what follows it to
# the value after.
_BREAK = re.compile(r"\s*[.,;!?|/·•–—\-。，；、！？]+\s*|\s*\n\s*")
_SPACE = re.compile(r"\s+|^\S*$")
_ENDS_A_SENTENCE = (".", "!", "?", "…", "。", "！", "？")


class Slot(NamedTuple):
    """A placeholder and what comes and goes with its value.

    Attributes:
        name: the column.
        separator: between this value and the last one that is there.
        before: a label or opening bracket, e.g. "Genre: ".
        after: a closing bracket or unit, e.g. ")".
    """

    name: str
    separator: str
    before: str
    after: str


def fill(template: str, columns: Mapping[str, Sequence[str | None]]) -> list[str]:
    """The template's text for every row; a missing or blank value takes its label with it.

    A text between two placeholders is cut at its first punctuation mark: what stands before the
    mark belongs to the value before (a closing bracket), what follows to the value after (a
    label), and the mark is written only between two values that are there. Without a mark, the
    first space is the cut. Values are stripped, and a value that ends a sentence is not followed
    by one more full stop.

    Arguments:
        template: text with {column} placeholders; "" is every column in order, joined by ". ".
        columns: name -> one value per row, all of one length.

    Returns:
        One text per row; "" where every value is missing.

    Raises:
        UserError: the template makes no sense or names a column that is not there.
        ValueError: the columns differ in length.

    Example:
        >>> titles, years = ["Alien", "Heat", None], ["1979", None, None]
        >>> fill("{title} ({year}). {plot}", {"title": titles, "year": years, "plot": ["x"] * 3})
        ['Alien (1979). x', 'Heat. x', 'x']
    """
    if len({len(values) for values in columns.values()}) > 1:
        sizes = ", ".join(f"{name}: {len(values)}" for name, values in columns.items())
        raise ValueError(f"columns must be of one length, got {sizes}")
    if template:
        check_template(template, columns)
        slots, end = _parsed(template)
    else:
        slots, end = [Slot(name, ". ", "", "") for name in columns], ""
    rows = zip(*(columns[slot.name] for slot in slots), strict=True)
    return [_row(slots, end, row) for row in rows]


def check_template(
    template: str, columns: Iterable[str] | None = None, flag: str = "--text-template"
) -> None:
    """Finds a template's faults before any work begins.

    Arguments:
        template: as for `fill`, not empty.
        columns: the names there are; None when they are not known yet.
        flag: where it comes from.

    Raises:
        UserError: says what is wrong and names the columns there are.
    """
    slots, _ = _parsed(template, flag)
    if columns is None:
        return
    known = list(columns)
    for slot in slots:
        if slot.name not in known:
            there = ", ".join(known) or "no text column at all"
            raise UserError(
                f"--text-template {template!r}: no column {slot.name!r}; there is {there}. "
                "Name the text columns of the catalogue with --text"
            )


def columns_of(template: str) -> list[str]:
    """The names of the columns in a template, each once."""
    return list(dict.fromkeys(slot.name for slot in _parsed(template)[0]))


def _parsed(template: str, flag: str = "--text-template") -> tuple[list[Slot], str]:
    """The placeholders, and what closes a text that is not empty."""
    where = f"{flag} {template!r}"
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(f"{where}: {error}; write {{{{ and }}}} for braces of the text") from None
    literals, names = [""], list[str]()
    for literal, name, form, conversion in pieces:
        literals[-1] += literal
        if name is None:
            continue
        if not name.strip() or form or conversion:
            raise UserError(f"{where}: expected a column's name between braces, as in {{title}}")
        names.append(name)
        literals.append("")
    if not names:
        raise UserError(f"{where}: no column in it; write its name in braces, as in {{title}}")
    cuts = [_cut(literal) for literal in literals[1:-1]]
    after, end = _end(literals[-1])
    separators = ["", *(separator for _, separator, _ in cuts)]
    befores = [literals[0], *(before for _, _, before in cuts)]
    afters = [*(text for text, _, _ in cuts), after]
    return [Slot(*slot) for slot in zip(names, separators, befores, afters, strict=True)], end


def _cut(literal: str) -> tuple[str, str, str]:
    """What belongs to the value before, what separates, what belongs to the value after."""
    found = _BREAK.search(literal) or _SPACE.search(literal)
    assert found is not None
    return literal[: found.start()], found.group(), literal[found.end() :]


def _end(literal: str) -> tuple[str, str]:
    found = _BREAK.search(literal)
    return (literal[: found.start()], literal[found.start() :]) if found else (literal, "")


def _row(slots: Sequence[Slot], end: str, values: Sequence[str | None]) -> str:
    text = ""
    for slot, value in zip(slots, values, strict=True):
        if value is None or not (value := value.strip()):
            continue
        text += _joint(text, slot.separator) + slot.before + value + slot.after
    return text + _joint(text, end)


def _joint(text: str, separator: str) -> str:
    if not text:
        return ""
    return separator.lstrip(".。") if text.endswith(_ENDS_A_SENTENCE) else separator
