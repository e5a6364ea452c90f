"""Dynamic batching on a real model: what is merged, padded, split, refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.batching import BatchingRunner, Parameters, read_parameters
from serving.keeper import Servable
from serving.loader import SavedModel
from serving.metrics import Metrics
from serving.status import Code, ServingError
from serving.tensors import Array
from serving.warmup import FILE, warm_up
from tests.serving.running import predict_request


@pytest.fixture(scope="module")
def half(saved: Path) -> Iterator[SavedModel]:
    model = SavedModel(saved / "half" / "1", {"serve"})
    yield model
    model.close()


@pytest.fixture(scope="module")
def total(saved: Path) -> Iterator[SavedModel]:
    model = SavedModel(saved / "mixed" / "1", {"serve"})
    yield model
    model.close()


class Gate:
    """The model's own runs, held back until the gate opens; remembers the rows of each."""

    def __init__(self, model: SavedModel) -> None:
        self.model = model
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.rows: list[int] = []

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], deadline: float | None
    ) -> list[Array]:
        self.rows.append(len(next(iter(feeds.values()))))
        self.entered.release()
        assert self.opened.wait(20)
        return self.model.run(feeds, fetches, deadline)


class Batched:
    """A batching runner behind a gate, with clients of its own."""

    def __init__(self, model: SavedModel, parameters: Parameters, signature: str = "") -> None:
        self.gate = Gate(model)
        self.metrics = Metrics()
        self.runner = BatchingRunner(self.gate, parameters, self.metrics)
        self.signature = model.signatures[signature or "serving_default"]
        self.clients = ThreadPoolExecutor(16)

    def ask(self, x: Array, deadline: float | None = None) -> Array:
        feed = self.signature.inputs["x"][0]
        fetch = next(iter(self.signature.outputs.values()))
        return self.runner.run({feed: x}, [fetch], deadline)[0]

    def waiting(self) -> int:
        with self.runner._changed:
            return sum(b.rows for queue in self.runner._queues.values() for b in queue)

    def send(self, *inputs: Array) -> list[object]:
        """Asks one after the other, the first being under way when the next ones come."""
        futures = []
        queued = 0
        for number, x in enumerate(inputs):
            futures.append(self.clients.submit(self.ask, x))
            if number == 0:
                assert self.gate.entered.acquire(timeout=20)
            else:
                queued += len(x)
                for _ in range(2000):
                    if self.waiting() >= queued or futures[-1].done():
                        break
                    threading.Event().wait(0.002)
                if futures[-1].done():
                    queued -= len(x)
        self.gate.opened.set()
        results: list[object] = []
        for future in futures:
            try:
                results.append(future.result(20))
            except ServingError as error:
                results.append(error)
        self.runner.close()
        return results


def rows(*values: float) -> Array:
    return np.array([[value] for value in values], np.float32)


def test_waiting_requests_run_as_one_and_get_their_own_rows(half: SavedModel) -> None:
    batched = Batched(half, Parameters(max_batch_size=8, threads=1))
    sent = [rows(0), rows(2, 4), rows(6), rows(8, 10, 12)]
    answers = batched.send(*sent)
    assert batched.gate.rows == [1, 6]
    for x, y in zip(sent, answers, strict=True):
        assert np.array_equal(np.asarray(y), x / 2 + 2)
    assert batched.metrics.value("/tensorflow/serving/batching_session/wrapped_run_count") == 2


def test_a_full_batch_is_closed(half: SavedModel) -> None:
    batched = Batched(half, Parameters(max_batch_size=4, threads=1))
    batched.send(rows(0), rows(1, 2, 3), rows(4, 5), rows(6))
    assert batched.gate.rows == [1, 3, 3]


def test_a_batch_is_filled_up_to_an_allowed_size(half: SavedModel) -> None:
    batched = Batched(half, Parameters(max_batch_size=8, threads=1, allowed=(2, 8)))
    answers = batched.send(rows(0), rows(2, 4), rows(6))
    assert batched.gate.rows == [2, 8]
    assert [np.asarray(y).tolist() for y in answers] == [[[2]], [[3], [4]], [[5]]]


def test_large_requests_are_split(half: SavedModel) -> None:
    batched = Batched(half, Parameters(max_batch_size=10, threads=1, max_execution=4))
    x = rows(*range(9))
    answers = batched.send(rows(0), rows(1), x)
    assert batched.gate.rows == [1, 4, 4, 2]
    assert np.array_equal(np.asarray(answers[2]), x / 2 + 2)


def test_variable_lengths_are_padded_if_allowed(total: SavedModel) -> None:
    batched = Batched(total, Parameters(threads=1, pad=True), "total")
    ragged = [np.ones((1, n), np.float32) for n in (1, 3, 5)]
    answers = batched.send(*ragged)
    assert batched.gate.rows == [1, 2]
    assert [np.asarray(y).tolist() for y in answers] == [[1], [3], [5]]


def test_variable_lengths_are_refused_without_padding(total: SavedModel) -> None:
    batched = Batched(total, Parameters(threads=1), "total")
    first, *others = batched.send(*[np.ones((1, n), np.float32) for n in (1, 3, 5)])
    assert np.asarray(first).tolist() == [1]
    for error in others:
        assert isinstance(error, ServingError)
        assert error.code == Code.FAILED_PRECONDITION
        assert "padding is turned off" in error.message


