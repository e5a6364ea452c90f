"""Held-out events with their strengths and actions, beside the cases that ask about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Int64
from tfrec.data.split_labels import TEST, VALIDATION, user_of
from tfrec.data.splits import Split, Subset


@dataclass(frozen=True)
class HeldOut:
    """N cases and what is known of their T target events.

    Attributes:
        cases: histories, targets and request times.
        strengths: float32 [T], NaN where an event has none; None when the log has no strengths.
        actions: int64 [T], index into the action vocabulary; None when the log has no actions.
    """

    cases: Cases
    strengths: Float32 | None
    actions: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.cases)

    def take(self, rows: slice | Int64) -> HeldOut:
        """The chosen cases with their targets, in the chosen order."""
        numbers = np.arange(len(self.cases.targets), dtype=np.int32)
        kept = Cases(
            self.cases.histories, numbers, self.cases.target_offsets, self.cases.request_times
        )
        targets = kept.take(rows).targets
        return HeldOut(
            self.cases.take(rows),
            None if self.strengths is None else self.strengths[targets],
            None if self.actions is None else self.actions[targets],
        )


def held_out(split: Split, subset: Subset, *, seen_removed: bool = True) -> HeldOut:
    """The cases of `Split.cases` with their targets' strengths and actions.

    A target that comes twice in one case stands for its first event.

    Example:
        >>> held_out(split, "validation").strengths[:3]  # doctest: +SKIP
        array([4., 2., 5.], dtype=float32)
    """
    cases = split.cases(subset, seen_removed=seen_removed)
    data = split.data
    labelled = np.flatnonzero(split.label == (VALIDATION if subset == "validation" else TEST))
    users = user_of(labelled, data.user_offsets)
    pairs = users * data.num_items + data.columns.item[labelled]
    pairs, first = np.unique(pairs, return_index=True)
    asked = cases.histories.users[cases.target_cases()] * np.int64(data.num_items) + cases.targets
    rows = labelled[first[np.searchsorted(pairs, asked)]]
    strength, action = data.columns.strength, data.columns.action
    return HeldOut(
        cases,
        None if strength is None else np.asarray(strength[rows]),
        None if action is None else np.asarray(action[rows], np.int64),
    )
