"""Which model, how large: the options of the command line. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tfrec.config import option


@dataclass(frozen=True)
class ModelConfig:
    """The model."""

    model: Literal["ledger", "sasrec", "two-tower"] = option("ledger", "what to train")
    dim: int = option(64, "width of item vectors and states")
    layers: int = option(2, "encoder blocks (ledger, sasrec)")
    heads: int = option(1, "attention heads per block (ledger, sasrec); must divide --dim")
    hidden: int = option(128, "width of the towers' hidden layer (two-tower)")
    max_length: int = option(200, "newest events of a history that the model reads")
    dropout: float | None = option(
        None,
        "dropout rate in training (default: 0.2, or 0.5 where users have fewer than 20 training "
        "events on average)",
        metavar="RATE",
    )
    temperature: float = option(0.05, "divides the cosine of the two towers (two-tower)")
    facets: int = option(4, "named parts of the interest, each with weights of its own (ledger)")
    facet_dim: int = option(16, "width of one facet's vectors (ledger)", metavar="D")
    topics: int = option(
        0, "add two facets for each of so many topics: lasting taste and fading pull (ledger)"
    )
    encoder: Literal["sasrec", "hstu"] = option("sasrec", "what reads the history (ledger)")
    weights: Literal["softmax", "sink", "root", "pointwise"] = option(
        "root", "how past events share a facet (ledger)"
    )
    request_time: bool = option(True, "let the time of the request into the weights (ledger)")
    residual: bool = option(False, "add a deep line that no past event explains (ledger)")
    id_dropout: float = option(
        0.15, "share of items whose id is hidden in a step, so that categories learn (ledger)"
    )
    periods: int = option(8, "periods of the crowd's changing taste (ledger)")
