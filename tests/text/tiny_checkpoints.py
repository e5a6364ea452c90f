"""Tiny Hugging Face folders with random weights, one per family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.text import tiny_tokenizers

DIM, LAYERS, HEADS, INNER, POSITIONS = 16, 2, 2, 24, 48
# Name of a checkpoint's prefix where the model has a head on top.
PREFIXES = {"bert": "bert.", "roberta": "roberta.", "distilbert": "distilbert."}
PREFIXES["gpt2"] = "transformer."


def config(family: str, vocabulary: int, **changes: Any) -> dict[str, Any]:
    if family == "gpt2":
        found: dict[str, Any] = {
            "n_layer": LAYERS,
            "n_head": HEADS,
            "n_embd": DIM,
            "n_inner": INNER,
            "n_positions": POSITIONS,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-3,
            "resid_pdrop": 0.3,
        }
    elif family == "distilbert":
        found = {
            "n_layers": LAYERS,
            "n_heads": HEADS,
            "dim": DIM,
            "hidden_dim": INNER,
            "max_position_embeddings": POSITIONS,
            "activation": "gelu",
            "dropout": 0.3,
        }
    else:
        found = {
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "hidden_size": DIM,
            "intermediate_size": INNER,
            "max_position_embeddings": POSITIONS + (2 if family == "roberta" else 0),
            "hidden_act": "gelu",
            # Large enough to be seen in the vectors.
            "layer_norm_eps": 1e-3,
            "hidden_dropout_prob": 0.3,
            "type_vocab_size": 1 if family == "roberta" else 2,
            "pad_token_id": 1 if family == "roberta" else 0,
        }
    return {"model_type": family, "vocab_size": vocabulary} | found | changes


def tensors(settings: dict[str, Any], prefix: str = "", seed: int = 0) -> dict[str, Any]:
    """Random weights by their Hugging Face names. No bias is zero, no layer norm is plain."""
    random = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    family, rows = settings["model_type"], settings["vocab_size"]

    def matrix(name: str, *shape: int) -> None:
        made[f"{prefix}{name}.weight"] = random.normal(size=shape, scale=0.4).astype(np.float32)

    def dense(name: str, columns: int, out: int) -> None:
        matrix(name, *((columns, out) if family == "gpt2" else (out, columns)))
        made[f"{prefix}{name}.bias"] = random.normal(size=out, scale=0.4).astype(np.float32)

    def norm(name: str) -> None:
        for leaf, centre in (("weight", 1.0), ("bias", 0.0)):
            drawn = random.normal(centre, 0.3, DIM).astype(np.float32)
            made[f"{prefix}{name}.{leaf}"] = drawn

    if family == "gpt2":
        matrix("wte", rows, DIM)
        matrix("wpe", POSITIONS, DIM)
        for layer in range(LAYERS):
            norm(f"h.{layer}.ln_1")
            dense(f"h.{layer}.attn.c_attn", DIM, 3 * DIM)
            dense(f"h.{layer}.attn.c_proj", DIM, DIM)
            norm(f"h.{layer}.ln_2")
            dense(f"h.{layer}.mlp.c_fc", DIM, INNER)
            dense(f"h.{layer}.mlp.c_proj", INNER, DIM)
        norm("ln_f")
        return made
    matrix("embeddings.word_embeddings", rows, DIM)
    matrix("embeddings.position_embeddings", settings["max_position_embeddings"], DIM)
    norm("embeddings.LayerNorm")
    if family != "distilbert":
        matrix("embeddings.token_type_embeddings", settings["type_vocab_size"], DIM)
    for layer in range(LAYERS):
        if family == "distilbert":
            at = f"transformer.layer.{layer}."
            for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
                dense(f"{at}attention.{part}", DIM, DIM)
            dense(f"{at}ffn.lin1", DIM, INNER)
            dense(f"{at}ffn.lin2", INNER, DIM)
            norm(f"{at}sa_layer_norm")
            norm(f"{at}output_layer_norm")
        else:
            at = f"encoder.layer.{layer}."
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                dense(f"{at}attention.{part}", DIM, DIM)
            dense(f"{at}intermediate.dense", DIM, INNER)
            dense(f"{at}output.dense", INNER, DIM)
            norm(f"{at}attention.output.LayerNorm")
            norm(f"{at}output.LayerNorm")
    return made


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def fast_tokenizer(family: str) -> Any:
    """The family's tokenizer as the `tokenizers` library has it."""
    if family == "gpt2":
        return tiny_tokenizers.gpt2()
    return tiny_tokenizers.roberta() if family == "roberta" else tiny_tokenizers.bert()


def write_checkpoint(
    folder: Path, family: str, prefix: str = "", **changes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes config.json, model.safetensors and tokenizer.json; returns config and tensors."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    fast = fast_tokenizer(family)
    settings = config(family, fast.get_vocab_size(), **changes)
    weights = tensors(settings, prefix)
    write_json(folder / "config.json", settings)
    save_file(weights, folder / "model.safetensors")
    fast.save(str(folder / "tokenizer.json"))
    return settings, weights


def write_sentence_files(
    folder: Path, *flags: str, normalise: bool = True, **settings: Any
) -> None:
    """The files of sentence-transformers; flags such as "mean_tokens"."""
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    modules.append({"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"})
    if normalise:
        modules.append({"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"})
    write_json(folder / "modules.json", modules)
    names = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")
    pooling: dict[str, Any] = {f"pooling_mode_{name}": name in flags for name in names}
    write_json(folder / "1_Pooling" / "config.json", pooling | {"word_embedding_dimension": DIM})
    if settings:
        write_json(folder / "sentence_bert_config.json", settings)
