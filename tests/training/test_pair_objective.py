"""The loss of item pairs: against loops written from the formula, alone and on two replicas."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.loss_checks import agrees, value_and_gradients
from tfrec.training.pair_objective import TEMPERATURE, pair_loss

ROWS, DIM = 8, 3
Inputs = dict[str, NDArray[np.float32]]


def rows() -> Inputs:
    rng = np.random.default_rng(0)
    apart = rng.random((ROWS, ROWS)) < 0.6
    numbers = np.arange(ROWS)
    apart[numbers, numbers] = apart[numbers, numbers ^ 1] = False
    return {
        "vectors": rng.normal(size=(ROWS, DIM)).astype(np.float32),
        "negatives": apart.astype(np.float32),
        "weights": rng.dirichlet(np.ones(ROWS)).astype(np.float32),
    }


def formula(vectors, negatives, weights):  # type: ignore[no-untyped-def]
    def similarity(a, b):  # type: ignore[no-untyped-def]
        return np.exp(a @ b / np.sqrt((a @ a) * (b @ b)) / TEMPERATURE)

    total = 0.0
    for n, vector in enumerate(vectors):
        right = similarity(vector, vectors[n ^ 1])
        wrong = sum(similarity(vector, vectors[m]) for m in range(ROWS) if negatives[n, m])
        total -= weights[n] * np.log(right / (right + wrong))
    return total


def loss(vectors, negatives, weights):  # type: ignore[no-untyped-def]
    return pair_loss(vectors, vectors, negatives > 0, weights)


def test_the_loss_is_its_formula() -> None:
    agrees(loss, formula, rows(), ["vectors"])


def test_it_is_blind_to_length_and_finite_for_no_vector_and_no_negative() -> None:
    inputs = rows()
    value = float(loss(**inputs))
    assert float(loss(**inputs | {"vectors": 50 * inputs["vectors"]})) == pytest.approx(value, 1e-4)
    inputs["vectors"][0] = 0
    inputs["negatives"][2] = 0
    value, gradients = value_and_gradients(loss, inputs, ["vectors"], xla=True)
    assert np.isfinite(value)
    assert np.isfinite(gradients["vectors"]).all()


SCRIPT = """
import json, sys
import numpy as np, tensorflow as tf
from tfrec.training.pair_objective import PairObjective

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
given = {name: np.array(value, np.float32) for name, value in json.load(sys.stdin).items()}

class Table:
    def __init__(self, weight):
        self.weight = weight

    def encode_tokens(self, batch, training):
        assert training
        return tf.tanh(batch["vectors"] @ self.weight)

def gradient(weight, batch):
    batch = batch | {"negatives": batch["negatives"] > 0}
    with tf.GradientTape() as tape:
        value = PairObjective()(Table(weight), batch)["pairs"]
    return value, tape.gradient(value, weight)

found = []
strategies = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for strategy in strategies:
    data = tf.data.Dataset.from_tensors(given).unbatch().batch(len(given["weights"]))
    with strategy.scope():
        weight = tf.Variable(tf.eye(given["vectors"].shape[1]) + 0.1)
    batch = next(iter(strategy.experimental_distribute_dataset(data)))
    both = tf.function(lambda: strategy.run(gradient, args=(weight, batch)))()
    found.append([strategy.reduce("SUM", x, axis=None).numpy().tolist() for x in both])
print(json.dumps(found))
"""


def test_two_replicas_see_each_others_texts() -> None:
    inputs = rows()
    told = json.dumps({name: array.tolist() for name, array in inputs.items()})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=told, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    one, two = json.loads(done.stdout.splitlines()[-1])
    moved = np.tanh(inputs["vectors"].astype(float) @ (np.eye(DIM) + 0.1))
    expected = formula(moved, inputs["negatives"], inputs["weights"])
    assert one[0] == pytest.approx(expected, rel=1e-4)
    assert two[0] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(one[1], two[1], rtol=1e-3, atol=1e-5)
