"""All that a ledger run answers about one user, as plain values for a page, a file or a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfrec.data.sequences import Bool, Int32
from tfrec.interest.asked import Asked, ask, place_of
from tfrec.interest.counterfactuals import frozen_change, reencoded_change
from tfrec.interest.ledger_lines import Event, LedgerLines
from tfrec.interest.load import load_run
from tfrec.interest.sentences import Sentence, explain_in_words
from tfrec.interest.steered import Steered, steer
from tfrec.interest.steering import Feedback


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        user: id in the log.
        items: ids of the items to explain; none: the top recommendations.
        at: time of the request; None: just after the newest event of the whole log.
        top: recommendations, at least 1.
        language: of the sentences, "en" or "zh".
        feedback: what the user wants changed.
        blocked: categories that must not be recommended.
    """

    user: str
    items: Sequence[str] = ()
    at: str | None = None
    top: int = 5
    language: str = "en"
    feedback: Feedback = field(default_factory=Feedback)
    blocked: Sequence[str] = ()

    @property
    def steers(self) -> bool:
        """Whether anything is to be changed."""
        return self.feedback != Feedback() or bool(self.blocked)


@dataclass(frozen=True)
class Counterfactual:
    """What a score becomes without one event.

    Attributes:
        event: the event.
        line: the sum of its lines.
        frozen: change of the score when the lines are silenced with frozen weights, = -line.
        reencoded: change of the score when the history without the event is encoded again.
    """

    event: Event
    line: float
    frozen: float
    reencoded: float


@dataclass(frozen=True)
class Explained:
    """One item, explained.

    Attributes:
        ledger: every line of its score.
        rank: among the items that the history does not hold, 1 = best; None if it holds this one.
        sentences: the ledger in words.
        strongest: the event whose lines add most in size; None without a history.
    """

    ledger: LedgerLines
    rank: int | None
    sentences: list[Sentence]
    strongest: Counterfactual | None

    def to_json(self) -> dict[str, Any]:
        """Plain Python values."""
        said = [
            {"text": s.text, "value": s.value, "lines": [vars(line) for line in s.lines]}
            for s in self.sentences
        ]
        return self.ledger.to_json() | {
            "rank": self.rank,
            "sentences": said,
            "strongest_event": None
            if self.strongest is None
            else {**vars(self.strongest), "event": vars(self.strongest.event)},
        }


@dataclass(frozen=True)
class Answer:
    """The whole answer.

    Attributes:
        question: what was asked.
        asked: the user, read.
        explained: the items, in the order asked for or best first.
        steered: what the wishes do; None without wishes.
    """

    question: Question
    asked: Asked
    explained: list[Explained]
    steered: Steered | None

    def to_json(self) -> dict[str, Any]:
        """Plain Python values for `json.dumps`; the names are part of the API."""
        times = self.asked.history.columns.timestamp[self.asked.history.event_rows()]
        return {
            "user": self.asked.user,
            "events": len(times),
            "events_read": int(self.asked.readings.real.sum()),
            "from": int(times[0]) if len(times) else None,
            "to": int(times[-1]) if len(times) else None,
            "request_time": self.asked.time,
            "explanation": [one.to_json() for one in self.explained],
            "feedback": None if self.steered is None else self.steered.to_json(),
        }


def answer(folder: Path, question: Question) -> Answer:
    """Opens a run and answers.

    Raises:
        UserError: the run, the user, an item, a facet or a category is not known.

    Example:
        >>> found = answer(Path("runs/a"), Question(user="17"))  # doctest: +SKIP
        >>> found.explained[0].sentences[0].text                 # doctest: +SKIP
        'Because you rated “Alien” 5, 3 days ago (31 % of the match).'
    """
    run = load_run(folder)
    facets = [f"facet {number + 1}" for number in range(run.model.facets)]
    asked = ask(run, question.user, question.at, facets)
    ids = run.data.items["item_id"]
    named = [place_of("item", item, ids) for item in question.items]
    shown = np.array(named, np.int32) if named else asked.order(asked.seen)[: question.top]
    steered = None
    if question.steers:
        blocked = _blocked(asked, question)
        steered = steer(asked, question.feedback, blocked, shown, question.top)
    return Answer(question, asked, explained(asked, shown, question.language), steered)


def explained(asked: Asked, items: Int32, language: str) -> list[Explained]:
    """Every item's ledger, its sentences and what its score becomes without its strongest event."""
    ledgers = asked.ledgers(items)
    without = _without_strongest(asked, ledgers, items)
    rank = np.zeros(asked.data.num_items, np.int64)
    order = asked.order(asked.seen)
    rank[order] = 1 + np.arange(len(order))
    return [
        Explained(ledger, int(rank[item]) or None, explain_in_words(ledger, language), change)
        for item, ledger, change in zip(items, ledgers, without, strict=True)
    ]


def _without_strongest(
    asked: Asked, ledgers: Sequence[LedgerLines], items: Int32
) -> list[Counterfactual | None]:
    events = len(ledgers[0].events) if ledgers else 0
    if not events:
        return [None] * len(ledgers)
    lines = np.stack([ledger.per_event() for ledger in ledgers])  # [M, events]
    places = np.abs(lines).argmax(axis=1)
    columns = asked.readings.items.shape[1] - events + places
    same = np.zeros(len(ledgers), np.int64)  # one user, asked once per item
    frozen = frozen_change(asked.reader, asked.readings.take(same), items[:, None], columns)
    again = reencoded_change(
        asked.reader, asked.history.take(same), asked.times[same], items[:, None], columns
    )
    return [
        Counterfactual(ledger.events[place], float(line[place]), float(f), float(r))
        for ledger, place, line, f, r in zip(
            ledgers, places, lines, frozen[:, 0], again[:, 0], strict=True
        )
    ]


def _blocked(asked: Asked, question: Question) -> Bool:
    from tfrec.interest.categories import blocked_items

    return blocked_items(asked.data, categories=question.blocked)
