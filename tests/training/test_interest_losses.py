"""Losses of the read-outs against loops written from the papers' formulas."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from tests.training.loss_checks import agrees, value_and_gradients
from tfrec.training.interest_losses import (
    exposure_divergence,
    pointwise_calibration,
    strength_huber,
)

B, L, M, G = 2, 3, 4, 5
Inputs = dict[str, Any]


def weights(*shape: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(9).random(shape).astype(np.float32)
    drawn.flat[0] = 0
    return drawn / drawn.sum()


def normal(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def over_examples(loss, weights):  # type: ignore[no-untyped-def]
    return sum(weights[b, t] * loss(b, t) for b in range(B) for t in range(L))


# ---- strength ------------------------------------------------------------------------------------


def strengths() -> Inputs:
    target = 2 * normal(1, B, L)
    target[1, 1] = np.nan
    return {"predicted": normal(0, B, L), "target": target, "weights": weights(B, L)}


def huber_formula(predicted, target, weights, delta):  # type: ignore[no-untyped-def]
    def loss(b, t):  # type: ignore[no-untyped-def]
        r = abs(predicted[b, t] - target[b, t])
        if np.isnan(r):
            return 0.0
        return r**2 / 2 if r <= delta else delta * (r - delta / 2)

    return over_examples(loss, weights)


def test_huber_is_its_formula_and_ignores_missing_targets() -> None:
    delta = 0.8  # some errors are below, some above
    agrees(
        lambda predicted, target, weights: strength_huber(predicted, target, weights, delta),
        lambda predicted, target, weights: huber_formula(predicted, target, weights, delta),
        strengths(),
        ["predicted"],
    )


def test_huber_pulls_to_the_target_with_bounded_force() -> None:
    inputs = strengths() | {"weights": np.ones((B, L), np.float32)}
    inputs["target"][0, 0] = 1e6
    _, gradients = value_and_gradients(strength_huber, inputs, ["predicted"], xla=True)
    seen = ~np.isnan(inputs["target"])
    toward = np.sign(inputs["target"] - inputs["predicted"])
    assert (np.sign(-gradients["predicted"])[seen] == toward[seen]).all()
    assert gradients["predicted"][0, 0] == -1
    assert gradients["predicted"][1, 1] == 0


# ---- calibration ---------------------------------------------------------------------------------


def lists() -> Inputs:
    return {
        "positive": 2 * normal(3, B, L),
        "negatives": 2 * normal(4, B, L, M),
        "weights": weights(B, L),
    }


def test_calibration_is_its_formula() -> None:
    def formula(positive, negatives, weights):  # type: ignore[no-untyped-def]
        def loss(b, t):  # type: ignore[no-untyped-def]
            negative = sum(np.log(1 - expit(s)) for s in negatives[b, t]) / M
            return -np.log(expit(positive[b, t])) - 2.5 * negative

        return over_examples(loss, weights)

    agrees(
        lambda positive, negatives, weights: pointwise_calibration(
            positive, negatives, weights, negative_weight=2.5
        ),
        formula,
        lists(),
        ["positive", "negatives"],
    )


def test_the_best_score_is_the_probability_of_being_taken() -> None:
    """One score for all: the gradient is 0 at σ(s) = 1 / (1 + negative_weight) and nowhere else."""
    for shift, sign in ((-0.1, -1), (0.0, 0), (0.1, 1)):
        score = np.full((1, 1), -np.log(3.0) + shift, np.float32)

        def loss(score, weights):  # type: ignore[no-untyped-def]
            return pointwise_calibration(score, score[..., None], weights, negative_weight=3.0)

        inputs = {"score": score, "weights": np.ones((1, 1), np.float32)}
        _, gradients = value_and_gradients(loss, inputs, ["score"])
        assert np.sign(np.round(gradients["score"].item(), 5)) == sign


def test_calibration_raises_the_positive_and_lowers_the_negatives() -> None:
    inputs = lists() | {"weights": np.ones((B, L), np.float32)}
    _, gradients = value_and_gradients(pointwise_calibration, inputs, ["positive", "negatives"])
    assert (gradients["positive"] < 0).all()
    assert (gradients["negatives"] > 0).all()


# ---- exposure ------------------------------------------------------------------------------------


def exposures() -> Inputs:
    rng = np.random.default_rng(8)
    return {
        "probabilities": rng.dirichlet(np.ones(3), size=6).astype(np.float32),
        "target": np.array([0.7, 0.3, 0.0], np.float32),
        "weights": weights(6),
    }


@pytest.mark.parametrize("smoothing", [0.0, 0.01])
def test_exposure_is_its_formula(smoothing: float) -> None:
    def formula(probabilities, target, weights):  # type: ignore[no-untyped-def]
        shown = sum(weights[n] * probabilities[n] for n in range(6))
        mixed = (1 - smoothing) * shown + smoothing * target
        return sum(p * np.log(p / q) for p, q in zip(target, mixed, strict=True) if p > 0)

    agrees(
        lambda probabilities, target, weights: exposure_divergence(
            probabilities, target, weights, smoothing
        ),
        formula,
        exposures(),
        ["probabilities"],
    )


def test_exposure_is_zero_on_target_and_feeds_what_is_missing() -> None:
    target = np.array([0.5, 0.5], np.float32)
    split = np.eye(2, dtype=np.float32)  # only the mean has to be on target
    on_target = exposure_divergence(split, target, np.full(2, 0.5, np.float32))
    assert float(on_target) == pytest.approx(0, abs=1e-6)
    starved = {"probabilities": np.array([[1.0, 0.0]], np.float32), "target": target}
    value, gradients = value_and_gradients(
        exposure_divergence,
        starved | {"weights": np.ones(1, np.float32)},
        ["probabilities"],
        xla=True,
    )
    assert np.isfinite(value)
    assert np.isfinite(gradients["probabilities"]).all()
    assert gradients["probabilities"][0, 1] < gradients["probabilities"][0, 0] < 0


# ---- all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "inputs"), [(strength_huber, strengths()), (pointwise_calibration, lists())]
)
def test_two_replicas_sum_to_one(loss, inputs) -> None:  # type: ignore[no-untyped-def]
    parts = [loss(**{name: x[b : b + 1] for name, x in inputs.items()}) for b in range(B)]
    assert float(sum(parts)) == pytest.approx(float(loss(**inputs)), rel=1e-5)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"target must be \(2, 3\), got \(2, 4\)"):
        strength_huber(**strengths() | {"target": np.zeros((2, 4), np.float32)})
    with pytest.raises(ValueError, match="delta must be above 0, got 0"):
        strength_huber(**strengths(), delta=0)
    with pytest.raises(ValueError, match=r"negatives must be \(2, 3, 4\), got \(2, 4\)"):
        pointwise_calibration(**lists() | {"negatives": np.zeros((2, 4), np.float32)})
    with pytest.raises(ValueError, match=r"probabilities must be \(6, 2\), got \(6, 3\)"):
        exposure_divergence(**exposures() | {"target": np.full(2, 0.5, np.float32)})
    with pytest.raises(ValueError, match="smoothing must be from 0 to below 1, got 1"):
        exposure_divergence(**exposures(), smoothing=1)
