"""A user as one vector: what SASRec and the two towers make of a history."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from export.graph.catalogue import Catalogue
from export.graph.history import Events, read


class SequenceUser(NamedTuple):
    """state: float32 [B, S]; its product with an item vector is the score."""

    state: Any


class SequenceReader:
    """Reads histories with a model that knows items and their order.

    Arguments:
        model: see `tfrec.models.build.SequenceModel`.
        catalogue: its items.
    """

    def __init__(self, model: Any, catalogue: Catalogue) -> None:
        self._model = model
        self._catalogue = catalogue

    def read(self, events: Events) -> SequenceUser:
        """The state after the newest event."""
        tokens = read(events, self._model.max_length).tokens
        tokens["items"] = self._catalogue.rows(tokens["items"])
        states = self._model(tokens, training=False)
        return SequenceUser(tf.cast(states[:, -1], tf.float32))
