"""An encoder with a head that guesses masked tokens."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfrec.errors import UserError
from tfrec.text.architecture import Architecture, activation_of
from tfrec.text.encoder import Encoder


class MaskedLM(keras.Model):
    """Masked language modelling: the encoder's vectors of masked places -> logits of tokens.

    Devlin et al. 2019, arXiv 1810.04805, §3.1, with the head of the released code: a dense layer
    with the encoder's activation, a layer norm, then a product with the embeddings of the tokens
    (the same weights as below the encoder: Press & Wolf 2017, arXiv 1608.05859) plus a bias. Only
    places that were masked go through it.

    Arguments:
        encoder: of a family whose tokens see both sides.

    Call arguments:
        batch: of `MaskedBatches`.
        training: whether dropout is on.

    Returns:
        float32 [M, tokens of the vocabulary].

    Raises:
        UserError: the encoder's tokens see only those before them.
    """

    def __init__(self, encoder: Encoder, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        must_see_both_sides(encoder.architecture)
        architecture, width = encoder.architecture, encoder.dim
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        # RoBERTa's head has the exact gelu whatever its layers have.
        kind = "gelu" if architecture.backbone == "RobertaBackbone" else architecture.activation
        self.encoder = encoder
        self.dense = keras.layers.Dense(
            width, activation_of(kind or "gelu_tanh"), kernel_initializer=start, name="head_dense"
        )
        self.norm = keras.layers.LayerNormalization(
            epsilon=architecture.epsilon or 1e-12, name="head_norm"
        )

    def build(self, batch_shape: Any = None) -> None:
        shape = (None, self.encoder.dim)
        self.dense.build(shape)
        self.norm.build(shape)
        tokens = self.encoder.architecture.arguments["vocabulary_size"]
        self.bias = self.add_weight(shape=(tokens,), initializer="zeros", name="bias")
        self.built = True

    @property
    def head(self) -> list[Any]:
        """The head's own weights, in the order of `read_head`."""
        return [*self.dense.variables, *self.norm.variables, self.bias]

    def call(self, batch: dict[str, Any], training: bool = False) -> Any:
        states = self.encoder.token_states(batch, training)  # [B, W, dim]
        states = ops.reshape(states, (-1, self.encoder.dim))
        states = ops.take(states, batch["places"], axis=0)  # [M, dim]
        states = self.norm(self.dense(states))
        table = ops.cast(self.encoder.backbone.token_embedding.embeddings, states.dtype)
        logits = ops.cast(ops.matmul(states, ops.transpose(table)), "float32")
        return logits + ops.cast(self.bias, "float32")


def must_see_both_sides(architecture: Architecture) -> None:
    """Raises UserError for a decoder such as GPT-2."""
    if architecture.decoder:
        raise UserError(
            "GPT-2 reads from left to right and cannot guess a masked token from both sides: "
            "pre-train a BERT, MiniLM, DistilBERT or RoBERTa"
        )
