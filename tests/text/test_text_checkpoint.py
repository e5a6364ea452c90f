"""Folders that are damaged, incomplete or of something else: the message names file and cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from tests.text import tiny_tokenizers
from tests.text.tiny_checkpoints import config, tensors, write_checkpoint, write_json
from tfrec.errors import UserError
from tfrec.text.checkpoint import read_backbone
from tfrec.text.encoder import load_encoder
from tfrec.text.tokenizer import Tokenizer
from tfrec.text.tokenizer_files import read_tokenizer


def weights_of(folder: Path) -> list[Any]:
    _, backbone = read_backbone(folder)
    return [np.asarray(v) for v in backbone.variables if "seed_generator" not in v.path]


def test_missing_folders_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder all-MiniLM.*hf:all-MiniLM"):
        load_encoder("all-MiniLM")
    with pytest.raises(UserError, match=r"config\.json is missing"):
        load_encoder(tmp_path)
    write_json(tmp_path / "config.json", config("bert", 50))
    with pytest.raises(UserError, match=r"no model\.safetensors.*safe_serialization"):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert", ')
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("kept", [0, 4, 200, -10])
def test_truncated_weights_are_named(tmp_path: Path, kept: int) -> None:
    write_checkpoint(tmp_path, "bert")
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read .*incomplete"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "gpt2"])
def test_a_missing_vocabulary_is_named(tmp_path: Path, family: str) -> None:
    write_checkpoint(tmp_path, family)
    (tmp_path / "tokenizer.json").unlink()
    name = "vocab.txt" if "bert" in family and family != "roberta" else "merges.txt"
    with pytest.raises(UserError, match=f"no vocabulary: neither tokenizer.json nor {name}"):
        load_encoder(tmp_path)


def test_models_that_are_not_supported_are_listed(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "bert", hidden_act="mish")
    with pytest.raises(UserError, match=r"config\.json: hidden_act 'mish'.*gelu_new"):
        load_encoder(tmp_path)
    write_checkpoint(tmp_path, "bert", position_embedding_type="relative_key")
    with pytest.raises(UserError, match="position_embedding_type must be 'absolute'"):
        load_encoder(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "t5"})
    with pytest.raises(UserError, match=r"'t5' is not supported.*bert, distilbert, gpt2, roberta"):
        load_encoder(tmp_path)
    fields = config("bert", 50)
    del fields["hidden_size"]
    write_json(tmp_path / "config.json", fields)
    with pytest.raises(UserError, match="lacks the field 'hidden_size'"):
        load_encoder(tmp_path)


def test_sizes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    settings, weights = write_checkpoint(tmp_path, "bert")
    rows = settings["vocab_size"]
    write_json(tmp_path / "config.json", settings | {"vocab_size": rows + 3})
    with pytest.raises(UserError, match=f"vocab_size {rows + 3}.*embeddings of {rows} tokens"):
        load_encoder(tmp_path)
    write_json(tmp_path / "config.json", settings | {"intermediate_size": 32})
    with pytest.raises(UserError, match=r"feedforward_intermediate_dense/kernel have shape"):
        load_encoder(tmp_path)
    few = config("bert", 60)
    write_json(tmp_path / "config.json", few)
    save_file(tensors(few), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"tokenizer has \d+ tokens, the model embeddings of 60"):
        load_encoder(tmp_path)
    write_json(tmp_path / "config.json", settings)
    del weights["encoder.layer.1.output.dense.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(
        UserError, match=r"lacks the tensor 'encoder\.layer\.1\.output\.dense\.bias'"
    ):
        load_encoder(tmp_path)


def test_texts_longer_than_the_positions_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "roberta")
    with pytest.raises(UserError, match="max_length 49 is more than the 48 positions"):
        load_encoder(tmp_path, max_length=49)


def test_parts_half_precision_and_old_names_are_read(tmp_path: Path) -> None:
    _, weights = write_checkpoint(tmp_path / "whole", "bert")
    split = tmp_path / "split"
    write_checkpoint(split, "bert")
    (split / "model.safetensors").unlink()
    old = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value.astype(tf.bfloat16.as_numpy_dtype)
        for name, value in weights.items()
    }
    names, where = sorted(old), {}
    for part in range(2):
        file = f"model-0000{part + 1}-of-00002.safetensors"
        save_file({name: old[name] for name in names[part::2]}, split / file)
        where |= dict.fromkeys(names[part::2], file)
    write_json(split / "model.safetensors.index.json", {"weight_map": where})
    for whole, parts in zip(weights_of(tmp_path / "whole"), weights_of(split), strict=True):
        np.testing.assert_allclose(whole, parts, rtol=1e-2)
    (split / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="model-00002-of-00002"):
        read_backbone(split)


def test_an_own_folder_that_is_damaged_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "from", "bert")
    own = tmp_path / "own"
    load_encoder(tmp_path / "from").save(own)
    path = own / "encoder.weights.h5"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"encoder\.weights\.h5 cannot be read"):
        load_encoder(own)
    said = json.loads((own / "encoder.json").read_text())
    write_json(own / "encoder.json", said | {"format": 99})
    with pytest.raises(UserError, match=r"encoder\.json has format 99"):
        load_encoder(own)


@pytest.mark.parametrize("lowercase", [True, False])
def test_vocab_txt_with_a_config_is_the_tokenizer(tmp_path: Path, lowercase: bool) -> None:
    fast = tiny_tokenizers.bert(lowercase=lowercase)
    vocabulary = tiny_tokenizers.bert_vocabulary(lowercase)
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    write_json(tmp_path / "tokenizer_config.json", {"do_lower_case": lowercase})
    made = Tokenizer(read_tokenizer(tmp_path, "bert"), 64)
    texts = ["One Flew Over the [MASK]", "Amélie 霸王别姬"]
    expected = [encoding.ids for encoding in fast.encode_batch(texts)]
    assert made.ragged(tf.constant(texts)).to_list() == expected
    assert made.id_of("[MASK]") == vocabulary.index("[MASK]")


@pytest.mark.parametrize("family", ["roberta", "gpt2"])
def test_vocabulary_and_merges_are_the_tokenizer(tmp_path: Path, family: str) -> None:
    fast = tiny_tokenizers.gpt2() if family == "gpt2" else tiny_tokenizers.roberta()
    model = json.loads(fast.to_str())["model"]
    write_json(tmp_path / "vocab.json", model["vocab"])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (tmp_path / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8"
    )
    special = {"pad_token": {"content": "<pad>"}} if family == "roberta" else {}
    write_json(tmp_path / "special_tokens_map.json", special)
    made = Tokenizer(read_tokenizer(tmp_path, family), 64)
    texts = ["One Flew Over the <mask>", "Amélie 霸王别姬<|endoftext|>", "it's  so"]
    expected = [encoding.ids for encoding in fast.encode_batch(texts)]
    assert made.ragged(tf.constant(texts)).to_list() == expected
    assert made.pad_id == (1 if family == "roberta" else 0)


def test_the_tokenizer_s_config_wins_over_tokenizer_json(tmp_path: Path) -> None:
    """As in Hugging Face's own tokenizers."""
    tiny_tokenizers.bert().save(str(tmp_path / "tokenizer.json"))
    write_json(tmp_path / "tokenizer_config.json", {"do_lower_case": False, "strip_accents": None})
    normalizer = json.loads(read_tokenizer(tmp_path, "bert"))["normalizer"]
    assert (normalizer["lowercase"], normalizer["strip_accents"]) == (False, None)


