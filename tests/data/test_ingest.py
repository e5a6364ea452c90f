"""From raw logs to prepared folders, against pandas; bad input; what is left after a failure."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.data.ingest import load, prepare
from tfrec.data.locate import files_layout
from tfrec.data.options import DataConfig
from tfrec.data.prepared import PreparedData
from tfrec.errors import UserError

EVENT = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["7", "3", "12", "bob"]),
        "item_id": st.integers(0, 6).map(lambda n: f"i{n}"),
        "timestamp": st.integers(1000, 1010),
        "strength": st.integers(1, 5),
        "action": st.sampled_from(["view", "buy"]),
    }
)


def ingest(folder, content, log=lambda line: None, **options):
    path = folder / "log.csv"
    path.write_text(content, encoding="utf-8")
    config = DataConfig(data=str(path), **options)
    return prepare(files_layout(config), config, folder / "out", log)


def as_frame(data: PreparedData) -> pd.DataFrame:
    """The prepared events with names instead of indices."""
    lengths = np.diff(data.user_offsets)
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.array(data.users["user_id"].to_pylist()), lengths),
            "item_id": np.array(data.items["item_id"].to_pylist())[data.columns.item],
            "timestamp": data.columns.timestamp // 1000,
        }
    )
    if data.columns.strength is not None:
        frame["strength"] = data.columns.strength.astype(int)
    if data.columns.action is not None:
        frame["action"] = np.array(data.meta.actions)[data.columns.action]
    return frame


def expected_frame(events: pd.DataFrame, config: DataConfig) -> pd.DataFrame:
    """The same in pandas, one line per rule."""
    kept = events
    user_order = list(dict.fromkeys(events["user_id"]))
    if config.actions:
        kept = kept[kept["action"].isin(config.actions)]
    if config.min_strength is not None:
        kept = kept[kept["strength"] >= config.min_strength]
    if config.start is not None:
        kept = kept[kept["timestamp"] >= int(config.start)]
    if config.end is not None:
        kept = kept[kept["timestamp"] < int(config.end)]
    rank = kept["user_id"].map(user_order.index)
    kept = kept.assign(rank=rank).sort_values(["rank", "timestamp"], kind="stable")
    if config.duplicates != "keep":
        kept = kept.drop_duplicates(["user_id", "item_id"], keep=config.duplicates)
    if config.min_item_events:
        kept = kept[kept.groupby("item_id")["rank"].transform("size") >= config.min_item_events]
    if config.min_user_events:
        kept = kept[kept.groupby("user_id")["rank"].transform("size") >= config.min_user_events]
    size = -1
    while config.k_core and size != len(kept):
        size = len(kept)
        per_user = kept.groupby("user_id")["rank"].transform("size")
        per_item = kept.groupby("item_id")["rank"].transform("size")
        kept = kept[(per_user >= config.k_core) & (per_item >= config.k_core)]
    return kept.drop(columns="rank").reset_index(drop=True)


@given(
    st.lists(EVENT, min_size=1, max_size=40),
    st.fixed_dictionaries(
        {},
        optional={
            "actions": st.just(["buy"]),
            "min_strength": st.sampled_from([2.0, 4.0]),
            "start": st.just("1003"),
            "end": st.just("1008"),
            "duplicates": st.sampled_from(["keep", "first", "last"]),
            "k_core": st.integers(0, 2),
            "min_user_events": st.integers(0, 3),
            "min_item_events": st.integers(0, 3),
        },
    ),
)
def test_the_whole_way_against_pandas(tmp_path_factory, events, options):
    frame = pd.DataFrame(events)
    folder = tmp_path_factory.mktemp("log")
    expected = expected_frame(frame, DataConfig(**options))
    actions = options.get("actions", [])
    if not len(expected) or not set(actions) <= set(frame["action"]):
        with pytest.raises(UserError):
            ingest(folder, frame.to_csv(index=False), **options)
        return
    data = ingest(folder, frame.to_csv(index=False), **options)
    found = as_frame(data)
    columns = list(found.columns)
    assert found.to_dict("records") == expected[columns].to_dict("records")
    items = data.items["item_id"].to_pylist()
    order = [item for item in dict.fromkeys(frame["item_id"]) if item in set(expected["item_id"])]
    assert items == order
    last = data.meta.steps[-1]
    assert (last.events, last.users, last.items) == (len(found), data.num_users, data.num_items)
    assert len(data.sequences()) == data.num_users


def test_formats_agree(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "user_id": random.integers(0, 30, 500),
            "item_id": random.integers(0, 50, 500),
            "timestamp": random.integers(1_000_000_000, 1_000_000_100, 500),
        }
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv.gz", index=False, sep="\t")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "a.parquet")
    iso = frame.assign(timestamp=pd.to_datetime(frame["timestamp"], unit="s"))
    iso.to_parquet(tmp_path / "iso.parquet")
    iso.to_csv(tmp_path / "iso.csv", index=False)
    results = []
    for name in ("a.csv", "a.tsv.gz", "a.jsonl", "a.parquet", "iso.parquet", "iso.csv"):
        config = DataConfig(data=str(tmp_path / name))
        data = prepare(files_layout(config), config, tmp_path / f"out-{name}", lambda line: None)
        results.append(as_frame(data))
    for other in results[1:]:
        pd.testing.assert_frame_equal(results[0], other)


def test_a_catalogue_decides_order_texts_and_categories(tmp_path):
    (tmp_path / "items.csv").write_text(
        "sku,title,genre\n9,Nine,a|b\n5,,\n7,Seven, c \n1,never bought,a\n"
    )
    (tmp_path / "users.csv").write_text("uid,age\nz,1\nb,44\n")
    text = "uid,sku,when\na,7,1000\na,9,1001\nb,5,1000\na,8,1002\n"
    lines = []
    data = ingest(
        tmp_path,
        text,
        log=lines.append,
        columns={"user": "uid", "item": "sku", "timestamp": "when"},
        items=str(tmp_path / "items.csv"),
        users=str(tmp_path / "users.csv"),
        text=["title"],
        categories="genre",
        max_bad_rows=0.5,
    )
    assert data.items.to_pylist() == [
        {"item_id": "9", "title": "Nine", "categories": ["a", "b"]},
        {"item_id": "5", "title": "", "categories": []},
        {"item_id": "7", "title": "Seven", "categories": ["c"]},
    ]
    assert data.users.to_pylist() == [{"user_id": "a", "age": None}, {"user_id": "b", "age": "44"}]
    assert data.columns.item.tolist() == [2, 0, 1]
    assert data.meta.text_columns == ["title"]
    assert any("1 of 4 items of the catalogue have no event left" in line for line in lines)
    rejected = (tmp_path / "out" / "rejected.csv").read_text()
    assert "log.csv,5,sku,8,item is not in the catalogue" in rejected


def test_rows_that_a_catalogue_repeats_are_counted(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\n7,Seven\n9,Nine\n7,Seven\n")
    lines = []
    text = "user_id,item_id,timestamp\na,7,1000\na,9,1001\n"
    items = str(tmp_path / "items.csv")
    data = ingest(tmp_path, text, log=lines.append, items=items, text=["title"])
    assert data.items["title"].to_pylist() == ["Seven", "Nine"]
    assert "1 rows of the catalogue repeat an earlier one and count once" in lines


def test_bad_rows_are_set_aside_with_reasons(tmp_path):
    text = (
        "user_id,item_id,timestamp,strength,action\n"
        "a,x,1000000000,1,view\n"
        ",x,1000000000,1,view\n"
        "a,NaN,1000000000,1,view\n"
        "a,x,soon,1,view\n"
        "a,x,1000000000000,1,view\n"
        "a,x,1000000000,inf,view\n"
        "a,x,1000000000,,view\n"
        "a,x,1000000000,1,\n"
        "a,x\n"
        "b,y,1000000001,2,buy\n"
        "b,y,10000"
    )
    lines = []
    data = ingest(tmp_path, text, log=lines.append, max_bad_rows=0.9)
    with (data.folder / "rejected.csv").open(newline="") as file:
        rows = [(int(r["line"]), r["field"], r["value"], r["reason"]) for r in csv.DictReader(file)]
    assert rows == [
        (3, "user_id", "", "missing user"),
        (4, "item_id", "NaN", "missing item"),
        (5, "timestamp", "soon", "not a time (unix seconds)"),
        (6, "timestamp", "1000000000000", "looks like unix milliseconds in a log of unix seconds"),
        (7, "strength", "inf", "strength is not a finite number"),
        (8, "strength", "", "missing strength"),
        (9, "action", "", "missing action"),
        (10, "", "a,x", "2 fields instead of 5"),
        (12, "", "b,y,10000", "half-written last line (3 fields instead of 5)"),
    ]
    assert data.meta.rejected_rows == 9
    assert [(s.name, s.events) for s in data.meta.steps] == [
        ("read", 11),
        ("bad rows set aside", 2),
    ]
    assert any("9 bad rows are listed in" in line for line in lines)
    assert data.meta.actions == ["view", "buy"]


def test_too_many_bad_rows_stop_but_keep_the_list(tmp_path):
    rows = [f"u{n % 3},i{n % 5},{1000 + n}" for n in range(98)] + ["u1,i1,never", ",i1,1000"]
    text = "user_id,item_id,timestamp\n" + "\n".join(rows) + "\n"
    message = r"2 of 100 rows of the events are bad.*log\.csv:100 timestamp: not a time"
    with pytest.raises(UserError, match=message):
        ingest(tmp_path, text)
    kept = tmp_path / "out.rejected.csv"
    assert len(kept.read_text().splitlines()) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv", "out.rejected.csv"]
    # The limit is a limit: exactly as many are allowed.
    assert ingest(tmp_path, text, max_bad_rows=0.02).num_events == 98


def test_a_bad_catalogue_stops_too(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\nx,X\nx,Y\nx,X\n,Z\n")
    with pytest.raises(UserError, match=r"2 of 4 rows of the items are bad.*item_id occurs twice"):
        ingest(
            tmp_path,
            "user_id,item_id,timestamp\na,x,1000\n",
            items=str(tmp_path / "items.csv"),
            text=["title"],
        )


def test_hashed_ids_are_nowhere_in_clear(tmp_path):
    (tmp_path / "users.csv").write_text("member,age\nsecret-a,3\nsecret-a,4\n,9\n")
    text = (
        "user_id,item_id,timestamp\nsecret-a,x,1000\nsecret-b,x,1001\nsecret-a,y,999\n"
        "secret-c,x,never\nsecret-d,x\n,x,1000\n"
    )
    lines = []
    options = {"users": str(tmp_path / "users.csv"), "max_bad_rows": 1.0}
    (tmp_path / "users.csv").write_text("user_id,age\nsecret-a,3\nsecret-a,4\n")
    data = ingest(tmp_path, text, log=lines.append, hash_ids="salt", **options)
    for path in data.folder.rglob("*"):
        if path.suffix == ".parquet":
            assert "secret" not in str(pyarrow.parquet.read_table(path).to_pydict())
        assert b"secret" not in path.read_bytes()
    assert "secret" not in "".join(lines)
    first, second = data.users["user_id"].to_pylist()
    assert first != second
    assert len(first) == 32
    assert data.users["age"].to_pylist() == ["3", None]
    assert as_frame(data)["user_id"].tolist() == [first, first, second]
    other = ingest(tmp_path, text, hash_ids="pepper", **options)
    assert other.users["user_id"].to_pylist()[0] != first
    with pytest.raises(UserError) as stopped:
        ingest(tmp_path, text, hash_ids="salt")
    assert "secret" not in str(stopped.value)


def test_a_log_without_times_keeps_the_order_of_the_file(tmp_path):
    text = "user_id,item_id\nb,x\na,y\nb,z\na,x\n"
    data = ingest(tmp_path, text, columns={"timestamp": ""})
    assert data.meta.time_unit == "none"
    assert as_frame(data)["item_id"].tolist() == ["x", "z", "y", "x"]
    assert data.columns.timestamp.tolist() == [0, 2, 1, 3]


def test_contexts_may_be_missing(tmp_path):
    text = "user_id,item_id,timestamp,context\na,x,1000,phone\na,x,1001,\na,x,1002,web\n"
    data = ingest(tmp_path, text)
    assert np.load(data.folder / "event_context.npy").tolist() == [0, -1, 1]
    assert data.meta.contexts == ["phone", "web"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actions": ["buy"]}, "no action column"),
        ({"min_strength": 3.0}, "no strength column"),
        ({"start": "soon"}, "--start 'soon' is not a time"),
        ({"start": "2000-01-02", "end": "2000-01-01"}, "is not before"),
        ({"start": "2099-01-01"}, "no event is left after the step 'time range'"),
        ({"k_core": 99}, "no event is left after the step '99-core'"),
        ({"columns": {"usr": "x"}}, "known names are user, item"),
        ({"columns": {"strength": "stars"}}, r"no column 'stars'.*--columns strength=<column>"),
        ({"text": ["title"]}, "give --items too"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        ingest(tmp_path, "user_id,item_id,timestamp\na,x,1000\na,y,1001\n", **options)
    assert not (tmp_path / "out").exists()


def test_an_unknown_action_lists_the_known_ones(tmp_path):
    text = "user_id,item_id,timestamp,action\na,x,1000,view\na,y,1001,buy\n"
    with pytest.raises(UserError, match="--actions by: the log's actions are view, buy"):
        ingest(tmp_path, text, actions=["by"])


def test_units_that_change_inside_a_log_are_caught(tmp_path):
    rows = [f"a,x,{1_000_000_000 + n}" for n in range(90)]
    rows += [f"a,x,{1_000_000_000_000 + n}" for n in range(10)]
    with pytest.raises(UserError, match="looks like unix milliseconds in a log of unix seconds"):
        ingest(tmp_path, "user_id,item_id,timestamp\n" + "\n".join(rows))


def test_other_folders_are_left_alone_and_prepared_ones_replaced(tmp_path):
    text = "user_id,item_id,timestamp\na,x,1000\n"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="is there and is no prepared folder"):
        ingest(tmp_path, text)
    (tmp_path / "out" / "thesis.txt").unlink()
    assert ingest(tmp_path, text).num_events == 1
    assert ingest(tmp_path, text + "a,y,1001\n").num_events == 2
    with pytest.raises(UserError):
        ingest(tmp_path, text + "a,z,never\n" * 5)
    assert PreparedData.open(tmp_path / "out").num_events == 2


def test_a_killed_run_leaves_nothing_that_looks_complete(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\na,x,1000\n")
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tfrec.data import ingest, locate, options\n"
        "ingest.write_users = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"config = options.DataConfig(data={str(tmp_path / 'log.csv')!r})\n"
        f"ingest.prepare(locate.files_layout(config), config, Path({str(tmp_path / 'out')!r}))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert done.returncode == -9
    (left,) = (p for p in tmp_path.iterdir() if p.is_dir())
    assert left.name.startswith(".out.partial-")
    with pytest.raises(UserError, match="is not a prepared folder"):
        PreparedData.open(left)
    config = DataConfig(data=str(tmp_path / "log.csv"))
    prepare(files_layout(config), config, tmp_path / "out", lambda line: None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv", "out"]


def test_load_prepares_once_and_notices_changes(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,timestamp\na,x,1000\na,y,1001\n")
    config = DataConfig(data=str(log), cache=str(tmp_path / "cache"))
    lines = []
    first = load(config, lines.append)
    assert load(config, lines.append).folder == first.folder
    assert "as prepared before" in lines[-1]
    other = DataConfig(data=str(log), cache=str(tmp_path / "cache"), duplicates="last")
    assert load(other, lines.append).folder != first.folder
    log.write_text("user_id,item_id,timestamp\na,x,1000\n")
    assert load(config, lines.append).num_events == 1
    again = DataConfig(data=str(first.folder))
    assert load(again).num_events == 2
    with pytest.raises(UserError, match="--k-core cannot change it"):
        load(DataConfig(data=str(first.folder), k_core=2))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nothing.csv", r"nothing\.csv does not exist"),
        ("no/where", "no/where does not exist"),
        ("*.nothing", r"no file matches \*\.nothing"),
        ("movielens-2m", "no data set is called 'movielens-2m'"),
    ],
)
def test_names_that_mean_nothing(tmp_path, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        load(DataConfig(data=data, cache=str(tmp_path)))


def test_a_folder_of_parts_skips_markers(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "_SUCCESS").write_bytes(b"")
    (parts / "part-1.csv").write_text("user_id,item_id,timestamp\na,x,1000\n")
    (parts / "part-2.csv").write_text("timestamp,item_id,user_id\n999,y,a\n")
    data = load(DataConfig(data=str(parts), cache=str(tmp_path / "cache")), lambda line: None)
    assert as_frame(data)["item_id"].tolist() == ["y", "x"]


def test_the_steps_survive_in_meta(tmp_path):
    out = io.StringIO()
    text = "user_id,item_id,timestamp\n" + "".join(f"a,i{n % 2},{1000 + n}\n" for n in range(4))
    data = ingest(tmp_path, text, log=lambda line: print(line, file=out), duplicates="first")
    steps = json.loads((data.folder / "meta.json").read_text())["steps"]
    assert [(step["name"], step["events"]) for step in steps] == [
        ("read", 4),
        ("repeated events", 2),
    ]
    assert "repeated events" in out.getvalue()
    assert "timestamps: unix seconds" in out.getvalue()
