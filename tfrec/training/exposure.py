"""Which categories get shown, and towards which mix that is to be pulled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.data.sequences import Float32
from tfrec.errors import UserError


def exposure_target(
    mix: Mapping[str, str], names: Sequence[str], item_categories: npt.NDArray[np.floating]
) -> Float32:
    """The wanted share of every category, and last of items without one.

    Arguments:
        mix: category -> share as the user wrote it. What the shares leave of 1 goes to the
            categories that are not named, in proportion to their part of the catalogue.
        names: categories, C.
        item_categories: rows are an item's shares of categories, [I, C].

    Returns:
        float32 [C + 1], sums to 1.

    Raises:
        UserError: there are no categories, one is unknown, a share is no number, or they make
            more than 1.

    Example:
        >>> exposure_target({"film": "0.2"}, ["film", "book"], np.eye(2)).round(3)
        array([0.2, 0.8, 0. ], dtype=float32)
    """
    if not len(names):
        raise UserError("--exposure-mix needs categories, and this catalogue has none")
    of_catalogue = np.asarray(with_rest(item_categories, np)).mean(axis=0)
    wanted = np.full(len(names) + 1, np.nan)
    for name, text in mix.items():
        if name not in names:
            raise UserError(
                f"--exposure-mix: there is no category {name!r}; there are {', '.join(names)}"
            )
        try:
            wanted[list(names).index(name)] = float(text)
        except ValueError:
            raise UserError(f"--exposure-mix: {name}={text} is not a number") from None
    named = ~np.isnan(wanted)
    total = wanted[named].sum()
    rest = of_catalogue[~named].sum()
    if (wanted[named] < 0).any() or total > 1 + 1e-9 or (total < 1 - 1e-9 and not rest):
        raise UserError(
            f"--exposure-mix: the shares make {total:g}; they must not be negative and make 1 or, "
            "with other categories left, less"
        )
    wanted[~named] = (1 - total) * of_catalogue[~named] / max(rest, 1e-9)
    return wanted.astype(np.float32)


def with_rest(shares: Any, library: Any) -> Any:
    """Shares [N, C] and what they leave of 1, [N, C + 1]; `library` is numpy or keras.ops."""
    rest = library.maximum(1.0 - library.sum(shares, axis=-1, keepdims=True), 0.0)
    return library.concatenate([shares, rest], axis=-1)


def group_probabilities(
    states: Any, matrix: Any, item_categories: Any, batch: Mapping[str, Any]
) -> Any:
    """Probability of each category at one random request of every row, float [B, C + 1].

    Arguments:
        states: [B, L, S]. matrix: [I, S]. item_categories: [I, C].
        batch: needs `weights` and `uniforms`, both [B, L].
    """
    from keras import ops

    real = ops.cast(batch["weights"] > 0, "float32")
    place = ops.argmax(batch["uniforms"] * real, axis=1)
    state = ops.take_along_axis(states, place[:, None, None], axis=1)[:, 0]
    scores = ops.cast(ops.matmul(state, ops.transpose(matrix)), "float32")
    return ops.matmul(ops.softmax(scores), with_rest(item_categories, ops))
