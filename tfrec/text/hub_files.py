"""Where the SavedModels of a TensorFlow Hub encoder are: in folders, or on Kaggle."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from tfrec.errors import UserError
from tfrec.text.options import HUB
from tfrec.text.pooling import MODES, Pooling
from tfrec.text.tokenizer_files import read_json

# The folders in a folder that holds both SavedModels, and what it says of pooling.
PREPROCESSING, ENCODER, POOLING = "preprocess", "encoder", "pooling.json"
# A mode beside those of `Pooling`: the encoder's own output for a text.
POOLED = "pooled_output"

_MODEL = "saved_model.pb"
# Of a SavedModel's files, those that are loaded.
_LOADED = (_MODEL, "variables/*", "assets/**/*")
_PAGES = ("https://www.kaggle.com/models/", "https://kaggle.com/models/")
_ADVICE = (
    f"Supported are the folder of a SavedModel that reads strings, a folder with {PREPROCESSING}/ "
    f"and {ENCODER}/, two folders {HUB}<preprocessing>,<encoder>, and handles of Kaggle in place "
    f"of folders, e.g. {HUB}google/universal-sentence-encoder/tensorFlow2/"
    "universal-sentence-encoder/2"
)


class HubModel(NamedTuple):
    """The SavedModels of an encoder.

    Attributes:
        preprocessing: strings -> the encoder's input; None for an encoder that reads strings.
        encoder: the encoder itself.
        pooling: how token vectors become that of a text, "pooled_output" among the modes; None
            where nobody says.
    """

    preprocessing: Path | None
    encoder: Path
    pooling: Pooling | None = None

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the files that are loaded and the pooling."""
        digest = hashlib.sha256(f"{self.pooling}".encode())
        for folder in filter(None, self[:2]):
            paths = {path for pattern in _LOADED for path in folder.glob(pattern)}
            for path in sorted(path for path in paths if path.is_file()):
                digest.update(f"\n{path.relative_to(folder).as_posix()} ".encode())
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def find_hub(where: str) -> HubModel:
    """What "tfhub:<...>" names, downloaded into kagglehub's cache where it is a handle.

    Arguments:
        where: with one folder or handle behind the colon, or two, separated by a comma: of the
            preprocessing and of the encoder.

    Raises:
        UserError: no such folder or handle, or a folder without a SavedModel.

    Example:
        >>> find_hub("tfhub:nowhere")
        Traceback (most recent call last):
        tfrec.errors.UserError: there is no folder nowhere...
    """
    names = [name.strip() for name in where.removeprefix(HUB).split(",")]
    if len(names) > 2 or not all(names):
        raise UserError(f"{where} names no one or two SavedModels. {_ADVICE}")
    places = [_place(name) for name in names]
    if len(places) == 2:
        return HubModel(_with_model(places[0]), _with_model(places[1]))
    folder = places[0]
    if (folder / _MODEL).is_file():
        return HubModel(None, folder)
    parts = (folder / PREPROCESSING, folder / ENCODER)
    if not any(part.is_dir() for part in parts):
        raise UserError(f"{folder} has no {_MODEL}. {_ADVICE}")
    return HubModel(_with_model(parts[0]), _with_model(parts[1]), _pooling(folder / POOLING))


def _place(name: str) -> Path:
    """The folder, or that of a handle after its download."""
    folder = Path(name)
    if folder.is_dir():
        return folder
    if "tfhub.dev/" in name:
        raise UserError(
            f"{name}: the models of tfhub.dev moved to Kaggle under other names and versions. Open "
            f"the address in a browser, then give {HUB} and the handle that stands there"
        )
    handle = name
    for page in _PAGES:
        handle = handle.removeprefix(page)
    parts = handle.split("/")
    # A path has as many parts, but hardly this one.
    if len(parts) not in (4, 5) or parts[2].lower() != "tensorflow2":
        raise UserError(
            f"there is no folder {name}, and it is no handle of Kaggle for TensorFlow 2: "
            f"<owner>/<model>/tensorFlow2/<variation>/<version>. {_ADVICE}"
        )
    return _download(handle)


def _download(handle: str) -> Path:
    import kagglehub  # type: ignore[import-untyped]
    from kagglehub import exceptions

    failures = (
        exceptions.BackendError,
        exceptions.DataCorruptionError,
        exceptions.KaggleEnvironmentError,
        exceptions.NotFoundError,
        exceptions.UnauthenticatedError,
    )
    try:
        return Path(kagglehub.model_download(handle))
    except (OSError, ValueError, *failures) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{HUB}{handle} cannot be downloaded from Kaggle ({reason}). Check the name and the "
            "connection, or download it elsewhere and give its folder"
        ) from None


def _with_model(folder: Path) -> Path:
    if not (folder / _MODEL).is_file():
        raise UserError(f"{folder / _MODEL} is missing. {_ADVICE}")
    return folder


def _pooling(path: Path) -> Pooling | None:
    if not path.exists():
        return None
    modes = (*MODES, POOLED)
    said = read_json(path)
    pooling = Pooling(said.get("mode", "mean"), said.get("normalise", False))
    known = said.keys() <= {"mode", "normalise"}
    if not known or pooling.mode not in modes or not isinstance(pooling.normalise, bool):
        raise UserError(
            f'{path} holds {said}, expected "mode", one of {", ".join(modes)}, and "normalise", '
            "true or false"
        )
    return pooling
