"""Opening a prepared folder: what was written comes back, and damage is named."""

import json

import numpy as np
import pytest

from tfrec.data.ingest import prepare
from tfrec.data.locate import files_layout
from tfrec.data.options import DataConfig
from tfrec.data.prepared import EVENT_ITEM, ITEMS, META, PreparedData
from tfrec.errors import UserError


@pytest.fixture
def folder(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,timestamp\nb,x,1001\na,y,1000\nb,y,1000\nb,x,1001\n")
    config = DataConfig(data=str(log))
    return prepare(files_layout(config), config, tmp_path / "out", lambda line: None).folder


def test_arrays_are_memory_mapped_and_read_as_documented(folder):
    data = PreparedData.open(folder)
    assert isinstance(data.columns.item, np.memmap)
    assert data.user_offsets.tolist() == [0, 3, 4]
    assert data.columns.item.tolist() == [1, 0, 0, 1]
    assert data.columns.timestamp.tolist() == [1_000_000, 1_001_000, 1_001_000, 1_000_000]
    assert data.columns.action is None
    assert data.columns.strength is None
    assert data.sequences().lengths.tolist() == [3, 1]
    assert data.items.to_pydict() == {"item_id": ["x", "y"]}
    assert data.users.to_pydict() == {"user_id": ["b", "a"]}
    assert sorted(path.name for path in folder.iterdir()) == [
        "event_item.npy",
        "event_timestamp.npy",
        "items.parquet",
        "meta.json",
        "rejected.csv",
        "user_offsets.npy",
        "users.parquet",
    ]


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"not a prepared folder.*tfrec\.data prepare"):
        PreparedData.open(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "wrong type", "wrong length", "gone"])
def test_a_damaged_array(folder, damage):
    path = folder / EVENT_ITEM
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif damage == "wrong type":
        np.save(path, np.zeros(4, np.int64))
    elif damage == "wrong length":
        np.save(path, np.zeros(5, np.int32))
    else:
        path.unlink()
    with pytest.raises(UserError, match=r"event_item\.npy .*Prepare the data again"):
        PreparedData.open(folder)


def test_a_damaged_table(folder):
    (folder / ITEMS).write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"items\.parquet cannot be read"):
        _ = PreparedData.open(folder).items


def test_another_version_or_broken_meta(folder):
    meta = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps({**meta, "format_version": 99}))
    with pytest.raises(UserError, match="format version 99"):
        PreparedData.open(folder)
    (folder / META).write_text('{"source"')
    with pytest.raises(UserError, match="is damaged"):
        PreparedData.open(folder)
