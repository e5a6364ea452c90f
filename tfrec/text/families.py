"""How each family of Hugging Face checkpoints maps to a backbone of keras-hub.

keras-hub's own converter (0.32) is not used: it finds no weights in the folders of bare
DistilBERT and RoBERTa models, as sentence-transformers writes them, nor in BERT folders without a
pooler; it drops RoBERTa's token type, ignores the activation, epsilon, dropout and inner width of
`config.json`, and leaves it to the user to notice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.errors import UserError
from tfrec.text.architecture import Architecture

Array = npt.NDArray[Any]

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


class Family(NamedTuple):
    """One model_type of `config.json`.

    Attributes:
        backbone: class in keras-hub.
        prefix: of the names of weights where the model has a head on top.
        fields: argument of the backbone -> field of config.json.
        activation: field of config.json.
        epsilon: field of config.json, or the number itself.
        required: fields that must have this value where they are given.
        outside: keras-hub layer -> module of Hugging Face, outside the blocks.
        block: name of a block, with {} for its number.
        inside: keras-hub layer -> module of Hugging Face, inside a block.
    """

    backbone: str
    prefix: str
    fields: dict[str, str]
    activation: str
    epsilon: str | float
    required: dict[str, Any]
    outside: dict[str, str]
    block: str
    inside: dict[str, str]


_BERT_FIELDS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
    "dropout": "hidden_dropout_prob",
}
_BERT_REQUIRED = {"position_embedding_type": "absolute", "is_decoder": False}
_BERT_BLOCK = {
    "self_attention_layer/query": "attention.self.query",
    "self_attention_layer/key": "attention.self.key",
    "self_attention_layer/value": "attention.self.value",
    "self_attention_layer/attention_output": "attention.output.dense",
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "feedforward_intermediate_dense": "intermediate.dense",
    "feedforward_output_dense": "output.dense",
    "feedforward_layer_norm": "output.LayerNorm",
}
FAMILIES = {
    "bert": Family(
        "BertBackbone",
        "bert.",
        _BERT_FIELDS | {"num_segments": "type_vocab_size"},
        "hidden_act",
        "layer_norm_eps",
        _BERT_REQUIRED,
        {
            "token_embedding": "embeddings.word_embeddings",
            "position_embedding": "embeddings.position_embeddings",
            "segment_embedding": "embeddings.token_type_embeddings",
            "embeddings_layer_norm": "embeddings.LayerNorm",
        },
        "encoder.layer.{}.",
        _BERT_BLOCK,
    ),
    "roberta": Family(
        "RobertaBackbone",
        "roberta.",
        _BERT_FIELDS,
        "hidden_act",
        "layer_norm_eps",
        _BERT_REQUIRED,
        {
            "embeddings/token_embedding": "embeddings.word_embeddings",
            "embeddings/position_embedding": "embeddings.position_embeddings",
            "embeddings_layer_norm": "embeddings.LayerNorm",
        },
        "encoder.layer.{}.",
        _BERT_BLOCK,
    ),
    "distilbert": Family(
        "DistilBertBackbone",
        "distilbert.",
        {
            "vocabulary_size": "vocab_size",
            "num_layers": "n_layers",
            "num_heads": "n_heads",
            "hidden_dim": "dim",
            "intermediate_dim": "hidden_dim",
            "max_sequence_length": "max_position_embeddings",
            "dropout": "dropout",
        },
        "activation",
        1e-12,
        {},
        {
            "token_and_position_embedding/token_embedding": "embeddings.word_embeddings",
            "token_and_position_embedding/position_embedding": "embeddings.position_embeddings",
            "embeddings_layer_norm": "embeddings.LayerNorm",
        },
        "transformer.layer.{}.",
        {
            "self_attention_layer/query": "attention.q_lin",
            "self_attention_layer/key": "attention.k_lin",
            "self_attention_layer/value": "attention.v_lin",
            "self_attention_layer/attention_output": "attention.out_lin",
            "self_attention_layer_norm": "sa_layer_norm",
            "feedforward_intermediate_dense": "ffn.lin1",
            "feedforward_output_dense": "ffn.lin2",
            "feedforward_layer_norm": "output_layer_norm",
        },
    ),
    "gpt2": Family(
        "GPT2Backbone",
        "transformer.",
        {
            "vocabulary_size": "vocab_size",
            "num_layers": "n_layer",
            "num_heads": "n_head",
            "hidden_dim": "n_embd",
            "max_sequence_length": "n_positions",
            "dropout": "resid_pdrop",
        },
        "activation_function",
        "layer_norm_epsilon",
        {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
        {
            "token_embedding": "wte",
            "position_embedding": "wpe",
            "layer_norm": "ln_f",
        },
        "h.{}.",
        {
            "self_attention/query": "attn.c_attn",
            "self_attention/key": "attn.c_attn",
            "self_attention/value": "attn.c_attn",
            "self_attention/attention_output": "attn.c_proj",
            "self_attention_layer_norm": "ln_1",
            "feedforward_intermediate_dense": "mlp.c_fc",
            "feedforward_output_dense": "mlp.c_proj",
            "feedforward_layer_norm": "ln_2",
        },
    ),
}
# What config.json may leave out, as Hugging Face's own defaults.
_DEFAULTS = {
    "hidden_act": "gelu",
    "activation": "gelu",
    "activation_function": "gelu_new",
    "layer_norm_eps": 1e-12,
    "layer_norm_epsilon": 1e-5,
    "hidden_dropout_prob": 0.1,
    "dropout": 0.1,
    "resid_pdrop": 0.1,
    "type_vocab_size": 2,
}


def family_of(config: dict[str, Any], path: Any) -> Family:
    """The family that `config.json` names.

    Raises:
        UserError: none of those supported.
    """
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise UserError(
            f"{path}: model_type {kind!r} is not supported. Supported are "
            f"{', '.join(sorted(FAMILIES))}; MiniLM is a bert"
        )
    return FAMILIES[kind]


def architecture_of(config: dict[str, Any], path: Any) -> Architecture:
    """The backbone that `config.json` describes.

    Raises:
        UserError: a field that is missing, or a value that is not supported.

    Example:
        >>> fields = {"vocab_size": 9, "n_layer": 1, "n_head": 2, "n_embd": 4, "n_positions": 8}
        >>> made = architecture_of({"model_type": "gpt2"} | fields, "config.json")
        >>> made.backbone, made.activation, made.arguments["intermediate_dim"]
        ('GPT2Backbone', 'gelu_tanh', 16)
    """
    family = family_of(config, path)

    def field(name: str) -> Any:
        found = config.get(name, _DEFAULTS.get(name))
        if found is None:
            raise UserError(f"{path} lacks the field {name!r}: copy or download it again")
        return found

    for name, value in family.required.items():
        if config.get(name, value) != value:
            raise UserError(f"{path}: {name} must be {value!r}, {config[name]!r} is not supported")
    if field(family.activation) not in _ACTIVATIONS:
        raise UserError(
            f"{path}: {family.activation} {config[family.activation]!r} is not supported. "
            f"Supported are {', '.join(sorted(_ACTIVATIONS))}"
        )
    arguments = {name: field(named) for name, named in family.fields.items()}
    if config["model_type"] == "roberta":
        arguments["max_sequence_length"] -= _first_position(config)
    if config["model_type"] == "gpt2":
        arguments["intermediate_dim"] = config.get("n_inner") or 4 * config["n_embd"]
    epsilon = family.epsilon if isinstance(family.epsilon, float) else field(family.epsilon)
    activation = _ACTIVATIONS[field(family.activation)]
    return Architecture(family.backbone, arguments, activation, float(epsilon))


def weight_of(
    path: str, shape: tuple[int, ...], config: dict[str, Any], tensor: Callable[[str], Array]
) -> Array | None:
    """What a variable of the backbone is in the checkpoint.

    Arguments:
        path: of the variable, e.g. "transformer_layer_0/feedforward_output_dense/kernel".
        shape: of the variable.
        config: `config.json`.
        tensor: gives a tensor of the checkpoint by its name, without the family's prefix.

    Returns:
        An array that can be reshaped to `shape`, or None where the checkpoint has no say: the
        states of random generators, and the dense layer on top of BERT's first token.
    """
    if "seed_generator" in path or path.startswith("pooled_dense"):
        return None
    family = FAMILIES[config["model_type"]]
    layer, _, leaf = path.rpartition("/")
    if layer.startswith("transformer_layer_"):
        block, _, layer = layer.partition("/")
        module = family.block.format(block.rpartition("_")[2]) + family.inside[layer]
    else:
        module = family.outside[layer]
    found = tensor(f"{module}.{'bias' if leaf in ('bias', 'beta') else 'weight'}")
    if config["model_type"] == "gpt2":
        # Hugging Face's Conv1D is [in, out] already, and holds query, key and value in one.
        part = layer.rpartition("/")[2]
        if part in ("query", "key", "value"):
            found = np.split(found, 3, axis=-1)[("query", "key", "value").index(part)]
        return found
    if config["model_type"] == "roberta" and layer == "embeddings/position_embedding":
        # Rows up to the padding's are never used. There is one token type, the same everywhere,
        # for which keras-hub has no layer; it is as well a part of every position.
        kind = tensor("embeddings.token_type_embeddings.weight")[0]
        return np.asarray(found[_first_position(config) :] + kind)
    return np.transpose(found) if leaf == "kernel" else found


def _first_position(config: dict[str, Any]) -> int:
    """RoBERTa counts positions from the one after the padding's number."""
    return int(config.get("pad_token_id", 1)) + 1
