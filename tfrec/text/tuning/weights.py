"""Which weights of an encoder are trained, and how deep each lies."""

from __future__ import annotations

import re
from typing import Any

from tfrec.errors import UserError
from tfrec.text.encoder import Encoder
from tfrec.text.hub_encoder import HubEncoder
from tfrec.text.tuning.options import TuningConfig

_BLOCK = re.compile(r"transformer_layer_(\d+)/")
# Above all blocks of GPT-2; in the other families a block ends with its norm.
_ABOVE = "layer_norm/"
_ADAPTERS = ("lora_kernel_a", "lora_kernel_b")


def trained_weights(encoder: Encoder | HubEncoder, config: TuningConfig) -> list[Any]:
    """The weights that `--text-tuning` trains, lowest layer first.

    With lora, matrices A and B are added beside the targets: W + (alpha / rank) · A B, where B
    begins as 0, so that the encoder begins as it was (Hu et al. 2021, arXiv 2106.09685). Keras
    keeps an A per attention head. Saving the encoder writes the sums.

    Arguments:
        encoder: gets the adapters, if there are to be any. One of TensorFlow Hub, whose layers
            nobody knows, is trained in full.
        config: which weights.

    Raises:
        UserError: the encoder has no such layers.

    Example:
        >>> trained_weights(encoder, TuningConfig(text_tuning="last:1"))  # doctest: +SKIP
    """
    if isinstance(encoder, HubEncoder):
        encoder.must_learn()
        return encoder.variables
    if config.text_tuning == "lora":
        add_adapters(encoder, config.lora_rank, config.lora_alpha, config.lora_targets)
        return adapters(encoder)
    weights = [weight for weight in encoder.backbone.variables if weight.trainable]
    top = blocks(encoder)
    if config.last_layers is not None:
        if config.last_layers > top:
            raise UserError(
                f"--text-tuning {config.text_tuning}: the encoder has {top} layers. Take at most "
                f"last:{top}, or full for the embeddings too"
            )
        weights = [weight for weight in weights if depth(weight, top) > top - config.last_layers]
    return sorted(weights, key=lambda weight: depth(weight, top))


def add_adapters(encoder: Encoder, rank: int, alpha: int, targets: list[str]) -> None:
    """Adds LoRA to every layer of a block that has one of the names.

    Raises:
        UserError: a name that no layer has, or adapters are there already.
    """
    layers = {layer for layer in encoder.backbone._flatten_layers() if _adaptable(layer)}
    known = sorted({layer.name for layer in layers})
    for name in targets:
        if name not in known:
            raise UserError(
                f"--lora-targets {name}: the encoder has no such layer. It has {', '.join(known)}"
            )
    chosen = [layer for layer in layers if layer.name in targets]
    if any(layer.lora_enabled for layer in chosen):
        raise UserError("the encoder has LoRA matrices already: load it again")
    for layer in sorted(chosen, key=lambda layer: str(layer.path)):
        layer.enable_lora(rank, lora_alpha=alpha)


def adapters(encoder: Encoder) -> list[Any]:
    """The LoRA matrices of an encoder, lowest layer first."""
    found = [weight for weight in encoder.backbone.variables if weight.name in _ADAPTERS]
    top = blocks(encoder)
    return sorted(found, key=lambda weight: (depth(weight, top), str(weight.path)))


def blocks(encoder: Encoder | HubEncoder) -> int:
    """How many transformer blocks there are, 0 where nobody knows."""
    if isinstance(encoder, HubEncoder):
        return 0
    return int(encoder.architecture.arguments["num_layers"])


def depth(weight: Any, top: int) -> int:
    """0 for embeddings, n for the n-th block, `top` for the norm above the last one."""
    if not top:
        return 0
    block = _BLOCK.match(weight.path)
    if block is not None:
        return int(block[1]) + 1
    return top if weight.path.startswith(_ABOVE) else 0


def _adaptable(layer: Any) -> bool:
    inside = _BLOCK.match(str(layer.path)) is not None
    return inside and hasattr(layer, "enable_lora") and hasattr(layer, "kernel")
