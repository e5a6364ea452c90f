"""The card names the licence of the encoder where it can be found, and says so where it cannot."""

from pathlib import Path

import pytest

from export.encoder_licence import encoder_licence


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
