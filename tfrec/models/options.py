"""Which model, how large: the options of the command line. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tfrec.config import option


@dataclass(frozen=True)
class ModelConfig:
    """The model."""

    model: Literal["sasrec", "two-tower"] = option("sasrec", "what to train")
    dim: int = option(64, "width of item vectors and states")
    layers: int = option(2, "transformer blocks (sasrec)")
    heads: int = option(1, "attention heads per block (sasrec); must divide --dim")
    hidden: int = option(128, "width of the towers' hidden layer (two-tower)")
    max_length: int = option(200, "newest events of a history that the model reads")
    dropout: float = option(0.2, "dropout rate in training")
    temperature: float = option(0.05, "divides the cosine of the two towers (two-tower)")
