"""A loaded SavedModel that is asked with arrays, and the arrays of stored messages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Array = npt.NDArray[Any]
Tensors = dict[str, Array]

# Of one number, and of the difference that is still the same answer.
TOLERANCE = 1e-4


class Model:
    """A SavedModel's signatures.

    Arguments:
        folder: of the version.
    """

    def __init__(self, folder: Path) -> None:
        self._loaded = tf.saved_model.load(str(folder))
        self.signatures: Mapping[str, Any] = self._loaded.signatures

    def ask(self, signature: str, inputs: Mapping[str, Array]) -> Tensors:
        """The outputs by name."""
        fed = {name: tf.constant(array) for name, array in inputs.items()}
        return {name: value.numpy() for name, value in self.signatures[signature](**fed).items()}

    def input_types(self, signature: str) -> dict[str, Any]:
        """Input name -> NumPy dtype; strings are object."""
        specs = self.signatures[signature].structured_input_signature[1]
        return {name: spec.dtype.as_numpy_dtype for name, spec in specs.items()}

    def facets(self, signature: str) -> int:
        """K of the input facet_gain [B, K]."""
        spec = self.signatures[signature].structured_input_signature[1]["facet_gain"]
        return int(spec.shape[1])


def difference(found: Array, expected: Array) -> float:
    """The largest |found - expected| / max(1, |expected|); infinite where shapes or texts differ.

    Example:
        >>> difference(np.array([1.0, 200.0]), np.array([1.0, 202.0]))
        0.009900990099009901
    """
    if found.shape != expected.shape or (found.dtype.kind in "OSU") != (
        expected.dtype.kind in "OSU"
    ):
        return float("inf")
    if expected.dtype.kind in "OSUb":
        return 0.0 if (found == expected).all() else float("inf")
    a, b = found.astype(np.float64), expected.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0.0, np.abs(a - b) / np.maximum(1.0, np.abs(b)))
    return float(np.where(np.isnan(gaps), np.inf, gaps).max(initial=0.0))
