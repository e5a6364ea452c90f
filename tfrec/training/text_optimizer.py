"""The optimizer of a ledger and of the layers of its text encoder, each at a rate of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from tfrec.text.encoder import Encoder
from tfrec.text.hub_encoder import HubEncoder
from tfrec.text.tuning.options import TuningConfig
from tfrec.text.tuning.weights import blocks, depth
from tfrec.training.masked_objective import make_adamw


class OptimizerPerPart:
    """Several built optimizers as one: each takes the gradients of its own variables.

    Arguments:
        parts: each with how many variables it has, in the order in which their gradients come.
    """

    def __init__(self, parts: list[tuple[Any, int]]) -> None:
        self._parts = parts

    @property
    def variables(self) -> list[Any]:
        return [variable for part, _ in self._parts for variable in part.variables]

    def apply_gradients(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """One step of each; (gradient, variable) pairs."""
        left = iter(pairs)
        for part, count in self._parts:
            part.apply_gradients(list(itertools.islice(left, count)))


def with_encoder(
    optimizer: Any,
    own: int,
    encoder: Encoder | HubEncoder,
    weights: list[Any],
    config: TuningConfig,
    total_steps: int,
) -> OptimizerPerPart:
    """The ledger's optimizer, and an AdamW for each layer of the encoder.

    Layer l of L learns at rate · decay^(L − l), embeddings at rate · decay^L: what low layers know
    holds for all texts (Howard & Ruder 2018, arXiv 1801.06146, §3.2; the decay and the warm-up of
    Sun et al. 2019, arXiv 1905.05583, §5.3.3).

    Arguments:
        optimizer: of the ledger, built.
        own: how many variables it has.
        encoder: whose weights they are.
        weights: those that are trained, lowest layer first.
        config: rate, decay, warm-up, weight decay.
        total_steps: of the whole training.
    """
    top = blocks(encoder)
    warmup = round(config.text_warmup * total_steps)
    parts = [(optimizer, own)]
    for level, layer in itertools.groupby(weights, key=lambda weight: depth(weight, top)):
        rate = config.text_learning_rate * config.text_layer_decay ** (top - level)
        variables = list(layer)
        part = make_adamw(variables, rate, warmup, total_steps, config.text_weight_decay)
        parts.append((part, len(variables)))
    return OptimizerPerPart(parts)
