"""What a user says about the reasons, as gains on the lines of a ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from tfrec.errors import UserError
from tfrec.interest.ledger_lines import Float64, LedgerLines

LESS = 0.5  # what one "less like this" leaves of a facet's gain


@dataclass(frozen=True)
class Feedback:
    """What a user wants changed; everything has a default that changes nothing.

    Attributes:
        less_like: item ids, each of a recommended item or of one in the history; the facet that
            speaks most for the item loses gain, by the factor `LESS` each time it is named.
        more_facets: facet name -> factor of at least 1.
        less_facets: facet name -> factor from 0 to 1.
        forget: item ids of the history; all events with them count 0.
        crowd: factor of the conformity line; 0 leaves the crowd out.
        history: factor of all events' lines; 0 leaves the history out.
    """

    less_like: Sequence[str] = ()
    more_facets: Mapping[str, float] = field(default_factory=dict)
    less_facets: Mapping[str, float] = field(default_factory=dict)
    forget: Sequence[str] = ()
    crowd: float = 1.0
    history: float = 1.0


class Gains(NamedTuple):
    """Arguments of `LedgerLines.with_gains`, and of a model that takes gains.

    Attributes:
        facet_gain: float64 [K].
        event_gain: float64 [L].
        conformity_gain: one number.
    """

    facet_gain: Float64
    event_gain: Float64
    conformity_gain: float


def gains(feedback: Feedback, ledgers: Sequence[LedgerLines]) -> Gains:
    """The gains that carry out `feedback`; several wishes on one facet multiply.

    Arguments:
        ledgers: of the recommended items, at least one, all with one history and one list of
            facets.

    Raises:
        UserError: an item or a facet is not known, or a factor is out of range.
        ValueError: there is no ledger, or the ledgers are not of one history.

    Example:
        >>> from tfrec.interest.ledger_lines import Event
        >>> seen = [Event("b1", "Dune", "buy", None, 0), Event("b2", "Emma", "view", None, 1)]
        >>> ledger = LedgerLines("b3", "Solaris", 2, seen, ["space", "love"],
        ...                      np.array([[1.5, 0], [0, -0.25]]), 0.5, 0.25, 0, 2.0)
        >>> wish = Feedback(less_like=["b3"], more_facets={"love": 2}, forget=["b2"], crowd=0)
        >>> found = gains(wish, [ledger])
        >>> found.facet_gain.tolist(), found.event_gain.tolist(), found.conformity_gain
        ([0.5, 2.0], [1.0, 0.0], 0.0)
        >>> ledger.with_gains(*found).score  # 2 - 0.5 * 1.5 + 0.25 - 0.25
        1.25
    """
    first = _one_history(ledgers)
    facet_gain = np.ones(len(first.facets))
    whole = _factor("history", feedback.history, 0, math.inf)
    event_gain = np.full(len(first.events), whole)
    for name, factor in feedback.more_facets.items():
        facet_gain[_facet(name, first)] *= _factor(f"more of facet {name!r}", factor, 1, math.inf)
    for name, factor in feedback.less_facets.items():
        facet_gain[_facet(name, first)] *= _factor(f"less of facet {name!r}", factor, 0, 1)
    for item in feedback.less_like:
        facet = _top_facet(item, ledgers)
        if facet is not None:
            facet_gain[facet] *= LESS
    history = [event.item for event in first.events]
    for item in feedback.forget:
        _known("forget: item", item, history, "in the history")
        event_gain[[place for place, other in enumerate(history) if other == item]] = 0
    return Gains(facet_gain, event_gain, _factor("crowd", feedback.crowd, 0, math.inf))


def _one_history(ledgers: Sequence[LedgerLines]) -> LedgerLines:
    if not ledgers:
        raise ValueError("ledgers must hold at least one ledger, got none")
    first = ledgers[0]
    history = [(event.item, event.time) for event in first.events]
    for ledger in ledgers[1:]:
        other = [(event.item, event.time) for event in ledger.events]
        if ledger.facets != first.facets or other != history:
            raise ValueError(
                f"the ledgers of {first.item!r} and {ledger.item!r} differ in events or facets"
            )
    return first


def _top_facet(item: str, ledgers: Sequence[LedgerLines]) -> int | None:
    """The facet that adds most to a recommended item, or that an event with the item adds most by.

    None when no facet speaks for the item: there is nothing to have less of.
    """
    rows = [ledger.per_facet() for ledger in ledgers if ledger.item == item]
    history = [event.item for event in ledgers[0].events]
    if not rows:
        shown = [ledger.item for ledger in ledgers]
        _known("less_like: item", item, [*shown, *history], "recommended or in the history")
        places = [place for place, other in enumerate(history) if other == item]
        rows = [ledger.contributions[places].sum(axis=0, dtype=np.float64) for ledger in ledgers]
    added = np.sum(rows, axis=0)  # [K]
    return int(added.argmax()) if added.size and added.max() > 0 else None


def _facet(name: str, ledger: LedgerLines) -> int:
    # A facet without a name cannot be asked for by "".
    named = [facet for facet in ledger.facets if facet]
    _known("facet", name, named, "one of the model's facets")
    return ledger.facets.index(name)


def _known(what: str, name: str, names: Sequence[str], where: str) -> None:
    if name in names:
        return
    folded = {other.casefold(): other for other in names}
    close = get_close_matches(name.casefold(), folded, n=1, cutoff=0.0)
    hint = f"; did you mean {folded[close[0]]!r}?" if close else "; there are none"
    raise UserError(f"{what} {name!r} is not {where}{hint}")


def _factor(what: str, factor: float, low: float, high: float) -> float:
    if not (math.isfinite(factor) and low <= factor <= high):
        span = f"at least {low}" if high == math.inf else f"from {low} to {high}"
        raise UserError(f"{what}: the factor must be {span}, got {factor}")
    return float(factor)
