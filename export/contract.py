"""contract.json: what a version promises its clients, and whether the next one still keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from export.index.options import IndexReport
from export.signatures import DIMENSIONS, Signature, Tensor, inputs
from tfrec.console import import_tensorflow
from tfrec.errors import UserError

# Of the file below, not of the model: it changes when this file is to be read differently.
FORMAT_VERSION = 1
# What stands beside the graph. A server reads nothing here but the warm-up records.
EXTRA = "assets.extra"
CONTRACT = "contract.json"

Contract = dict[str, Any]
# name -> {"inputs" and "outputs": name -> {"dtype": "int64", "shape": [-1, 3]}}
Signatures = dict[str, dict[str, dict[str, dict[str, Any]]]]


def write_contract(
    folder: Path,
    model: str,
    vocabulary: Mapping[str, int],
    index: IndexReport | None = None,
    said: Mapping[str, Signature] = MappingProxyType({}),
) -> Contract:
    """Writes assets.extra/contract.json into a version's folder, last of all its files.

    The file holds `format_version`; `model`; `vocabulary`, the number of items and the like;
    `signatures`, for each what it answers, and its inputs and outputs with dtype, shape (-1 is any
    size), names of dimensions and meaning; `dimensions`, what their names stand for; `index`, where
    recommendations are not searched for exactly, how and how well; and `files`, the
    SHA-256 of every other file of the version.

    Arguments:
        folder: of the version, with its SavedModel.
        model: its kind, e.g. "ledger".
        vocabulary: how many there are of what, e.g. {"items": 3416}.
        index: None for exact search.
        said: the signatures in words; what is not said is left out.
    """
    contract = {
        "format_version": FORMAT_VERSION,
        "model": model,
        "vocabulary": dict(vocabulary),
        "dimensions": DIMENSIONS,
        "signatures": _in_words(signatures(folder), said),
        **({} if index is None else {"index": index.promises()}),
        "files": hashes(folder),
    }
    text = json.dumps(contract, indent=1, ensure_ascii=False) + "\n"
    (folder / EXTRA / CONTRACT).write_text(text, encoding="utf-8")
    return contract


def read_contract(folder: Path) -> Contract:
    """The contract of a version.

    Raises:
        UserError: there is none, it is damaged, or a later tfrec wrote it.
    """
    path = folder / EXTRA / CONTRACT
    try:
        contract: Contract = json.loads(path.read_text(encoding="utf-8"))
        version = contract["format_version"]
        if version == FORMAT_VERSION:
            _must_be_whole(contract)
    except OSError as error:
        raise UserError(
            f"{folder} is no version that python -m export wrote: {path}: {error.strerror}. Take "
            "a folder of versions that it wrote"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}); export this version again") from None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {version}, this tfrec reads {FORMAT_VERSION}; export into "
            "another folder"
        )
    return contract


def incompatibilities(earlier: Signatures, later: Signatures) -> list[str]:
    """What a client of `earlier` would trip over in `later`, a sentence each; [] where nothing.

    Every signature of `earlier` must still be there with exactly its inputs, because a server
    refuses a request that names too few or too many, and with its outputs or more. Dtypes and the
    number of dimensions stay. An input may take sizes that it did not take before, not the other
    way round. The sizes of outputs are data (facets, categories) and may change.
    """
    broken = []
    for name, promised in earlier.items():
        given = later.get(name)
        if given is None:
            broken.append(f"the signature {name} is gone")
            continue
        for new in sorted(given["inputs"].keys() - promised["inputs"].keys()):
            broken.append(f"{name} asks for one more input, {new}")
        for side in ("inputs", "outputs"):
            for tensor, before in promised[side].items():
                after = given[side].get(tensor)
                where = f"{name}'s {side.removesuffix('s')} {tensor}"
                if after is None:
                    broken.append(f"{where} is gone")
                elif before["dtype"] != after["dtype"]:
                    broken.append(f"{where} is {after['dtype']}, it was {before['dtype']}")
                elif not _shape_fits(before["shape"], after["shape"], exact=side == "inputs"):
                    broken.append(f"{where} has shape {after['shape']}, it was {before['shape']}")
    return broken


def signatures(folder: Path) -> Signatures:
    """The signatures of a SavedModel, read from its file without loading the model."""
    import_tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    found = saved.meta_graphs[0].signature_def
    return {
        name: {
            "inputs": _tensors(found[name].inputs),
            "outputs": _tensors(found[name].outputs),
        }
        for name in sorted(found)
        if not name.startswith("__")  # TensorFlow's own, e.g. __saved_model_init_op
    }


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a version but the contract itself, by path inside it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / EXTRA / CONTRACT:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = digest
    return found


def _in_words(found: Signatures, said: Mapping[str, Signature]) -> dict[str, Any]:
    """What saved_model_cli shows, with the sentences of `export.signatures` beside it."""
    told: dict[str, Any] = {}
    for name, sides in found.items():
        if (one := said.get(name)) is None:
            told[name] = sides
            continue
        words = {"inputs": inputs(one), "outputs": one.outputs}
        told[name] = {"answers": one.answers} | {
            side: {key: tensor | _words(words[side][key]) for key, tensor in tensors.items()}
            for side, tensors in sides.items()
        }
        if one.features:
            told[name]["features"] = {
                key: {"dtype": tensor.dtype} | _words(tensor)
                for key, tensor in one.features.items()
            }
    return told


def _words(tensor: Tensor) -> dict[str, str]:
    return {"dimensions": tensor.shape, "meaning": tensor.meaning}


def _must_be_whole(contract: Contract) -> None:
    """Raises what Python raises where a part that is read is missing."""
    contract["files"].keys()
    for signature in contract["signatures"].values():
        for tensors in (signature["inputs"], signature["outputs"]):
            for tensor in tensors.values():
                _shape_fits(tensor["shape"], tensor["shape"], exact=bool(tensor["dtype"]))


def _tensors(infos: Mapping[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    return {
        name: {
            "dtype": tf.as_dtype(infos[name].dtype).name,
            "shape": [int(dim.size) for dim in infos[name].tensor_shape.dim],
        }
        for name in sorted(infos)
    }


def _shape_fits(before: list[int], after: list[int], exact: bool) -> bool:
    if len(before) != len(after):
        return False
    return not exact or all(new in (old, -1) for old, new in zip(before, after, strict=True))
