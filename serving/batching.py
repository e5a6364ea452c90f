"""Dynamic batching: requests that wait at the same time run as one, and get their rows back."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from serving.flags import CPUS
from serving.loader import Runner
from serving.merging import check_rows, merge, split
from serving.metrics import Metrics
from serving.protos import BatchingParameters, read_text
from serving.status import Code, ServingError, invalid
from serving.tensors import Array


@dataclass(frozen=True)
class Parameters:
    """BatchingParameters with the defaults of TensorFlow Serving.

    Fields:
        max_batch_size: rows of the largest request, and of a batch unless `max_execution`.
        timeout: seconds that a batch waits for more; 0: until a thread is free.
        max_enqueued: batches that wait, per set of inputs and outputs; more are refused.
        threads: batches that run at the same time.
        allowed: sizes that a batch is filled up to, rising; none: any size.
        pad: requests may differ in their inner dimensions; the smaller are filled up.
        max_execution: rows of a batch where larger requests are split; None: they are not.
    """

    max_batch_size: int = 1000
    timeout: float = 0.0
    max_enqueued: int = 10
    threads: int = CPUS
    name: str = "model_server_batch_threads"
    allowed: tuple[int, ...] = ()
    pad: bool = False
    max_execution: int | None = None

    @property
    def rows(self) -> int:
        """Rows of the largest batch."""
        return self.max_execution or self.max_batch_size


def read_parameters(path: str | Path) -> Parameters:
    """A BatchingParameters text file; "" means the defaults.

    Raises:
        ServingError: it cannot be read, or its sizes contradict each other.
    """
    if not str(path):
        return Parameters()
    proto = read_text(path, BatchingParameters())
    default = Parameters()

    def number(name: str, otherwise: int) -> int:
        return int(getattr(proto, name).value) if proto.HasField(name) else otherwise

    size = number("max_batch_size", default.max_batch_size)
    execution = None
    if proto.enable_large_batch_splitting.value:
        execution = number("max_execution_batch_size", size)
        if execution > size:
            raise invalid("max_execution_batch_size must not be larger than max_batch_size")
    parameters = Parameters(
        max_batch_size=size,
        timeout=number("batch_timeout_micros", 0) / 1e6,
        max_enqueued=number("max_enqueued_batches", default.max_enqueued),
        threads=number("num_batch_threads", default.threads),
        name=proto.thread_pool_name.value or "batch_threads",  # the default of a file is another
        allowed=tuple(proto.allowed_batch_sizes),
        pad=proto.pad_variable_length_inputs,
        max_execution=execution,
    )
    if min(parameters.rows, parameters.max_enqueued, parameters.threads) < 1:
        raise invalid("max_batch_size, max_enqueued_batches and num_batch_threads must be positive")
    if list(parameters.allowed) != sorted(set(parameters.allowed)):
        raise invalid("allowed_batch_sizes entries must be monotonically increasing")
    if parameters.allowed and parameters.allowed[-1] != parameters.rows:
        limit = "max_batch_size" if execution is None else "max_execution_batch_size"
        raise invalid(
            f"Last entry in allowed_batch_sizes must match {limit}; last entry was "
            f"{parameters.allowed[-1]}; expected {parameters.rows}"
        )
    return parameters


@dataclass
class _Task:
    """Rows of one request: all of them, or a part of a large one."""

    feeds: Mapping[str, Array]
    rows: int
    deadline: float | None
    queued: float
    done: Future[list[Array]] = field(default_factory=Future)


@dataclass
class _Batch:
    tasks: list[_Task] = field(default_factory=list)
    rows: int = 0


_Key = tuple[tuple[str, ...], tuple[str, ...]]


class BatchingRunner:
    """A runner whose callers share its runs.

    Arguments:
        inner: what runs the merged feeds.
        parameters: sizes and limits.
        metrics: queueing times and numbers of runs go there.
    """

    def __init__(self, inner: Runner, parameters: Parameters, metrics: Metrics) -> None:
        self._inner = inner
        self._parameters = parameters
        self._metrics = metrics
        self._changed = threading.Condition()
        self._queues: dict[_Key, deque[_Batch]] = {}
        self._closed = False
        for number in range(parameters.threads):
            threading.Thread(
                target=self._work, name=f"{parameters.name}/{number}", daemon=True
            ).start()

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], deadline: float | None
    ) -> list[Array]:
        """As `Runner.run`; returns when the batch that the rows went into is done."""
        rows = check_rows(feeds)
        if rows == 0:
            return self._inner.run(feeds, fetches, deadline)
        if rows > self._parameters.max_batch_size:
            raise invalid(
                f"Task size {rows} is larger than maximum input batch size "
                f"{self._parameters.max_batch_size}"
            )
        # A wrong type fails alone, not with everyone whose rows it was merged with.
        kinds = tuple(f"{name} {array.dtype}" for name, array in feeds.items())
        wanted = tuple(sorted(set(fetches)))
        tasks = self._submit((kinds, wanted), feeds, rows, deadline)
        parts = [task.done.result() for task in tasks]
        whole = parts[0]
        if len(parts) > 1:
            whole = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        by_name = dict(zip(wanted, whole, strict=True))
        return [by_name[name] for name in fetches]

    def close(self) -> None:
        """Ends the threads; nothing may be queued."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _submit(
        self, key: _Key, feeds: Mapping[str, Array], rows: int, deadline: float | None
    ) -> list[_Task]:
        limit = self._parameters.rows
        with self._changed:
            queue = self._queues.setdefault(key, deque())
            room = limit - queue[-1].rows if queue else 0
            if self._parameters.max_execution is None and rows > room:
                room = 0
            needed = -(-max(0, rows - room) // limit)
            if len(queue) + needed > self._parameters.max_enqueued:
                raise ServingError(
                    Code.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is full; "
                    f"currently {len(queue)} batches wait, the limit is "
                    f"{self._parameters.max_enqueued}",
                )
            tasks = []
            waiting = len(queue)
            at, now = 0, time.monotonic()
            while at < rows:
                if at or not room:
                    queue.append(_Batch())
                    room = limit
                size = min(room, rows - at)
                part = feeds
                if size < rows:
                    part = {name: array[at : at + size] for name, array in feeds.items()}
                task = _Task(part, size, deadline, now)
                queue[-1].tasks.append(task)
                queue[-1].rows += size
                tasks.append(task)
                at += size
            # A thread has to look when a batch begins, for its time-out, and when one is full. To
            # wake it for every request between would cost more than the request itself.
            if len(queue) > waiting or queue[-1].rows >= limit:
                self._changed.notify()
            return tasks

    def _work(self) -> None:
        while True:
            with self._changed:
                found = self._next()
                while found is None and not self._closed:
                    self._changed.wait(self._wait())
                    found = self._next()
            if found is None:
                return
            self._run(*found)

    def _next(self) -> tuple[_Key, _Batch] | None:
        """A batch that is full or has waited long enough; its queue goes to the end."""
        now = time.monotonic()
        for key, queue in self._queues.items():
            if not queue:
                continue
            front = queue[0]
            full = len(queue) > 1 or front.rows >= self._parameters.rows
            if full or now >= front.tasks[0].queued + self._parameters.timeout:
                queue.popleft()
                del self._queues[key]
                if queue:
                    self._queues[key] = queue
                    self._changed.notify()
                return key, front
        return None

    def _wait(self) -> float | None:
        waits = [
            queue[0].tasks[0].queued + self._parameters.timeout - time.monotonic()
            for queue in self._queues.values()
            if queue
        ]
        return max(0.0, min(waits)) if waits else None

    def _run(self, key: _Key, batch: _Batch) -> None:
        tasks = batch.tasks
        try:
            now = time.monotonic()
            for task in tasks:
                self._metrics.queueing.observe((now - task.queued) * 1e6, self._parameters.name)
            if all(task.deadline is not None and task.deadline <= now for task in tasks):
                raise ServingError(
                    Code.RESOURCE_EXHAUSTED,
                    "Run() timeout exceeded while waiting in batching queue",
                )
            target = next((n for n in self._parameters.allowed if n >= batch.rows), batch.rows)
            merged = merge([task.feeds for task in tasks], target, self._parameters.pad)
            outputs = self._inner.run(merged, list(key[1]), None)
            self._metrics.wrapped_runs.add()
            pieces = split(outputs, [task.rows for task in tasks], target)
        except BaseException as error:
            for task in tasks:
                task.done.set_exception(error)
            return
        for task, piece in zip(tasks, pieces, strict=True):
            task.done.set_result(piece)
