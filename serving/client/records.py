"""What a client says and what it hears: plain records, times as datetimes or unix milliseconds."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from numpy.typing import NDArray

Time = datetime | int
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(time: Time, field: str) -> int:
    """A time as unix milliseconds.

    Arguments:
        time: a datetime with a time zone, or the milliseconds themselves.
        field: how an error calls it.

    Raises:
        ValueError: a datetime without a time zone. TypeError: something else.

    Example:
        >>> milliseconds(datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), "now")
        1700000000000
    """
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise ValueError(
                f"{field} is {time.isoformat()} without a time zone; say which, as in "
                "datetime(..., tzinfo=timezone.utc)"
            )
        return (time - _EPOCH) // timedelta(milliseconds=1)
    if isinstance(time, bool) or not hasattr(time, "__index__"):
        raise TypeError(
            f"{field} must be a datetime or whole unix milliseconds, not {type(time).__name__}"
        )
    return operator.index(time)


def moment(time: int) -> datetime:
    """Unix milliseconds as a datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=time)


def text(value: Any, field: str) -> str:
    """The value, if it is text.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, str):
        raise TypeError(f"{field} must be text, not {type(value).__name__}")
    return value


def number(value: Any, field: str) -> float:
    """The value as a float.

    Raises:
        TypeError: it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{field} must be a number, not {type(value).__name__}")
    return float(value)


@dataclass(frozen=True)
class Event:
    """Something that a user did.

    Attributes:
        item: its id in the log that the model was trained on.
        time: when; a datetime with a time zone, or unix milliseconds.
        action: what was done, e.g. "buy"; "" is read as the commonest action.
        value: rating, dwell or count; NaN where there is none.
        gain: multiplies the event's lines in the score; 0 forgets the event.

    Raises:
        TypeError or ValueError: with the field that is wrong.

    Example:
        >>> Event("s3", 1_700_000_000_000, action="buy").item
        's3'
    """

    item: str
    time: Time
    action: str = ""
    value: float = math.nan
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not text(self.item, "Event.item"):
            raise ValueError("Event.item is empty; leave such an event out")
        milliseconds(self.time, "Event.time")
        text(self.action, "Event.action")
        number(self.value, "Event.value")
        number(self.gain, "Event.gain")


@dataclass(frozen=True)
class User:
    """Whom a question is about, where more than the history is to be said.

    Attributes:
        history: events in any order; () for somebody who is new.
        now: when the question is asked; None for just after the newest event.
        facet_gain: multiplies the lines of each facet; None changes none.
        conformity_gain: multiplies the pull of the crowd; 0 leaves it out.
        profile: what the user says of himself or herself; "" for nothing.
        query: what the user searches for just now; "" for nothing.
    """

    history: Sequence[Event] = ()
    now: Time | None = None
    facet_gain: Sequence[float] | None = None
    conformity_gain: float = 1.0
    profile: str = ""
    query: str = ""

    def __post_init__(self) -> None:
        text(self.profile, "User.profile")
        text(self.query, "User.query")
        history: Sequence[Any] = self.history
        for place, event in enumerate(history):
            if not isinstance(event, Event):
                kind = type(event).__name__
                raise TypeError(f"history[{place}] must be an Event, not {kind}")
        if self.now is not None:
            milliseconds(self.now, "User.now")
        for place, gain in enumerate(self.facet_gain or ()):
            number(gain, f"User.facet_gain[{place}]")
        number(self.conformity_gain, "User.conformity_gain")


@dataclass(frozen=True)
class Recommendation:
    """An item that may come next.

    Attributes:
        score: what ranks. probability: that the next item is this one, of all that may come.
    """

    item: str
    score: float
    probability: float


@dataclass(frozen=True)
class Score:
    """How much an item is wanted; all numbers are NaN when the catalogue does not know it.

    Attributes:
        known: whether the catalogue has the item.
        score: what ranks. probability: that the next item is this one, of all that may come.
        intensity: calibrated probability of engagement with it alone.
        expected_strength: mean rating, dwell or count of an engagement; None where the model
            does not say.
    """

    item: str
    known: bool
    score: float
    probability: float
    intensity: float
    expected_strength: float | None


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why an item has its score: lines that add up to it; all NaN for an unknown item.

    Attributes:
        known: whether the catalogue has the item.
        contributions: what each event adds in each facet. [events, facets], as they were given
        quality: the item's own line, the same for everybody.
        conformity: the pull of the crowd.
        context: what no other line carries.
        residual_error: score less the sum of all lines: rounding.
        text: the strongest lines in a sentence; "" for an unknown item.
        told_contributions: what profile and search add, those that the model reads, in this order;
            no rows where the user says nothing. [texts, facets]
    """

    item: str
    known: bool
    score: float
    contributions: NDArray[Any]
    quality: float
    conformity: float
    context: float
    residual_error: float
    text: str
    told_contributions: NDArray[Any]


@dataclass(frozen=True)
class Probable:
    """An item and the probability that it comes next."""

    item: str
    probability: float


@dataclass(frozen=True)
class Distribution:
    """What a user wants overall.

    Attributes:
        items: the most probable, best first.
        tail_mass: probability of all others together.
        entropy: in nats; exp of it: over how many items.
        categories: name -> probability of the next item's category.
    """

    items: list[Probable]
    tail_mass: float
    entropy: float
    categories: dict[str, float]


@dataclass(frozen=True, eq=False)
class Facet:
    """A part of an interest.

    Attributes:
        name: what it tells apart, or how it remembers.
        gate: how far it is open, between 0 and 2.
        half_life_days: age at which an event's weight has halved.
        share: of it in what moves the scores.
        vector: where the interest lies in it.
    """

    name: str
    gate: float
    half_life_days: float
    share: float
    vector: NDArray[Any]


@dataclass(frozen=True)
class Interest:
    """The parts of an interest; `crowd_share` is the crowd's, the rest is the items' own."""

    facets: list[Facet]
    crowd_share: float


@dataclass(frozen=True)
class Stage:
    """An interest as it was just before a time.

    Attributes:
        categories: name -> probability of the next item's category.
        facet_shares: as `Facet.share`, in the order of the facets.
    """

    time: datetime
    categories: dict[str, float]
    facet_shares: list[float]


@dataclass(frozen=True)
class Update:
    """What one event taught about a user.

    Attributes:
        facet_gain, conformity_gain: to be kept, and said of the `User` from now on.
        log_loss: of the event, before anything was learned from it.
        known: whether the catalogue has the item; if not, nothing changed.
    """

    facet_gain: list[float]
    conformity_gain: float
    log_loss: float
    known: bool


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Items as vectors whose product with a user's vector is the score.

    Attributes:
        items: ids as asked. known: whether the catalogue has each. [items]
        vectors: 0 for an unknown item. [items, size]
    """

    items: list[str]
    known: NDArray[Any]
    vectors: NDArray[Any]
