"""A ledger and the encoder of its texts, trained together.

The tower keeps a vector per text. A step encodes some texts (see `tfrec.text.tuning.batches`), puts
their vectors into the table and lets the loss read the whole table; the gradient reaches the
encoder through the new vectors, which stand for all. After every epoch, before validation, all
texts are encoded, so what is measured, kept as the best and exported is what the encoder says then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from keras import ops

from tfrec.console import import_tensorflow
from tfrec.models.item_tower import ItemTower
from tfrec.text.encoder import Encoder
from tfrec.text.hub_encoder import HubEncoder
from tfrec.text.tuning.batches import TEXT_ARRAYS
from tfrec.text.tuning.tokens import CatalogueTokens, encode_all
from tfrec.training.objective import Objective, Terms


class ReadsTexts(Protocol):
    """A built Keras model whose item tower has the vectors of the texts: the ledger."""

    tower: ItemTower
    variables: list[Any]
    trainable_variables: list[Any]


class TunedTexts:
    """What `tfrec.training.loop.fit` trains where the encoder is trained too.

    The encoder reads without dropout: a vector in the table means the same in training as after.

    Arguments:
        reader: of the vectors.
        encoder: of the texts.
        weights: those of the encoder that are trained.
        tokens: of the catalogue's texts.
        batch_size: texts per call of the encoder where all of them are encoded.

    Attributes:
        variables: the reader's, then the encoder's trained ones: a run is opened again without
            the encoder.
        trainable_variables: those of both.
    """

    def __init__(
        self,
        reader: ReadsTexts,
        encoder: Encoder | HubEncoder,
        weights: list[Any],
        tokens: CatalogueTokens,
        batch_size: int,
    ) -> None:
        self.reader = reader
        self.encoder = encoder
        self.variables: list[Any] = [*reader.variables, *weights]
        self.trainable_variables: list[Any] = [*reader.trainable_variables, *weights]
        self._tokens = tokens
        self._known = (tokens.lengths > 0).astype(np.float32)
        self._batch_size = batch_size
        # One graph for all batches, whatever their shape.
        self._encode = import_tensorflow().function(encoder.encode_tokens, reduce_retracing=True)

    def table(self, drawn: dict[str, Any]) -> Any:
        """The vectors of all texts, [I, dim], those that are drawn encoded anew.

        Arguments:
            drawn: `TEXT_ARRAYS` of a batch. On several replicas each encodes its own, and all get
                all of them.

        The kept vectors become the new ones.
        """
        flat = {name: ops.reshape(x, (-1, *x.shape[2:])) for name, x in drawn.items()}
        vectors = self.encoder.encode_tokens(flat)
        items, weights = flat["text_items"], flat["text_weights"]
        replica = import_tensorflow().distribute.get_replica_context()
        if replica.num_replicas_in_sync > 1:
            items, weights, vectors = (
                replica.all_gather(x, axis=0) for x in (items, weights, vectors)
            )
        place = items[:, None]
        texts = self.reader.tower.texts
        now = ops.scatter_update(ops.convert_to_tensor(texts), place, ops.stop_gradient(vectors))
        texts.assign(now)

        @ops.custom_gradient
        def of_all(vectors: Any) -> Any:
            def gradient(upstream: Any) -> Any:
                return estimated(upstream, self._known, items, weights)

            return now, gradient

        return of_all(vectors)

    def refresh(self) -> None:
        """Encodes all texts and keeps the vectors."""
        found = encode_all(self._tokens, self._encode, self.encoder.dim, self._batch_size)
        self.reader.tower.texts.assign(found)

    def validation(
        self, validate: Callable[[], dict[str, float]]
    ) -> Callable[[], dict[str, float]]:
        """The same validation, of the encoder as it is then."""

        def fresh() -> dict[str, float]:
            self.refresh()
            return validate()

        return fresh


def estimated(gradients: Any, known: Any, items: Any, weights: Any) -> Any:
    """What stands for the gradient of all texts where only some are there to pass it on.

    Each drawn text gets its own gradient as often as it stands for others. What such a sample lacks
    of the sum over all texts, which is known, or has too much of it, is then shared out: vectors of
    texts have much in common, and there the chance of the draw would drown what they differ in. (A
    difference estimator with the mean as what is known: Särndal et al. 1992, §6.3.)

    Arguments:
        gradients: of every item's vector, [I, dim].
        known: 1 for an item with a text, 0 otherwise, [I].
        items: that are drawn, [N].
        weights: 1 / π of each, 0 for one that only fills up, [N].

    Returns:
        For each drawn text, [N, dim]; the sum is that of all.

    Example:
        >>> gradients = ops.array([[1.0], [2.0], [6.0]])
        >>> found = estimated(gradients, ops.ones(3), ops.array([0, 2]), ops.array([1.0, 3.0]))
        >>> ops.convert_to_numpy(found)[:, 0].tolist()
        [-1.5, 10.5]
    """
    own = weights[:, None] * ops.take(gradients, items, axis=0)
    lacking = ops.sum(known[:, None] * gradients, axis=0) - ops.sum(own, axis=0)
    return own + (weights / ops.sum(weights))[:, None] * lacking


class TunedObjective:
    """An objective on text vectors that have a gradient.

    Arguments:
        objective: of the model that reads them.

    Call arguments:
        model: a `TunedTexts`.
        batch: of `TextBatches`.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def start_epoch(self, epoch: int) -> None:
        """As the objective's."""
        self.objective.start_epoch(epoch)

    def __call__(self, model: TunedTexts, batch: dict[str, Any]) -> Terms:
        events = dict(batch)
        table = model.table({name: events.pop(name) for name in TEXT_ARRAYS})
        with model.reader.tower.reading(table):
            return self.objective(model.reader, events)
