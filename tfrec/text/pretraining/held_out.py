"""How well held-out texts are guessed, beside a guess that knows nothing but frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.errors import UserError
from tfrec.text.pretraining.batches import MaskedBatches
from tfrec.text.pretraining.corpus import Corpus
from tfrec.text.pretraining.masked_lm import MaskedLM
from tfrec.text.pretraining.masking import Bool


class HeldOut:
    """Perplexity and accuracy of the masked tokens of held-out texts, the same ones every time.

    Perplexity is exp of the mean of −log p(token), accuracy the share of tokens that have the
    greatest p. Tokens are hidden as in training.

    Arguments:
        model: measured as it is when called.
        batches: of the held-out pieces.

    Raises:
        UserError: no token is masked in them.
    """

    def __init__(self, model: MaskedLM, batches: MaskedBatches) -> None:
        self._batches = batches
        targets, weights = [], []
        for batch in batches.epoch(0):
            real = batch["weights"] > 0
            targets.append(batch["targets"][real])
            weights.append(int(real.sum()))
        self.targets = np.concatenate(targets)
        self.tokens = sum(weights)
        if not self.tokens:
            raise UserError(
                "the held-out texts are too few to mask a token in them: raise --held-out or "
                "--mask-rate"
            )

        def measure(batch: dict[str, Any]) -> Any:
            logits = model(batch, training=False)
            real = tf.cast(batch["weights"] > 0, tf.float32)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["targets"], logits)
            right = tf.argmax(logits, axis=1, output_type=tf.int32) == batch["targets"]
            return tf.stack(
                [tf.reduce_sum(real * loss), tf.reduce_sum(real * tf.cast(right, tf.float32))]
            )

        self._measure = tf.function(measure, reduce_retracing=True, autograph=False)

    def __call__(self) -> dict[str, float]:
        total = np.zeros(2)
        for batch in self._batches.epoch(0):
            total += self._measure(batch).numpy()
        loss, right = total / self.tokens
        return {"perplexity": float(np.exp(loss)), "accuracy": float(right)}

    def by_frequency(self, train: Corpus, ordinary: Bool) -> dict[str, float]:
        """The same of a guess by how often each token occurs in the training texts, plus one."""
        counts = np.bincount(train.tokens, minlength=len(ordinary))[: len(ordinary)]
        weights = np.where(ordinary, counts + 1.0, 0.0)
        probability = weights / weights.sum()
        loss = -np.log(probability[self.targets]).mean()
        right = (self.targets == weights.argmax()).mean()
        return {"perplexity": float(np.exp(loss)), "accuracy": float(right)}
