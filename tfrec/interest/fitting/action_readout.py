"""Which action an engagement will be: view, click or buy, given that there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Float32, Int32, Sequences
from tfrec.interest.reading import Catalogue
from tfrec.interest.strength_lines import StrengthWeights, strength_scores
from tfrec.interest.user_side import UserSide

Float64 = npt.NDArray[np.float64]
Actions = npt.NDArray[np.integer]

# An item's own rates count as if so many typical events had happened to it too.
PRIOR_EVENTS = 10.0
# Penalty on coefficients of features of standard deviation 1, in events.
_RIDGE = 10.0


@dataclass(frozen=True, eq=False)
class ActionReadout:
    """P(action k | engaged) = softmax_k(intercept_k + Σ_j features_j · coefficients_jk).

    The features are lines of the ledger, so each action's logit is additive over the same events
    and facets as the score. With it, the chance that an item is taken *by* action k is
    P(engaged) · P(k | engaged), as pCTCVR = pCTR · pCVR in Ma et al., "Entire Space Multi-Task
    Model", SIGIR 2018 (arXiv 1804.07931), eq. 1: consistent over all actions by construction.

    Attributes:
        coefficients: float64 [K + 3 + A, A], features as `action_features` orders them.
        intercept: float64 [A].
        rates: how much oftener than typical each item is met by each action, as a logarithm,
            float32 [I, A].
    """

    coefficients: Float64
    intercept: Float64
    rates: Float32

    def given_engaged(self, features: Float32) -> Float64:
        """P(action | engaged), float64 [..., A], of `action_features` [..., K + 3 + A]."""
        from scipy.special import softmax

        logits = features.astype(np.float64) @ self.coefficients + self.intercept
        return np.asarray(softmax(logits, axis=-1))

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays for `np.savez`."""
        return {
            "coefficients": self.coefficients,
            "intercept": self.intercept,
            "rates": self.rates,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """From what `to_arrays` gave; KeyError if a name is missing."""
        return cls(
            arrays["coefficients"].astype(np.float64),
            arrays["intercept"].astype(np.float64),
            arrays["rates"].astype(np.float32),
        )


def action_features(
    users: UserSide, catalogue: Catalogue, weights: StrengthWeights, rates: Float32, items: Int32
) -> Float32:
    """What an action is told from: facet sums [K], quality, crowd, strength z, item rates [A].

    Arguments:
        users: N users. catalogue, weights: of the same model.
        rates: [I, A], see `item_rates`.
        items: int [N, M].

    Returns:
        float32 [N, M, K + 3 + A].
    """
    scalars = [
        catalogue.quality[items],
        users.crowd_line(catalogue, items),
        strength_scores(users, catalogue, weights, items),
    ]
    parts = [users.facet_lines(catalogue, items), np.stack(scalars, axis=-1), rates[items]]
    return np.asarray(np.concatenate(parts, axis=-1), np.float32)


def item_rates(train: Sequences, num_items: int, num_actions: int) -> Float32:
    """log P(action | item) / P(action) over the training events, shrunken, float32 [I, A]."""
    columns, rows = train.columns, train.event_rows()
    if columns.action is None:
        raise ValueError("the training sequences have no actions")
    cell = columns.item[rows] * np.int64(num_actions) + columns.action[rows]
    counts = np.bincount(cell, minlength=num_items * num_actions).reshape(num_items, num_actions)
    typical = (counts.sum(axis=0) + 1.0) / (counts.sum() + num_actions)
    events = counts.sum(axis=1, keepdims=True)
    rate = (counts + PRIOR_EVENTS * typical) / (events + PRIOR_EVENTS)
    return np.asarray(np.log(rate / typical), np.float32)


def fit_actions(features: Float32, actions: Actions, rates: Float32) -> ActionReadout:
    """Multinomial logistic regression with a light ridge; convex, so the fit is the only one.

    Arguments:
        features: [N, K + 3 + A], N at least 1.
        actions: [N], 0 … A - 1; an action that never occurs gets a small probability.
        rates: [I, A].
    """
    from scipy.optimize import minimize

    count, num_actions = len(features), rates.shape[1]
    x = features.astype(np.float64)
    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread[spread < 1e-9] = 1.0
    x = (x - centre) / spread
    # Half an event more for each action: finite logits for those that never occur.
    chosen = np.eye(num_actions)[actions]
    smoothed = (count * chosen + 0.5 / num_actions) / (count + 0.5)
    shape = (x.shape[1] + 1, num_actions)

    def loss(parameters: Float64) -> tuple[float, Float64]:
        weights = parameters.reshape(shape)
        return multinomial_loss(weights, x, smoothed)

    found = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}
    )
    weights = found.x.reshape(shape)
    coefficients = weights[:-1] / spread[:, None]
    return ActionReadout(coefficients, weights[-1] - centre @ coefficients, rates)


def multinomial_loss(weights: Float64, x: Float64, targets: Float64) -> tuple[float, Float64]:
    """Mean cross-entropy plus ridge, and its gradient, flat.

    Arguments:
        weights: [F + 1, A], the last row without penalty is the intercept.
        x: [N, F].
        targets: [N, A], rows sum to 1.
    """
    from scipy.special import log_softmax

    logs = log_softmax(x @ weights[:-1] + weights[-1], axis=1)
    ridge = _RIDGE / len(x)
    value = -(targets * logs).sum() / len(x) + 0.5 * ridge * (weights[:-1] ** 2).sum()
    error = (np.exp(logs) - targets) / len(x)
    gradient = np.vstack([x.T @ error + ridge * weights[:-1], error.sum(axis=0)])
    return float(value), gradient.ravel()
