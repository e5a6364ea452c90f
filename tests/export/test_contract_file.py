"""What one version promises, the next one keeps."""

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401 - its ops
from hypothesis import given
from hypothesis import strategies as st

from export.contract import (
    Signatures,
    incompatibilities,
    read_contract,
    signatures,
    write_contract,
)
from export.signatures import HISTORY
from tests.export.small_runs import Model
from tfrec.errors import UserError

# Of a ledger that the first version of the exporter wrote. It is never written again: clients of
# that version exist.
STORED = json.loads((Path(__file__).parent / "contract-v1.json").read_text(encoding="utf-8"))

SIZE = st.sampled_from([-1, 2, 3])
TENSOR = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["string", "int64"]), "shape": st.lists(SIZE, max_size=2)}
)
TENSORS = st.dictionaries(st.sampled_from("abc"), TENSOR, max_size=3)
SIGNATURES = st.dictionaries(
    st.sampled_from(["score", "recommend"]),
    st.fixed_dictionaries({"inputs": TENSORS, "outputs": TENSORS}),
)


def test_what_is_exported_today_serves_the_clients_of_the_first_version(ledger: Model) -> None:
    assert incompatibilities(STORED["signatures"], signatures(ledger.folder)) == []


def test_requests_of_the_first_version_are_answered_today(ledger: Model) -> None:
    """As a client sends them that knows nothing but the stored contract."""
    blank = {"string": "", "int64": 0, "float32": 1.0}
    for name, promised in STORED["signatures"].items():
        request = {
            key: np.full([2 if size == -1 else size for size in tensor["shape"]], blank[kind])
            for key, tensor in promised["inputs"].items()
            for kind in [tensor["dtype"]]
        }
        answer = ledger.served.ask(name, **request)
        for key, tensor in promised["outputs"].items():
            kind = "object" if tensor["dtype"] == "string" else tensor["dtype"]
            assert answer[key].dtype.name == kind
            assert answer[key].ndim == len(tensor["shape"])


def test_another_model_in_its_place_would_break_them(sasrec: Model) -> None:
    broken = incompatibilities(STORED["signatures"], signatures(sasrec.folder))
    assert "the signature explain is gone" in broken


def test_a_contract_lists_every_file_with_its_hash(ledger: Model, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", ledger.folder, tmp_path / "1"], check=True)
    (tmp_path / "1" / "assets.extra").mkdir(exist_ok=True)
    (tmp_path / "1" / "assets.extra" / "a note.md").write_text("x")
    written = write_contract(tmp_path / "1", "ledger", {"items": 24})
    assert read_contract(tmp_path / "1") == written
    assert written["vocabulary"] == {"items": 24}
    assert written.keys() > STORED.keys()
    assert "assets.extra/a note.md" in written["files"]
    lines = "".join(f"{digest}  {name}\n" for name, digest in written["files"].items())
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet"], input=lines, text=True, cwd=tmp_path / "1", check=False
    )
    assert done.returncode == 0
    everything = [path for path in (tmp_path / "1").rglob("*") if path.is_file()]
    assert len(everything) == len(written["files"]) + 1  # all but the contract itself


def test_signatures_are_those_that_tensorflow_finds(ledger: Model) -> None:
    loaded = tf.saved_model.load(str(ledger.folder)).signatures
    found = signatures(ledger.folder)
    assert found.keys() == loaded.keys()
    for name, signature in found.items():
        specs = loaded[name].structured_input_signature[1]
        assert signature["inputs"].keys() == specs.keys()
        for key, tensor in signature["inputs"].items():
            assert tensor["dtype"] == specs[key].dtype.name
            assert tensor["shape"] == [-1 if size is None else size for size in specs[key].shape]
        assert signature["outputs"].keys() == loaded[name].structured_outputs.keys()


