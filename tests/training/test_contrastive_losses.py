"""Contrastive losses against loops written from the papers' formulas."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.loss_checks import agrees, value_and_gradients
from tfrec.training.contrastive_losses import info_nce, topic_supervision

N, D, K, C = 5, 3, 3, 4
Inputs = dict[str, NDArray[np.float32]]


# ---- two views -----------------------------------------------------------------------------------


def views() -> Inputs:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(N, D)).astype(np.float32)
    return {"a": a, "b": (a + 0.5 * rng.normal(size=(N, D))).astype(np.float32)}


def cosine(x, y):  # type: ignore[no-untyped-def]
    return x @ y / np.sqrt((x @ x) * (y @ y))


def nce_formula(a, b, weights, temperature):  # type: ignore[no-untyped-def]
    real = [n for n in range(len(a)) if weights[n] > 0]
    total = 0.0
    for n in real:
        for anchor, others in ((a[n], b), (b[n], a)):
            scores = {m: np.exp(cosine(anchor, others[m]) / temperature) for m in real}
            total -= weights[n] * np.log(scores[n] / sum(scores.values())) / 2
    return total


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_info_nce_is_its_formula(temperature: float) -> None:
    agrees(
        lambda a, b: info_nce(a, b, temperature),
        lambda a, b: nce_formula(a, b, np.full(N, 1 / N), temperature),
        views(),
        ["a", "b"],
    )


def test_a_row_of_weight_zero_is_nowhere() -> None:
    weights = np.array([0.1, 0.0, 0.4, 0.3, 0.2], np.float32)
    agrees(
        lambda a, b, weights: info_nce(a, b, 0.2, weights),
        lambda a, b, weights: nce_formula(a, b, weights, 0.2),
        views() | {"weights": weights},
        ["a", "b"],
    )
    garbage = views()
    garbage["a"][1], garbage["b"][1] = 1e6, 0
    value, gradients = value_and_gradients(
        lambda a, b, weights: info_nce(a, b, 0.2, weights),
        garbage | {"weights": weights},
        ["a", "b"],
        xla=True,
    )
    assert value == pytest.approx(float(info_nce(**views(), temperature=0.2, weights=weights)))
    assert not gradients["a"][1].any()
    assert not gradients["b"][1].any()
    assert float(info_nce(**views(), temperature=0.2, weights=np.zeros(N, np.float32))) == 0


def test_info_nce_is_symmetric_and_blind_to_length() -> None:
    inputs = views()
    value = float(info_nce(**inputs, temperature=0.1))
    assert float(info_nce(inputs["b"], inputs["a"], 0.1)) == pytest.approx(value, rel=1e-5)
    assert float(info_nce(100 * inputs["a"], inputs["b"], 0.1)) == pytest.approx(value, rel=1e-4)


def test_info_nce_pulls_pairs_together_and_stays_finite() -> None:
    inputs = views()
    _, gradients = value_and_gradients(lambda a, b: info_nce(a, b, 0.1), inputs, ["a"])
    moved = inputs["a"] - 0.01 * gradients["a"]

    def lead(a):  # type: ignore[no-untyped-def]
        """How much nearer, in the mean, a row is to its own view than to the others."""
        own = np.mean([cosine(a[n], inputs["b"][n]) for n in range(N)])
        return own - np.mean([cosine(x, y) for x in a for y in inputs["b"]])

    assert lead(moved) > lead(inputs["a"])
    inputs["a"][0] = 0  # an item without a text vector
    value, gradients = value_and_gradients(lambda a, b: info_nce(a, b, 1e-3), inputs, ["a", "b"])
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients.values())


# ---- topics --------------------------------------------------------------------------------------


def topics() -> Inputs:
    rng = np.random.default_rng(1)
    categories = rng.dirichlet(np.ones(C), size=N).astype(np.float32)
    categories[1] = [0, 1, 0, 0]
    categories[2] = 0
    return {
        "topics": rng.dirichlet(np.ones(K), size=N).astype(np.float32),
        "category_given_topic_logits": rng.normal(size=(K, C)).astype(np.float32),
        "categories": categories,
    }


def topic_formula(topics, category_given_topic_logits, categories, weights=None):  # type: ignore[no-untyped-def]
    losses = []
    for n in range(N):
        mixture = np.zeros(C)
        for k in range(K):
            exponentials = np.exp(category_given_topic_logits[k])
            mixture += topics[n, k] * exponentials / exponentials.sum()
        losses.append(-sum(categories[n, c] * np.log(mixture[c]) for c in range(C)))
    if weights is not None:
        return sum(w * loss for w, loss in zip(weights, losses, strict=True))
    known = [loss for n, loss in enumerate(losses) if categories[n].any()]
    return sum(known) / len(known)


def test_topics_are_their_formula() -> None:
    agrees(topic_supervision, topic_formula, topics(), ["topics", "category_given_topic_logits"])
    weights = np.array([0.1, 0.2, 0.3, 0.4, 0.0], np.float32)
    agrees(topic_supervision, topic_formula, topics() | {"weights": weights}, ["topics"])


def test_an_item_moves_to_the_topic_of_its_category() -> None:
    inputs = {
        "topics": np.full((2, 2), 0.5, np.float32),
        "category_given_topic_logits": np.array([[4.0, 0.0], [0.0, 4.0]], np.float32),
        "categories": np.array([[1.0, 0.0], [0.0, 0.0]], np.float32),
    }
    wanted = ["topics", "category_given_topic_logits"]
    _, gradients = value_and_gradients(topic_supervision, inputs, wanted)
    assert gradients["topics"][0, 0] < gradients["topics"][0, 1]
    assert not gradients["topics"][1].any()
    assert gradients["category_given_topic_logits"][0, 0] < 0


def test_no_categories_at_all_and_shares_of_zero() -> None:
    inputs = topics()
    assert float(topic_supervision(**inputs | {"categories": np.zeros((N, C), np.float32)})) == 0
    inputs["topics"] = np.eye(N, K, dtype=np.float32)
    inputs["category_given_topic_logits"] *= 200
    wanted = ["topics", "category_given_topic_logits"]
    value, gradients = value_and_gradients(topic_supervision, inputs, wanted, xla=True)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients.values())


# ---- mistakes ------------------------------------------------------------------------------------


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"b must be \(5, 3\), got \(4, 3\)"):
        info_nce(views()["a"], views()["b"][:4], 0.1)
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        info_nce(**views(), temperature=0)
    with pytest.raises(ValueError, match=r"weights must be \(5,\), got \(2,\)"):
        info_nce(**views(), temperature=1, weights=np.zeros(2, np.float32))
    with pytest.raises(ValueError, match=r"topics must be \(5, 3\), got \(5, 9\)"):
        topic_supervision(**topics() | {"topics": np.zeros((N, 9), np.float32)})
