"""All that a ledger run answers about one user, as plain values for a page, a file or a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrec.interest.asking.asked import Asked, ask, place_of
from tfrec.interest.asking.calibrated import Calibrated, calibrate
from tfrec.interest.asking.explained import Explained, explained
from tfrec.interest.asking.load import LedgerRun
from tfrec.interest.asking.overview import Overview, overview
from tfrec.interest.asking.question import Question
from tfrec.interest.asking.steered import Steered, steer
from tfrec.interest.categories import blocked_items


@dataclass(frozen=True)
class Answer:
    """The whole answer.

    Attributes:
        question: what was asked.
        asked: the user, read.
        overview: what the user wants overall, and what that is made of.
        explained: the items, in the order asked for or best first.
        steered: what the wishes do; None without wishes.
        calibrated: the calibrated list; None where none is asked for.
    """

    question: Question
    asked: Asked
    overview: Overview
    explained: list[Explained]
    steered: Steered | None
    calibrated: Calibrated | None

    @property
    def span(self) -> tuple[int, int] | None:
        """Times of the oldest and the newest event; None without a history."""
        times = self.asked.history.columns.timestamp[self.asked.history.event_rows()]
        return (int(times[0]), int(times[-1])) if len(times) else None

    def to_json(self) -> dict[str, Any]:
        """Plain Python values for `json.dumps`; the names are part of the API."""
        first, last = self.span or (None, None)
        return {
            "user": self.asked.user,
            "events": self.asked.history.num_events,
            "events_read": int(self.asked.readings.real.sum()),
            "from": first,
            "to": last,
            "request_time": self.asked.time,
            **self.overview.to_json(),
            "explanation": [one.to_json() for one in self.explained],
            "feedback": None if self.steered is None else self.steered.to_json(),
            "calibrated": None if self.calibrated is None else self.calibrated.to_json(),
        }


def answer(run: LedgerRun, question: Question) -> Answer:
    """Answers a question about one user of a run.

    Raises:
        UserError: the user, an item, a facet or a category is not known.

    Example:
        >>> found = answer(load_run(Path("runs/a")), Question(user="17"))  # doctest: +SKIP
        >>> found.explained[0].sentences[0].text                           # doctest: +SKIP
        'Because you rated “Alien” 5, 3 days ago (31 % of the match).'
    """
    ids = run.data.items["item_id"]
    named = [place_of("item", item, ids) for item in question.items]
    blocked = blocked_items(run.data, categories=question.blocked)
    asked = ask(run, question)
    best = asked.order(asked.seen)[: question.top]
    shown = np.array(named, np.int32) if named else best
    steered = None
    if question.steers and len(shown):
        steered = steer(asked, question.feedback, blocked, shown, question.top)
    calibrated = None
    if question.calibrate is not None:
        calibrated = calibrate(asked, question.calibrate, blocked, question.top)
    lines = explained(asked, shown, question.language)
    return Answer(question, asked, overview(asked), lines, steered, calibrated)
