"""The item vectors as they lie in the SavedModel: side by side, because everybody's score needs
all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from export.graph.stored import quantized
from export.options import Storage


class ItemMatrix:
    """I item vectors as the columns of [S, I].

    A user's scores are then a sum of S long rows, which a processor adds up three times as fast as
    it takes I short products. A few vectors are gathered from S places each, which is slower, but
    few they are.

    Arguments:
        vectors: of the items, [I, S].
        storage: how they lie in the file; as int8 with a scale per item and one per direction, see
            `export.graph.stored`.

    Example:
        >>> items = ItemMatrix(np.array([[1, 2], [3, 4], [5, 6]], np.float32), "float32")
        >>> items.scores(tf.constant([[1.0, 10.0]])).numpy()
        array([[21., 43., 65.]], dtype=float32)
    """

    def __init__(self, vectors: npt.NDArray[np.float32], storage: Storage) -> None:
        def variable(numbers: Any, suffix: str = "") -> Any:
            return tf.Variable(numbers, trainable=False, name="item_matrix" + suffix)

        self.shape = vectors.shape
        self._scales: tuple[Any, Any] | None = None
        if storage == "int8":
            numbers, item, direction = quantized(vectors)
            self._scales = variable(item[:, 0], "_items"), variable(direction[0], "_directions")
        else:
            numbers = vectors.astype(storage)
        self._numbers = variable(np.ascontiguousarray(numbers.T))

    def scores(self, state: Any) -> Any:
        """Products with all items: [B, S] -> [B, I]."""
        if self._scales is None:
            return tf.matmul(state, self._plain())
        item, direction = self._scales
        return tf.matmul(state * direction, self._plain()) * item

    def mean(self, weights: Any) -> Any:
        """Weighted sums of all items: [B, I] -> [B, S]."""
        if self._scales is None:
            return tf.matmul(weights, self._plain(), transpose_b=True)
        item, direction = self._scales
        return tf.matmul(weights * item, self._plain(), transpose_b=True) * direction

    def whole(self) -> Any:
        """float32 [S, I]."""
        if self._scales is None:
            return self._plain()
        item, direction = self._scales
        return self._plain() * item * direction[:, None]

    def vectors(self, numbers: Any) -> Any:
        """Of some items: int32 [...], none negative -> float32 [..., S]."""
        flat = tf.reshape(numbers, [-1])
        found = tf.transpose(tf.cast(tf.gather(self._numbers, flat, axis=1), tf.float32))
        if self._scales is not None:
            item, direction = self._scales
            found *= tf.gather(item, flat)[:, None] * direction
        return tf.reshape(found, tf.concat([tf.shape(numbers), [self.shape[1]]], axis=0))

    def _plain(self) -> Any:
        return tf.cast(tf.convert_to_tensor(self._numbers), tf.float32)
