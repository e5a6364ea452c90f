"""Which transformer an encoder is: everything about it but its weights."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A backbone of keras-hub, with what its constructor cannot be told.

    keras-hub fixes the activation and the epsilon of the layer norms per class: its BERT has the
    tanh form of gelu, where Hugging Face's has the exact one, so that vectors would be off by
    some 1e-4. Both are set here after the backbone is made.

    Attributes:
        backbone: class in `keras_hub.models`, e.g. "BertBackbone".
        arguments: of its constructor.
        activation: "gelu", "gelu_tanh", "relu" or "silu"; None leaves keras-hub's.
        epsilon: of the layer norms; None leaves keras-hub's.

    Example:
        >>> tiny = {"num_layers": 1, "num_heads": 1, "hidden_dim": 4, "intermediate_dim": 8}
        >>> made = Architecture("BertBackbone", {"vocabulary_size": 9} | tiny, "gelu", 1e-5).build()
        >>> made.embeddings_layer_norm.epsilon
        1e-05
    """

    backbone: str
    arguments: dict[str, Any]
    activation: str | None = None
    epsilon: float | None = None

    @property
    def decoder(self) -> bool:
        """Whether a token only sees those before it."""
        return self.backbone == "GPT2Backbone"

    def build(self) -> Any:
        """The backbone with random weights.

        The dense layer on top of BERT's first token takes part in no vector; it is not trained.
        """
        import keras
        import keras_hub  # type: ignore[import-untyped, unused-ignore]

        made = getattr(keras_hub.models, self.backbone)(**self.arguments)
        for layer in made._flatten_layers():
            if isinstance(layer, keras.layers.LayerNormalization) and self.epsilon is not None:
                layer.epsilon = self.epsilon
            if layer.name == "feedforward_intermediate_dense" and self.activation is not None:
                layer.activation = activation_of(self.activation)
            if layer.name == "pooled_dense":
                layer.trainable = False
                layer.set_weights([weight * 0 for weight in layer.get_weights()])
        return made


def activation_of(name: str) -> Any:
    """The function of `Architecture.activation`."""
    import keras

    return _gelu_tanh if name == "gelu_tanh" else keras.activations.get(name)


def _gelu_tanh(x: Any) -> Any:
    import keras

    return keras.activations.gelu(x, approximate=True)
