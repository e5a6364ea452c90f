"""How the text encoder is tuned: the options of the command line. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from tfrec.config import option
from tfrec.errors import UserError

_LAST = "last:"


@dataclass(frozen=True)
class TuningConfig:
    """The tuning of the text encoder.

    Raises:
        UserError: a value that cannot train anything.

    Example:
        >>> TuningConfig(text_tuning="last:2").last_layers
        2
        >>> TuningConfig(text_tuning="lora").text_learning_rate
        0.0005
        >>> TuningConfig().tunes
        False
    """

    text_tuning: str = option(
        "frozen",
        "what is trained of the text encoder: frozen, nothing; lora, small matrices beside some of "
        "its own (Hu et al. 2021); last:N, its last N layers; full, everything",
        metavar="frozen|lora|last:N|full",
    )
    text_learning_rate: float = option(
        0.0, "of the encoder at its peak, by AdamW; 0: 5e-4 for lora, 2e-5 otherwise"
    )
    text_layer_decay: float = option(
        0.95, "factor on --text-learning-rate from each layer to the one below (Sun et al. 2019)"
    )
    text_warmup: float = option(
        0.1,
        "share of the steps over which the encoder's learning rate rises from 0",
        metavar="SHARE",
    )
    text_weight_decay: float = option(0.01, "of the encoder's weights but biases and layer norms")
    text_items: int = option(
        64,
        "items whose texts are encoded in a training step; the encoder's part of a step's time and "
        "memory grows with it, the noise of its gradient falls",
        metavar="N",
    )
    lora_rank: int = option(8, "columns of a LoRA matrix")
    lora_alpha: int = option(16, "LoRA's change of a weight is multiplied by alpha / rank")
    lora_targets: list[str] = option(
        ["query", "value"],
        "layers of each block that LoRA changes, of query, key, value, attention_output, "
        "feedforward_intermediate_dense and feedforward_output_dense",
        metavar="NAME,…",
    )

    @property
    def tunes(self) -> bool:
        """Whether anything of the encoder is trained."""
        return self.text_tuning != "frozen"

    @property
    def last_layers(self) -> int | None:
        """N of last:N, None otherwise."""
        if not self.text_tuning.startswith(_LAST):
            return None
        number = self.text_tuning.removeprefix(_LAST)
        return int(number) if number.isascii() and number.isdigit() else 0

    def __post_init__(self) -> None:
        if self.last_layers is None and self.text_tuning not in ("frozen", "lora", "full"):
            raise UserError(
                f"--text-tuning {self.text_tuning} is unknown: take frozen, lora, last:N or full"
            )
        if self.last_layers == 0:
            raise UserError(
                f"--text-tuning {self.text_tuning} needs a number of layers, such as last:2"
            )
        for name in ("text_items", "lora_rank", "lora_alpha"):
            if getattr(self, name) < 1:
                raise UserError(f"{_flag(name)} must be at least 1")
        for name in ("text_learning_rate", "text_weight_decay"):
            if getattr(self, name) < 0:
                raise UserError(f"{_flag(name)} must not be negative")
        if not 0 < self.text_layer_decay <= 1:
            raise UserError(
                f"--text-layer-decay {self.text_layer_decay} must be above 0 and at most 1"
            )
        if not 0 <= self.text_warmup < 1:
            raise UserError(f"--text-warmup {self.text_warmup} must be at least 0 and below 1")
        if not self.lora_targets:
            raise UserError("--lora-targets is empty: name a layer, such as query")
        if not self.text_learning_rate:
            # Settled here, so that a run's config.yaml says it.
            object.__setattr__(
                self, "text_learning_rate", 5e-4 if self.text_tuning == "lora" else 2e-5
            )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
