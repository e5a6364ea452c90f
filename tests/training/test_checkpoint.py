"""A checkpoint is whole or it is the older one, and it fits the model or says why not."""

import resource
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from tfrec.errors import UserError
from tfrec.training import checkpoint


def variables(*shapes: tuple[int, ...], value: float = 1.0) -> list[keras.Variable]:
    return [
        keras.Variable(np.full(shape, value, np.float32), name=f"v{n}")
        for n, shape in enumerate(shapes)
    ]


def test_values_and_state_come_back(tmp_path: Path) -> None:
    path = tmp_path / "latest.npz"
    checkpoint.save(path, variables((2, 3), (), value=7), {"epoch": 3, "history": [{"loss": 0.5}]})
    fresh = variables((2, 3), ())
    assert checkpoint.restore(path, fresh) == {"epoch": 3, "history": [{"loss": 0.5}]}
    assert all((variable.numpy() == 7).all() for variable in fresh)
    assert [file.name for file in tmp_path.iterdir()] == ["latest.npz"]


def test_more_than_ten_variables_keep_their_order(tmp_path: Path) -> None:
    many = [keras.Variable(float(n)) for n in range(25)]
    checkpoint.save(tmp_path / "x.npz", many, {})
    fresh = [keras.Variable(0.0) for _ in range(25)]
    checkpoint.restore(tmp_path / "x.npz", fresh)
    assert [float(variable) for variable in fresh] == list(range(25))


def test_another_model_is_named(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "x.npz", variables((2, 3), (4,)), {})
    with pytest.raises(UserError, match=r"v1 is \(5,\) here and \(4,\) there"):
        checkpoint.restore(tmp_path / "x.npz", variables((2, 3), (5,)))
    with pytest.raises(UserError, match="1 variables here and 2 there"):
        checkpoint.restore(tmp_path / "x.npz", variables((2, 3)))


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.npz"
    checkpoint.save(path, variables((20, 30)), {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="damaged"):
        checkpoint.restore(path, variables((20, 30)))
    with pytest.raises(UserError, match="there is no checkpoint"):
        checkpoint.restore(tmp_path / "none.npz", [])


def test_a_full_disk_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    checkpoint.save(path, variables((2,), value=1), {"epoch": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
    try:
        with pytest.raises(UserError, match="cannot write the checkpoint"):
            checkpoint.save(path, variables((100, 100), value=2), {"epoch": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert checkpoint.restore(path, variables((2,))) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.npz"]
