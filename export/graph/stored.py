"""Numbers as they lie in the SavedModel. A graph reads them as float32, whatever they lie in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from export.options import Storage

# Smaller weights (biases, norms) stay as they are: they are few and every one of them counts.
_LEAST = 1024
_LARGEST = 127


class Stored:
    """An array of two or more dimensions.

    As int8 it is `quantized`.

    Arguments:
        values: [rows, ...], none of them larger than 65,504 as float16.
        storage: how they lie in the file.
        name: of the variables.

    Example:
        >>> two = Stored(np.array([[1.0, 100.0], [-0.5, 25.0]], np.float32), "int8", "two")
        >>> two.whole().numpy().round(1)
        array([[  1. , 100. ],
               [ -0.5,  25.2]], dtype=float32)
    """

    def __init__(self, values: npt.NDArray[np.float32], storage: Storage, name: str) -> None:
        def variable(numbers: Any, suffix: str = "") -> Any:
            return tf.Variable(numbers, trainable=False, name=name + suffix)

        self.shape = values.shape
        self._scales: tuple[Any, Any] | None = None
        if storage != "int8":
            self._numbers = variable(values.astype(storage))
            return
        numbers, row, column = quantized(values.reshape(len(values), -1))
        self._numbers = variable(numbers)
        self._scales = variable(row, "_rows"), variable(column, "_columns")

    def whole(self) -> Any:
        """float32 [rows, ...]."""
        found = tf.cast(tf.convert_to_tensor(self._numbers), tf.float32)
        if self._scales is None:
            return found
        row, column = self._scales
        return tf.reshape(found * row * column, self.shape)

    def rows(self, numbers: Any) -> Any:
        """Some rows of a matrix: int32 [...], none negative -> float32 [..., columns]."""
        found = tf.cast(tf.gather(self._numbers, numbers), tf.float32)
        if self._scales is None:
            return found
        row, column = self._scales
        return found * tf.gather(row, numbers) * column


class StoredWeights(keras.StatelessScope):  # type: ignore[misc]
    """What is traced in this scope reads the large weights of Keras layers as they are stored.

    The scope holds the stored arrays: it must live until the graphs are saved.

    Arguments:
        weights: of the layers. Those that no graph reads cost nothing in the file.
        storage: of the large ones; float32 is what they are in anyway.

    Example:
        >>> layer = keras.layers.Dense(64)
        >>> layer.build((None, 64))
        >>> scope = StoredWeights(layer.weights, "int8")
        >>> with scope:
        ...     graph = tf.function(layer).get_concrete_function(tf.TensorSpec([None, 64]))
    """

    def __init__(self, weights: Iterable[Any], storage: Storage) -> None:
        super().__init__()
        self._stored = {
            id(weight): Stored(np.asarray(weight.value, np.float32), storage, weight.name)
            for weight in weights
            if storage != "float32"
            and len(weight.shape) > 1
            and np.prod(weight.shape) >= _LEAST
            and keras.backend.is_float_dtype(weight.dtype)
        }

    def get_current_value(self, variable: Any) -> Any:
        """Keras asks for it where a layer reads a variable; None: what the variable holds."""
        stored = self._stored.get(id(variable))
        return None if stored is None else stored.whole()


class Quantized(NamedTuple):
    """A matrix as numbers·row·column: int8 [rows, columns], float32 [rows, 1] and [1, columns]."""

    numbers: npt.NDArray[np.int8]
    row: npt.NDArray[np.float32]
    column: npt.NDArray[np.float32]


def quantized(matrix: npt.NDArray[np.float32]) -> Quantized:
    """A number becomes q·r·c: q from -127 to 127, c the largest absolute number of its column, r
    what makes the row's largest |x / c| come out at 127. Columns have a scale of their own because
    they may be different things: an item's vector holds facets beside log-popularity.

    Example:
        >>> quantized(np.array([[1, 100], [-0.5, 25]], np.float32)).numbers
        array([[ 127,  127],
               [-127,   64]], dtype=int8)
    """
    column = _or_one(np.abs(matrix).max(axis=0, keepdims=True, initial=0))
    row = _or_one(np.abs(matrix / column).max(axis=1, keepdims=True, initial=0) / _LARGEST)
    numbers = np.rint(matrix / column / row).astype(np.int8)
    return Quantized(numbers, row, column)


def _or_one(scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What nothing was larger than need not be divided by, nor may what has lost its digits."""
    return np.where(scale > np.finfo(np.float32).tiny, scale, np.float32(1))
