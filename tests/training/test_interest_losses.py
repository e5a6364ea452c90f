"""Losses of the read-outs against loops written from the papers' formulas."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from tests.training.loss_checks import agrees, value_and_gradients
from tfrec.training.interest_losses import (
    entire_space,
    exposure_divergence,
    ordinal_nll,
    pointwise_calibration,
    regression_compatible,
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


# ---- grades --------------------------------------------------------------------------------------


def grades() -> Inputs:
    return {
        "scores": 2 * normal(2, B, L),
        "thresholds": np.array([-2.0, -0.5, 0.3, 2.0], np.float32),
        "grades": np.array([[-1, 0, 4], [1, 2, 3]], np.int32),  # −1 has weight 0
        "weights": weights(B, L),
    }


def ordinal_formula(scores, thresholds, grades, weights):  # type: ignore[no-untyped-def]
    def loss(b, t):  # type: ignore[no-untyped-def]
        cumulative = [0.0, *(expit(theta - scores[b, t]) for theta in thresholds), 1.0]
        grade = max(grades[b, t], 0)
        return -np.log(cumulative[grade + 1] - cumulative[grade])

    return over_examples(loss, weights)


def test_ordinal_is_its_formula() -> None:
    agrees(ordinal_nll, ordinal_formula, grades(), ["scores", "thresholds"])


def test_ordinal_likelihoods_sum_to_one() -> None:
    thresholds = grades()["thresholds"]
    for score in (-3.0, 0.1, 4.0):
        one = np.array([[score]], np.float32)
        nll = [float(ordinal_nll(one, thresholds, [[g]], [[1.0]])) for g in range(G)]
        assert np.exp(-np.array(nll)).sum() == pytest.approx(1, rel=1e-5)


def test_ordinal_pushes_the_score_towards_the_grade() -> None:
    inputs = grades() | {
        "scores": np.zeros((1, 2), np.float32),
        "grades": np.array([[0, 4]], np.int32),
        "weights": np.ones((1, 2), np.float32),
    }
    _, gradients = value_and_gradients(ordinal_nll, inputs, ["scores"])
    assert gradients["scores"][0, 0] > 0 > gradients["scores"][0, 1]


@pytest.mark.parametrize("score", [-1e4, -200.0, 200.0, 1e4])
def test_ordinal_is_exact_in_the_tails(score: float) -> None:
    """P(grade 2) is about exp(−distance to the nearest threshold) · (1 − exp(−width))."""
    inputs = grades() | {
        "scores": np.full((1, 1), score, np.float32),
        "grades": np.array([[2]], np.int32),
        "weights": np.ones((1, 1), np.float32),
    }
    value, gradients = value_and_gradients(ordinal_nll, inputs, ["scores", "thresholds"], xla=True)
    distance = score - 0.3 if score > 0 else -0.5 - score
    assert value == pytest.approx(distance - np.log(1 - np.exp(-0.8)), rel=1e-5)
    assert gradients["scores"].item() == pytest.approx(np.sign(score))
    assert np.isfinite(gradients["thresholds"]).all()


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


def test_regression_compatible_is_its_formula() -> None:
    def formula(positive, negatives, weights):  # type: ignore[no-untyped-def]
        def loss(b, t):  # type: ignore[no-untyped-def]
            chosen = expit(positive[b, t])
            return -np.log(chosen / (chosen + sum(expit(s) for s in negatives[b, t])))

        return over_examples(loss, weights)

    agrees(regression_compatible, formula, lists(), ["positive", "negatives"])


def test_both_raise_the_positive_and_lower_the_negatives() -> None:
    for loss in (pointwise_calibration, regression_compatible):
        inputs = lists() | {"weights": np.ones((B, L), np.float32)}
        _, gradients = value_and_gradients(loss, inputs, ["positive", "negatives"])
        assert (gradients["positive"] < 0).all()
        assert (gradients["negatives"] > 0).all()


def test_both_share_their_minimum() -> None:
    """Equal scores at the base rate: neither loss has a gradient left over many such lists."""
    rng = np.random.default_rng(5)
    taken = rng.integers(0, M + 1, 2000)
    counts = np.bincount(taken, minlength=M + 1) / len(taken)
    # Items are taken with probability `counts`; their calibrated scores are logit(counts).
    score = np.log(counts / (1 - counts)).astype(np.float32)
    gradient = np.zeros(M + 1)
    for item in range(M + 1):
        others = np.delete(np.arange(M + 1), item)
        inputs = {
            "positive": score[None, [item]],
            "negatives": score[None, None, others],
            "weights": np.full((1, 1), counts[item], np.float32),
        }
        _, by = value_and_gradients(regression_compatible, inputs, ["positive", "negatives"])
        gradient[item] += by["positive"].item()
        gradient[others] += by["negatives"].ravel()
    assert np.abs(gradient).max() < 1e-5


# ---- views and purchases -------------------------------------------------------------------------


def funnel() -> Inputs:
    viewed = np.array([[1, 1, 0], [1, 0, 1]], np.float32)
    bought = np.array([[1, 0, 0], [1, 1, 0]], np.float32)  # bought without a view does not count
    return {
        "view_logits": normal(6, B, L),
        "buy_given_view_logits": normal(7, B, L),
        "viewed": viewed,
        "bought": bought,
        "weights": weights(B, L),
    }


LOGITS = ["view_logits", "buy_given_view_logits"]


def test_entire_space_is_its_formula() -> None:
    def formula(view_logits, buy_given_view_logits, viewed, bought, weights):  # type: ignore[no-untyped-def]
        def cross_entropy(y, p):  # type: ignore[no-untyped-def]
            return -np.log(p) if y else -np.log(1 - p)

        def loss(b, t):  # type: ignore[no-untyped-def]
            p, q = expit(view_logits[b, t]), expit(buy_given_view_logits[b, t])
            return cross_entropy(viewed[b, t], p) + cross_entropy(
                viewed[b, t] and bought[b, t], p * q
            )

        return over_examples(loss, weights)

    agrees(entire_space, formula, funnel(), LOGITS)


def test_entire_space_learns_purchases_from_what_was_not_viewed_too() -> None:
    inputs = funnel() | {"weights": np.ones((B, L), np.float32)}
    _, gradients = value_and_gradients(entire_space, inputs, LOGITS)
    bought = (inputs["viewed"] * inputs["bought"]).astype(bool)
    assert (gradients["buy_given_view_logits"][bought] < 0).all()
    assert (gradients["buy_given_view_logits"][~bought] > 0).all()
    assert (gradients["view_logits"][inputs["viewed"] == 0] > 0).all()


@pytest.mark.parametrize("view", [-300.0, 0.0, 300.0])
@pytest.mark.parametrize("buy", [-300.0, 0.0, 300.0])
def test_entire_space_does_not_overflow(view: float, buy: float) -> None:
    inputs = funnel() | {
        "view_logits": np.full((B, L), view, np.float32),
        "buy_given_view_logits": np.full((B, L), buy, np.float32),
        "weights": np.ones((B, L), np.float32),
    }
    value, gradients = value_and_gradients(entire_space, inputs, LOGITS)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients.values())
    # One event, neither viewed nor bought: −log(1 − p) − log(1 − p q), in float64.
    expected = np.logaddexp(0, view) - np.logaddexp(
        -np.logaddexp(0, view), -np.logaddexp(0, -view) - np.logaddexp(0, buy)
    )
    one = [[0.0]]
    value = entire_space([[view]], [[buy]], one, one, [[1.0]])
    assert float(value) == pytest.approx(expected, rel=1e-5, abs=1e-6)


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
    ("loss", "inputs", "shared"),
    [
        (strength_huber, strengths(), ()),
        (ordinal_nll, grades(), ("thresholds",)),
        (pointwise_calibration, lists(), ()),
        (regression_compatible, lists(), ()),
        (entire_space, funnel(), ()),
    ],
)
def test_two_replicas_sum_to_one(loss, inputs, shared) -> None:  # type: ignore[no-untyped-def]
    parts = [
        loss(**{name: x if name in shared else x[b : b + 1] for name, x in inputs.items()})
        for b in range(B)
    ]
    assert float(sum(parts)) == pytest.approx(float(loss(**inputs)), rel=1e-5)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"target must be \(2, 3\), got \(2, 4\)"):
        strength_huber(**strengths() | {"target": np.zeros((2, 4), np.float32)})
    with pytest.raises(ValueError, match="delta must be above 0, got 0"):
        strength_huber(**strengths(), delta=0)
    with pytest.raises(ValueError, match="thresholds"):
        ordinal_nll(**grades() | {"thresholds": np.zeros((2, 2), np.float32)})
    with pytest.raises(ValueError, match=r"negatives must be \(2, 3, 4\), got \(2, 4\)"):
        regression_compatible(**lists() | {"negatives": np.zeros((2, 4), np.float32)})
    with pytest.raises(ValueError, match="bought"):
        entire_space(**funnel() | {"bought": np.zeros((2, 1), np.float32)})
    with pytest.raises(ValueError, match=r"probabilities must be \(6, 2\), got \(6, 3\)"):
        exposure_divergence(**exposures() | {"target": np.full(2, 0.5, np.float32)})
    with pytest.raises(ValueError, match="smoothing must be from 0 to below 1, got 1"):
        exposure_divergence(**exposures(), smoothing=1)
