"""Per-case metrics on disk: what a paired comparison of two runs needs, and nothing else.

Format version 1, one .npz per evaluated model:

    users           int32 [N]      user index of each case
    targets         int32 [T]      item indices that should rank high
    target_offsets  int64 [N + 1]  targets of case n are offsets[n] .. offsets[n + 1] - 1
    about           JSON text: format_version, name, split_hash, protocol
    metric:<name>   float32 [N]    one array per metric, e.g. metric:ndcg@10
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, Int32, Int64
from tfrec.errors import UserError

FORMAT_VERSION = 1
_METRIC = "metric:"


@dataclass(frozen=True)
class CaseMetrics:
    """One model's metrics for every case.

    Attributes:
        name: of the model or run, for messages.
        split_hash: identifies the split that the cases come from.
        protocol: how they were ranked, in one line.
        users, targets, target_offsets: the cases, as in `Cases`.
        metrics: metric name -> float32 [N].
    """

    name: str
    split_hash: str
    protocol: str
    users: Int32
    targets: Int32
    target_offsets: Int64
    metrics: dict[str, Float32]

    def __len__(self) -> int:
        return len(self.users)


def save_cases(
    path: Path,
    cases: Cases,
    per_case: Mapping[str, Float32],
    *,
    name: str,
    split_hash: str,
    protocol: str,
) -> None:
    """Writes the file whole or not at all.

    Arguments:
        path: of the .npz file.
        cases: N cases.
        per_case: metric name -> float32 [N], from `evaluate`.
        name, split_hash, protocol: see `CaseMetrics`.
    """
    about = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "split_hash": split_hash,
        "protocol": protocol,
    }
    arrays: dict[str, Any] = {
        "about": np.array(json.dumps(about)),
        "users": cases.histories.users,
        "targets": cases.targets,
        "target_offsets": cases.target_offsets,
        **{_METRIC + metric: values for metric, values in per_case.items()},
    }
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(partial, path)


def load_cases(path: Path) -> CaseMetrics:
    """Reads what `save_cases` wrote.

    Raises:
        UserError: the file is missing, damaged, or of another format version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            version = about["format_version"]
            if version != FORMAT_VERSION:
                raise UserError(
                    f"{path} has format version {version}, this tfrec reads {FORMAT_VERSION}. "
                    "Evaluate the run again"
                )
            return CaseMetrics(
                name=about["name"],
                split_hash=about["split_hash"],
                protocol=about["protocol"],
                users=file["users"],
                targets=file["targets"],
                target_offsets=file["target_offsets"],
                metrics={
                    key.removeprefix(_METRIC): file[key]
                    for key in file.files
                    if key.startswith(_METRIC)
                },
            )
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Evaluate the run first") from None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UserError(
            f"{path} is not a file of per-case metrics or is damaged ({error}). "
            "Evaluate the run again"
        ) from None
