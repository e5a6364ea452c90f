"""A SavedModel comes into its session in pieces, and the interpreter is free in between."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving.console import import_tensorflow
from serving.loader import SavedModel

LAYERS, SIGNATURES = 40, 8


class Deep(tf.Module):
    """Signatures that each call a function of many operations, as an exported recommender does."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(np.eye(4, dtype=np.float32))

    def signature(self, number: int) -> tf.types.experimental.ConcreteFunction:
        @tf.function
        def inner(x: tf.Tensor) -> tf.Tensor:
            for layer in range(LAYERS):
                x = tf.reshape(x @ self.weights, tf.concat([tf.shape(x)[:-1], [4]], 0))
                x = x + tf.cast(layer + number, tf.float32)
            return x

        @tf.function
        def outer(x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": inner(x)}

        return outer.get_concrete_function(x=tf.TensorSpec([None, 4], tf.float32))


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = Deep()
    folder = tmp_path_factory.mktemp("deep")
    signatures = {f"s{number}": model.signature(number) for number in range(SIGNATURES)}
    tf.saved_model.save(model, str(folder), signatures=signatures)
    return folder


def longest_pause(work: threading.Thread) -> float:
    """Processor seconds that passed, at most, while this thread could not run."""
    longest = 0.0
    work.start()
    while work.is_alive():
        before = time.process_time()
        time.sleep(0.001)
        longest = max(longest, time.process_time() - before)
    return longest


def test_other_threads_run_during_a_load(deep: Path) -> None:
    models: list[SavedModel] = []

    def in_one_piece() -> None:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.compat.v1.saved_model.load(session, ["serve"], str(deep))

    plain = longest_pause(threading.Thread(target=in_one_piece))
    in_pieces = threading.Thread(target=lambda: models.append(SavedModel(deep, {"serve"})))
    assert longest_pause(in_pieces) < plain / 2
    models[0].close()


def test_answers_are_those_of_the_functions(deep: Path) -> None:
    model = SavedModel(deep, {"serve"})
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    for number in (0, SIGNATURES - 1):
        signature = model.signatures[f"s{number}"]
        [y] = model.run({signature.inputs["x"][0]: x}, [signature.outputs["y"]])
        np.testing.assert_allclose(y, x + sum(range(LAYERS)) + LAYERS * number)
    model.close()


@pytest.mark.parametrize(
    ("inter_op", "pooled", "own"), [(0, False, True), (1, False, False), (0, True, False)]
)
def test_which_thread_runs_the_operations(
    deep: Path, inter_op: int, pooled: bool, own: bool
) -> None:
    model = SavedModel(deep, {"serve"}, 1, inter_op, pooled)
    signature = model.signatures["s0"]
    x = np.zeros((20_000, 4), np.float32)

    def ask() -> None:
        model.run({signature.inputs["x"][0]: x}, [signature.outputs["y"]])

    ask()
    here, everywhere = time.thread_time(), time.process_time()
    for _ in range(5):
        ask()
    here, everywhere = time.thread_time() - here, time.process_time() - everywhere
    assert (here > everywhere / 2) is own
    model.close()


def test_the_graph_of_a_closed_version_is_freed(deep: Path) -> None:
    """Also where TensorFlow was asked for while it was loaded, as whoever reads warm-up records
    does. The first graph of a process does not count: TensorFlow itself may hold on to it."""
    SavedModel(deep, {"serve"}).close()
    for _ in range(3):
        model = SavedModel(deep, {"serve"})
        graph = weakref.ref(model._session.graph)
        import_tensorflow()
        model.run(
            {model.signatures["s0"].inputs["x"][0]: np.ones((1, 4), np.float32)}, _fetches(model)
        )
        model.close()
        del model
        gc.collect()
        assert graph() is None


def _fetches(model: SavedModel) -> list[str]:
    return list(model.signatures["s0"].outputs.values())
