"""Which models to serve: a ModelServerConfig, checked and in our own words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.status import invalid
from serving.versions import Policy


@dataclass(frozen=True)
class ModelConfig:
    """One model: where its versions are, which of them to serve, and names for some of them."""

    name: str
    base_path: Path
    policy: Policy = field(default_factory=Policy)
    labels: Mapping[str, int] = field(default_factory=dict)


def read_config(proto: Any) -> dict[str, ModelConfig]:
    """A ModelServerConfig by the names of its models.

    Raises:
        ServingError: INVALID_ARGUMENT, with what is wrong with which model.
    """
    if proto.WhichOneof("config") == "custom_model_config":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
            "ModelConfigList is currently supported"
        )
    models: dict[str, ModelConfig] = {}
    for entry in proto.model_config_list.config:
        if entry.name in models:
            raise invalid(f"Duplicate model name: {entry.name}")
        models[entry.name] = _model(entry)
    return models


def _model(entry: Any) -> ModelConfig:
    if not entry.name:
        raise invalid("A model in the ModelServerConfig has no name")
    if not entry.model_platform and not entry.model_type:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type nor "
            "ModelServerConfig::model_platform"
        )
    if entry.model_platform not in ("", "tensorflow") or entry.model_type not in (0, 1):
        platform = entry.model_platform or entry.model_type
        raise invalid(f"Model {entry.name} requests unsupported platform {platform}")
    if not os.path.isabs(entry.base_path):
        raise invalid(
            f"Expected model {entry.name} to have an absolute path or URI; got "
            f"base_path()={entry.base_path}"
        )
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
