"""What stands on the command line of python -m serving.query, and in its files."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.client import Event, Recommendation
from serving.query.__main__ import main
from serving.query.inputs import BadInput, api_key, events, texts, words
from serving.query.tables import plain, recommend, table

NOW = 1_700_000_000_000
IDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5)
EVENTS = st.lists(
    st.builds(
        Event,
        item=IDS.map(str.strip).filter(bool),
        time=st.one_of(
            st.integers(10**11, 2**62),
            st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0)),
        ),
        action=st.sampled_from(["", "buy", "a,b"]),
        value=st.one_of(st.just(math.nan), st.floats(allow_nan=False, allow_infinity=False)),
        gain=st.floats(0, 4),
    ),
    min_size=1,
    max_size=5,
)


def fields(event: Event) -> dict[str, Any]:
    when = event.time.isoformat() if isinstance(event.time, datetime) else event.time
    found: dict[str, Any] = {"item": event.item, "time": when, "gain": event.gain}
    if event.action:
        found["action"] = event.action
    if not math.isnan(event.value):
        found["value"] = event.value
    return found


@settings(max_examples=30)
@given(EVENTS)
def test_files_of_every_form_hold_the_same_history(
    tmp_path_factory: pytest.TempPathFactory, history: list[Event]
) -> None:
    rows = [fields(event) for event in history]
    made = io.StringIO(newline="")
    writer = csv.DictWriter(made, ["time", "item", "value", "action", "gain"])
    writer.writeheader()
    writer.writerows(rows)
    file = tmp_path_factory.mktemp("history") / "events"
    for content in (
        made.getvalue(),
        json.dumps(rows),
        "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
    ):
        file.write_text(content, encoding="utf-8", newline="")
        assert repr(events(f"@{file}")) == repr(history)  # NaN equals nothing


def test_a_history_on_the_command_line() -> None:
    assert events("") == []
    found = events(f"s3@2023-11-14T22:13:20Z,a@b@{NOW}")
    assert [event.item for event in found] == ["s3", "a@b"]
    assert [event.time for event in found] == [datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), NOW]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("item;time\na;1\n", "line 1: the columns are item;time; item and time are needed"),
        ("item,time,colour\na,1,b\n", "line 1: the columns are item, time, colour"),
        ("item,time\na,yesterday\n", "line 2: 'yesterday' is no time; write"),
        (f"item,time\na,{NOW}\nb,1700000000\n", "line 3: 1700000000 is too small for unix milli"),
        ("item,time\na,2023-01-01T00:00:00\n", "line 2: .* has no time zone; write .*Z"),
        (f"item,time\n,{NOW}\n", "line 2: item is missing"),
        (f"item,time\na,{NOW},7\n", "line 2: more fields than columns"),
        (f"item,time,value\na,{NOW},many\n", "line 2: could not convert"),
        ('{"item": "a"}', "line 1: the columns are item; item and time"),
        ('[{"item": "a", "time": null}]', "event 0: time is missing"),
        ("[3]", "event 0: an event is an object"),
        ('{"item": "a",', "line 1: no JSON"),
        ("[1", "no JSON"),
        ("", "the columns are none"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, content: Any, text: str) -> None:
    file = tmp_path / "events.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput, match=text) as failed:
        events(f"@{file}")
    assert "events.csv" in str(failed.value)


def test_other_inputs(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("a,b\n\nc d\n", encoding="utf-8-sig")
    assert words(f"@{file}") == ["a,b", "c d"]
    assert words("a,,b") == ["a", "b"]
    assert words(None) == []
    assert texts("a, b") == ["a, b"]
    assert texts(f"@{file}") == ["a,b", "", "c d"]
    with pytest.raises(BadInput, match="cannot read /no/such: No such file"):
        words("@/no/such")
    file.write_text("# nothing\n")
    with pytest.raises(BadInput, match="holds no API key"):
        api_key(file)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["facets"], "--model_name"),
        (["dream", "--model_name=m"], "invalid choice"),
        (["facets", "--model_name=m", "--version=1", "--label=x"], "not allowed with"),
        (["facets", "--model_name=m", "--history=s3"], "'s3' is not ITEM@TIME"),
        (["facets", "--model_name=m", "--facet_gain=1,x"], "--facet_gain: could not convert"),
        (["facets", "--model_name=m", "--server=x"], "must be host:port"),
        (["facets", "--model_name=m", "--deadline=0"], "deadline must be above 0"),
        (["facets", "--model_name=m", "--ca_file=/no/such"], "/no/such is no file"),
        (["embed_items", "--model_name=m", "--items="], "items is empty"),
        (["evolve", "--model_name=m", "--times=soon"], "--times: 'soon' is no time"),
    ],
)
def test_a_wrong_command_line_ends_with_2(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(arguments)
    except SystemExit as end:  # argparse ends by itself
        code = end.code  # type: ignore[assignment]
    assert code == 2
    assert text in capsys.readouterr().err


def test_tables_and_json() -> None:
    printed = table(["item", "score"], [["東", "1.5"], ["s12", "-10.25"]])
    assert printed == "item   score\n東        1.5\ns12   -10.25"
    many = [Recommendation(f"s{n}", 1.0, 0.01) for n in range(25)]
    assert recommend(many).endswith("and 5 more: --json prints all")
    assert plain([Event("a", datetime(2023, 1, 1, tzinfo=UTC))]) == [
        {"item": "a", "time": "2023-01-01T00:00:00+00:00", "action": "", "value": None, "gain": 1.0}
    ]
