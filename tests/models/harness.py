"""One call that checks what every sequence model promises."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

NUM_ITEMS, LENGTH, NUM_ACTIONS = 23, 6, 3

Batch = dict[str, NDArray[Any]]
DAY = 86_400_000


def packed_batch(seed: int = 0) -> Batch:
    """Three rows: one history, two histories, a short one; the rest is padding."""
    rng = np.random.default_rng(seed)
    segments = np.array(
        [[1, 1, 1, 1, 1, 1], [1, 1, 2, 2, 2, 0], [1, 1, 0, 0, 0, 0]], dtype=np.int32
    )
    positions = np.array(
        [[5, 4, 3, 2, 1, 0], [1, 0, 2, 1, 0, 0], [1, 0, 0, 0, 0, 0]], dtype=np.int32
    )
    real = segments > 0
    items = np.where(real, rng.integers(0, NUM_ITEMS, (3, LENGTH)), -1).astype(np.int32)
    # Days apart, and each asked about at the time of the next.
    times = 1_700_000_000_000 + np.cumsum(rng.integers(0, 3 * DAY, (3, LENGTH)), axis=1)
    asked = times + rng.integers(0, DAY, (3, LENGTH))
    strengths = np.where(real, rng.integers(1, 6, (3, LENGTH)), np.nan)
    return {
        "items": items,
        "segments": segments,
        "positions": positions,
        "times": np.where(real, times, 0),
        "request_times": np.where(real, asked, 0),
        "actions": np.where(real, rng.integers(0, NUM_ACTIONS, (3, LENGTH)), 0).astype(np.int32),
        "strengths": strengths.astype(np.float32),
    }


def run_model_checks(model: keras.Model, folder: Path, elsewhere: tuple[str, ...] = ()) -> None:
    """Graph equals eager, gradients reach every weight, config and weights survive, no leaks.

    `elsewhere` names weights that the score does not read; another test sees to their gradients.
    """
    batch = packed_batch()
    real = batch["segments"] > 0
    states = np.asarray(model(batch))
    width = getattr(model, "state_dim", model.dim)
    assert states.shape == (3, LENGTH, width)
    assert np.asarray(model.item_matrix()).shape == (NUM_ITEMS, width)
    assert np.isfinite(states[real]).all()

    for xla in (False, True):
        in_graph = tf.function(lambda b: model(b), jit_compile=xla)(batch)
        np.testing.assert_allclose(in_graph.numpy()[real], states[real], rtol=2e-5, atol=2e-5)

    _no_leaks(model, batch, states)
    _gradients(model, batch, real, elsewhere)
    _config(model, batch, states, folder)
    _saved_model(model, batch, states, folder)


def _no_leaks(model: keras.Model, batch: Batch, states: NDArray[np.float32]) -> None:
    """A state reads its own history up to its event, and nothing else."""
    later = {name: value.copy() for name, value in batch.items()}
    later["items"][0, 4:] = (later["items"][0, 4:] + 1) % NUM_ITEMS
    later["items"][1, :2] = (later["items"][1, :2] + 1) % NUM_ITEMS
    changed = np.asarray(model(later))
    np.testing.assert_allclose(changed[0, :4], states[0, :4], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(changed[1, 2:5], states[1, 2:5], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(changed[2, :2], states[2, :2], rtol=1e-5, atol=1e-6)
    assert np.abs(changed[0, 4:] - states[0, 4:]).max() > 1e-4
    assert np.abs(changed[1, :2] - states[1, :2]).max() > 1e-4

    # The same history alone in a row, wherever it stands, has the same state.
    alone = {name: np.roll(value, 1, axis=1)[1:2] for name, value in batch.items()}
    alone["items"][0, :3] = -1
    alone["segments"][0, :3] = 0
    np.testing.assert_allclose(
        np.asarray(model(alone))[0, 3:], states[1, 2:5], rtol=1e-5, atol=1e-5
    )


def _gradients(
    model: keras.Model, batch: Batch, real: NDArray[np.bool_], elsewhere: tuple[str, ...]
) -> None:
    with tf.GradientTape() as tape:
        logits = tf.matmul(model(batch), model.item_matrix(), transpose_b=True)
        loss = tf.reduce_sum(tf.boolean_mask(logits, real) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        if any(name in variable.path for name in elsewhere):
            continue
        assert gradient is not None, f"no gradient reaches {variable.path}"
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, f"{variable.path} gets zeros"


def _config(model: keras.Model, batch: Batch, states: NDArray[np.float32], folder: Path) -> None:
    config = json.loads(json.dumps(model.get_config()))
    twin = type(model).from_config(config)
    twin.build()
    assert json.loads(json.dumps(twin.get_config())) == json.loads(json.dumps(model.get_config()))
    path = folder / "model.weights.h5"
    model.save_weights(path)
    twin.load_weights(path)
    np.testing.assert_array_equal(np.asarray(twin(batch)), states)


def _saved_model(
    model: keras.Model, batch: Batch, states: NDArray[np.float32], folder: Path
) -> None:
    """A process that knows neither tfrec nor Keras loads the SavedModel and gets the same."""
    path = folder / "saved_model"
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        lambda inputs: {"states": model(inputs), "items": tf.identity(model.item_matrix())},
        input_signature=[
            {name: tf.TensorSpec((None, None), array.dtype, name) for name, array in batch.items()}
        ],
    )
    archive.write_out(str(path), verbose=False)
    np.savez(folder / "batch.npz", **batch)  # type: ignore[arg-type]
    script = f"""
import sys, numpy as np, tensorflow as tf
loaded = tf.saved_model.load({str(path)!r}).signatures["serve"]
with np.load({str(folder / "batch.npz")!r}) as batch:
    answer = loaded(**{{name: tf.constant(batch[name]) for name in batch.files}})
assert "tfrec" not in sys.modules
np.savez({str(folder / "answer.npz")!r}, **{{name: value for name, value in answer.items()}})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "answer.npz") as answer:
        np.testing.assert_allclose(answer["states"], states, rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(answer["items"], np.asarray(model.item_matrix()), atol=1e-6)
