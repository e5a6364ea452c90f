"""Which part of an interest is lasting, which is momentary, and which is the crowd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Bool, Float32
from tfrec.interest.distribution import OTHER_LINES, Distribution
from tfrec.interest.facet_names import facet_names, separation

if TYPE_CHECKING:
    from tfrec.interest.reading import LedgerReader, Readings
    from tfrec.models.ledger import Ledger

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class FacetReport:
    """One facet of a model.

    Attributes:
        name: see `facet_names`.
        half_life_days: age at which an event's weight has halved, all else equal.
        lasting: whether the facet is on the long side, see `lasting`.
        categories: the best told apart with their effects, best first, see `separation`; only
            those that are above chance.
        items: indices of the items whose block is longest, longest first: those that the facet
            says most about, for or against. They need not have anything in common.
    """

    name: str
    half_life_days: float
    lasting: bool
    categories: list[tuple[str, float]]
    items: list[int]


@dataclass(frozen=True)
class Disentangled:
    """The parts of N users' interests.

    Attributes:
        user_facets: u_f = g_f Σ_s a_fs v_fs, [N, K, d].
        gates: g_f, [N, K].
        shares: of Σ_i p_i |line(i)| by facet, quality, crowd and context, [N, K + 3], see
            `Distribution.line_shares`.
        lasting: which facets are on the long side, bool [K].
    """

    user_facets: Float32
    gates: Float32
    shares: Float64
    lasting: Bool

    @property
    def facets(self) -> Float64:
        """Share of each facet, [N, K]."""
        return self.shares[:, : -len(OTHER_LINES)]

    @property
    def long(self) -> Float64:
        """Share of the lasting facets together, [N]."""
        found: Float64 = self.facets[:, self.lasting].sum(axis=1)
        return found

    @property
    def short(self) -> Float64:
        """Share of the other facets together, [N]."""
        found: Float64 = self.facets[:, ~self.lasting].sum(axis=1)
        return found

    @property
    def crowd(self) -> Float64:
        """Share of κ·lp, [N]."""
        return self.shares[:, OTHER_LINES.index("crowd") - len(OTHER_LINES)]


def lasting(half_life_days: Floats) -> Bool:
    """Facets on the long side: a half-life of at least the geometric mean of both ends, [K].

    The longest always is, the shortest never is, unless all are alike: then all are lasting.

    Example:
        >>> lasting(np.array([60.0, 5.0, 0.5, 0.05])).tolist()
        [True, True, False, False]
    """
    lives = np.asarray(half_life_days, np.float64)
    found: Bool = lives >= np.sqrt(lives.min() * lives.max()) * (1 - 1e-9)
    return found


def half_life_days(model: Ledger) -> Float64:
    """Half-life of each facet, days, [K]."""
    return np.asarray(model.half_life_days(), np.float64)


def facet_reports(
    reader: LedgerReader,
    item_categories: Floats | None = None,
    categories: Sequence[str] = (),
    top: int = 5,
) -> list[FacetReport]:
    """What each facet of a model is about.

    Arguments:
        reader: of the trained model.
        item_categories: [I, C], see `category_matrix`; categories: their C names.
        top: how many categories and items to list.

    Raises:
        ValueError: shapes do not fit.

    Example:
        >>> facet_reports(reader, category_matrix(data),
        ...               category_names(data))[0].name  # doctest: +SKIP
        'Horror & Thriller'
    """
    blocks = reader.catalogue.blocks
    lives = half_life_days(reader.model)
    separated = None
    if item_categories is not None and len(categories):
        separated = separation(item_values(reader.model), blocks, item_categories)
    names = facet_names(lives, separated, categories, reader.model.topics)
    lengths = np.linalg.norm(blocks, axis=-1)  # [I, K]
    long = lasting(lives)
    reports = []
    for facet, name in enumerate(names):
        told: list[tuple[str, float]] = []
        if separated is not None:
            effect, surplus = separated.effect[facet], separated.surplus[facet]
            order = np.argsort(-effect, kind="stable")
            told = [(categories[c], float(effect[c])) for c in order if surplus[c] > 0][:top]
        items = np.argsort(-lengths[:, facet], kind="stable")[:top].tolist()
        reports.append(FacetReport(name, float(lives[facet]), bool(long[facet]), told, items))
    return reports


def item_values(model: Ledger) -> Float32:
    """V_f e_j of every item, what an ordinary event with it puts into each facet, [I, K, d]."""
    table = model.tower()
    values = np.asarray(model.value(table), np.float32)
    values = values.reshape(model.num_items, model.facets, model.facet_dim)
    return values * np.asarray(model.items.membership(table), np.float32)[..., None]


def disentangle(readings: Readings, found: Distribution, half_lives: Floats) -> Disentangled:
    """The parts of the interests that were read.

    Arguments:
        readings: N users.
        found: the distribution of these readings: shares are taken over the items that the user
            is expected to take.
        half_lives: `half_life_days` of the model.

    Raises:
        ValueError: the distribution is of other users or of another model.
    """
    expected = (*readings.gates.shape[:1], readings.gates.shape[1] + len(OTHER_LINES))
    if found.line_weight.shape != expected or len(half_lives) != readings.gates.shape[1]:
        raise ValueError(
            f"the distribution and half_lives must be of {expected[0]} users and "
            f"{readings.gates.shape[1]} facets, got {found.line_weight.shape} and {len(half_lives)}"
        )
    return Disentangled(readings.facets(), readings.gates, found.line_shares, lasting(half_lives))


def without_crowd(readings: Readings) -> Readings:
    """The same users with κ := 0: every score changes by -κ·lp_i and nothing else."""
    return readings.with_gains(conformity_gain=0.0)


def without_history(readings: Readings) -> Readings:
    """The same users with no event lines: every score changes by -Σ_f Σ_s c_fs(i), nothing else.

    The crowd's pull and the context line stay as they were read. They are not what a user
    without history would have; that is `LedgerReader.read_at` with empty histories.
    """
    return readings.with_gains(event_gain=0.0)
