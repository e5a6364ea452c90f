"""ScaNN's index of a catalogue (Guo et al., "Accelerating Large-Scale Inference with Anisotropic
Vector Quantization", ICML 2020)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from export.graph.catalogue import Catalogue
from tfrec.errors import UserError

_ROUNDS = 12
_NUMBERS_PER_CODE = 2


def train_scann(catalogue: Catalogue, leaves: int) -> Any:
    """Groups the items into leaves and makes codes of them.

    Arguments:
        catalogue: the items.
        leaves: how many.

    Returns:
        A tf.Module that a searcher is made of inside a graph.

    Raises:
        UserError: ScaNN is not installed.
    """
    try:
        from scann.scann_ops.py import scann_ops
    except ImportError as error:
        raise UserError(
            f"--index scann cannot be used here: {error}; pip install 'tfrec[scann]'"
        ) from None
    builder = scann_ops.builder(tf.transpose(catalogue.matrix.whole()), 1, "dot_product")
    builder.tree(leaves, 1, training_iterations=_ROUNDS)
    return builder.score_ah(_NUMBERS_PER_CODE).build().serialize_to_module()
