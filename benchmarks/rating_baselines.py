"""Ratings predicted without a sequence: biases, and biased matrix factorisation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.data.cases import Cases
from tfrec.data.sequences import Int64, Sequences

Float64 = npt.NDArray[np.float64]


@dataclass(eq=False)
class RatingMF:
    """r(u, i) = μ + a_u + b_i + <p_u, q_i>, by alternating ridge regressions over the ratings.

    Koren, Bell & Volinsky, "Matrix factorization techniques for recommender systems", IEEE
    Computer 2009, eq. 4, with a penalty that grows with the number of ratings, λ n_u (|p_u|² +
    a_u²), as in Zhou et al., "Large-scale parallel collaborative filtering for the Netflix prize",
    AAIM 2008. For a case, the user's part is solved once more on the case's history: it knows all
    that the ledger knows of the user. `dim` 0 leaves the biases.
    """

    dim: int
    penalty: float
    rounds: int = 12
    seed: int = 0
    mean: float = field(init=False)
    _items: Float64 = field(init=False, repr=False)  # [I, dim + 1], last is b_i

    def fit(self, train: Sequences, num_items: int) -> RatingMF:
        user, item, rating = ratings_of(train)
        self.mean = float(rating.mean())
        random = np.random.default_rng(self.seed)
        self._items = 0.1 * random.normal(size=(num_items, self.dim + 1))
        self._items[:, -1] = 0
        of_user, of_item = _rows_of(user, len(train)), _rows_of(item, num_items)
        for _ in range(self.rounds):
            users = self._solve(of_user, self._items, item, rating)
            self._items = self._solve(of_item, users, user, rating)
        return self

    def predict(self, cases: Cases) -> Float64:
        """The rating of every target, [T]."""
        user, item, rating = ratings_of(cases.histories)
        users = self._solve(_rows_of(user, len(cases)), self._items, item, rating)
        users, targets = users[cases.target_cases()], self._items[cases.targets]
        together = (users[:, :-1] * targets[:, :-1]).sum(axis=1)
        predicted: Float64 = self.mean + users[:, -1] + targets[:, -1] + together
        return predicted

    def _solve(
        self, rows_of: list[Int64], others: Float64, other: Int64, rating: Float64
    ) -> Float64:
        """Vectors and biases of one side that are best for those of the other."""
        features = np.append(others[:, :-1], np.ones((len(others), 1)), axis=1)
        left = rating - self.mean - others[other, -1]
        out = np.zeros((len(rows_of), self.dim + 1))
        for number, rows in enumerate(rows_of):
            if len(rows):
                x = features[other[rows]]
                system = x.T @ x
                system[np.diag_indices_from(system)] += self.penalty * len(rows)
                out[number] = np.linalg.solve(system, x.T @ left[rows])
        return out


def ratings_of(sequences: Sequences) -> tuple[Int64, Int64, Float64]:
    """Sequence number, item and rating of every event that has a rating."""
    rows = sequences.event_rows()
    strength: Any = sequences.columns.strength
    rating = strength[rows].astype(np.float64)
    known = ~np.isnan(rating)
    user = np.repeat(np.arange(len(sequences)), sequences.lengths)
    return user[known], sequences.columns.item[rows].astype(np.int64)[known], rating[known]


def _rows_of(group: Int64, count: int) -> list[Int64]:
    order = np.argsort(group, kind="stable")
    return np.split(order, np.cumsum(np.bincount(group, minlength=count))[:-1])
