"""Vectors from files: matched by id, brought to one scale, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.data.item_vectors import item_vectors, kept_vectors, matched
from tfrec.errors import UserError

IDS = ["a", "b", "c", "東京 7"]
NAMES = st.lists(st.sampled_from([*IDS, "x", "y"]), min_size=1, max_size=9)


def write(path: Path, names: list[str], vectors: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, vectors)
        path.with_name(path.stem + ".ids.txt").write_text("\n".join(names) + "\n", "utf-8")
    else:
        lists = pyarrow.array(list(vectors.astype(np.float64)))
        pyarrow.parquet.write_table(pyarrow.table({"item_id": names, "vector": lists}), path)
    return path


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_vectors_are_matched_as_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("vectors")

    @settings(deadline=None, max_examples=30)
    @given(NAMES)
    def check(names: list[str]) -> None:
        vectors = np.random.default_rng(len(names)).normal(size=(len(names), 3))
        path = write(folder / name, names, vectors)
        first: dict[str, np.ndarray] = {}
        for row, item in enumerate(names):
            first.setdefault(item, vectors[row])
        if not first.keys() & set(IDS):
            with pytest.raises(UserError, match="of none of these items"):
                matched(path, IDS)
            return
        found = matched(path, IDS)
        assert found.known.tolist() == [item in first for item in IDS]
        expected = [first.get(item, np.zeros(3)) for item in IDS]
        np.testing.assert_allclose(found.values, expected, rtol=1e-6)

    check()


def test_what_does_not_match_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "image.npy", ["b", "x", "a", "b", "y"], np.eye(5, dtype=np.int8))
    assert matched(path, IDS).said == (
        "image.npy: vectors of 5 for 2 items; 2 items have none; 2 are of no item here; 1 rows say "
        "an item again, the first one counts"
    )


def test_each_file_has_its_own_scale_and_new_items_follow_it(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    quiet, loud = random.normal(5, 0.1, (4, 3)), random.normal(-9, 50, (3, 2))
    files = [
        str(write(tmp_path / "quiet.npy", IDS, quiet)),
        str(write(tmp_path / "loud.parquet", IDS[1:], loud)),
    ]
    found = item_vectors(files, IDS, tmp_path)
    assert found is not None

    def scaled(rows: np.ndarray, of: np.ndarray) -> np.ndarray:
        """Of the item vectors' docstring."""
        return (rows - of.mean(axis=0)) / np.sqrt(((of - of.mean(axis=0)) ** 2).mean())

    expected = np.zeros((4, 5))
    expected[:, :3], expected[1:, 3:] = scaled(quiet, quiet), scaled(loud, loud)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    for file in files:
        Path(file).unlink()
    again = item_vectors(files, IDS, tmp_path)
    for kept, made in zip(again or (), found, strict=True):
        np.testing.assert_array_equal(kept, made)

    new = random.normal(size=(1, 3)), random.normal(size=(1, 2))
    newer = [
        str(write(tmp_path / "q.parquet", ["n"], new[0])),
        str(write(tmp_path / "l.npy", ["m"], new[1])),
    ]
    rows = found.and_new(newer, ["m", "n"]).values
    np.testing.assert_array_equal(rows[:4], found.values)
    np.testing.assert_allclose(rows[5, :3], scaled(new[0], quiet)[0], rtol=1e-4)
    np.testing.assert_allclose(rows[4, 3:], scaled(new[1], loud)[0], rtol=1e-4)
    assert not rows[4, :3].any()
    assert not rows[5, 3:].any()
    assert not found.and_new([], ["m", "n"]).values[4:].any()
    with pytest.raises(UserError, match="names 1 files, the run was trained on 2"):
        found.and_new(newer[:1], ["n"])
    with pytest.raises(UserError, match=r"l.npy has vectors of 2 numbers, .* vectors of 3"):
        found.and_new(newer[::-1], ["n", "m"])


def test_a_file_that_cannot_be_used_is_refused_with_its_row(tmp_path: Path) -> None:
    def refused(path: Path, said: str) -> None:
        with pytest.raises(UserError, match=said):
            item_vectors([str(path)], IDS, tmp_path)
        assert kept_vectors(tmp_path) is None

    plain = np.arange(8.0).reshape(4, 2)
    broken = plain.copy()
    broken[2, 1] = np.nan
    for name in ("x.npy", "x.parquet"):
        refused(write(tmp_path / name, IDS, broken), r"row 3 \(item c\) .* not finite; so do 0 oth")
    refused(write(tmp_path / "x.npy", IDS, plain * 1e300), r"row 1 \(item a\)")
    refused(write(tmp_path / "x.npy", IDS[:3], plain), "has 4 rows, .* 3 lines")
    refused(write(tmp_path / "x.npy", IDS, plain[:, 0]), r"float64 \[4\], expected numbers")
    refused(write(tmp_path / "x.npy", IDS, np.ones((4, 2))), "are the same")
    (tmp_path / "x.ids.txt").unlink()
    refused(tmp_path / "x.npy", "x.ids.txt cannot be read")
    refused(tmp_path / "nowhere.npy", "nowhere.npy cannot be read")
    refused(tmp_path / "nowhere.parquet", "nowhere.parquet cannot be read")
    tables = {
        "expected item_id and one column of lists": {"item_id": IDS, "title": IDS},
        "row 3 of v has 1 numbers, row 1 has 2": {"item_id": IDS, "v": [[1, 2], [1, 3], [1], []]},
        "row 4 of v has 0 numbers": {"item_id": IDS, "v": [[1, 2], [1, 3], [1, 5], None]},
        "holds no numbers": {"item_id": IDS, "v": [["x"]] * 4},
    }
    for said, columns in tables.items():
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "y.parquet")
        refused(tmp_path / "y.parquet", said)
    (tmp_path / "item_vectors.npz").write_bytes(b"broken")
    with pytest.raises(UserError, match="delete it and resume"):
        kept_vectors(tmp_path)
