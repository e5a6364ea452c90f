"""The exposure loss pulls lists towards the wanted mix, and says what it cannot read."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_ledger import small
from tests.training.test_ledger_objective import config, training_batch
from tfrec.errors import UserError
from tfrec.training.exposure import exposure_target, group_probabilities
from tfrec.training.ledger_objective import LedgerObjective
from tfrec.training.losses import full_cross_entropy

NAMES = ["a", "b", "c", "d"]
SHARES = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]])


def test_what_is_not_named_is_shared_as_in_the_catalogue() -> None:
    target = exposure_target({"a": "0.4"}, NAMES, SHARES)
    # Left of 1: .6, for b (half an item), c (one), d (none) and items without a category (one).
    np.testing.assert_allclose(target, [0.4, 0.12, 0.24, 0, 0.24], atol=1e-6)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"e": "0.1"}, "no category 'e'; there are a, b, c, d"),
        ({"a": "half"}, "a=half is not a number"),
        ({"a": "0.7", "b": "0.7"}, "the shares make 1.4"),
        ({"a": "-0.1"}, "must not be negative"),
    ],
)
def test_a_mix_that_cannot_be(mix: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        exposure_target(mix, NAMES, SHARES)


def test_exposure_moves_to_the_wanted_mix() -> None:
    model, batch = small(dropout=0.0, id_dropout=0.0), training_batch()
    target = exposure_target({"cat": "0.45"}, ["cat", *NAMES[1:]], model.tower.categories.numpy())
    objective = LedgerObjective(
        full_cross_entropy(keep_seen=False), config(exposure_loss=1.0), exposure_target=target
    )
    objective.start_epoch(0)
    optimizer = tf.keras.optimizers.Adam(0.01)

    def shown() -> float:
        matrix = model.item_matrix()
        groups = group_probabilities(model(batch), matrix, model.tower.categories, batch)
        return float(tf.reduce_mean(groups, axis=0)[0])

    before = shown()
    for _ in range(60):
        with tf.GradientTape() as tape:
            terms = objective(model, batch)
            loss = terms["exposure"]
        gradients = tape.gradient(loss, model.trainable_variables)
        pairs = zip(gradients, model.trainable_variables, strict=True)
        optimizer.apply_gradients([pair for pair in pairs if pair[0] is not None])
    assert before < 0.35
    assert shown() == pytest.approx(0.45, abs=0.03)
