"""Weights of topics against a plain loop over requests and events."""

from __future__ import annotations

import numpy as np
import pytest

from tfrec.models.topic_weights import LASTING_DAYS, SPEED, TopicWeights

TOPICS, LENGTH = 2, 5


@pytest.fixture(scope="module")
def layer() -> TopicWeights:
    made = TopicWeights(TOPICS, num_actions=3)
    made.build()
    random = np.random.default_rng(0)
    for weight in made.trainable_variables:
        weight.assign(random.normal(0, 0.3, weight.shape))
    return made


def inputs() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    times = np.sort(random.uniform(0, 9, (1, LENGTH)))
    mask = np.tril(np.ones((1, LENGTH, LENGTH), bool))
    mask[:, 3:, :3] = False  # a second history begins
    return {
        "ages": np.maximum(times[:, :, None] - times[:, None, :] + 0.5, 0).astype(np.float32),
        "actions": random.integers(0, 3, (1, LENGTH)),
        "strengths": random.normal(size=(1, LENGTH)).astype(np.float32),
        "mask": mask,
    }


def test_weights_are_the_loop(layer: TopicWeights) -> None:
    given = inputs()
    found = np.asarray(layer(*given.values()))[0]
    by_action, by_strength = np.asarray(layer.by_action), np.asarray(layer.by_strength)
    lives = np.exp(SPEED * np.asarray(layer.log_half_life))
    for topic in range(TOPICS):
        for t in range(LENGTH):
            known = [s for s in range(LENGTH) if given["mask"][0, t, s]]

            def event(s: int, facet: int) -> float:
                at = by_action[given["actions"][0, s], facet]
                return float(np.exp(at + given["strengths"][0, s] * by_strength[facet]))

            total = np.exp(float(layer.level[topic, 0, 0])) + sum(event(s, topic) for s in known)
            for s in range(LENGTH):
                taste = event(s, topic) / total if s in known else 0.0
                pull = 0.0
                if s in known:
                    left = 2 ** -(given["ages"][0, t, s] / lives[topic])
                    pull = event(s, TOPICS + topic) * left
                assert found[topic, t, s] == pytest.approx(taste, rel=1e-4)
                assert found[TOPICS + topic, t, s] == pytest.approx(pull, rel=1e-4, abs=1e-9)


def test_a_pull_is_half_after_its_half_life(layer: TopicWeights) -> None:
    given = inputs()
    lives = np.asarray(layer.half_life_days())
    assert lives[:TOPICS].tolist() == [LASTING_DAYS] * TOPICS
    before = np.asarray(layer(*given.values()))
    for topic in range(TOPICS, 2 * TOPICS):
        aged = given | {"ages": given["ages"] + lives[topic]}
        later = np.asarray(layer(*aged.values()))
        np.testing.assert_allclose(later[:, topic], before[:, topic] / 2, rtol=1e-4)
        np.testing.assert_allclose(later[:, :TOPICS], before[:, :TOPICS], rtol=1e-5)
