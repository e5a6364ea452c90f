"""The ledger: the model's contract, and its arithmetic against an independent NumPy forward pass."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.models.harness import LENGTH, NUM_ACTIONS, NUM_ITEMS, packed_batch, run_model_checks
from tfrec.models.ledger import Ledger

# Trained by losses of their own, see tests/training/test_ledger_objective.py.
READOUTS = ("engagement_line", "strength_readout", "category_given_topic")


def small(**changes: object) -> Ledger:
    keras.utils.set_random_seed(3)
    options = {
        "dim": 8,
        "layers": 2,
        "heads": 2,
        "max_length": LENGTH,
        "facets": 2,
        "facet_dim": 3,
        "num_actions": NUM_ACTIONS,
        "num_periods": 2,
        "num_categories": 4,
    } | changes
    model = Ledger(NUM_ITEMS, **options)  # type: ignore[arg-type]
    model.build()
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:  # fresh zeros and ones would hide mistakes
        variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    model.set_popularity(
        [0, packed_batch()["times"].max() - 1], rng.normal(0, 1, (2, NUM_ITEMS)).astype("float32")
    )
    if "num_categories" not in changes:
        model.tower.categories.assign(rng.dirichlet(np.ones(4), NUM_ITEMS))
    return model


@pytest.mark.parametrize("weights", ["softmax", "sink", "pointwise"])
@pytest.mark.parametrize("encoder", ["sasrec", "hstu"])
def test_ledger_keeps_every_promise(encoder: str, weights: str, tmp_path: Path) -> None:
    run_model_checks(small(encoder=encoder, weights=weights), tmp_path, READOUTS)


def test_ledger_with_its_residual_line_keeps_every_promise(tmp_path: Path) -> None:
    run_model_checks(small(residual=True, num_categories=0), tmp_path, READOUTS)


def test_ledger_with_topics_keeps_every_promise(tmp_path: Path) -> None:
    run_model_checks(small(facets=3, topics=2), tmp_path, READOUTS)
