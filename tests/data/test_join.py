"""Joined logs hold every event once, in order of time, and say what log an item is of."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.data import join as join_module
from tfrec.data.__main__ import main
from tfrec.data.domains import domains
from tfrec.data.ingest import load
from tfrec.data.join import join
from tfrec.data.new_items import read_new_items
from tfrec.data.options import DataConfig
from tfrec.data.prepared import EVENT_CONTEXT, EVENT_STRENGTH, PreparedData
from tfrec.errors import UserError

Event = tuple[str, str, int]
Rows = list[tuple[object, ...]]
EVENTS = ["user_id", "item_id", "timestamp"]
START = 1_500_000_000


def table(path: Path, header: list[str], rows: Rows) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return str(path)


def prepared(folder: Path, name: str, events: Rows, header: list[str] = EVENTS) -> Path:
    log = table(folder / f"{name}.csv", header, events)
    return load(DataConfig(data=log, cache=str(folder / "cache")), lambda line: None).folder


def told(data: PreparedData) -> dict[str, list[Event]]:
    """User id -> (item id, domain, time in seconds), as the folder has them."""
    users, items = data.users["user_id"].to_pylist(), data.items.to_pydict()
    found = {}
    for user, start, stop in zip(users, data.user_offsets, data.user_offsets[1:], strict=False):
        rows = zip(data.columns.item[start:stop], data.columns.timestamp[start:stop], strict=True)
        found[user] = [(items["item_id"][i], items["domain"][i], int(t) // 1000) for i, t in rows]
    return found


some_logs = st.lists(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.integers(0, 3), st.integers(START, START + 9)),
        min_size=1,
        max_size=15,
    ),
    min_size=2,
    max_size=3,
)


@given(some_logs, st.booleans(), st.sampled_from([1, 4, 1 << 20]))
@settings(max_examples=25)
def test_a_join_equals_sorting_all_events(
    logs: list[list[tuple[str, int, int]]], separate: bool, block: int
) -> None:
    expected: dict[str, list[tuple[int, str, str]]] = {}
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(join_module, "_BLOCK", block)
        folders = {}
        for n, events in enumerate(logs):
            domain = f"log{n}"
            rows: Rows = [(user, f"{domain}-{item}", time) for user, item, time in events]
            folders[domain] = prepared(Path(name), domain, rows)
            for user, item, time in events:
                known_as = f"{domain}/{user}" if separate else user
                line = (time, f"{domain}-{item}", domain)
                expected.setdefault(known_as, []).append(line)
        said: list[str] = []
        out = Path(name) / "out"
        data = join(folders, out, ["users"] if separate else [], said.append)
        assert told(data) == {
            user: [(item, domain, t) for t, item, domain in sorted(rows, key=lambda row: row[0])]
            for user, rows in expected.items()
        }
        among = domains(data)
        assert among is not None
        assert among.names == list(folders)
        of_items = [among.names[n] for n in among.of_item]
        assert of_items == data.items["domain"].to_pylist()


def test_what_is_said_of_events_items_and_users_stays(tmp_path: Path) -> None:
    books = load(
        DataConfig(
            data=table(
                tmp_path / "b.csv",
                [*EVENTS, "action", "context", "strength"],
                [
                    ("u", "b1", START, "read", "home", 4),
                    ("u", "b2", START + 5, "buy", "", 2),
                    ("v", "b2", START + 9, "read", "home", 1),
                ],
            ),
            items=table(
                tmp_path / "bi.csv", ["item_id", "title"], [("b1", "Emma"), ("b2", "Ulysses")]
            ),
            text=["title"],
            users=table(tmp_path / "bu.csv", ["user_id", "age"], [("u", "30"), ("v", "40")]),
            cache=str(tmp_path),
        ),
        lambda line: None,
    )
    films = load(
        DataConfig(
            data=table(
                tmp_path / "f.csv",
                [*EVENTS, "action", "context"],
                [("w", "f1", START, "watch", "cinema"), ("u", "f1", START + 2, "buy", "home")],
            ),
            items=table(
                tmp_path / "fi.csv", ["item_id", "plot", "kind"], [("f1", "A heist", "crime|new")]
            ),
            text=["plot"],
            categories="kind",
            users=table(tmp_path / "fu.csv", ["user_id", "age"], [("u", "31"), ("w", "50")]),
            cache=str(tmp_path),
        ),
        lambda line: None,
    )
    said: list[str] = []
    folders = {"books": books.folder, "films": films.folder}
    data = join(folders, tmp_path / "both", log=said.append)
    assert told(data)["u"] == [
        ("b1", "books", START), ("f1", "films", START + 2), ("b2", "books", START + 5)
    ]  # fmt: skip
    assert data.columns.action is not None
    assert [data.meta.actions[n] for n in data.columns.action] == [
        "read", "buy", "buy", "read", "watch"
    ]  # fmt: skip
    contexts = np.load(data.folder / EVENT_CONTEXT)
    assert [data.meta.contexts[n] if n >= 0 else None for n in contexts] == [
        "home", "home", None, "home", "cinema"
    ]  # fmt: skip
    assert not (data.folder / EVENT_STRENGTH).exists()
    assert "strengths of books are left out: films has none" in said
    assert "1 users are in more than one log, by their ids" in said
    assert data.items.to_pydict() == {
        "item_id": ["b1", "b2", "f1"],
        "domain": ["books", "books", "films"],
        "title": ["Emma", "Ulysses", ""],
        "plot": ["", "", "A heist"],
        "categories": [[], [], ["crime", "new"]],
    }
    assert data.meta.text_columns == ["title", "plot"]
    # u has a profile in both: the first one counts.
    ages = dict(zip(data.users["user_id"].to_pylist(), data.users["age"].to_pylist(), strict=True))
    assert ages == {"u": "30", "v": "40", "w": "50"}
    assert data.meta.num_events == data.user_offsets[-1] == 5


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """Two logs that share an item id."""
    events: Rows = [("u", "1", START), ("u", "2", START + 1)]
    names = ("books", "films")
    return [f"{name}={prepared(tmp_path, name, events)}" for name in names]


def test_an_item_in_two_domains_is_refused_unless_ids_are_separate(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "both"
    assert main(["join", *two, "-o", str(out)]) == 2
    error = capsys.readouterr().err
    assert "item_id '1', '2': in books and in films" in error
    assert "items.parquet" in error
    assert "--separate items" in error
    assert not out.exists()
    assert main(["join", *two, "--separate", "items,users", "-o", str(out)]) == 0
    assert told(PreparedData.open(out)) == {
        f"{name}/u": [(f"{name}/1", name, START), (f"{name}/2", name, START + 1)]
        for name in ("books", "films")
    }
    # A join is no log of one domain.
    assert main(["join", f"a={out}", two[0], "-o", str(tmp_path / "more")]) == 2
    assert "column 'domain'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--separate", "user"], "--separate 'user' is not known"),
        (["films"], "write NAME=FOLDER"),
        (["books=nowhere"], "'books' is given twice"),
        (["third=nowhere"], "nowhere is not a prepared folder"),
    ],
)
def test_unknown_names_are_refused(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], change: list[str],
    message: str,
) -> None:  # fmt: skip
    assert main(["join", *two, *change, "-o", str(tmp_path / "both")]) == 2
    assert message in capsys.readouterr().err


def test_one_log_is_no_join(two: list[str], tmp_path: Path) -> None:
    assert main(["join", two[0], "-o", str(tmp_path / "both")]) == 2
    folder = two[0].partition("=")[2]
    assert main(["join", *two, "--separate", "items", "-o", folder]) == 2
    assert PreparedData.open(folder).num_events == 2


def test_logs_without_times_are_joined_only_where_no_order_is_needed(tmp_path: Path) -> None:
    folders = {}
    for name in ("books", "films"):
        log = table(tmp_path / f"{name}.csv", EVENTS[:2], [("u", f"{name}1"), ("u", f"{name}2")])
        config = DataConfig(data=log, columns={"timestamp": ""}, cache=str(tmp_path))
        folders[name] = load(config, lambda line: None).folder
    with pytest.raises(UserError, match=r"books\) has no times"):
        join(folders, tmp_path / "both")
    data = join(folders, tmp_path / "both", ["users"])
    assert data.meta.time_unit == "none"
    assert data.num_users == 2


def test_a_text_column_of_that_name_makes_no_domains(tmp_path: Path) -> None:
    log = table(tmp_path / "log.csv", EVENTS, [("u", "1", START)])
    items = table(tmp_path / "items.csv", ["item_id", "domain"], [("1", "books")])
    config = DataConfig(data=log, items=items, text=["domain"], cache=str(tmp_path))
    assert domains(load(config, lambda line: None)) is None


def test_new_items_say_their_domain(tmp_path: Path) -> None:
    folders = {}
    for name in ("books", "films"):
        log = table(tmp_path / f"{name}.csv", EVENTS, [("u", f"{name}1", START)])
        items = table(
            tmp_path / f"{name}-items.csv", ["item_id", "categories"], [(f"{name}1", "crime")]
        )
        config = DataConfig(data=log, items=items, categories="categories", cache=str(tmp_path))
        folders[name] = load(config, lambda line: None).folder
    data = join(folders, tmp_path / "both")

    def read(domain: str) -> dict[str, list[object]]:
        header = ["item_id", "categories", "domain"]
        file = table(tmp_path / "new.csv", header, [("new", "crime", domain)])
        rows = read_new_items(file, data, DataConfig(), ["crime"], None, "category")
        found: dict[str, list[object]] = rows.cast(data.items.schema).to_pydict()
        return found

    assert read("films") == {"item_id": ["new"], "domain": ["films"], "categories": [["crime"]]}
    with pytest.raises(UserError, match=r"new.csv, column 'domain': 'plays' is no domain"):
        read("plays")
