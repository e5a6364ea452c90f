"""The list of bad rows: everything is in it, and nothing that must stay hidden."""

import csv

from tfrec.data.rejected import HIDDEN, BadRow, Rejected


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_rows_and_counts(tmp_path):
    rows = [BadRow("a.csv", n, "time", f'so"on,\n{n}', "not a time") for n in range(5)]
    with Rejected(tmp_path / "r.csv") as rejected:
        rejected.add(rows[:2])
        rejected.add(rows[2:])
        rejected.add([BadRow("b.csv", 9, "", "x" * 1000, "too short")])
    lines = read(tmp_path / "r.csv")
    assert lines[0] == ["file", "line", "field", "value", "reason"]
    assert lines[1] == ["a.csv", "0", "time", 'so"on,\n0', "not a time"]
    assert len(lines) == 7
    assert len(lines[-1][3]) == 201
    assert rejected.total == 6
    assert rejected.by_reason == {"not a time": 5, "too short": 1}
    assert rejected.first == rows[:3]


def test_masked_user_ids(tmp_path):
    rows = [
        BadRow("a.csv", 1, "uid", "secret", "unknown"),
        BadRow("a.csv", 2, "uid", "", "missing user"),
        BadRow("a.csv", 3, "", "secret,item", "2 fields instead of 3"),
        BadRow("a.csv", 4, "time", "soon", "not a time"),
    ]
    with Rejected(tmp_path / "r.csv", ["uid"], mask=str.upper) as rejected:
        rejected.add(rows)
    assert [line[3] for line in read(tmp_path / "r.csv")[1:]] == ["SECRET", HIDDEN, HIDDEN, "soon"]
    assert "secret" not in "".join(map(str, rejected.first))


def test_a_row_for_people():
    row = BadRow("a.csv", 7, "time", "soon", "not a time")
    assert str(row) == "a.csv:7 time: not a time ('soon')"
