"""Counting what each step of ingestion leaves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfrec.data.prepared import Step
from tfrec.data.sequences import Bool, Int32


class Flags:
    """A growing set of small numbers.

    Example:
        >>> flags = Flags()
        >>> flags.mark(np.array([4, 1, 4], np.int32))
        >>> len(flags), flags.mask(6).tolist()
        (2, [False, True, False, False, True, False])
    """

    def __init__(self) -> None:
        self._flags = np.zeros(0, bool)

    def mark(self, numbers: Int32) -> None:
        top = int(numbers.max(initial=-1)) + 1
        if top > len(self._flags):
            self._flags = self.mask(max(top, 2 * len(self._flags)))
        self._flags[numbers] = True

    def mask(self, length: int) -> Bool:
        """bool [length], True for the numbers that were marked."""
        mask = np.zeros(length, bool)
        mask[: len(self._flags)] = self._flags[:length]
        return mask

    def __len__(self) -> int:
        return int(self._flags.sum())


class Tally:
    """Events, users and items that passed one step, counted as they stream by."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events = 0
        self.users = Flags()
        self.items = Flags()

    def add(self, users: Int32, items: Int32) -> None:
        self.events += len(users)
        self.users.mark(users)
        self.items.mark(items)

    def step(self) -> Step:
        return Step(self.name, self.events, len(self.users), len(self.items))


class Steps:
    """The steps so far; each is said when it is done."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.done: list[Step] = []
        self._log = log

    def add(self, step: Step) -> None:
        self.done.append(step)
        self._log(
            f"{step.name:<24} {step.events:>13,} events {step.users:>11,} users "
            f"{step.items:>10,} items"
        )
