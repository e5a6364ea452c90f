"""What `python -m serving.query` prints of an answer."""

from __future__ import annotations

import numpy as np
import pytest

from serving.client import Event, Explanation, User
from serving.query import plots, tables


def explanation(events: int, texts: int) -> Explanation:
    lines = np.arange(1.0, events + texts + 1)[:, None] * [0.5, 0.25]
    return Explanation(
        item="i1",
        known=True,
        score=float(lines.sum()),
        contributions=lines[:events],
        quality=0.0,
        conformity=0.0,
        context=0.0,
        residual_error=0.0,
        text="because",
        told_contributions=lines[events:],
    )


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({}, []),
        ({"profile": "I like tea"}, ["profile"]),
        ({"query": "a mug"}, ["searched"]),
        ({"profile": "I like tea", "query": "a mug"}, ["profile", "searched"]),
    ],
)
def test_lines_of_words_have_names_of_their_own(said: dict[str, str], names: list[str]) -> None:
    user = User([Event("i2", 10), Event("i3", 20)], **said)
    one = explanation(2, len(names))
    rows = [line.split() for line in tables.explain([one], user).splitlines()[2:]]
    assert [row[0] for row in rows][:-4] == ["i2", "i3", *names]
    drawn = plots._lines(one, user)
    assert [name for name, _ in drawn if name in ("profile", "searched")] == names
    assert sum(value for _, value in drawn) == pytest.approx(one.score)
