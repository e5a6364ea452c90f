"""Items explained to one user: ledger, sentences, and the score without the strongest event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrec.data.sequences import Int32
from tfrec.interest.asking.asked import Asked
from tfrec.interest.counterfactuals import frozen_change, reencoded_change
from tfrec.interest.intensity import intensity
from tfrec.interest.ledger_lines import Event, LedgerLines
from tfrec.interest.strength_lines import StrengthWeights
from tfrec.interest.telling.sentences import Sentence, explain_in_words


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
class HowMuch:
    """How much a user is expected to want one item, see `tfrec.interest.intensity.Intensity`.

    Attributes:
        probability: P(engaged), as `tfrec.interest.fitting.engagement.Engagement` defines it.
        strength: mean strength of an engagement; None where the log has no strengths.
        actions: P(engaged, by action); empty where the log has fewer than two actions.
    """

    probability: float
    strength: float | None
    actions: dict[str, float]


@dataclass(frozen=True)
class Explained:
    """One item, explained.

    Attributes:
        ledger: every line of its score.
        rank: among the items that the history does not hold, 1 = best; None if it holds this one.
        sentences: the ledger in words.
        strongest: the event whose lines add most in size; None without a history.
        intensity: None if the run has no read-outs.
    """

    ledger: LedgerLines
    rank: int | None
    sentences: list[Sentence]
    strongest: Counterfactual | None
    intensity: HowMuch | None

    def to_json(self) -> dict[str, Any]:
        """Plain Python values."""
        said = [
            {"text": s.text, "value": s.value, "lines": [vars(line) for line in s.lines]}
            for s in self.sentences
        ]
        return self.ledger.to_json() | {
            "rank": self.rank,
            "intensity": None if self.intensity is None else vars(self.intensity),
            "sentences": said,
            "strongest_event": None
            if self.strongest is None
            else {**vars(self.strongest), "event": vars(self.strongest.event)},
        }


def explained(asked: Asked, items: Int32, language: str) -> list[Explained]:
    """Every item's ledger, its sentences and what its score becomes without its strongest event."""
    ledgers = asked.ledgers(items)
    without = _without_strongest(asked, ledgers, items)
    rank = np.zeros(asked.data.num_items, np.int64)
    order = asked.order(asked.seen)
    rank[order] = 1 + np.arange(len(order))
    parts = zip(items, ledgers, without, _how_much(asked, items), strict=True)
    return [
        Explained(ledger, int(rank[item]) or None, explain_in_words(ledger, language), change, much)
        for item, ledger, change, much in parts
    ]


def _how_much(asked: Asked, items: Int32) -> list[HowMuch] | list[None]:
    if asked.readouts is None:
        return [None] * len(items)
    weights = StrengthWeights.of(asked.reader.model)
    found = intensity(asked.readings, asked.reader.catalogue, weights, asked.readouts, items[None])
    count = len(items)
    names = asked.data.meta.actions
    strength, actions = found.expected_strength, found.action_probabilities
    strengths = [None] * count if strength is None else strength[0].tolist()
    by_action = [[]] * count if actions is None else actions[0].tolist()
    return [
        HowMuch(probability, mean, dict(zip(names, row, strict=False)))
        for probability, mean, row in zip(
            found.engagement_probability[0].tolist(), strengths, by_action, strict=True
        )
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
        asked.reader, asked.told.take(same), asked.times[same], items[:, None], columns
    )
    return [
        Counterfactual(ledger.events[place], float(line[place]), float(f), float(r))
        for ledger, place, line, f, r in zip(
            ledgers, places, lines, frozen[:, 0], again[:, 0], strict=True
        )
    ]
