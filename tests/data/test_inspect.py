"""What `inspect` finds, against plain Python over the same events."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.data import inspect_events
from tfrec.data.inspect import inspect
from tfrec.data.inspect_page import page, steps_table
from tfrec.data.inspect_plots import save
from tfrec.data.prepared import (
    EVENT_ACTION,
    EVENT_ITEM,
    EVENT_STRENGTH,
    EVENT_TIMESTAMP,
    ITEMS,
    USER_OFFSETS,
    USERS,
    Meta,
    PreparedData,
    Step,
)
from tfrec.errors import UserError

DAY = 86_400_000
START = 1_000_000_000_000


def write(
    folder: Path,
    histories: list[list[tuple[int, int]]],
    num_items: int,
    items: dict[str, list[Any]] | None = None,
    **more: Any,
) -> PreparedData:
    """A prepared folder of (item, milliseconds) histories, written array by array."""
    folder.mkdir(exist_ok=True)
    flat = [event for history in histories for event in sorted(history, key=lambda e: e[1])]
    offsets = np.cumsum([0, *map(len, histories)]).astype(np.int64)
    np.save(folder / USER_OFFSETS, offsets)
    np.save(folder / EVENT_ITEM, np.array([item for item, _ in flat], np.int32))
    np.save(folder / EVENT_TIMESTAMP, np.array([time for _, time in flat], np.int64))
    if "actions" in more:
        np.save(folder / EVENT_ACTION, np.array(more.pop("event_action"), np.int16))
    if "strength" in more:
        np.save(folder / EVENT_STRENGTH, np.array(more.pop("strength"), np.float32))
    columns = {"item_id": [f"i{n}" for n in range(num_items)], **(items or {})}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / ITEMS)
    ids = pyarrow.table({"user_id": [f"u{n}" for n in range(len(histories))]})
    pyarrow.parquet.write_table(ids, folder / USERS)
    Meta("test", len(flat), len(histories), num_items, **more).save(folder)
    return PreparedData.open(folder)


HISTORIES = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 40).map(lambda step: START + step * (DAY // 8)),
        ),
        min_size=1,
        max_size=12,
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(histories=HISTORIES, piece=st.integers(1, 9))
def test_counts_agree_with_plain_python(
    tmp_path_factory: pytest.TempPathFactory, histories: list[list[tuple[int, int]]], piece: int
) -> None:
    data = write(tmp_path_factory.mktemp("log") / "p", histories, num_items=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect_events, "PIECE_EVENTS", piece)
        found = inspect(data)
    facts = found.facts
    histories = [sorted(history, key=lambda event: event[1]) for history in histories]
    items = [item for history in histories for item, _ in history]
    popularity = sorted((Counter(items)[n] for n in range(6)), reverse=True)
    pairs = sum(len({item for item, _ in history}) for history in histories)
    neighbours = [pair for h in histories for pair in itertools.pairwise(h)]
    several = [history for history in histories if len(history) > 1]

    assert found.item_events.tolist() == [Counter(items)[n] for n in range(6)]
    assert found.user_events.tolist() == [len(history) for history in histories]
    assert found.time_events.sum() == len(items)
    assert facts["size"]["density"] == pytest.approx(pairs / (6 * len(histories)))
    assert facts["suspicious"][0]["count"] == len(items) - pairs
    # The top 20 % of six items are two (rounded up), the top 10 % one.
    assert facts["long_tail"]["top 20 %"] == pytest.approx(sum(popularity[:2]) / len(items))
    assert facts["long_tail"]["top 10 %"] == pytest.approx(popularity[0] / len(items))
    differences = sum(abs(a - b) for a in popularity for b in popularity)
    assert facts["long_tail"]["gini"] == pytest.approx(differences / (2 * 6 * len(items)))
    time = facts["time"]
    if neighbours:
        ties = sum(a[1] == b[1] for a, b in neighbours)
        assert time["ties"] == pytest.approx(ties / len(neighbours))
    if several:
        short = sum(history[-1][1] - history[0][1] < DAY for history in several)
        assert time["users_within_one_day"] == pytest.approx(short / len(several))
    spread = facts["events_per_user"]
    assert spread["median"] == np.median([len(history) for history in histories])
    json.dumps(facts, allow_nan=False)
    assert page(facts)


def suspicious(data: PreparedData) -> dict[str, int]:
    return {entry["what"]: entry["count"] for entry in inspect(data).facts["suspicious"]}


def test_bursts_are_counted_within_a_user_and_a_minute(tmp_path: Path) -> None:
    limit = inspect_events.FAST_EVENTS_PER_MINUTE
    burst = [(0, START + 1000 * n) for n in range(limit + 1)]
    exactly = [(0, START + 1000 * n) for n in range(limit)]
    spread = [(0, START + 3000 * n) for n in range(3 * limit)]
    data = write(tmp_path / "p", [burst, exactly, spread, exactly], 1)
    assert suspicious(data)[f"users with more than {limit} events within a minute"] == 1


def test_odd_times_heavy_users_and_silent_items(tmp_path: Path) -> None:
    future, ancient = 4_000_000_000_000, 1000
    histories = [[(0, START)], [(1, future)], [(1, ancient), (2, ancient)]]
    histories += [[(2, START)] for _ in range(5)] + [[(0, START + n * DAY) for n in range(51)]]
    text = {"title": ["Ein Haus", "", "  "], "text": ["", None, "x"]}
    data = write(tmp_path / "p", histories, 3, text, text_columns=["title", "text"])
    found = suspicious(data)
    assert found["events in the future"] == 1
    assert found["events before 1990"] == 2
    assert found["users with more than 50 events (50 times the median)"] == 1
    assert found["items without any text"] == 1


def test_texts_categories_actions_and_strengths(tmp_path: Path) -> None:
    items = {
        "title": ["Größe zählt", "one two  three", ""],
        "categories": pyarrow.array([["a", "b"], ["a"], []], pyarrow.list_(pyarrow.string())),
    }
    data = write(
        tmp_path / "p",
        [[(0, START), (1, START)], [(2, START)]],
        3,
        items,
        text_columns=["title"],
        actions=["view", "buy"],
        event_action=[0, 0, 1],
        strength=[1.0, 5.0, 5.0],
    )
    facts = inspect(data).facts
    assert facts["texts"]["title"]["empty"] == pytest.approx(1 / 3)
    assert facts["texts"]["title"]["words"]["max"] == 3
    assert facts["texts"]["title"]["characters"]["max"] == 14
    assert facts["categories"]["frequent"] == [
        {"category": "a", "items": 2},
        {"category": "b", "items": 1},
    ]
    assert facts["categories"]["items_without"] == pytest.approx(1 / 3)
    assert [a["events"] for a in facts["actions"]] == [2, 1]
    assert facts["strength"]["frequent"][-1] == {"value": 5.0, "share": pytest.approx(2 / 3)}
    text = page(facts)
    for line in ("view", "values: 1 (33.3 %), 5 (66.7 %)", "most items: a 2, b 1"):
        assert line in text


def test_log_without_times(tmp_path: Path) -> None:
    data = write(tmp_path / "p", [[(0, 0), (1, 1)]], 2, time_unit="none")
    found = inspect(data)
    assert found.facts["time"] == {"unit": "none"}
    assert len(found.time_events) == 0
    assert "the order of the file stands in" in page(found.facts)
    save(found, tmp_path / "plot.png")


def test_page_names_the_steps_and_the_rejected_rows(tmp_path: Path) -> None:
    steps = [Step("read", 1200, 30, 7), Step("5-core", 1000, 20, 6)]
    data = write(tmp_path / "p", [[(0, START)]], 1, steps=steps, rejected_rows=3)
    text = page(inspect(data).facts)
    assert "step    events  users  items\nread     1,200     30      7\n5-core   1,000" in text
    assert "rejected rows: 3, see" in text
    assert steps_table([vars(step) for step in steps]) in text


def test_small_shares_are_not_shown_as_none(tmp_path: Path) -> None:
    histories = [[(0, START + n * DAY) for n in range(30_000)] + [(1, START)]]
    text = page(inspect(write(tmp_path / "p", histories, 2)).facts)
    assert "100.0 %  events that repeat" not in text
    assert "99.99 %  events that repeat" in text


@pytest.mark.parametrize("name", ["plot.png", "plot.HTML"])
def test_plots(tmp_path: Path, name: str) -> None:
    items = {"title": ["a <b> & c", "d e"]}
    histories = [[(0, START), (1, START + DAY)], [(0, START)]]
    found = inspect(write(tmp_path / "p", histories, 2, items, text_columns=["title"]))
    save(found, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    if name.endswith("png"):
        assert content.startswith(b"\x89PNG")
    else:
        assert b"<svg" in content
        assert b"Worth a look" in content
        assert b"<script" not in content
        assert b'src="http' not in content


def test_plot_of_another_form_or_to_nowhere(tmp_path: Path) -> None:
    found = inspect(write(tmp_path / "p", [[(0, START)]], 1))
    with pytest.raises(UserError, match=r"must end in \.png or \.html"):
        save(found, tmp_path / "plot.pdf")
    with pytest.raises(UserError, match="cannot write"):
        save(found, tmp_path / "no" / "plot.png")
