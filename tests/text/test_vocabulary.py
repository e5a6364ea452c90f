"""The learned vocabulary: the same bytes every time, readable by both tokenizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.errors import UserError
from tfrec.text.vocabulary import SPECIAL, learn_vocabulary, write_vocabulary

STEMS = ["walk", "talk", "play", "jump", "look"]
ENDS = ["", "s", "ed", "ing", "er", "ers"]
CORPUS = [f"{stem}{end}, {other}! 电影好看" for stem in STEMS for end in ENDS for other in STEMS]


def test_specials_come_first_then_characters_then_merges() -> None:
    pieces = learn_vocabulary(CORPUS, size=200)
    assert tuple(pieces[:5]) == SPECIAL
    assert len(set(pieces)) == len(pieces) <= 200
    assert {"walk", "##ing", "##ed", "a", "##a", ",", "!"} <= set(pieces)
    assert max(map(pieces.index, "walkjump")) < pieces.index("walk")


def test_chinese_characters_are_single_pieces() -> None:
    pieces = learn_vocabulary([*CORPUS, "电影 电影 电影 电影院"], size=300)
    assert set("电影好看院") <= set(pieces)
    assert not [piece for piece in pieces if len(piece.removeprefix("##")) > 1 and "电" in piece]
    assert "##影" not in pieces


def test_the_size_holds_and_leaves_room_for_words() -> None:
    texts = [" ".join(chr(0x4E00 + n) for n in range(k)) + " walking" * 9 for k in range(200)]
    pieces = learn_vocabulary(texts, size=60)
    assert 40 < len(pieces) <= 60
    assert "一" in pieces  # the most frequent one; the rarest have no piece
    assert chr(0x4E00 + 198) not in pieces
    assert "walking" in pieces


def test_case_and_accents() -> None:
    assert "café" in learn_vocabulary(["Café café Café café"], 100, lower_case=False)
    lower = learn_vocabulary(["Café café Café café"], 100)
    assert "cafe" in lower
    assert not [piece for piece in lower[5:] if piece != piece.lower()]


def test_same_bytes_in_other_processes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.text.test_vocabulary import CORPUS\n"
        "from tfrec.text.vocabulary import *\n"
        "write_vocabulary(learn_vocabulary(CORPUS, 120), Path(sys.argv[1]))"
    )
    written = []
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        env = os.environ | {"PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-c", code, folder], check=True, env=env)
        written.append((folder / "vocab.txt").read_bytes())
    assert len(set(written)) == 1
    assert written[0].decode().splitlines() == learn_vocabulary(CORPUS, 120)


@settings(max_examples=15)
@given(st.lists(st.text(), min_size=1, max_size=10))
def test_any_text_gives_a_vocabulary_that_both_read(texts: list[str]) -> None:
    import tempfile

    from keras_hub.tokenizers import BertTokenizer as KerasTokenizer
    from transformers import BertTokenizer

    pieces = learn_vocabulary([*texts, "some words\ud800"], size=500)
    with tempfile.TemporaryDirectory() as folder:
        write_vocabulary(pieces, Path(folder))
        path = os.path.join(folder, "vocab.txt")
        theirs = BertTokenizer(path).get_vocab()
        assert {piece: theirs[piece] for piece in pieces} == {p: n for n, p in enumerate(pieces)}
        assert KerasTokenizer(path, lowercase=True).get_vocabulary() == pieces


def test_both_split_texts_the_same_way(tmp_path: Path) -> None:
    from keras_hub.tokenizers import BertTokenizer as KerasTokenizer
    from transformers import BertTokenizer

    write_vocabulary(learn_vocabulary(CORPUS, 150), tmp_path)
    path = str(tmp_path / "vocab.txt")
    hugging_face, keras = BertTokenizer(path), KerasTokenizer(path, lowercase=True)
    for text in ("Walked, talkers LOOKING!", "好看的电影", "jumpings xyz"):
        expected = hugging_face(text, add_special_tokens=False)["input_ids"]
        assert list(keras(text)) == expected


def test_no_words_no_vocabulary(tmp_path: Path) -> None:
    for texts in ([], ["", " \n"]):
        with pytest.raises(UserError, match="no text to learn a vocabulary from"):
            learn_vocabulary(texts)
    with pytest.raises(UserError, match="no room"):
        learn_vocabulary(CORPUS, size=9)
    with pytest.raises(UserError, match=r"cannot write .*vocab.txt"):
        write_vocabulary(["x"], tmp_path / "missing")


def test_words_without_end_are_left_out() -> None:
    assert learn_vocabulary(["x" * 5000, "word word"], 100)[5:].count("x") == 0
