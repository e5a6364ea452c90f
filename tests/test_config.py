"""Defaults, file and flags: who wins, what comes back, and what a mistake says."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.config import add_flags, option, resolve, to_yaml
from tfrec.errors import UserError


@dataclass(frozen=True)
class Shape:
    """The shape."""

    width: int = option(4, "of the box")
    rate: float = option(0.5, "100 % is one")
    kind: Literal["round", "square"] = option("round", "of the corners")
    flat: bool = option(False, "no height")
    names: list[str] = option(["a"], "of the sides")
    renamed: dict[str, str] = option({}, "old=new")
    note: str | None = option(None, "anything")


@dataclass(frozen=True)
class Box:
    """A config of one section."""

    shape: Shape = field(default_factory=Shape)


def resolved(*argv: str, file: Path | None = None) -> Box:
    parser = argparse.ArgumentParser()
    add_flags(parser, Box)
    return resolve(Box, parser.parse_args(argv), file)


def test_without_anything_it_is_the_constructor() -> None:
    assert resolved() == Box()


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "box.yaml"
    path.write_text("shape: {width: 7, flat: true, names: [x, y], rate: 1}\n")
    box = resolved("--width", "9", "--renamed", "a=b,c=d", file=path)
    assert box.shape == Shape(
        width=9, rate=1.0, flat=True, names=["x", "y"], renamed={"a": "b", "c": "d"}
    )
    assert resolved("--no-flat", file=path).shape.flat is False


@given(
    st.builds(
        Shape,
        width=st.integers(),
        rate=st.floats(allow_nan=False),
        kind=st.sampled_from(["round", "square"]),
        flat=st.booleans(),
        names=st.lists(st.text(max_size=5), max_size=3),
        renamed=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        note=st.none() | st.text(max_size=8),
    )
)
def test_yaml_brings_every_config_back(
    tmp_path_factory: pytest.TempPathFactory, shape: Shape
) -> None:
    path = tmp_path_factory.mktemp("yaml") / "box.yaml"
    path.write_text(to_yaml(Box(shape)), encoding="utf-8")
    assert resolved(file=path) == Box(shape)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shap: {}", "unknown section 'shap'; did you mean 'shape'"),
        ("shape: {widht: 1}", r"unknown option shape.widht; did you mean 'width'"),
        ("shape: {width: wide}", "shape.width is 'wide', expected int"),
        ("shape: {width: true}", "shape.width is True, expected int"),
        ("shape: {width: null}", "shape.width is None, expected int"),
        ("shape: {kind: oval}", "shape.kind is 'oval', expected one of"),
        ("shape: [1]", "must hold option: value lines"),
        ("[1, 2]", "expected sections"),
        ("shape: {width: [", "is not valid YAML"),
    ],
)
def test_mistakes_in_the_file_name_the_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "box.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        resolved(file=path)
    with pytest.raises(UserError, match="cannot read the config"):
        resolved(file=tmp_path / "none.yaml")


def test_help_shows_defaults_and_percent_signs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        resolved("--help")
    text = capsys.readouterr().out
    assert "100 % is one (default 0.5)" in text
    assert "The shape:" in text
