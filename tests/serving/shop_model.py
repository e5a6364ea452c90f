"""A small recommender with its stored samples, as an export leaves it."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from export.probe.model import Model as ProbedModel
from export.sample_files import write_samples

ITEMS, TOP = 60, 30


class Shop(tf.Module):
    """Scores an item by the vectors of the history; `seed` makes another model of it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        dice = np.random.default_rng(seed)
        self.names = tf.constant([f"s{number}" for number in range(ITEMS)])
        self.numbers = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.names, tf.range(ITEMS)), -1
        )
        self.vectors = tf.Variable(dice.normal(size=(ITEMS, 8)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, "history_items")])
    def recommend(self, history_items: tf.Tensor) -> dict[str, tf.Tensor]:
        numbers = self.numbers.lookup(history_items)
        known = tf.cast(numbers >= 0, tf.float32)[..., None]
        user = tf.reduce_sum(tf.gather(self.vectors, tf.maximum(numbers, 0)) * known, axis=1)
        scores = tf.linalg.matmul(user, self.vectors, transpose_b=True)
        values, places = tf.math.top_k(tf.nn.softmax(scores / 4), TOP)
        return {"items": tf.gather(self.names, places), "probabilities": values}


def write_shop(version: Path, seed: int) -> None:
    """A version of the model "shop" with one signature, `recommend`, and its samples."""
    model = Shop(seed)
    tf.saved_model.save(model, str(version), signatures={"recommend": model.recommend})
    histories = [[f"s{user}", f"s{user + 7}", ""] for user in range(12)]
    request = np.array([[item.encode() for item in row] for row in histories], object)
    write_samples(ProbedModel(version), version, "shop", {"recommend": {"history_items": request}})
