"""What masked language modelling minimises, and with which optimizer."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfrec.training.objective import Terms
from tfrec.training.schedule import WarmUpAndDecay

# What weight decay leaves alone: BERT's optimizer.
_UNDECAYED = ("bias", "gamma", "beta")


class MaskedObjective:
    """The cross-entropy of masked tokens, for a `MaskedLM` and batches of `MaskedBatches`."""

    def start_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def __call__(self, model: Any, batch: dict[str, Any]) -> Terms:
        return {"masked": masked_loss(model(batch, training=True), batch)}


def masked_loss(logits: Any, batch: dict[str, Any]) -> Any:
    """Σ weights · −log softmax(logits)[target], a float32 scalar.

    Arguments:
        logits: float32 [M, V].
        batch: `targets` int [M] and `weights` float [M].

    Example:
        >>> batch = {"targets": ops.array([1]), "weights": ops.array([1.0])}
        >>> float(masked_loss(ops.zeros((1, 4)), batch))
        1.386...
    """
    losses = keras.losses.sparse_categorical_crossentropy(
        batch["targets"], logits, from_logits=True
    )
    return ops.sum(batch["weights"] * losses)


def make_adamw(
    variables: list[Any], peak: float, warmup_steps: int, total_steps: int, decay: float
) -> Any:
    """AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) with the settings of BERT.

    β1 = .9, β2 = .999, ε = 1e-6; no decay of biases and layer norms; the rate rises linearly, then
    falls linearly to 0.
    """
    rate = WarmUpAndDecay(peak, warmup_steps, total_steps)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=decay, epsilon=1e-6)
    optimizer.exclude_from_weight_decay(
        [variable for variable in variables if _last(variable.name) in _UNDECAYED]
    )
    optimizer.build(variables)
    return optimizer


def _last(name: str) -> str:
    """Keras says "bias" where TensorFlow says "layer/bias:0"."""
    return name.rpartition("/")[2].partition(":")[0]
