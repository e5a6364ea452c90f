"""The ledger of one score, line by line: what sentences, pictures and steering read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Kind = Literal["event", "quality", "conformity", "context"]
KINDS: tuple[Kind, ...] = ("event", "quality", "conformity", "context")


@dataclass(frozen=True)
class Event:
    """One event of a history, as people see it.

    Attributes:
        item: catalogue id.
        title: the item's title, or its id where it has none.
        action: "" when the log has no actions.
        strength: rating, dwell or count; None when the log has none.
        time: unix milliseconds; 0 when the log has no times.
    """

    item: str
    title: str
    action: str
    strength: float | None
    time: int


@dataclass(frozen=True)
class Line:
    """One signed summand of a score.

    Attributes:
        value: in units of the score.
        event: position in `LedgerLines.events`, oldest first; None unless `kind` is "event".
        facet: position in `LedgerLines.facets`; None unless `kind` is "event".
    """

    kind: Kind
    value: float
    event: int | None = None
    facet: int | None = None


class Shares(NamedTuple):
    """Parts of Σ|line|, all zero when every line is zero.

    Attributes:
        kinds: share of each kind; they sum to 1.
        facets: float64 [K], share of the event lines of each facet; they sum to `kinds["event"]`.
    """

    kinds: dict[Kind, float]
    facets: Float64


# Arrays have no single truth value, so two ledgers are compared field by field or not at all.
@dataclass(frozen=True, eq=False)
class LedgerLines:
    """Every line of one score s(u, i, t) = quality + conformity + context + Σ_s Σ_f c_fs(i).

    Attributes:
        item, title: of the scored item i.
        request_time: t, unix milliseconds; 0 when the log has no times.
        events: the history, oldest first, L long.
        facets: K names; "" for a facet without one.
        contributions: c_fs(i), signed, float32 [L, K] from the model. `with_gains` returns
            float64, so that steering adds no rounding of its own.
        quality: the item's own line, the same for every user.
        conformity: the pull of the crowd at t.
        context: what the other lines do not carry; 0 unless the model was built with it.
        score: what the model answered.

    Raises:
        ValueError: shapes do not fit, or a number is not finite.

    Example:
        >>> seen = [Event("b1", "Dune", "buy", None, 0), Event("b2", "Emma", "view", None, 1000)]
        >>> ledger = LedgerLines("b3", "Solaris", 2000, seen, ["space", "love"],
        ...                      np.array([[1.5, 0], [0, -0.25]], np.float32), 0.5, 0.25, 0, 2.0)
        >>> ledger.total(), ledger.residual_error
        (2.0, 0.0)
        >>> ledger.lines()[0]
        Line(kind='event', value=1.5, event=0, facet=0)
        >>> ledger.with_gains(facet_gain=np.array([2.0, 1.0])).score  # 2.0 + (2 - 1) * 1.5
        3.5
    """

    item: str
    title: str
    request_time: int
    events: list[Event]
    facets: list[str]
    contributions: Floats
    quality: float
    conformity: float
    context: float
    score: float

    def __post_init__(self) -> None:
        expected = (len(self.events), len(self.facets))
        if self.contributions.shape != expected:
            raise ValueError(
                f"contributions must be [events, facets] = {expected}, "
                f"got {self.contributions.shape}"
            )
        scalars = (self.quality, self.conformity, self.context, self.score)
        if not (np.isfinite(self.contributions).all() and all(map(math.isfinite, scalars))):
            raise ValueError(f"the ledger of item {self.item!r} holds a number that is not finite")

    def lines(self) -> list[Line]:
        """All L·K + 3 lines, the largest |value| first."""
        return sorted(self._lines(), key=lambda line: -abs(line.value))

    def _lines(self) -> Iterator[Line]:
        yield Line("quality", float(self.quality))
        yield Line("conformity", float(self.conformity))
        yield Line("context", float(self.context))
        for event, row in enumerate(self.contributions.tolist()):
            for facet, value in enumerate(row):
                yield Line("event", value, event, facet)

    def per_event(self) -> Float64:
        """What each event adds to the score over all facets, [L]."""
        return np.asarray(self.contributions.sum(axis=1, dtype=np.float64))

    def per_facet(self) -> Float64:
        """What each facet adds to the score over all events, [K]."""
        return np.asarray(self.contributions.sum(axis=0, dtype=np.float64))

    def total(self) -> float:
        """The sum of all lines, in float64."""
        events = float(self.contributions.sum(dtype=np.float64))
        return float(self.quality) + float(self.conformity) + float(self.context) + events

    @property
    def residual_error(self) -> float:
        """score - total: rounding when the model is additive, else what the ledger misses."""
        return float(self.score) - self.total()

    def weight(self) -> float:
        """Σ|line|, the whole that shares are parts of."""
        return sum(self._weights().values())

    def shares(self) -> Shares:
        """How much of Σ|line| each kind and each facet holds."""
        weights, whole = self._weights(), self.weight() or 1.0
        of_facets = np.abs(self.contributions).sum(axis=0, dtype=np.float64)
        return Shares({kind: weights[kind] / whole for kind in KINDS}, of_facets / whole)

    def _weights(self) -> dict[Kind, float]:
        return {
            "event": float(np.abs(self.contributions).sum(dtype=np.float64)),
            "quality": abs(float(self.quality)),
            "conformity": abs(float(self.conformity)),
            "context": abs(float(self.context)),
        }

    def with_gains(
        self,
        facet_gain: npt.ArrayLike = 1.0,
        event_gain: npt.ArrayLike = 1.0,
        conformity_gain: float = 1.0,
    ) -> LedgerLines:
        """The ledger with its lines multiplied; the score moves by as much as the lines do.

        A facet gain γ moves the score by (γ - 1) Σ_s c_fs. An event gain of 0 forgets the event
        *with frozen weights*: the other lines stay, which is not what a model would answer that
        never saw the event.

        Arguments:
            facet_gain: [K], or one number for all facets.
            event_gain: [L], or one number for all events.
            conformity_gain: 0 leaves the crowd out.

        Raises:
            ValueError: a gain is of another shape.
        """
        rows, columns = self.contributions.shape
        event, facet = (
            _gains("event_gain", event_gain, rows),
            _gains("facet_gain", facet_gain, columns),
        )
        contributions = self.contributions.astype(np.float64) * event[:, None] * facet[None, :]
        conformity = float(self.conformity) * float(conformity_gain)
        moved = replace(self, contributions=contributions, conformity=conformity)
        return replace(moved, score=float(self.score) + (moved.total() - self.total()))

    def to_json(self) -> dict[str, Any]:
        """A dict of plain Python values for `json.dumps`; the field names are part of the API."""
        shares = self.shares()
        return {
            "item": self.item,
            "title": self.title,
            "request_time": int(self.request_time),
            "score": float(self.score),
            "total": self.total(),
            "residual_error": self.residual_error,
            "quality": float(self.quality),
            "conformity": float(self.conformity),
            "context": float(self.context),
            "facets": [
                {"name": name, "value": value, "share": share}
                for name, value, share in zip(
                    self.facets, self.per_facet().tolist(), shares.facets.tolist(), strict=True
                )
            ],
            "shares": dict(shares.kinds),
            "events": [
                {
                    "item": event.item,
                    "title": event.title,
                    "action": event.action,
                    "strength": _finite(event.strength),
                    "time": int(event.time),
                    "value": value,
                    "contributions": row,
                }
                for event, value, row in zip(
                    self.events,
                    self.per_event().tolist(),
                    self.contributions.tolist(),
                    strict=True,
                )
            ],
        }


def _gains(name: str, gain: npt.ArrayLike, size: int) -> Float64:
    values = np.asarray(gain, np.float64)
    if values.shape not in ((), (size,)):
        raise ValueError(f"{name} must have the shape ({size},), got {values.shape}")
    return np.broadcast_to(values, (size,))


def _finite(strength: float | None) -> float | None:
    # JSON has no NaN.
    return None if strength is None or not math.isfinite(strength) else float(strength)
