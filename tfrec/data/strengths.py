"""How the strengths of a log are spread: whether they are grades, on what scale, and by item."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Float32, Sequences

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

MAX_GRADES = 20
# Typical events that stand beside those of an item or a user when their mean is taken.
PRIOR_EVENTS = 5.0
_ROUNDS = 10


class StrengthScale(NamedTuple):
    """From strengths to standardised strengths, z.

    logarithmic: whether z is taken of sign(y)·log1p|y|, as of counts and times, or of y itself, as
    of grades. mean, deviation: of what it is taken of; deviation above 0.

    Example:
        >>> StrengthScale(False, 3.0, 2.0).standardised(np.array([5.0, 1.0])).tolist()
        [1.0, -1.0]
    """

    logarithmic: bool
    mean: float
    deviation: float

    def standardised(self, strengths: Floats) -> Float64:
        """z, of the same shape; NaN stays NaN."""
        y = np.asarray(strengths, np.float64)
        y = _logarithm(y) if self.logarithmic else y
        return np.asarray((y - self.mean) / self.deviation)


def grade_values(strengths: Float32) -> Float64 | None:
    """The distinct strengths if they are 2 to 20 whole or half numbers, rising; else None.

    Example:
        >>> grade_values(np.array([1, 4, 2.5, 4], np.float32)).tolist()
        [1.0, 2.5, 4.0]
    """
    values = np.unique(strengths[~np.isnan(strengths)]).astype(np.float64)
    if 2 <= len(values) <= MAX_GRADES and (2 * values % 1 == 0).all():
        return values
    return None


def strength_scale(train: Sequences) -> StrengthScale:
    """The scale on which the training events have mean 0 and standard deviation 1.

    Where all strengths are the same, and where there are none, the deviation is 1.
    """
    if train.columns.strength is None:
        return StrengthScale(True, 0.0, 1.0)
    strengths = np.asarray(train.columns.strength[train.event_rows()])
    strengths = strengths[~np.isnan(strengths)]
    logarithmic = grade_values(strengths) is None
    y = strengths.astype(np.float64)
    if logarithmic:
        y = _logarithm(y)
    if not len(y):
        return StrengthScale(True, 0.0, 1.0)
    deviation = float(y.std())
    return StrengthScale(logarithmic, float(y.mean()), deviation if deviation > 1e-9 else 1.0)


def item_strengths(train: Sequences, num_items: int, scale: StrengthScale) -> Float32:
    """How far the strengths of each item lie above what its users usually give, float32 [I].

    Means of users and of items, taken in turn, each as if `PRIOR_EVENTS` typical events stood
    beside it: γ_i = Σ_u (z − b_u) / (n_i + 5) and b_u = Σ_i (z − γ_i) / (n_u + 5). This is the
    ridge regression of z on both (Koren, "Factorization meets the neighborhood", KDD 2008, §2.1)
    solved by coordinate descent. 0 for items without a strength.

    Arguments:
        train: training events.
        num_items: I.
        scale: of the training events.

    Example:
        >>> from tfrec.data.sequences import Columns
        >>> log = Columns(np.array([0, 1], np.int32), np.arange(2), None, np.float32([2, 1]))
        >>> train = Sequences(np.int32([0]), np.array([0]), np.array([2]), log)
        >>> item_strengths(train, 3, StrengthScale(False, 1.5, 0.5)).round(2)
        array([ 0.17, -0.17,  0.  ], dtype=float32)
    """
    if train.columns.strength is None:
        return np.zeros(num_items, np.float32)
    rows = train.event_rows()
    z = scale.standardised(train.columns.strength[rows])
    known = ~np.isnan(z)
    z, item = z[known], np.asarray(train.columns.item[rows])[known]
    user = np.repeat(np.arange(len(train)), train.lengths)[known]
    of_item = np.bincount(item, minlength=num_items) + PRIOR_EVENTS
    of_user = np.bincount(user, minlength=len(train)) + PRIOR_EVENTS
    by_item, by_user = np.zeros(num_items), np.zeros(len(train))
    for _ in range(_ROUNDS):
        by_item = np.bincount(item, z - by_user[user], minlength=num_items) / of_item
        by_user = np.bincount(user, z - by_item[item], minlength=len(train)) / of_user
    return by_item.astype(np.float32)


def _logarithm(y: Float64) -> Float64:
    return np.asarray(np.sign(y) * np.log1p(np.abs(y)))
