"""Pooling against NumPy, and what the files of sentence-transformers ask for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.text.tiny_checkpoints import write_json, write_sentence_files
from tfrec.errors import UserError
from tfrec.text.pooling import MODES, Pooling, pool, read_sentence


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("mode", MODES)
@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_padding_takes_no_part(mode: str, normalise: bool, lengths: list[int], seed: int) -> None:
    states = np.random.default_rng(seed).normal(size=(len(lengths), 5, 3))
    mask = np.arange(5) < np.array(lengths)[:, None]
    found = pool(tf.constant(states), tf.constant(mask), Pooling(mode, normalise)).numpy()
    for vector, row, length in zip(found, states, lengths, strict=True):
        if not length:
            expected = np.zeros(3)
        else:
            real = row[:length]
            by = {"mean": real.mean(0), "max": real.max(0), "cls": real[0], "last": real[-1]}
            expected = by[mode]
            if normalise:
                expected = expected / np.linalg.norm(expected)
        np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="one of mean, cls, max, last, got 'sum'"):
        pool(tf.zeros([1, 1, 1]), tf.constant([[True]]), Pooling("sum"))


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize(
    ("flag", "mode"),
    [("cls_token", "cls"), ("mean_tokens", "mean"), ("max_tokens", "max"), ("lasttoken", "last")],
)
def test_the_files_of_sentence_transformers(
    tmp_path: Path, flag: str, mode: str, normalise: bool
) -> None:
    write_sentence_files(tmp_path, flag, normalise=normalise, max_seq_length=9, do_lower_case=True)
    said = read_sentence(tmp_path)
    assert said.pooling == Pooling(mode, normalise)
    assert (said.transformer, said.max_length, said.lower) == (tmp_path, 9, True)


def test_what_is_not_supported_is_named(tmp_path: Path) -> None:
    assert read_sentence(tmp_path).pooling is None
    for flags in (["mean_tokens", "cls_token"], ["mean_sqrt_len_tokens"], []):
        write_sentence_files(tmp_path, *flags)
        with pytest.raises(UserError, match=r"1_Pooling/config\.json asks for pooling by"):
            read_sentence(tmp_path)
    write_json(tmp_path / "modules.json", [{"type": "sentence_transformers.models.Dense"}])
    with pytest.raises(UserError, match=r"modules\.json has a module of type .*Dense"):
        read_sentence(tmp_path)
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(UserError, match=r"modules\.json cannot be read"):
        read_sentence(tmp_path)
    write_json(tmp_path / "modules.json", {"type": "Transformer"})
    with pytest.raises(UserError, match="holds no list of modules"):
        read_sentence(tmp_path)


def test_the_model_may_lie_in_a_folder_of_its_own(tmp_path: Path) -> None:
    modules = [{"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"}]
    write_json(tmp_path / "modules.json", modules)
    said = read_sentence(tmp_path)
    assert said.transformer == tmp_path / "0_Transformer"
    assert said.pooling is None
