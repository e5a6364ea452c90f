"""What a user of a ledger run is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tfrec.interest.steering import Feedback


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        user: id in the log; None for somebody new, of whom only the texts are known.
        items: ids of the items to explain; none: the top recommendations.
        at: time of the request; None: just after the newest event of the whole log.
        top: recommendations, at least 1.
        language: of the sentences, "en" or "zh".
        feedback: what the user wants changed.
        blocked: categories that must not be recommended.
        profile: what the user says of himself or herself, in place of what the log has; None: that.
        query: what is searched for; None for nothing.
        calibrate: λ of a list in the proportions of the history's categories; None: no such list.
    """

    user: str | None
    items: Sequence[str] = ()
    at: str | None = None
    top: int = 5
    language: str = "en"
    feedback: Feedback = field(default_factory=Feedback)
    blocked: Sequence[str] = ()
    calibrate: float | None = None
    profile: str | None = None
    query: str | None = None

    @property
    def steers(self) -> bool:
        """Whether anything is to be changed."""
        wish = self.feedback
        named = (wish.less_like, wish.more_facets, wish.less_facets, wish.forget, self.blocked)
        return any(named) or wish.crowd != 1 or wish.history != 1
