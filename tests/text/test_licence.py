"""The card names the licence of the encoder where it can be found, and says so where it cannot."""

from pathlib import Path

import pytest

from tfrec.text.licence import encoder_licence, inherit_licence


@pytest.mark.parametrize(
    ("page", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# An encoder\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: our-own\n---\n", "our-own"),
        ("---\nlicense:\n- mit\n- cc-by-4.0\n---\n", "mit, cc-by-4.0"),
    ],
)
def test_the_header_of_a_page_is_read(tmp_path: Path, page: str, licence: str) -> None:
    (tmp_path / "README.md").write_text(page)
    assert encoder_licence(str(tmp_path)) == f"Its licence, as its README.md says: {licence}"


@pytest.mark.parametrize(
    "page",
    [
        "",
        "license: mit\n",
        "---\nlicense: mit\n",
        "---\n- mit\n---\n",
        "---\na: [\n---\n",
        "---\n---\n",
    ],
)
def test_a_page_without_it_is_no_source(tmp_path: Path, page: str) -> None:
    (tmp_path / "README.md").write_text(page)
    unknown = "Where it lies its licence is not stated: ask its publisher"
    assert encoder_licence(str(tmp_path)) == unknown
    assert encoder_licence(str(tmp_path / "gone")) == unknown
    (tmp_path / "LICENSE.txt").touch()
    assert encoder_licence(str(tmp_path)) == "Its licence is in its folder: LICENSE.txt"


def test_the_hub_has_a_page_of_each() -> None:
    assert encoder_licence("hf:a/b") == "Its licence is named at https://huggingface.co/a/b"


def test_what_continues_an_encoder_is_under_its_licence(tmp_path: Path) -> None:
    base, first, second = (tmp_path / name for name in ("base", "first", "second"))
    for folder in (base, first, second):
        folder.mkdir()
    (base / "README.md").write_text("---\nlicense: apache-2.0\ntags:\n- x\n---\n# A\n")
    (base / "LICENSE").write_text("the words")
    (base / "LICENSES").mkdir()  # of others, where REUSE is followed
    inherit_licence(str(base), first)
    inherit_licence(str(first), second)
    for folder in (first, second):
        assert encoder_licence(str(folder)) == encoder_licence(str(base))
        assert (folder / "LICENSE").read_text() == "the words"
        page = (folder / "README.md").read_text()
        assert "Continued from base by" in page
        assert str(tmp_path) not in page


def test_what_continues_one_of_the_hub_names_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    inherit_licence("hf:a/b", first)
    inherit_licence(str(first), second)
    assert encoder_licence(str(first)) == encoder_licence("hf:a/b")
    assert encoder_licence(str(second)) == encoder_licence("hf:a/b")


def test_an_encoder_that_is_gone_by_then_is_still_named_without_its_place(tmp_path: Path) -> None:
    inherit_licence(str(tmp_path / "gone" / "base"), tmp_path)
    assert "base_model: base\n" in (tmp_path / "README.md").read_text()