def test_a_contract_says_what_everything_means(ledger: Model, tmp_path: Path) -> None:
    shutil.copytree(ledger.folder, tmp_path / "1")
    (tmp_path / "1" / "assets.extra").mkdir()
    plain, sizes = signatures(ledger.folder), ledger.exported.sizes
    written = write_contract(tmp_path / "1", "ledger", {}, None, ledger.exported.signatures)
    assert incompatibilities(plain, written["signatures"]) == []
    assert incompatibilities(written["signatures"], plain) == []
    assert written["signatures"].keys() == plain.keys()
    for signature in written["signatures"].values():
        assert signature["answers"]
        for tensor in (*signature["inputs"].values(), *signature["outputs"].values()):
            assert tensor["meaning"]
            named = tensor["dimensions"].split()
            assert set(named) <= written["dimensions"].keys()
            assert tensor["shape"] == [size or -1 for size in sizes.of(" ".join(named))]
    features = written["signatures"]["classify"]["features"]
    assert features["history_items"] == {
        "dtype": "string", "dimensions": "B L", "meaning": HISTORY["history_items"].meaning,
    }  # fmt: skip


@given(SIGNATURES)
def test_a_contract_fits_itself_and_may_answer_more(promised: Signatures) -> None:
    assert incompatibilities(promised, copy.deepcopy(promised)) == []
    more = copy.deepcopy(promised)
    more["another"] = {"inputs": {}, "outputs": {}}
    for signature in more.values():
        signature["outputs"]["another"] = {"dtype": "bool", "shape": [-1]}
        for tensor in signature["inputs"].values():
            tensor["shape"] = [-1] * len(tensor["shape"])
    assert incompatibilities(promised, more) == []


@given(SIGNATURES, st.data())
def test_each_loss_is_found_and_named(promised: Signatures, data: st.DataObject) -> None:
    places = [
        (name, side, key)
        for name, signature in promised.items()
        for side in ("inputs", "outputs")
        for key in signature[side]
    ]
    if not places:
        return
    name, side, key = data.draw(st.sampled_from(places))
    changes: dict[str, Any] = {
        "gone": lambda tensors: tensors.pop(key),
        "float16": lambda tensors: tensors[key].update(dtype="float16"),
        "7, 7, 7": lambda tensors: tensors[key].update(shape=[7, 7, 7]),
    }
    word = data.draw(st.sampled_from(sorted(changes)))
    later = copy.deepcopy(promised)
    changes[word](later[name][side])
    [sentence] = incompatibilities(promised, later)
    assert sentence.startswith(f"{name}'s {side[:-1]} {key} ")
    assert word in sentence


@given(SIGNATURES, SIGNATURES, SIGNATURES)
def test_what_fits_twice_in_a_row_fits(a: Signatures, b: Signatures, c: Signatures) -> None:
    if not incompatibilities(a, b) and not incompatibilities(b, c):
        assert incompatibilities(a, c) == []


def test_inputs_may_only_become_freer() -> None:
    def one(shape: list[int]) -> Signatures:
        tensor = {"dtype": "int64", "shape": shape}
        return {"score": {"inputs": {"a": tensor}, "outputs": {"b": tensor}}}

    assert incompatibilities(one([-1, 3]), one([-1, -1])) == []
    [sentence] = incompatibilities(one([-1, -1]), one([-1, 3]))
    assert sentence == "score's input a has shape [-1, 3], it was [-1, -1]"
    asked = copy.deepcopy(one([-1]))
    asked["score"]["inputs"]["new"] = {"dtype": "int64", "shape": [-1]}
    assert incompatibilities(one([-1]), asked) == ["score asks for one more input, new"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no version that python -m export wrote"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format_version": 1, "signatures": {}}', "is damaged"),
        ('{"format_version": 1, "signatures": {}, "files": []}', "is damaged"),
        ('{"format_version": 1, "files": {}, "signatures": {"score": {}}}', "is damaged"),
        ('{"format_version": 9}', "has format version 9, this tfrec reads 1"),
    ],
)
def test_a_contract_that_cannot_be_read_is_named(
    tmp_path: Path, text: str | None, message: str
) -> None:
    (tmp_path / "assets.extra").mkdir()
    if text is not None:
        (tmp_path / "assets.extra" / "contract.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_contract(tmp_path)
