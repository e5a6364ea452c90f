"""Disentangling losses against loops written from the papers' formulas."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from tests.training.loss_checks import agrees, value_and_gradients
from tfrec.training.disentangling_losses import (
    block_independence,
    conformity_pairs,
    facet_balance,
    long_short_contrast,
)

B, L, D, M = 2, 3, 4, 3


def bpr(x: float) -> float:
    return float(-np.log(1 / (1 + np.exp(-x))))


def weights(*shape: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(9).random(shape).astype(np.float32)
    drawn.flat[0] = 0
    return drawn / drawn.sum()


# ---- long and short ------------------------------------------------------------------------------


def interests() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    names = ("interest", "own_proxy", "other_proxy")
    drawn = {name: rng.normal(size=(B, L, D)).astype(np.float32) for name in names}
    return drawn | {"weights": weights(B, L)}


def contrast_formula(interest, own_proxy, other_proxy, weights):  # type: ignore[no-untyped-def]
    total = 0.0
    for b in range(B):
        for t in range(L):
            u, own, other = interest[b, t], own_proxy[b, t], other_proxy[b, t]
            total += weights[b, t] * bpr(u @ own - u @ other)
    return total


def test_contrast_is_its_formula() -> None:
    wanted = ["interest", "own_proxy", "other_proxy"]
    agrees(long_short_contrast, contrast_formula, interests(), wanted)


def test_contrast_pulls_an_interest_to_its_own_proxy() -> None:
    inputs = interests()
    _, gradients = value_and_gradients(long_short_contrast, inputs, ["interest"])
    real = inputs["weights"] > 0
    towards = np.sum(-gradients["interest"] * (inputs["own_proxy"] - inputs["other_proxy"]), -1)
    assert (towards[real] > 0).all()
    assert not gradients["interest"][~real].any()


# ---- interest and conformity ---------------------------------------------------------------------


def pairs() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "interest_positive": rng.normal(size=(B, L)).astype(np.float32),
        "interest_negative": rng.normal(size=(B, L, M)).astype(np.float32),
        "crowd_positive": rng.normal(size=(B, L)).astype(np.float32),
        "crowd_negative": rng.normal(size=(B, L, M)).astype(np.float32),
        "more_popular": rng.random((B, L, M)) < 0.5,
        "weights": weights(B, L),
    }


SCORES = ["interest_positive", "interest_negative", "crowd_positive", "crowd_negative"]


def conformity_formula(  # type: ignore[no-untyped-def]
    interest_positive, interest_negative, crowd_positive, crowd_negative, more_popular, weights
):
    total = 0.0
    for b in range(B):
        for t in range(L):
            for m in range(M):
                if more_popular[b, t, m]:
                    loss = bpr(interest_positive[b, t] - interest_negative[b, t, m])
                    loss += bpr(crowd_negative[b, t, m] - crowd_positive[b, t])
                else:
                    loss = bpr(crowd_positive[b, t] - crowd_negative[b, t, m])
                total += weights[b, t] * loss / M
    return total


def test_conformity_is_its_formula() -> None:
    agrees(conformity_pairs, conformity_formula, pairs(), SCORES)


def test_only_a_more_popular_negative_teaches_interest() -> None:
    inputs = pairs()
    _, gradients = value_and_gradients(conformity_pairs, inputs, SCORES)
    real = inputs["weights"][..., None] > 0
    against, along = inputs["more_popular"] & real, ~inputs["more_popular"] & real
    assert (gradients["interest_negative"][against] > 0).all()  # descent lowers the negative
    assert not gradients["interest_negative"][along].any()
    assert (gradients["crowd_negative"][against] < 0).all()
    assert (gradients["crowd_negative"][along] > 0).all()


@pytest.mark.parametrize(
    ("loss", "inputs"), [(long_short_contrast, interests()), (conformity_pairs, pairs())]
)
def test_two_replicas_sum_to_one(loss, inputs) -> None:  # type: ignore[no-untyped-def]
    parts = [loss(**{name: x[b : b + 1] for name, x in inputs.items()}) for b in range(B)]
    assert float(sum(parts)) == pytest.approx(float(loss(**inputs)), rel=1e-5)


def test_half_precision_comes_close_and_sums_in_float32() -> None:
    inputs = interests()
    half = {n: tf.cast(x, "bfloat16") if n != "weights" else x for n, x in inputs.items()}
    value = long_short_contrast(**half)
    assert value.dtype == tf.float32
    assert float(value) == pytest.approx(float(long_short_contrast(**inputs)), rel=0.02)


# ---- independent blocks --------------------------------------------------------------------------


def distance_correlation(x, y):  # type: ignore[no-untyped-def]
    """Székely et al. 2007, entry by entry."""

    def centred(points):  # type: ignore[no-untyped-def]
        n = len(points)
        a = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                a[i, j] = np.sqrt(((points[i] - points[j]) ** 2).sum())
        result = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                result[i, j] = a[i, j] - a[i].mean() - a[:, j].mean() + a.mean()
        return result

    a, b = centred(x), centred(y)
    return np.sqrt((a * b).mean() / np.sqrt((a * a).mean() * (b * b).mean()))


def independence_formula(blocks):  # type: ignore[no-untyped-def]
    k = blocks.shape[1]
    return float(
        np.mean(
            [
                distance_correlation(blocks[:, f], blocks[:, g])
                for f in range(k)
                for g in range(f + 1, k)
            ]
        )
    )


@pytest.mark.parametrize("scale", [0.02, 50.0])
def test_independence_is_its_formula(scale: float) -> None:
    rng = np.random.default_rng(2)
    blocks = rng.normal(size=(6, 3, 2))
    blocks[:, 1] += 0.5 * blocks[:, 0] ** 2
    blocks = (scale * blocks + 1).astype(np.float32)
    # A gradient is per unit of the block, so small blocks have large ones.
    agrees(block_independence, independence_formula, {"blocks": blocks}, ["blocks"], 5e-4 / scale)
    expected = independence_formula(blocks.astype(np.float64))
    assert float(block_independence(blocks)) == pytest.approx(expected, abs=1e-4)


def test_a_weight_of_two_is_an_item_twice() -> None:
    blocks = np.random.default_rng(3).normal(size=(6, 2, 3)).astype(np.float32)
    counts = np.array([1, 2, 0, 3, 1, 1])
    repeated = independence_formula(np.repeat(blocks, counts, axis=0).astype(np.float64))
    share = (counts / counts.sum()).astype(np.float32)
    assert float(block_independence(blocks, share)) == pytest.approx(repeated, abs=1e-3)
    assert float(block_independence(blocks, 0.5 * share)) == pytest.approx(repeated / 2, abs=1e-3)
    assert float(block_independence(blocks, 0 * share)) == 0


@pytest.mark.parametrize("kind", ["all items equal", "some items equal", "one block constant"])
def test_gradient_is_finite_at_coincident_points(kind: str) -> None:
    blocks = np.random.default_rng(4).normal(size=(6, 3, 2)).astype(np.float32) + 3.3
    if kind == "all items equal":
        blocks[:] = blocks[0]
    elif kind == "some items equal":
        blocks[1:4] = blocks[0]
    else:
        blocks[:, 0] = blocks[0, 0]
    value, gradients = value_and_gradients(
        block_independence, {"blocks": blocks}, ["blocks"], xla=True
    )
    assert np.isfinite(gradients["blocks"]).all()
    assert 0 <= value <= 1
    if kind == "all items equal":
        assert value == 0
    if kind == "one block constant":  # of three pairs two have correlation 0
        others = distance_correlation(*np.moveaxis(blocks[:, 1:].astype(np.float64), 1, 0))
        assert value == pytest.approx(others / 3, abs=1e-3)


def test_descent_makes_dependent_blocks_independent() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(64, 1, 2)).astype(np.float32)
    blocks = np.concatenate([x, x + 0.1 * rng.normal(size=x.shape).astype(np.float32)], axis=1)
    start = float(block_independence(blocks))
    moved = tf.Variable(blocks)
    for _ in range(30):
        with tf.GradientTape() as tape:
            value = block_independence(moved)
        moved.assign_sub(5.0 * tf.convert_to_tensor(tape.gradient(value, moved)))
    assert start > 0.9
    assert float(block_independence(moved)) < 0.5 * start


# ---- balance -------------------------------------------------------------------------------------


def balance_formula(shares, weights, floor):  # type: ignore[no-untyped-def]
    mean = np.zeros(shares.shape[1])
    for n in range(len(shares)):
        mean += weights[n] * shares[n]
    entropy = -sum(p * np.log(p) for p in mean)
    return max(0.0, floor * np.log(len(mean)) - entropy)


def test_balance_is_its_formula() -> None:
    rng = np.random.default_rng(6)
    shares = rng.dirichlet([3.0, 0.3, 0.3, 0.1], size=5).astype(np.float32)
    inputs = {"shares": shares, "weights": weights(5), "floor": 0.9}
    agrees(
        lambda shares, weights, floor: facet_balance(shares, weights, 0.9),
        balance_formula,
        inputs,
        ["shares"],
    )


def test_balance_feeds_an_unused_facet_and_leaves_balanced_ones_alone() -> None:
    unused = {"shares": np.array([[0.9, 0.1, 0.0]], np.float32), "weights": np.ones(1, np.float32)}
    _, gradients = value_and_gradients(facet_balance, unused, ["shares"], xla=True)
    assert np.isfinite(gradients["shares"]).all()
    assert gradients["shares"].argmin() == 2  # descent raises the unused facet most
    shares = np.eye(3, dtype=np.float32)  # every user on one facet, all facets in use
    assert float(facet_balance(shares, np.full(3, 1 / 3, np.float32))) == 0
    assert float(facet_balance(shares, np.zeros(3, np.float32))) >= 0


# ---- mistakes ------------------------------------------------------------------------------------


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"own_proxy must be \(2, 3, 4\), got \(2, 3, 5\)"):
        long_short_contrast(**interests() | {"own_proxy": np.zeros((2, 3, 5), np.float32)})
    with pytest.raises(ValueError, match="crowd_negative"):
        conformity_pairs(**pairs() | {"crowd_negative": np.zeros((2, 3, 9), np.float32)})
    with pytest.raises(ValueError, match=r"at most 512 items.*\(513, 2, 1\)"):
        block_independence(np.zeros((513, 2, 1), np.float32))
    with pytest.raises(ValueError, match=r"at least 2 blocks.*\(5, 1, 1\)"):
        block_independence(np.zeros((5, 1, 1), np.float32))
    with pytest.raises(ValueError, match="shares"):
        facet_balance(np.zeros((2, 3), np.float32), np.zeros(5, np.float32))
