"""One text from several columns: nothing is left behind where a value is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.errors import UserError
from tfrec.text.template import check_template, fill


def one(template: str, **values: str | None) -> str:
    [text] = fill(template, {name: [value] for name, value in values.items()})
    return text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (("T", "C", "D"), "T. C. D"),
        (("T", None, "D"), "T. D"),
        (("T", "", " \n"), "T"),
        ((None, "C", "D"), "C. D"),
        ((None, None, "D"), "D"),
        ((None, None, None), ""),
        (("Who?", "C", "A story."), "Who? C. A story."),
    ],
)
def test_missing_values_leave_nothing(values: tuple[str | None, ...], text: str) -> None:
    title, categories, description = values
    template = "{title}. {categories}. {description}"
    assert one(template, title=title, categories=categories, description=description) == text


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        ("{a} ({b}). {c}", ["1 (2). 3", "1. 3", "(2). 3", "1 (2)", "1", "(2)", "3", ""]),
        ("A: {a}. B: {b}. C: {c}.", ["A: 1. B: 2. C: 3.", "A: 1. C: 3.", "B: 2. C: 3."]),
        ("{a} by {b}\n{c}", ["1 by 2\n3", "1\n3", "by 2\n3", "1 by 2", "1", "by 2", "3", ""]),
        ("{a} kg, {b} m; {c}", ["1 kg, 2 m; 3", "1 kg; 3", "2 m; 3", "1 kg, 2 m"]),
        ("{a}，{b}。{c}", ["1，2。3", "1。3", "2。3", "1，2", "1", "2", "3", ""]),
        ("{{{a}}} {b}{c}", ["{1} 23", "{1}3", "23", "{1} 2", "{1}", "2", "3", ""]),
        ("", ["1. 2. 3", "1. 3", "2. 3", "1. 2", "1", "2", "3", ""]),
    ],
)
def test_labels_and_brackets_go_with_their_value(template: str, texts: list[str]) -> None:
    present = ["abc", "ac", "bc", "ab", "a", "b", "c", ""]
    values = {"a": "1", "b": "2", "c": "3"}
    for names, text in zip(present, texts, strict=False):
        given_values = {name: values[name] if name in names else None for name in values}
        assert one(template, **given_values) == text


VALUES = st.lists(st.one_of(st.none(), st.text(max_size=8)), min_size=4, max_size=4)


@given(VALUES)
def test_every_value_is_there_in_order_and_rows_are_apart(values: list[str | None]) -> None:
    columns = {name: [value, "x", None] for name, value in zip("abcd", values, strict=True)}
    first, second, third = fill("{a} | {b} | {c} | {d}", columns)
    there = [value.strip() for value in values if value and value.strip()]
    assert first == " | ".join(there)
    assert (second, third) == ("x | x | x | x", "")


@given(VALUES)
def test_no_template_is_every_column_joined(values: list[str | None]) -> None:
    columns = {name: [value] for name, value in zip("abcd", values, strict=True)}
    assert fill("", columns) == fill("{a}. {b}. {c}. {d}", columns)


def test_a_column_may_come_twice_or_have_an_odd_name() -> None:
    assert fill("{my title}. {a.b}. {my title}", {"my title": ["T"], "a.b": ["B"]}) == ["T. B. T"]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{title", "expected '}'"),
        ("title}", "Single '}'"),
        ("{}", "column's name between braces"),
        ("{title!r}", "column's name between braces"),
        ("{title:>10}", "column's name between braces"),
        ("just words", "no column in it"),
    ],
)
def test_templates_without_sense(template: str, said: str) -> None:
    with pytest.raises(UserError, match="--text-template") as error:
        check_template(template)
    assert said in str(error.value)


def test_unknown_columns_are_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match="no column 'tittle'; there is title, plot"):
        fill("{tittle}", {"title": ["x"], "plot": ["y"]})
    with pytest.raises(UserError, match="no text column at all"):
        check_template("{title}", [])


def test_columns_of_different_length() -> None:
    with pytest.raises(ValueError, match="title: 2, plot: 1"):
        fill("{title}", {"title": ["x", "y"], "plot": ["z"]})


def test_no_columns_and_no_rows() -> None:
    assert fill("", {}) == []
    assert fill("{a}", {"a": []}) == []
