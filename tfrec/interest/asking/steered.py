"""Recommendations after a user's wishes: the list before and after, and what was promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrec.data.sequences import Bool, Int32
from tfrec.data.user_texts import of_items
from tfrec.errors import UserError
from tfrec.interest.asking.asked import Asked
from tfrec.interest.ledger_lines import Event, LedgerLines
from tfrec.interest.reading import Readings
from tfrec.interest.steering import Feedback, Gains, gains


@dataclass(frozen=True)
class Moved:
    """An item of the list after the wishes.

    Attributes:
        item, title: of the item.
        before, after: the score.
        promised: Σ (gain - 1) · line, by which the score must move.
        rank_before: among what could be recommended before the wishes, 1 = best; None if it
            could not.
    """

    item: str
    title: str
    before: float
    after: float
    promised: float
    rank_before: int | None


@dataclass(frozen=True)
class Steered:
    """What wishes do.

    Attributes:
        feedback: the wishes.
        gains: what they came to.
        facets: K names.
        before: ledgers of the list before.
        after: the list after.
    """

    feedback: Feedback
    gains: Gains
    facets: Sequence[str]
    before: list[LedgerLines]
    after: list[Moved]

    @property
    def forgotten(self) -> list[Event]:
        """The events that were to be forgotten."""
        events = self.before[0].events if self.before else []
        return [event for event in events if event.item in self.feedback.forget]

    @property
    def error(self) -> float:
        """Largest |change - promised|: rounding."""
        return max((abs(m.after - m.before - m.promised) for m in self.after), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain Python values."""
        return {
            "facet_gains": dict(zip(self.facets, self.gains.facet_gain.tolist(), strict=True)),
            "forgotten": list(dict.fromkeys(event.item for event in self.forgotten)),
            "crowd_gain": self.gains.conformity_gain,
            "history_gain": self.feedback.history,
            "before": [
                {"item": ledger.item, "title": ledger.title, "score": ledger.score}
                for ledger in self.before
            ],
            "after": [vars(moved) | {"change": moved.after - moved.before} for moved in self.after],
        }


def steer(asked: Asked, feedback: Feedback, blocked: Bool, shown: Int32, top: int) -> Steered:
    """Carries out wishes on the user's reading and ranks again.

    Arguments:
        asked: the user.
        feedback: the wishes.
        blocked: items that must not come any more, [I].
        shown: indices of the items that the wishes are about, at least one.
        top: length of the lists.

    Raises:
        UserError: an item or a facet is not known, or a factor is out of range.
    """
    _within_reach(asked, feedback)
    found = gains(feedback, asked.ledgers(shown))
    louder = apply(found, asked.readings)
    old, new = asked.order(asked.seen), asked.order(asked.seen | blocked, louder)[:top]
    rank = np.zeros(asked.data.num_items, np.int64)
    rank[old] = 1 + np.arange(len(old))
    moved = [
        Moved(
            item=was.item,
            title=was.title,
            before=was.score,
            after=now.score,
            promised=was.with_gains(*found).score - was.score,
            rank_before=int(rank[item]) or None,
        )
        for item, was, now in zip(new, asked.ledgers(new), asked.ledgers(new, louder), strict=True)
    ]
    return Steered(feedback, found, asked.facets, asked.ledgers(old[:top]), moved)


def apply(found: Gains, readings: Readings) -> Readings:
    """One user's reading with the gains of a ledger of its events."""
    event_gain = np.ones(readings.items.shape, np.float32)
    event_gain[0, readings.real[0]] = found.event_gain
    return readings.with_gains(
        np.asarray(found.facet_gain, np.float32), event_gain, found.conformity_gain
    )


def _within_reach(asked: Asked, feedback: Feedback) -> None:
    ids, length = asked.data.items["item_id"], asked.readings.items.shape[1]
    whole = set(ids.take(np.unique(asked.history.items())).to_pylist())
    read = set(ids.take(np.unique(of_items(asked.told).last(length).items())).to_pylist())
    for item in feedback.forget:
        if item in whole - read:
            raise UserError(
                f"forget: item {item!r} is older than the newest {length} "
                "events, which are all that the model reads"
            )
