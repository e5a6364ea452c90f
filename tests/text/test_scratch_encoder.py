"""The scratch BERT's folder, as keras-hub, transformers and safetensors read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tfrec.console import import_tensorflow
from tfrec.errors import UserError
from tfrec.text.scratch import SIZES, initial_weights, make_scratch

TEXTS = ["hot coffee, cold tea", "hot tea 电影", "coffee and tea"] * 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scratch("tiny", TEXTS, tmp_path_factory.mktemp("scratch") / "tiny", seed=3)


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Any:
    import_tensorflow()
    import keras_hub

    return keras_hub.models.Backbone.from_preset(str(folder))


@pytest.mark.parametrize(
    ("size", "layers", "width", "heads", "millions"),
    # The last column is of the paper's table, with its 30,522 pieces.
    [("tiny", 2, 128, 2, 4.4), ("mini", 4, 256, 4, 11.2), ("small", 4, 512, 8, 28.8)],
)
def test_sizes_are_those_of_the_paper(
    size: str, layers: int, width: int, heads: int, millions: float
) -> None:
    assert (SIZES[size].layers, SIZES[size].width, SIZES[size].heads) == (layers, width, heads)
    count = sum(weight.size for _, weight in initial_weights(SIZES[size], 30522, 0))
    assert count / 1e6 == pytest.approx(millions, abs=0.06)


def test_weights_are_drawn_as_bert_s() -> None:
    for name, weight in initial_weights(SIZES["tiny"], 5000, 0):
        assert weight.dtype == np.float32
        if name.endswith("LayerNorm.weight"):
            assert (weight == 1).all()
        elif name.endswith("bias"):
            assert (weight == 0).all()
        else:
            assert np.abs(weight).max() <= 0.04
            # A normal cut at two deviations has .88 of them.
            assert weight.std() == pytest.approx(0.88 * 0.02, rel=0.1)
            assert abs(weight.mean()) < 0.005


def test_keras_hub_reads_the_weights_that_were_written(folder: Path, backbone: Any) -> None:
    written = load_file(folder / "model.safetensors")
    of = {name.removeprefix("bert."): weight for name, weight in written.items()}
    first = backbone.get_layer("transformer_layer_1")
    attention = first._self_attention_layer
    pairs = {
        "embeddings.word_embeddings.weight": backbone.token_embedding.embeddings,
        "embeddings.position_embeddings.weight": backbone.position_embedding.position_embeddings,
        "embeddings.token_type_embeddings.weight": backbone.segment_embedding.embeddings,
        "encoder.layer.1.intermediate.dense.weight": first._feedforward_intermediate_dense.kernel,
        "encoder.layer.1.output.dense.weight": first._feedforward_output_dense.kernel,
        "encoder.layer.1.attention.self.query.weight": attention.query_dense.kernel,
        "encoder.layer.1.attention.self.value.weight": attention.value_dense.kernel,
        "encoder.layer.1.attention.output.dense.weight": attention.output_dense.kernel,
        "pooler.dense.weight": backbone.pooled_dense.kernel,
    }
    for name, variable in pairs.items():
        found = np.asarray(variable)
        expected = of[name] if "embeddings" in name else of[name].T
        np.testing.assert_array_equal(found.reshape(expected.shape), expected, err_msg=name)
    assert backbone.count_params() == sum(weight.size for weight in written.values())


def test_keras_hub_computes_finite_vectors_of_the_width(backbone: Any) -> None:
    tokens = np.array([[2, 6, 7, 3, 0, 0], [2, 8, 3, 0, 0, 0]])
    inputs = {"token_ids": tokens, "padding_mask": tokens > 0, "segment_ids": 0 * tokens}
    found = np.asarray(backbone.predict_on_batch(inputs)["sequence_output"])
    assert found.shape == (2, 6, 128)
    assert np.isfinite(found).all()


def test_transformers_reads_config_and_tokenizer(folder: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(folder)
    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert (config.model_type, config.hidden_size, config.num_attention_heads) == ("bert", 128, 2)
    assert config.vocab_size == len(pieces)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer("HOT coffee 电影 zzz")["input_ids"]
    assert [pieces[token] for token in tokens] == (
        ["[CLS]", "hot", "coffee", "电", "影", "[UNK]", "[SEP]"]
    )


def test_names_and_shapes(folder: Path) -> None:
    written = load_file(folder / "model.safetensors")
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    assert len(written) == 5 + 2 * 16 + 2
    assert written["bert.embeddings.word_embeddings.weight"].shape == (vocabulary, 128)
    assert written["bert.embeddings.position_embeddings.weight"].shape == (512, 128)
    assert written["bert.encoder.layer.0.intermediate.dense.weight"].shape == (512, 128)
    assert written["bert.encoder.layer.0.output.dense.weight"].shape == (128, 512)


def test_same_seed_same_bytes_other_seed_other_weights(folder: Path, tmp_path: Path) -> None:
    again = make_scratch("tiny", TEXTS, tmp_path / "again", seed=3)
    other = make_scratch("tiny", TEXTS, tmp_path / "other", seed=4)
    for file in folder.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes()
    assert (other / "vocab.txt").read_bytes() == (folder / "vocab.txt").read_bytes()
    weights = [(place / "model.safetensors").read_bytes() for place in (other, folder)]
    assert weights[0] != weights[1]


def test_nothing_is_left_where_it_fails(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="known: tiny, mini, small"):
        make_scratch("huge", TEXTS, tmp_path / "x")
    with pytest.raises(UserError, match="no text"):
        make_scratch("tiny", [], tmp_path / "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write an encoder to .*/x"):
        make_scratch("tiny", TEXTS, tmp_path / "file" / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(UserError, match="holds something already"):
        make_scratch("tiny", TEXTS, folder)
