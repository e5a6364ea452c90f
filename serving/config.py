"""Which models to serve: a ModelServerConfig, checked and in our own words."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.status import invalid
from serving.versions import Policy

_TENSORFLOW = 1  # of the enum ModelType


@dataclass(frozen=True)
class ModelConfig:
    """One model: where its versions are, which of them to serve, and names for some of them."""

    name: str
    base_path: Path
    policy: Policy = field(default_factory=Policy)
    labels: Mapping[str, int] = field(default_factory=dict)


def read_config(proto: Any, served: Container[str] = ()) -> dict[str, ModelConfig]:
    """A ModelServerConfig by the names of its models.

    Arguments:
        served: names of the models that are served already; all of them are TensorFlow's.

    Raises:
        ServingError: INVALID_ARGUMENT, with what is wrong with which model.
    """
    if proto.WhichOneof("config") == "custom_model_config":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
            "ModelConfigList is currently supported"
        )
    entries = proto.model_config_list.config
    # The whole list is gone through once per rule, so that of several faults the same one is told.
    names = set()
    for entry in entries:
        if entry.name in names:
            raise invalid(f"Illegal to list model {entry.name} multiple times in config list")
        names.add(entry.name)
    for entry in entries:
        if not os.path.isabs(entry.base_path):
            raise invalid(
                f"Expected model {entry.name} to have an absolute path or URI; got "
                f"base_path()={entry.base_path}"
            )
    for entry in entries:
        _check_platform(entry, entry.name in served)
    return {entry.name: _model(entry) for entry in entries}


def _check_platform(entry: Any, is_served: bool) -> None:
    platform, kind = entry.model_platform, entry.model_type
    both = "ModelServerConfig::model_type (deprecated) {} ModelServerConfig::model_platform."
    if platform and kind:
        raise invalid(f"Illegal setting both {both.format('and')}")
    if not platform and not kind:
        raise invalid(f"Illegal setting neither {both.format('nor')}")
    if kind not in (0, _TENSORFLOW):
        raise invalid(f"ModelServerConfig::model_type choice {kind} not supported.")
    if platform in ("", "tensorflow"):
        return
    if is_served:
        raise invalid(
            f"Illegal to change a model's platform. For model {entry.name} platform was "
            f"tensorflow and new platform requested is {platform}"
        )
    raise invalid(f"Model {entry.name} requests unsupported platform {platform}")


def _model(entry: Any) -> ModelConfig:
    if not entry.name:
        raise invalid("A model in the ModelServerConfig has no name")
    return ModelConfig(
        name=entry.name,
        base_path=Path(entry.base_path),
        policy=_policy(entry.model_version_policy),
        labels=dict(entry.version_labels.items()),
    )


def _policy(proto: Any) -> Policy:
    kind = proto.WhichOneof("policy_choice")
    if kind == "all":
        return Policy(latest=None)
    if kind == "specific":
        if not proto.specific.versions:
            raise invalid("A specific version policy names no versions")
        return Policy(specific=tuple(proto.specific.versions))
    return Policy(latest=proto.latest.num_versions or 1)
