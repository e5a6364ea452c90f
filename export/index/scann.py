"""ScaNN's index of a catalogue, through the layer of TensorFlow Recommenders."""

from __future__ import annotations

import os
from typing import Any

from export.graph.catalogue import Catalogue
from export.graph.scann_search import ScannSearch
from tfrec.errors import UserError

# Items found for every one that is recommended: those of the history are among them.
_OVERFETCH = 4
_AT_LEAST = 256


def make_scann(
    catalogue: Catalogue, leaves: int, probes: int, temperature: float, count: int
) -> ScannSearch:
    """Builds the index.

    Arguments:
        catalogue: the items.
        leaves: lists that they are grouped into. probes: how many of them are read.
        temperature: of the probabilities.
        count: items in a recommendation.

    Raises:
        UserError: TensorFlow Recommenders or ScaNN cannot be used here.
    """
    layer = layers().ScaNN(
        k=min(max(_OVERFETCH * count, _AT_LEAST), catalogue.size),
        num_leaves=leaves,
        num_leaves_to_search=probes,
        parallelize_batch_searches=False,
    )
    layer.index(catalogue.matrix)
    return ScannSearch(catalogue, layer, temperature, count)


def layers() -> Any:
    """tensorflow_recommenders.layers.factorized_top_k, which is written for Keras 2."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # read when tf.keras is first used
    import tensorflow as tf

    try:
        legacy = tf.keras.Model.__module__.startswith("tf_keras.")
        if legacy:
            from scann.scann_ops.py import scann_ops  # noqa: F401  (the next goes on without)
            from tensorflow_recommenders.layers import factorized_top_k
    except ImportError as error:
        raise UserError(
            f"--index scann cannot be used here: {error}; pip install 'tfrec[scann]'"
        ) from None
    if not legacy:
        raise UserError(
            "--index scann needs tf.keras to be Keras 2, and in this process it is Keras 3 "
            "already; run python -m export in a process of its own"
        )
    return factorized_top_k
