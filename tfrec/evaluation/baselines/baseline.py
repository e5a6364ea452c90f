"""What the evaluation expects of a baseline, and what fits on the same data may share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import Any, ClassVar, Protocol, TypeVar

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Sequences

Value = TypeVar("Value")


class Memo:
    """Keeps the newest value of each kind, so that neighbouring grid points share their work.

    One value per kind: trying ten settings never holds ten Gram matrices.

    Example:
        >>> memo = Memo()
        >>> memo.once("gram", (), lambda: 41 + 1), memo.once("gram", (), lambda: 0)
        (42, 42)
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[Any, ...], Any]] = {}

    def once(self, kind: str, key: tuple[Any, ...], compute: Callable[[], Value]) -> Value:
        """The kept value of `kind` if it was computed for `key`, else `compute()`, kept."""
        if kind in self._kept and self._kept[kind][0] == key:
            kept: Value = self._kept[kind][1]
            return kept
        # The old value goes first: both at once might not fit.
        self._kept.pop(kind, None)
        value = compute()
        self._kept[kind] = (key, value)
        return value


class Baseline(Protocol):
    """A dataclass whose constructor arguments hold its hyperparameters.

    Attributes:
        name: as printed in the results table.
        GRID: hyperparameter -> the values that tuning may choose, in increasing or other natural
            order; the constructor default is one of them.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    GRID: ClassVar[Mapping[str, tuple[Any, ...]]]

    @property
    def name(self) -> str: ...

    def fit(self, train: Sequences, num_items: int, memo: Memo | None = None) -> None:
        """Learns from the training events alone.

        Arguments:
            train: one sequence per user, oldest first.
            num_items: size of the catalogue.
            memo: shared by fits on the same `train` with other settings.
        """

    def score(self, cases: Cases) -> Float32:
        """Scores of every item, float32 [len(cases), num_items], from history and request time.

        A user is nothing but a history here: one who was never trained on is scored like any
        other, and an empty history gives finite scores.
        """

    def needed_bytes(self, train: Sequences, num_items: int) -> int:
        """Peak memory of tuning on this data, about; scoring comes on top."""


def settings_of(baseline: Baseline) -> dict[str, Any]:
    """The hyperparameters of a baseline by name.

    Example:
        >>> from tfrec.evaluation.baselines.ease import EASE
        >>> settings_of(EASE(regularization=100.0))
        {'regularization': 100.0}
    """
    # What a repr leaves out is given (a name, item vectors), not chosen.
    chosen = [field.name for field in fields(baseline) if field.init and field.repr]
    return {name: getattr(baseline, name) for name in chosen}
