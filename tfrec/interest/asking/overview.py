"""A user's interests as a whole: spread over the catalogue, and shares of what speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrec.interest.asking.asked import Asked
from tfrec.interest.disentanglement import Disentangled, disentangle, half_life_days
from tfrec.interest.distribution import OTHER_LINES, Distribution, distribution
from tfrec.interest.evolution import Evolution, default_times, evolve
from tfrec.models.build import category_names


@dataclass(frozen=True)
class Overview:
    """What one user wants overall.

    Attributes:
        asked: the user.
        found: softmax over the items that may be recommended, of this one user.
        categories: C names.
        parts: shares of the facets, of quality and of the crowd.
        evolution: the same asked at times from the first event on; None without a history or
            without times.
    """

    asked: Asked
    found: Distribution
    categories: list[str]
    parts: Disentangled
    evolution: Evolution | None

    @property
    def alike(self) -> float:
        """How many equally probable items would be as uncertain: exp of the entropy."""
        return float(np.exp(self.found.entropy[0]))

    @property
    def masses(self) -> list[tuple[str, float]]:
        """Probability of each category, the most probable first."""
        mass = self.found.category_mass[0]
        order = np.argsort(-mass, kind="stable").tolist()
        return [(self.categories[place], float(mass[place])) for place in order]

    @property
    def shares(self) -> dict[str, float]:
        """Share of each facet, of quality, crowd and context in what speaks; sums to 1."""
        names = [*self.asked.facets, *OTHER_LINES]
        return dict(zip(names, self.parts.shares[0].tolist(), strict=True))

    def to_json(self) -> dict[str, Any]:
        """Plain Python values."""
        return {
            "distribution": {
                "temperature": self.asked.temperature.temperature,
                "entropy": float(self.found.entropy[0]),
                "as_many_equal_items": self.alike,
                "categories": dict(self.masses),
            },
            "disentanglement": {
                "shares": self.shares,
                "facets": [
                    {
                        "name": report.name,
                        "half_life_days": report.half_life_days,
                        "lasting": report.lasting,
                        "gate": gate,
                        "categories": dict(report.categories),
                    }
                    for report, gate in zip(
                        self.asked.reports, self.parts.gates[0].tolist(), strict=True
                    )
                ],
            },
            "evolution": self._evolution(),
        }

    def _evolution(self) -> dict[str, Any] | None:
        if self.evolution is None:
            return None
        return {
            "times": self.evolution.times[0].tolist(),
            "events": self.evolution.events[0].tolist(),
            "entropy": self.evolution.entropy[0].tolist(),
            "categories": dict(
                zip(
                    self.categories,
                    self.evolution.category_probabilities[0].T.tolist(),
                    strict=True,
                )
            ),
            "shares": dict(zip(self.shares, self.evolution.line_shares[0].T.tolist(), strict=True)),
        }


def overview(asked: Asked) -> Overview:
    """Reads the distribution and the parts of a user's interests."""
    from tfrec.models.build import category_matrix

    shares = category_matrix(asked.data)
    found = distribution(
        asked.readings,
        asked.reader.catalogue,
        asked.temperature,
        top_k=1,
        item_categories=shares,
        removed=None if asked.keep_seen else asked.history,
    )
    parts = disentangle(asked.readings, found, half_life_days(asked.reader.model))
    evolution = None
    if asked.timed and asked.history.num_events:
        # Where something happened, and then the moment of the request.
        times = np.unique(np.append(default_times(asked.history)[0], asked.time))
        evolution = evolve(
            asked.reader,
            asked.history,
            asked.temperature,
            times,
            shares,
            seen=not asked.keep_seen,
        )
    return Overview(asked, found, category_names(asked.data), parts, evolution)
