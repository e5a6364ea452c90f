"""The items inside the SavedModel: ids to numbers and back, their vectors, their categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from export.graph.item_matrix import ItemMatrix
from export.options import Storage

UNKNOWN = -1


class Catalogue(tf.Module):  # type: ignore[misc]
    """I items, numbered by their place in the order that ties are broken by.

    top_k takes the first of equals, so with these numbers it breaks ties as the run's rankings do.

    Arguments:
        ids: of the items, in the order of the run's catalogue.
        matrix: item vectors whose product with a user's state is the score, [I, S].
        categories: names, C of them.
        shares: of the categories in each item, [I, C].
        place: of each item in the order of ties, [I], see `tfrec.evaluation.ranking.tie_order`.
        storage: of the matrix.

    Attributes:
        ids: string [I]. shares: [I, C]. categories: string [C]. matrix: the vectors.
        row: of each item in the run's catalogue, int32 [I].
        number: table string -> int32.

    Variables, not constants: a graph may not be larger than 2 GB.
    """

    def __init__(
        self,
        ids: Sequence[str],
        matrix: npt.NDArray[np.float32],
        categories: Sequence[str],
        shares: npt.NDArray[np.float32],
        place: npt.NDArray[np.int32],
        storage: Storage = "float32",
    ) -> None:
        super().__init__()
        row = np.argsort(place).astype(np.int32)
        ordered = [ids[number].encode() for number in row]
        self.size = len(ordered)
        self.row = tf.Variable(row, trainable=False, name="item_row")
        self.ids = tf.Variable(tf.constant(ordered, tf.string), trainable=False, name="item_ids")
        self.matrix = ItemMatrix(matrix[row], storage)
        self.storage = storage
        self.shares = tf.Variable(shares[row], trainable=False, name="item_categories")
        self.categories = tf.constant([name.encode() for name in categories], tf.string)
        self.number = index(ordered, UNKNOWN)

    def numbers(self, ids: Any) -> Any:
        """string [...] -> int32 [...]; -1 for what the catalogue does not know."""
        return self.number.lookup(ids)

    def names(self, numbers: Any) -> Any:
        """int32 [...] -> string [...]; "" for -1."""
        return tf.where(numbers >= 0, tf.gather(self.ids, tf.maximum(numbers, 0)), "")

    def rows(self, numbers: Any) -> Any:
        """int32 [...] -> the model's own numbers, int32 [...]; -1 stays."""
        return tf.where(numbers >= 0, tf.gather(self.row, tf.maximum(numbers, 0)), UNKNOWN)

    def vectors(self, numbers: Any) -> Any:
        """int32 [...] -> [..., S]; 0 for -1."""
        found = self.matrix.vectors(tf.maximum(numbers, 0))
        return found * tf.cast(numbers >= 0, tf.float32)[..., None]


def index(words: Sequence[bytes], otherwise: int) -> Any:
    """Words -> their place in the list, int32; `otherwise` for others."""
    keys = tf.constant(list(words) or [b""], tf.string)
    values = tf.range(len(words), dtype=tf.int32) if words else tf.constant([otherwise], tf.int32)
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(keys, values), default_value=otherwise
    )
