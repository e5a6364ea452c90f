"""From the tuning options to what the training loop takes, and what a tuning leaves in the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfrec.atomic import write_text, written
from tfrec.console import count, import_tensorflow, say, size
from tfrec.data.batches import TrainingBatches
from tfrec.data.prepared import PreparedData
from tfrec.errors import UserError
from tfrec.text.catalogue_vectors import VECTORS, catalogue_texts
from tfrec.text.encoder import Encoder, TextEncoder
from tfrec.text.opening import open_to_tune
from tfrec.text.options import HUB, TextConfig
from tfrec.text.tuning.adapters import save_adapters
from tfrec.text.tuning.batches import TextBatches
from tfrec.text.tuning.options import TuningConfig
from tfrec.text.tuning.tokens import tokenize_catalogue
from tfrec.text.tuning.weights import trained_weights
from tfrec.training.loop import Batches
from tfrec.training.objective import Objective
from tfrec.training.options import TrainingConfig
from tfrec.training.text_optimizer import with_encoder
from tfrec.training.text_tuning import TunedObjective, TunedTexts

ADAPTERS, TUNED = "adapters.safetensors", "encoder"
# Of the encoder that a run began with.
_BEGUN = "encoder.sha256"


class Learning(NamedTuple):
    """What `tfrec.training.loop.fit` takes first: one that is trained, and all that trains it."""

    model: Any
    optimizer: Any
    objective: Objective
    batches: Batches
    validate: Callable[[], dict[str, float]]


def with_texts(
    learning: Learning,
    batches: TrainingBatches,
    data: PreparedData,
    text: TextConfig,
    tuning: TuningConfig,
    epochs: int,
    run: Path,
) -> Learning:
    """The learning of a ledger, with the encoder of its texts. Call it under the strategy.

    Arguments:
        learning: of the ledger alone.
        batches: of events, those of `learning`.
        data, text: as `catalogue_vectors` takes them.
        tuning: what is trained of the encoder, and how.
        epochs: of the whole training.
        run: the run folder.

    Raises:
        UserError: the encoder cannot be read or has no such layers, is another one than this run
            began with, or no item has a text.
    """
    encoder = open_to_tune(text)
    _must_be_the_same(encoder, text.text_encoder, run / _BEGUN)
    whole = _size(encoder.variables)
    weights = trained_weights(encoder, tuning)
    tokens = tokenize_catalogue(catalogue_texts(data, text), encoder.tokenizer)
    if not tokens.lengths.any():
        raise UserError("--text-tuning needs texts: those of all items are empty")
    model = TunedTexts(learning.model, encoder, weights, tokens, text.text_batch_size)
    with_tokens = TextBatches(batches, tokens, tuning.text_items)
    trained = _size(weights)
    say(
        f"encoder: {count(whole)} weights ({size(4 * whole)}), {count(trained)} "
        f"({trained / whole:.2%}) trained by {tuning.text_tuning}, {size(12 * trained)} of "
        f"gradients and moments; {count(with_tokens.texts_per_step)} texts of up to "
        f"{tokens.width} tokens per step"
    )
    optimizer = with_encoder(
        learning.optimizer,
        len(learning.model.trainable_variables),
        encoder,
        weights,
        tuning,
        epochs * batches.steps_per_epoch,
    )
    return Learning(
        model,
        optimizer,
        TunedObjective(learning.objective),
        with_tokens,
        model.validation(learning.validate),
    )


def compilable(training: TrainingConfig, strategy: Any) -> TrainingConfig:
    """The same options; XLA, which cannot compile where replicas meet, off if there are some.

    Raises:
        UserError: XLA is asked for.
    """
    if strategy.num_replicas_in_sync == 1:
        return training
    if training.xla == "on":
        raise UserError(
            "--text-tuning on several replicas cannot be compiled: leave out --xla on, or train on "
            "one"
        )
    return dataclasses.replace(training, xla="off")


def keep(model: TunedTexts, text: TextConfig, tuning: TuningConfig, run: Path) -> None:
    """Writes the tuned encoder, its LoRA matrices, and the vectors that it gives.

    Raises:
        UserError: they cannot be written.
    """
    if tuning.text_tuning == "lora" and isinstance(model.encoder, Encoder):
        save_adapters(model.encoder, tuning, run / ADAPTERS)
    model.encoder.save(run / TUNED)
    try:
        with written(run / VECTORS) as file:
            np.save(file, model.reader.tower.texts.numpy())
    except OSError as error:
        raise UserError(f"cannot write {run / VECTORS}: {error.strerror}") from None
    say(f"encoder: {tuned_encoder(text, run)}, for --text-encoder of python -m tfrec.train")


def tuned_encoder(text: TextConfig, run: Path) -> str:
    """What --text-encoder calls the encoder that `keep` left in a run."""
    return (HUB if text.text_encoder.startswith(HUB) else "") + str(run / TUNED)


def _must_be_the_same(encoder: TextEncoder, where: str, path: Path) -> None:
    """A run that goes on elsewhere than it began would learn nonsense."""
    fingerprint = encoder.fingerprint
    if not path.exists():
        write_text(path, fingerprint + "\n")
    elif path.read_text(encoding="utf-8").strip() != fingerprint:
        raise UserError(
            f"{where} is not the encoder that {path.parent} began with: put it back, or start a "
            "new run"
        )


def _size(weights: list[Any]) -> int:
    """How many numbers take part in a vector: neither seeds nor BERT's dense layer on top do."""
    tf = import_tensorflow()
    others = ("seed_generator", "pooled_dense")
    paths = [getattr(weight, "path", weight.name) for weight in weights]
    numbers = [
        weight
        for weight, path in zip(weights, paths, strict=True)
        if not any(name in path for name in others)
    ]
    return sum(int(tf.size(weight)) for weight in numbers)
