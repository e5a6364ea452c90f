"""The transformers of Hugging Face in NumPy, in float64, straight from a checkpoint's tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_erf = np.vectorize(math.erf)


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + _erf(x / np.sqrt(2)))


def _gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


ACTIVATIONS = {"gelu": _gelu, "gelu_new": _gelu_tanh, "relu": _relu}


def token_vectors(
    tensors: dict[str, Any], config: dict[str, Any], ids: list[int], prefix: str
) -> Array:
    """The last hidden states of one text without padding, [length, dim]."""
    weights = {
        name.removeprefix(prefix): np.asarray(value, np.float64) for name, value in tensors.items()
    }
    model = _Model(weights, config)
    return model.decoder(ids) if config["model_type"] == "gpt2" else model.encoder(ids)


class _Model:
    def __init__(self, weights: dict[str, Array], config: dict[str, Any]) -> None:
        self.w, self.config, self.kind = weights, config, config["model_type"]

    def encoder(self, ids: list[int]) -> Array:
        """BERT, RoBERTa, DistilBERT: layer norms after each sum."""
        w, config = self.w, self.config
        distil = self.kind == "distilbert"
        epsilon = 1e-12 if distil else config["layer_norm_eps"]
        # RoBERTa counts from the padding's number + 1.
        start = config["pad_token_id"] + 1 if self.kind == "roberta" else 0
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][start : start + len(ids)]
        if not distil:
            x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = self.norm(x, "embeddings.LayerNorm", epsilon)
        for layer in range(config["n_layers" if distil else "num_hidden_layers"]):
            if distil:
                at, parts = f"transformer.layer.{layer}.", ("q_lin", "k_lin", "v_lin")
                names = [at + "attention." + part for part in parts]
                out, first = at + "attention.out_lin", at + "sa_layer_norm"
                wide, narrow, last = at + "ffn.lin1", at + "ffn.lin2", at + "output_layer_norm"
                heads, activation = config["n_heads"], config["activation"]
            else:
                at = f"encoder.layer.{layer}."
                names = [at + "attention.self." + part for part in ("query", "key", "value")]
                out, first = at + "attention.output.dense", at + "attention.output.LayerNorm"
                wide, narrow = at + "intermediate.dense", at + "output.dense"
                last = at + "output.LayerNorm"
                heads, activation = config["num_attention_heads"], config["hidden_act"]
            attended = self.attention(*(self.linear(x, name) for name in names), heads, False)
            x = self.norm(x + self.linear(attended, out), first, epsilon)
            hidden = ACTIVATIONS[activation](self.linear(x, wide))
            x = self.norm(x + self.linear(hidden, narrow), last, epsilon)
        return x

    def decoder(self, ids: list[int]) -> Array:
        """GPT-2: layer norms before each block, and each token sees itself and those before."""
        w, config = self.w, self.config
        epsilon = config["layer_norm_epsilon"]
        x = w["wte.weight"][ids] + w["wpe.weight"][: len(ids)]
        for layer in range(config["n_layer"]):
            at = f"h.{layer}."
            normal = self.norm(x, at + "ln_1", epsilon)
            joined = normal @ w[at + "attn.c_attn.weight"] + w[at + "attn.c_attn.bias"]
            attended = self.attention(*np.split(joined, 3, axis=-1), config["n_head"], True)
            x = x + attended @ w[at + "attn.c_proj.weight"] + w[at + "attn.c_proj.bias"]
            normal = self.norm(x, at + "ln_2", epsilon)
            hidden = normal @ w[at + "mlp.c_fc.weight"] + w[at + "mlp.c_fc.bias"]
            hidden = ACTIVATIONS[config["activation_function"]](hidden)
            x = x + hidden @ w[at + "mlp.c_proj.weight"] + w[at + "mlp.c_proj.bias"]
        return self.norm(x, "ln_f", epsilon)

    def linear(self, x: Array, name: str) -> Array:
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, x: Array, name: str, epsilon: float) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
        return scaled * self.w[name + ".weight"] + self.w[name + ".bias"]

    @staticmethod
    def attention(query: Array, key: Array, value: Array, heads: int, causal: bool) -> Array:
        length, dim = query.shape
        q, k, v = (x.reshape(length, heads, -1).transpose(1, 0, 2) for x in (query, key, value))
        logits = q @ k.transpose(0, 2, 1) / np.sqrt(dim // heads)  # [heads, length, length]
        if causal:
            logits = np.where(np.tri(length, dtype=bool), logits, -np.inf)
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return (weights @ v).transpose(1, 0, 2).reshape(length, dim)
