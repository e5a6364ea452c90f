"""All models: lookups by name, version or label, and the change from one config to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from serving.config import ModelConfig
from serving.keeper import Load, ModelKeeper, Schedule, Servable
from serving.status import Code, ServingError, invalid
from serving.versions import State, VersionStatus


@dataclass(frozen=True)
class Reference:
    """What a request asks for: a model, and perhaps one version of it by number or by label."""

    name: str
    version: int | None = None
    label: str | None = None


class Models:
    """The models that are served.

    Arguments:
        load: makes a version ready to serve.
        load_threads, unload_threads: how many at once; 0 means one by one.
        labels_ahead: labels may name versions that are not available (yet).
    """

    def __init__(
        self,
        load: Load,
        schedule: Schedule,
        load_threads: int = 0,
        unload_threads: int = 0,
        labels_ahead: bool = False,
    ) -> None:
        self._load = load
        self._schedule = schedule
        self._loading = threading.Semaphore(max(1, load_threads))
        self._unloading = ThreadPoolExecutor(max(1, unload_threads), "unload")
        self._labels_ahead = labels_ahead
        self._changed = threading.Condition()
        self._configuring = threading.Lock()
        self._keepers: dict[str, ModelKeeper] = {}
        self._labels: dict[str, Mapping[str, int]] = {}

    def acquire(self, reference: Reference) -> Servable:
        """The loaded version that a request asks for, held until its `release`.

        Raises:
            ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        version = reference.version
        if reference.label is not None:
            version = self._labels.get(reference.name, {}).get(reference.label)
            if version is None:
                raise invalid(f"Unrecognized servable version label: {reference.label}")
        while True:  # a version found may be retired before it is held: then look again
            keeper = self._keepers.get(reference.name)
            serving = keeper.serving if keeper else {}
            if version is not None:
                servable = serving.get(version)
            else:
                servable = serving[max(serving)] if serving else None
            if servable is None:
                asked = f"Latest({reference.name})"
                if version is not None:
                    asked = f"Specific({reference.name}, {version})"
                raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {asked}")
            if servable.acquire():
                return servable

    def statuses(self, reference: Reference) -> dict[int, VersionStatus]:
        """States by version, the newest first. Labels are not looked at.

        Raises:
            ServingError: NOT_FOUND.
        """
        keeper = self._keepers.get(reference.name)
        found = keeper.statuses() if keeper else {}
        if reference.version is not None:
            if reference.version not in found:
                raise ServingError(
                    Code.NOT_FOUND,
                    f"Could not find version {reference.version} of model {reference.name}",
                )
            return {reference.version: found[reference.version]}
        if not found:
            raise ServingError(
                Code.NOT_FOUND, f"Could not find any versions of model {reference.name}"
            )
        return found

    def names(self) -> set[str]:
        """Of the models in the present config."""
        keepers = dict(self._keepers)
        return {name for name, keeper in keepers.items() if keeper.config is not None}

    def configure(
        self, configs: Mapping[str, ModelConfig], stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Replaces the config and waits until every new model has an available version.

        Arguments:
            configs: by name; models that are absent are unloaded.
            stopped: asked now and then; True ends the waiting.

        Raises:
            ServingError: a label names a version that is not available, and nothing has changed;
                or a new model's versions all failed to load.
        """
        with self._configuring:
            self._check_labels(configs)
            self._labels = {name: dict(config.labels) for name, config in configs.items()}
            kind = "model" if self._keepers else "servable"  # another word once it has started
            new = [
                name
                for name in configs
                if name not in self._keepers or self._keepers[name].config is None
            ]
            for name, keeper in self._keepers.items():
                if name not in configs:
                    keeper.update(None)
            for name, config in configs.items():
                if name in self._keepers:
                    if self._keepers[name].config != config:
                        self._keepers[name].update(config)
                else:
                    self._keepers[name] = ModelKeeper(
                        config,
                        self._load,
                        self._schedule,
                        self._loading,
                        self._unloading,
                        self._changed,
                    )
        self._wait_for(new, kind, stopped)

    def _check_labels(self, configs: Mapping[str, ModelConfig]) -> None:
        for name, config in configs.items():
            keeper = self._keepers.get(name)
            states = keeper.statuses() if keeper else {}
            for label, version in config.labels.items():
                status = states.get(version)
                if status is not None and status.state == State.AVAILABLE:
                    continue
                now = self._labels.get(name, {}).get(label)
                if self._labels_ahead and now in (None, version):
                    continue
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {name}, "
                    "which is not currently available for inference",
                )

    def _wait_for(self, names: list[str], kind: str, stopped: Callable[[], bool]) -> None:
        failed: dict[str, dict[int, ServingError]] = {}
        waiting = list(names)
        with self._changed:
            while waiting and not stopped():
                for name in list(waiting):
                    verdict = self._keepers[name].verdict()
                    if verdict is not False:
                        waiting.remove(name)
                    if isinstance(verdict, dict):
                        failed[name] = verdict
                if waiting:
                    self._changed.wait(0.2)
        if failed:
            listed = "".join(
                f"{{{{name: {name} version: {version}}} due to error: {error}}}, "
                for name, errors in failed.items()
                for version, error in errors.items()
            )
            raise ServingError(
                Code.UNKNOWN, f"{len(failed)} {kind}(s) did not become available: {{{listed}}}"
            )
