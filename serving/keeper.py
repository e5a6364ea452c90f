"""One model kept up to date: finds its versions, loads the new before it lets go of the old."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from serving.config import ModelConfig
from serving.console import log
from serving.loader import Runner, SavedModel
from serving.status import ServingError, from_exception
from serving.versions import State, VersionStatus, find_versions


class Servable:
    """A loaded version that requests hold while they use it.

    Arguments:
        model: its signatures.
        runner: what runs them.
        closing: frees it, called in this order.
    """

    def __init__(
        self,
        name: str,
        version: int,
        model: SavedModel,
        runner: Runner,
        closing: Sequence[Callable[[], None]],
    ) -> None:
        self.name = name
        self.version = version
        self.model = model
        self.runner = runner
        self._closing = closing
        self._lock = threading.Lock()
        self._users = 0
        self._retired = False
        self._idle = threading.Event()

    def acquire(self) -> bool:
        """Holds the version; False when it is being unloaded. Every True needs a `release`."""
        with self._lock:
            if self._retired:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._retired and not self._users:
                self._idle.set()

    def retire(self) -> None:
        """Takes no new requests from here on."""
        with self._lock:
            self._retired = True
            if not self._users:
                self._idle.set()

    def close(self) -> None:
        """Waits for the requests that hold it, then frees it."""
        self._idle.wait()
        for close in self._closing:
            close()
        # Graphs are full of cycles; their memory should not wait for a chance.
        gc.collect()


Load = Callable[[str, int, Path], Servable]


@dataclass(frozen=True)
class Schedule:
    """When to look and to try again. Seconds; `poll` 0 looks only when the config changes."""

    poll: float = 1.0
    retries: int = 5
    retry_interval: float = 60.0


@dataclass
class _Version:
    path: Path
    status: VersionStatus
    servable: Servable | None = None
    tries: int = 0
    next_try: float = 0.0


class ModelKeeper:
    """The versions of one model, and the thread that looks after them.

    Arguments:
        config: where they are and which are wanted.
        load: makes a version ready; an exception means that it failed.
        loading: limits the loads going on at once, over all models.
        unloading: where versions wait for their last requests and are freed.
        changed: notified at every change of a state.
    """

    def __init__(
        self,
        config: ModelConfig,
        load: Load,
        schedule: Schedule,
        loading: threading.Semaphore,
        unloading: Executor,
        changed: threading.Condition,
    ) -> None:
        self.config: ModelConfig | None = config
        self.serving: dict[int, Servable] = {}  # replaced, never altered: read without a lock
        self._name = config.name
        self._load = load
        self._schedule = schedule
        self._loading = loading
        self._unloading = unloading
        self._changed = changed
        self._versions: dict[int, _Version] = {}
        self._aspired: dict[int, Path] = {}
        self._looked_at: ModelConfig | None = None
        self._wake = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"keeper of {self._name}", daemon=True
        )
        self._thread.start()

    def update(self, config: ModelConfig | None) -> None:
        """Follows another config; None lets all versions go."""
        self.config = config
        self._wake.set()

    def statuses(self) -> dict[int, VersionStatus]:
        """How every version fares that there has been, the newest first."""
        with self._changed:
            return {
                number: version.status
                for number, version in sorted(self._versions.items(), reverse=True)
            }

    def verdict(self) -> bool | dict[int, ServingError]:
        """True: a version is available. False: not yet. Errors by version: none will be."""
        with self._changed:
            if self.serving:
                return True
            errors = {
                number: self._versions[number].status.error
                for number in self._aspired
                if number in self._versions and self._versions[number].status.state == State.END
            }
            failed = {number: error for number, error in errors.items() if error is not None}
            return failed if failed and len(failed) == len(self._aspired) else False

    def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                self._look()
                while self._act():
                    self._look()
            except Exception:  # the thread must live: without it the model never changes again
                log.exception("keeper of %s", self._name)
            self._wake.wait(self._pause())

    def _pause(self) -> float | None:
        now = time.monotonic()
        waits = [
            version.next_try - now
            for version in self._versions.values()
            if version.status.state == State.LOADING
        ]
        if any(v.status.state == State.UNLOADING for v in self._versions.values()):
            waits.append(0.1)  # it may be wanted again when it is gone
        if self._schedule.poll > 0:
            waits.append(self._schedule.poll)
        return max(0.0, min(waits)) if waits else None

    def _look(self) -> None:
        config = self.config
        if self._schedule.poll <= 0 and config is self._looked_at:
            return
        found: dict[int, Path] = {}
        if config is not None:
            listed = find_versions(config.base_path)
            if listed is None:
                if self._looked_at is not config:
                    log.warning("%s: cannot read %s yet", self._name, config.base_path)
                    self._looked_at = config
                return
            chosen = config.policy.choose(set(listed))
            if self._looked_at is not config:
                for number in set(config.policy.specific or ()) - chosen:
                    log.warning("%s: version %d is not in its folder", self._name, number)
            found = {number: listed[number] for number in chosen}
        self._looked_at = config
        with self._changed:
            self._aspired = found
            for number, version in self._versions.items():
                waiting = version.status.state in (State.START, State.LOADING)
                if number not in found and waiting:
                    version.status = VersionStatus(State.END, version.status.error)
                if number not in found and version.status.state == State.END:
                    version.tries = -1  # were it to come back, it would be loaded anew
            for number, path in found.items():
                known = self._versions.get(number)
                if known is None or (known.status.state == State.END and known.tries < 0):
                    self._versions[number] = _Version(path, VersionStatus(State.START))
            self._changed.notify_all()

    def _act(self) -> bool:
        """Does the most urgent thing; False when there is nothing to do now."""
        states = {number: v.status.state for number, v in self._versions.items()}
        available = {number for number, state in states.items() if state == State.AVAILABLE}
        unwanted = available - set(self._aspired)
        if unwanted and (not self._aspired or available & set(self._aspired)):
            self._unload(min(unwanted))
            return True
        now = time.monotonic()
        ready = [
            number
            for number in self._aspired
            if states.get(number) in (State.START, State.LOADING)
            and self._versions[number].next_try <= now
        ]
        if not ready:
            return False
        self._try(max(ready))
        return True

    def _try(self, number: int) -> None:
        version = self._versions[number]
        self._set(number, VersionStatus(State.LOADING))
        started = time.monotonic()
        try:
            with self._loading:
                servable = self._load(self._name, number, version.path)
        except Exception as raised:
            error = from_exception(raised)
            version.tries += 1
            if version.tries > self._schedule.retries:
                log.error("%s version %d cannot be loaded: %s", self._name, number, error)
                self._set(number, VersionStatus(State.END, error))
            else:
                log.warning("%s version %d: %s; tried again later", self._name, number, error)
                version.next_try = time.monotonic() + self._schedule.retry_interval
                self._set(number, VersionStatus(State.LOADING, error))
            return
        log.info(
            "%s version %d is available (%.1f s)", self._name, number, time.monotonic() - started
        )
        version.servable = servable
        self._set(number, VersionStatus(State.AVAILABLE), {**self.serving, number: servable})

    def _unload(self, number: int) -> None:
        servable = self._versions[number].servable
        assert servable is not None
        left = {n: s for n, s in self.serving.items() if n != number}
        self._set(number, VersionStatus(State.UNLOADING), left)
        servable.retire()
        self._versions[number].servable = None

        def free() -> None:
            servable.close()
            self._versions[number].tries = -1
            self._set(number, VersionStatus(State.END))
            log.info("%s version %d is unloaded", self._name, number)

        self._unloading.submit(free)

    def _set(
        self, number: int, status: VersionStatus, serving: dict[int, Servable] | None = None
    ) -> None:
        with self._changed:
            self._versions[number].status = status
            if serving is not None:
                self.serving = serving
            self._changed.notify_all()
