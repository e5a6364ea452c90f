"""How an interest changes: the same user asked at several times, each time with what was known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Int64, Sequences
from tfrec.interest.distribution import OTHER_LINES, Distribution, distribution
from tfrec.interest.fitting.calibrators import Temperature

if TYPE_CHECKING:
    from tfrec.interest.reading import LedgerReader

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

POINTS = 50
# What was read of so many users and times is held at once; each holds L·K·d values.
_READ_AT_ONCE = 1024


@dataclass(frozen=True)
class Evolution:
    """N users at T times each.

    Attributes:
        times: int64 [N, T], unix milliseconds.
        events: how many events each user had before each time, int64 [N, T].
        category_probabilities: [N, T, C], see `Distribution.category_mass`.
        line_shares: of each facet, then of quality, crowd and context, in Σ_i p_i |line(i)|,
            [N, T, K + 3], see `Distribution.line_shares`.
        entropy: nats, [N, T].
    """

    times: Int64
    events: Int64
    category_probabilities: Float64
    line_shares: Float64
    entropy: Float64

    @property
    def facet_shares(self) -> Float64:
        """[N, T, K]."""
        return self.line_shares[..., : -len(OTHER_LINES)]

    @property
    def crowd_share(self) -> Float64:
        """[N, T]."""
        return self.line_shares[..., OTHER_LINES.index("crowd") - len(OTHER_LINES)]


def evolve(
    reader: LedgerReader,
    histories: Sequences,
    temperature: Temperature,
    times: Int64 | None = None,
    item_categories: Floats | None = None,
    seen: bool = False,
) -> Evolution:
    """Asks about users at several times, each time with the events strictly before it.

    Nothing that a user did later reaches an answer. The weights of the model are those of today,
    whatever the time that is asked about: what changes is the history, its age and the crowd.

    Arguments:
        reader: of the trained model.
        histories: all events of N users.
        temperature: T of the distribution.
        times: unix milliseconds, int64 [T] for all users or [N, T]; None for `default_times`.
        item_categories: [I, C] shares, or None for C = 0.
        seen: removes the items that the user had by then, at each time.

    Raises:
        ValueError: shapes do not fit.

    Example:
        >>> one = data.sequences().take(slice(0, 1))                         # doctest: +SKIP
        >>> found = evolve(reader, one, Temperature(1.1),
        ...                item_categories=category_matrix(data))           # doctest: +SKIP
        >>> found.category_probabilities.shape                              # doctest: +SKIP
        (1, 50, 18)
    """
    users = len(histories)
    asked = default_times(histories) if times is None else np.asarray(times, np.int64)
    if asked.ndim not in (1, 2) or (asked.ndim == 2 and len(asked) != users):
        raise ValueError(f"times must be [T] or [{users}, T], got {asked.shape}")
    asked = np.broadcast_to(asked, (users, asked.shape[-1]))
    known = events_before(histories, asked)
    shape = asked.shape
    # The same columns for all times: only where a history stops differs.
    each = np.repeat(np.arange(users), shape[1])
    rows = histories.take(each)
    cut = Sequences(rows.users, rows.starts, rows.starts + known.ravel(), rows.columns)
    parts = [
        _read(reader, cut.take(block), asked.ravel()[block], temperature, item_categories, seen)
        for block in _blocks(len(cut))
    ]

    def table(name: str) -> Float64:
        values = np.concatenate([getattr(part, name) for part in parts])
        return values.reshape(*shape, *values.shape[1:])

    return Evolution(asked, known, table("category_mass"), table("line_shares"), table("entropy"))


def default_times(histories: Sequences, points: int = POINTS, until: int | None = None) -> Int64:
    """Evenly from each user's first event to `until`, int64 [N, points].

    Arguments:
        histories: none of them empty.
        points: at least 2.
        until: unix milliseconds. None is just after each user's newest event, the first moment
            that knows all of them: logs are often older than now.

    Raises:
        ValueError: a history is empty, or there are fewer than two points.
    """
    if points < 2:
        raise ValueError(f"points must be at least 2, got {points}")
    if (histories.lengths == 0).any():
        row = int((histories.lengths == 0).argmax())
        raise ValueError(f"history {row} is empty: it has no times of its own; give times")
    stamps = histories.columns.timestamp
    first = np.asarray(stamps[histories.starts], np.int64)
    last = np.asarray(stamps[histories.stops - 1], np.int64) + 1
    if until is not None:
        last = np.maximum(np.full_like(first, until), first)
    steps = np.rint(np.linspace(0.0, 1.0, points) * (last - first)[:, None]).astype(np.int64)
    found: Int64 = first[:, None] + steps
    return found


def events_before(histories: Sequences, times: Int64) -> Int64:
    """How many events each user has strictly before each time: int64 [N, T] -> int64 [N, T].

    Example:
        >>> from tfrec.data.sequences import Columns
        >>> log = Columns(np.zeros(3, np.int32), np.array([10, 20, 15]))
        >>> two = Sequences(np.arange(2, dtype=np.int32), np.array([0, 2]), np.array([2, 3]), log)
        >>> events_before(two, np.array([[10, 11, 99], [10, 15, 16]])).tolist()
        [[0, 1, 2], [0, 0, 1]]
    """
    stamps = np.asarray(histories.columns.timestamp[histories.event_rows()], np.int64)
    if not len(stamps):
        return np.zeros(times.shape, np.int64)
    # One sorted line of all users, each on a stretch of its own, so that one search finds all.
    low, stretch = stamps.min(), stamps.max() - stamps.min() + 2
    user = np.arange(len(histories))
    line = np.repeat(user, histories.lengths) * stretch + (stamps - low)
    asked = user[:, None] * stretch + np.clip(times - low, 0, stretch - 1)
    found: Int64 = (
        np.searchsorted(line, asked) - (np.cumsum(histories.lengths) - histories.lengths)[:, None]
    )
    return found


def draw_categories(
    evolution: Evolution,
    names: Sequence[str],
    path: Path | str,
    user: int = 0,
    language: str = "en",
) -> None:
    """Writes one user's probability per category over time as stacked areas.

    Arguments:
        names: of the C categories.
        path, language: see `tfrec.interest.telling.pictures.draw_evolution`, with its errors.
    """
    from tfrec.interest.telling.pictures import draw_evolution

    parts = evolution.category_probabilities[user]
    draw_evolution(evolution.times[user], parts, names, path, language)


def draw_shares(
    evolution: Evolution,
    facets: Sequence[str],
    path: Path | str,
    user: int = 0,
    language: str = "en",
) -> None:
    """Writes one user's shares by facet, quality and crowd over time as stacked areas.

    Arguments:
        facets: K names; the other lines have names of their own in each language.
        path, language: see `tfrec.interest.telling.pictures.draw_evolution`, with its errors.
    """
    from tfrec.interest.telling.pictures import draw_evolution
    from tfrec.interest.telling.waterfall import words

    text = words(language)
    names = [*facets, text["quality"], text["conformity"], text["context"]]
    parts = evolution.line_shares[user]
    if not parts[:, -1].any():  # a model without this line
        names, parts = names[:-1], parts[:, :-1]
    draw_evolution(evolution.times[user], parts, names, path, language)


def _read(
    reader: LedgerReader,
    histories: Sequences,
    times: Int64,
    temperature: Temperature,
    item_categories: Floats | None,
    seen: bool,
) -> Distribution:
    readings = reader.read_at(histories, times)
    removed = histories if seen else None
    return distribution(
        readings, reader.catalogue, temperature, 1, item_categories, removed=removed
    )


def _blocks(rows: int) -> list[slice]:
    return [slice(start, start + _READ_AT_ONCE) for start in range(0, rows, _READ_AT_ONCE)]