@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "Roberta", "GPT2"])
def test_presets_of_keras_hub(tmp_path: Path, kind: str) -> None:
    import keras_hub

    from tests.text.strings import TEXTS

    sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
    if "Bert" in kind:
        fast = tiny_tokenizers.bert()
        vocabulary = list(tiny_tokenizers.bert_vocabulary())
        options: dict[str, Any] = {"lowercase": True, "strip_accents": True}
        options["vocabulary"] = vocabulary
    else:
        fast = tiny_tokenizers.roberta() if kind == "Roberta" else tiny_tokenizers.gpt2()
        model = json.loads(fast.to_str())["model"]
        merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
        options = {"vocabulary": model["vocab"], "merges": merges}
    models = keras_hub.models
    backbone = getattr(models, f"{kind}Backbone")(
        vocabulary_size=fast.get_vocab_size(), max_sequence_length=32, **sizes
    )
    backbone.save_to_preset(str(tmp_path))
    getattr(models, f"{kind}Tokenizer")(**options).save_to_preset(str(tmp_path))
    encoder = load_encoder(f"keras:{tmp_path}")
    texts = [text for text in TEXTS if len(text) < 200]
    fast.enable_truncation(32)
    found = encoder.tokenizer.ragged(tf.constant([text.encode() for text in texts])).to_list()
    assert found == [encoding.ids for encoding in fast.encode_batch(texts)]
    tokens = encoder.tokenize(tf.constant(["a toy story"]))
    inputs = {name: tf.cast(value, tf.int32) for name, value in tokens.items()}
    if kind == "Bert":
        inputs["segment_ids"] = tf.zeros_like(inputs["token_ids"])
    states = backbone(inputs)
    states = states["sequence_output"] if kind == "Bert" else states
    real = np.asarray(states)[0][tokens["padding_mask"].numpy()[0]]
    expected = real[-1] if kind == "GPT2" else real.mean(axis=0)
    np.testing.assert_allclose(
        encoder(tf.constant(["a toy story"])).numpy()[0], expected, rtol=1e-4, atol=1e-5
    )


def test_what_the_hub_has_in_its_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--somebody--tiny"
    write_checkpoint(cached / "snapshots" / ("0" * 40), "bert")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    there = load_encoder(cached / "snapshots" / ("0" * 40))
    assert load_encoder("hf:somebody/tiny").fingerprint == there.fingerprint


def test_a_download_that_fails_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"hf:nobody/nothing cannot be downloaded.*give its folder"):
        load_encoder("hf:nobody/nothing")
    with pytest.raises(UserError, match=r"keras:.* cannot be read"):
        load_encoder(f"keras:{tmp_path}")
