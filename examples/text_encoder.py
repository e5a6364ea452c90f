"""A small Transformer that reads texts, trained from nothing on the spot.

The plain forms begin with a pretrained language model (BERT, GPT, T5) and fine-tune it with AdamW
at 2e-5. The examples need no network and no downloaded weights, so this one starts from random
weights: two blocks of width 32, bidirectional. At 2e-5 random weights would hardly move in a few
epochs; the examples train it with AdamW at 1e-3.
"""

from __future__ import annotations

from typing import Any

from world import keras

from tfrec.models.transformer import TransformerBlock

ops = keras.ops
WORDS = 20_000
PADDING = 0


def tokenizer(corpus: list[str], length: int) -> keras.layers.TextVectorization:
    """Lower case, no punctuation, one number per word of the corpus; 0 pads to `length`."""
    layer = keras.layers.TextVectorization(max_tokens=WORDS, output_sequence_length=length)
    layer.adapt(corpus)
    return layer


class TextEncoder(keras.Model):
    """Word numbers [B, L] -> one state per word [B, L, D], which sees the words on both sides."""

    def __init__(self, words: int, length: int, dim: int = 32, dropout: float = 0.1) -> None:
        super().__init__()
        # One number more than there are words: it masks a word that is to be guessed.
        self.mask_word = words
        self.word = keras.layers.Embedding(words + 1, dim)
        self.place = keras.layers.Embedding(length, dim)
        self.blocks = [TransformerBlock(dim, 2, 2 * dim, dropout) for _ in range(2)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6)

    def call(self, words: Any, training: bool = False) -> Any:
        length = ops.shape(words)[1]
        real = ops.not_equal(words, PADDING)  # [B, L]
        reads = ops.logical_and(real[:, :, None], real[:, None, :])  # [B, L, L]
        states = self.word(words) + self.place(ops.arange(length))
        for block in self.blocks:
            states = block(states, reads, training=training)
        return self.norm(states)

    def vector(self, words: Any, training: bool = False) -> Any:
        """v: the mean state of the real words, [B, D]; zeros for an empty text."""
        states = self(words, training=training)
        real = ops.cast(ops.not_equal(words, PADDING), states.dtype)[:, :, None]
        return ops.sum(states * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1.0)
