"""Versions of a model: which ones a folder holds, which of them are wanted, how each one fares."""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass
from pathlib import Path

from serving.status import ServingError

_NUMBER = re.compile(r"[0-9]{1,19}")


class State(enum.IntEnum):
    """Where a version is between being found and being gone, numbered as in GetModelStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """A state, and the error that ended it if one did."""

    state: State
    error: ServingError | None = None


@dataclass(frozen=True)
class Policy:
    """Which versions to serve: the `latest` so many, or these `specific` ones, or all.

    Example:
        >>> Policy(latest=2).choose({1, 2, 3})
        {2, 3}
        >>> Policy(specific=(1, 9)).choose({1, 2})
        {1}
        >>> Policy(latest=None).choose({1, 2})
        {1, 2}
    """

    latest: int | None = 1
    specific: tuple[int, ...] | None = None

    def choose(self, found: set[int]) -> set[int]:
        """The wanted ones of the versions found. Missing specific versions are left out."""
        if self.specific is not None:
            return found & set(self.specific)
        if self.latest is None:
            return found
        return set(sorted(found)[-self.latest :])


def find_versions(base_path: Path) -> dict[int, Path] | None:
    """Version -> its folder: the children named by a number, leading zeros allowed.

    Returns:
        None when the folder cannot be read: nothing is known then, and nothing should change.
    """
    try:
        names = os.listdir(base_path)
    except OSError:
        return None
    return {
        int(name): base_path / name
        for name in names
        if _NUMBER.fullmatch(name) and int(name) < 2**63
    }
