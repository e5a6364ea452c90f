"""What is left of a reading once its events are summed: small enough to meet many items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from tfrec.data.sequences import Float32, Int32, Int64
from tfrec.interest.reading import Catalogue, Readings


@dataclass(frozen=True)
class UserSide:
    """N users, the counterpart of `Catalogue`: every line of an item is a product of the two.

    Attributes:
        facets: u_f = g_f Σ_s a_fs v_fs, [N, K, d].
        graded: the same with every event multiplied by its grade e_s − habit, [N, K, d].
        crowd: κ in the column of the request's period, [N, W].
        habit: the user's own level of strength, [N].
        liking: whose product with an item's vector adds to its strength, [N, 16].
        context: [N, d], or None when the model has no residual line.
    """

    facets: Float32
    graded: Float32
    crowd: Float32
    habit: Float32
    liking: Float32
    context: Float32 | None

    @classmethod
    def of(cls, readings: Readings) -> UserSide:
        """Sums the events of every user."""
        graded = np.einsum(
            "nkl,nl,nlkd->nkd", readings.weights, readings.grades, readings.values, optimize=True
        )
        return cls(
            facets=readings.facets(),
            graded=np.asarray(graded * readings.gates[..., None], np.float32),
            crowd=readings.conformity[:, None] * readings.period,
            habit=readings.habit,
            liking=readings.liking.sum(axis=1),
            context=readings.context,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[UserSide]) -> UserSide:
        """One after the other; at least one part."""
        columns: dict[str, Any] = {
            field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)
        }
        joined: Any = {
            name: None if values[0] is None else np.concatenate(values)
            for name, values in columns.items()
        }
        return cls(**joined)

    def __len__(self) -> int:
        return len(self.facets)

    def take(self, rows: slice | Int64) -> UserSide:
        """The chosen users, in the chosen order."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        taken: Any = {k: None if v is None else v[rows] for k, v in columns.items()}
        return UserSide(**taken)

    def facet_lines(self, catalogue: Catalogue, items: Int32) -> Float32:
        """Σ_s c_fs(i): int [N, M] -> [N, M, K]."""
        return _product(self.facets, catalogue.blocks[items])

    def graded_lines(self, catalogue: Catalogue, items: Int32) -> Float32:
        """Σ_s (e_s − habit) c_fs(i): int [N, M] -> [N, M, K]."""
        return _product(self.graded, catalogue.blocks[items])

    def crowd_line(self, catalogue: Catalogue, items: Int32) -> Float32:
        """κ·lp_i(t): int [N, M] -> [N, M]."""
        popularity = catalogue.popularity.T[items]  # [N, M, W]
        return np.asarray(np.einsum("nw,nmw->nm", self.crowd, popularity), np.float32)

    def scores(self, catalogue: Catalogue, items: Int32) -> Float32:
        """The ranking score s(u, i, t): int [N, M] -> [N, M]."""
        score = self.facet_lines(catalogue, items).sum(axis=-1)
        score += catalogue.quality[items]
        score += self.crowd_line(catalogue, items)
        if self.context is not None and catalogue.context is not None:
            score += np.einsum("nd,nmd->nm", self.context, catalogue.context[items])
        return np.asarray(score, np.float32)


def _product(users: Float32, blocks: Float32) -> Float32:
    return np.asarray(np.einsum("nkd,nmkd->nmk", users, blocks, optimize=True), np.float32)