def test_a_full_queue_refuses(half: SavedModel) -> None:
    batched = Batched(half, Parameters(max_batch_size=2, threads=1, max_enqueued=1))
    answers = batched.send(rows(0), rows(1, 2), rows(3), rows(4))
    assert np.asarray(answers[1]).tolist() == [[2.5], [3]]
    for error in answers[2:]:
        assert isinstance(error, ServingError)
        assert error.code == Code.UNAVAILABLE
        assert error.message.startswith(
            "The batch scheduling queue to which this task was submitted is full"
        )


def test_a_batch_that_nobody_waits_for_is_not_run(half: SavedModel) -> None:
    batched = Batched(half, Parameters(threads=1))
    batched.gate.opened.set()
    with pytest.raises(ServingError) as late:
        batched.ask(rows(1), deadline=time.monotonic() - 1)
    assert late.value.code == Code.RESOURCE_EXHAUSTED
    assert late.value.message == "Run() timeout exceeded while waiting in batching queue"
    assert batched.gate.rows == []
    batched.runner.close()


def test_a_batch_waits_for_its_time_out(half: SavedModel) -> None:
    batched = Batched(half, Parameters(max_batch_size=3, threads=1, timeout=30))
    batched.gate.opened.set()
    with ThreadPoolExecutor(3) as clients:
        answers = list(clients.map(batched.ask, [rows(0), rows(2), rows(4)]))
    assert batched.gate.rows == [3]  # full before the thirty seconds are over
    assert sorted(float(y[0, 0]) for y in answers) == [2, 3, 4]
    batched.runner.close()


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (rows(*range(33)), "Task size 33 is larger than maximum input batch size 32"),
        (np.float32(1.0), "Batching Run() input tensors must have at least one dimension"),
    ],
)
def test_what_cannot_be_batched(half: SavedModel, x: Array, text: str) -> None:
    batched = Batched(half, Parameters(max_batch_size=32))
    with pytest.raises(ServingError, match="INVALID_ARGUMENT") as failed:
        batched.ask(np.asarray(x))
    assert failed.value.message == text
    batched.runner.close()


def test_inputs_of_different_sizes(total: SavedModel) -> None:
    runner = BatchingRunner(total, Parameters(), Metrics())
    with pytest.raises(ServingError, match="equal 0th-dimension size"):
        runner.run({"a:0": rows(1), "b:0": rows(1, 2)}, [], None)
    runner.close()


def test_a_failing_run_fails_its_requests_only(total: SavedModel) -> None:
    runner = BatchingRunner(total, Parameters(threads=1), Metrics())
    signature = total.signatures["fail"]
    feed, fetch = signature.inputs["x"][0], signature.outputs["x"]
    with pytest.raises(Exception, match="x must be small"):
        runner.run({feed: np.array([11], np.float32)}, [fetch], None)
    found = runner.run({feed: np.array([1], np.float32)}, [fetch], None)
    assert found[0].tolist() == [1]
    runner.close()


def test_parameters_from_text(tmp_path: Path) -> None:
    file = tmp_path / "batching.txt"
    file.write_text(
        "max_batch_size { value: 128 } batch_timeout_micros { value: 500 } "
        "max_enqueued_batches { value: 7 } num_batch_threads { value: 3 } "
        "allowed_batch_sizes: 32 allowed_batch_sizes: 128 pad_variable_length_inputs: true"
    )
    assert read_parameters(file) == Parameters(
        max_batch_size=128,
        timeout=0.0005,
        max_enqueued=7,
        threads=3,
        name="batch_threads",
        allowed=(32, 128),
        pad=True,
    )
    assert read_parameters("").name == "model_server_batch_threads"


@pytest.mark.parametrize(
    "text",
    [
        "max_batch_size { value: 128 } allowed_batch_sizes: 64",
        "max_batch_size { value: 4 } allowed_batch_sizes: 8 allowed_batch_sizes: 4",
        "max_batch_size { value: 0 }",
        "enable_large_batch_splitting { value: true } max_batch_size { value: 4 } "
        "max_execution_batch_size { value: 8 }",
        "nonsense { }",
    ],
)
def test_contradicting_parameters_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "batching.txt"
    file.write_text(text)
    with pytest.raises(ServingError, match="INVALID_ARGUMENT"):
        read_parameters(file)


def test_warm_up_records_need_not_fit_each_other(total: SavedModel, tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for length in range(1, 9):
            record = prediction_log_pb2.PredictionLog()
            request = predict_request("any", "total", x=np.ones((1, length), np.float32))
            record.predict_log.request.CopyFrom(request)
            writer.write(record.SerializeToString())
    metrics = Metrics()
    for runner in (total, BatchingRunner(total, Parameters(timeout=0.05), metrics)):
        warm_up(Servable("m", 1, total, runner, []), tmp_path, 2, metrics)
    assert metrics.warmup_records.total() == 16
    assert metrics.wrapped_runs.total() == 16  # each alone, each twice
