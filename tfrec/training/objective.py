"""What a training step minimises: named terms of one loss."""

from __future__ import annotations

from typing import Any, Protocol

from keras import ops

from tfrec.models.build import SequenceModel
from tfrec.training.losses import Loss

Terms = dict[str, Any]


class Objective(Protocol):
    """(model, batch) -> float32 scalars by name, whose sum is the loss."""

    def start_epoch(self, epoch: int) -> None:
        """Told before each epoch, counted from 0."""

    def __call__(self, model: Any, batch: dict[str, Any]) -> Terms: ...


class RankingObjective:
    """The ranking loss alone: for models that are nothing but states and an item matrix."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def start_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def __call__(self, model: SequenceModel, batch: dict[str, Any]) -> Terms:
        states = model(batch, training=True)
        return {"ranking": self.loss(states, ops.cast(model.item_matrix(), states.dtype), batch)}
