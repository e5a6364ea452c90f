"""A finished run opened again: its data, its split, and the model with the best weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tfrec.errors import UserError
from tfrec.run import CHECKPOINTS, RunConfig, load_data

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData
    from tfrec.data.splits import Split
    from tfrec.models.build import SequenceModel


class Trained(NamedTuple):
    """epoch: the one that the weights are from, counted from 1."""

    data: PreparedData
    split: Split
    model: SequenceModel
    epoch: int


def load_trained(run: Path, config: RunConfig) -> Trained:
    """Restores the best weights of a run.

    Raises:
        UserError: the run has no weights yet, or its data cannot be read.
    """
    import numpy as np

    from tfrec.data.item_vectors import kept_vectors
    from tfrec.data.splits import load_split
    from tfrec.models.build import build_model
    from tfrec.text.catalogue_vectors import VECTORS, text_vectors
    from tfrec.text.users import kept_user_texts
    from tfrec.training import checkpoint, loop, setup

    weights = run / CHECKPOINTS / loop.BEST
    if not weights.exists():
        raise UserError(
            f"{run} has no trained weights yet; finish its training with "
            f"python -m tfrec.train --resume {run}"
        )
    data = load_data(run, config)
    split = load_split(run, data)
    setup.seed_everything(config.training)
    users = kept_user_texts(data, config.text, run)
    vectors, texts = kept_vectors(run), text_vectors(run)
    if texts is not None and texts.shape[:1] != (data.num_items,):
        raise UserError(
            f"{run / VECTORS} has the shape {texts.shape}, but the run has {data.num_items} items: "
            "it is of another run"
        )
    model = build_model(
        config.model,
        data,
        split.train(),
        texts,
        users,
        None if vectors is None else vectors.values,
    )
    # Behind the model's own stand those of the encoder of its texts, if it was tuned.
    best = checkpoint.restore(weights, model.variables, leading=config.tuning.tunes)
    for variable in model.variables:
        if not np.isfinite(variable.numpy()).all():
            raise UserError(
                f"{weights} holds numbers that are not finite, in {variable.path}: train again, "
                "with a lower --learning-rate if that is where they came from"
            )
    return Trained(data, split, model, best["epoch"] + 1)


def with_own_encoder(run: Path, config: RunConfig) -> RunConfig:
    """The config of a finished run, with the encoder that its text vectors are of.

    That is the run's own where it tuned one.
    """
    from tfrec.training.text_setup import tuned_encoder

    if not config.tuning.tunes:
        return config
    return replace(config, text=replace(config.text, text_encoder=tuned_encoder(config.text, run)))
