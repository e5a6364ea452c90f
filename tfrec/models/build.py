"""From the model's options and the catalogue to a built Keras model."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tfrec.data.prepared import PreparedData
from tfrec.errors import UserError
from tfrec.models.options import ModelConfig


class SequenceModel(Protocol):
    """What training, evaluation and export need of a model: a Keras model with an item matrix."""

    num_items: int
    max_length: int
    trainable_variables: list[Any]
    variables: list[Any]

    def __call__(self, batch: dict[str, Any], training: bool = False) -> Any:
        """int [B, L] items, segments, positions -> states [B, L, D]."""

    def item_matrix(self) -> Any:
        """[num_items, D]; logits are states · item_matrixᵀ."""


DISPLAY_NAMES = {"sasrec": "SASRec", "two-tower": "Two-tower"}


def build_model(config: ModelConfig, data: PreparedData) -> SequenceModel:
    """A built model with fresh weights.

    Raises:
        UserError: the options do not fit together.
    """
    for name in ("dim", "layers", "heads", "hidden", "max_length"):
        if getattr(config, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1")
    if not 0 <= config.dropout < 1:
        raise UserError(f"--dropout {config.dropout} must be at least 0 and below 1")
    if config.temperature <= 0:
        raise UserError(f"--temperature {config.temperature} must be above 0")
    if config.model == "sasrec" and config.dim % config.heads:
        raise UserError(f"--heads {config.heads} does not divide --dim {config.dim}")

    model: Any
    if config.model == "sasrec":
        from tfrec.models.sasrec import SASRec

        model = SASRec(
            data.num_items,
            config.dim,
            config.layers,
            config.heads,
            config.max_length,
            config.dropout,
        )
    else:
        from tfrec.models.two_tower import TwoTower

        model = TwoTower(
            data.num_items,
            config.dim,
            config.hidden,
            config.max_length,
            config.dropout,
            config.temperature,
            categories=category_matrix(data),
        )
    model.build()
    return model  # type: ignore[no-any-return]


def category_matrix(data: PreparedData) -> npt.NDArray[np.float32] | None:
    """Each item's categories as a distribution, float32 [items, categories]; None without any."""
    import pyarrow.compute as pc

    if "categories" not in data.items.column_names:
        return None
    lists = data.items["categories"].combine_chunks()
    flat = pc.list_flatten(lists).dictionary_encode()
    if not len(flat):
        return None
    rows = pc.list_parent_indices(lists).to_numpy()
    matrix = np.zeros((data.num_items, len(flat.dictionary)), np.float32)
    matrix[rows, flat.indices.to_numpy()] = 1
    matrix /= np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return matrix
