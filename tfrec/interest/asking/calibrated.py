"""The user's list with the categories of the history in their proportions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrec.data.sequences import Bool
from tfrec.errors import UserError
from tfrec.interest.asking.asked import Asked
from tfrec.interest.calibrated_list import calibrated_list, history_categories
from tfrec.interest.distribution import distribution
from tfrec.interest.explanation import ItemName, item_names
from tfrec.interest.reranking import category_divergence, list_distribution
from tfrec.models.build import category_matrix, category_names

# Of these most probable items the list is chosen.
CANDIDATES = 100


@dataclass(frozen=True)
class Calibrated:
    """A list that weighs probability against categories, see `rerank`.

    Attributes:
        strength: λ.
        names: of the items, best first.
        ranks: of the same by probability alone, 1 = most probable.
        categories: name -> share in the history, in the list by probability, in this list.
        divergences: C_KL in nats of the list by probability and of this list.
    """

    strength: float
    names: list[ItemName]
    ranks: list[int]
    categories: Mapping[str, tuple[float, float, float]]
    divergences: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Plain Python values."""
        return {
            "lambda": self.strength,
            "list": [
                {"item": name.item, "title": name.title, "rank_before": rank}
                for name, rank in zip(self.names, self.ranks, strict=True)
            ],
            "categories": {
                name: dict(zip(("history", "before", "after"), shares, strict=True))
                for name, shares in self.categories.items()
            },
            "divergence": dict(zip(("before", "after"), self.divergences, strict=True)),
        }


def calibrate(asked: Asked, strength: float, blocked: Bool, top: int) -> Calibrated:
    """Chooses `top` of the most probable items by λ.

    Arguments:
        asked: the user.
        strength: λ, 0 (by probability) to 1 (by categories alone).
        blocked: items that must not come, [I].
        top: length of the list.

    Raises:
        UserError: λ is out of range, or the catalogue has no categories.
    """
    if not 0 <= strength <= 1:
        raise UserError(f"--calibrate {strength:g} must be from 0 to 1")
    shares = category_matrix(asked.data)
    if shares is None:
        raise UserError("--calibrate needs categories; the catalogue of this run has none")
    found = distribution(
        asked.readings,
        asked.reader.catalogue,
        asked.temperature,
        min(max(CANDIDATES, top), asked.data.num_items),
        blocked=blocked,
        removed=None if asked.keep_seen else asked.history,
    )
    history = history_categories(asked.readings, shares)
    plain = found.items[:, :top]
    listed = calibrated_list(found, history, shares, plain.shape[1], strength)
    chosen = listed[0][listed[0] >= 0]
    place = np.argsort(found.items[0], kind="stable")
    ranks = place[np.searchsorted(found.items[0], chosen, sorter=place)] + 1
    before, after = (list_distribution(some, shares) for some in (plain, listed))
    return Calibrated(
        strength,
        item_names(asked.data, chosen),
        ranks.tolist(),
        {
            name: (float(history[0, c]), float(before[0, c]), float(after[0, c]))
            for c, name in enumerate(category_names(asked.data))
        },
        (
            float(category_divergence(history, before)[0]),
            float(category_divergence(history, after)[0]),
        ),
    )
