"""The vector cache: nothing is encoded twice, whatever is killed, changed or damaged between."""

from __future__ import annotations

import functools
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.console import import_tensorflow
from tfrec.errors import UserError
from tfrec.text.vectors import item_vectors

DIM = 6


class Characters:
    """Mean of a random vector per character, position weighted: order matters, padding does not."""

    def __init__(self, seed: int = 0, seconds: float = 0.0) -> None:
        tf = import_tensorflow()
        self.dim = DIM
        self.fingerprint = hashlib.sha256(b"characters %d" % seed).hexdigest()
        self.table = tf.constant(np.random.default_rng(seed).normal(size=(512, DIM)), tf.float32)
        self.encoded = tf.Variable(0, dtype=tf.int64)
        self.batches: list[int] = []
        self.seconds = seconds

    def __call__(self, texts: Any, training: bool = False) -> Any:
        tf = import_tensorflow()

        def counted(texts: Any) -> int:
            self.batches.append(int(tf.size(texts)))
            time.sleep(self.seconds)
            return int(tf.size(texts))

        self.encoded.assign_add(tf.py_function(counted, [texts], tf.int64))
        return self.vectors(texts)

    def vectors(self, texts: Any) -> Any:
        tf = import_tensorflow()
        characters = tf.strings.unicode_split(texts, "UTF-8")
        rows = tf.gather(self.table, tf.strings.to_hash_bucket_fast(characters.flat_values, 512))
        starts = tf.gather(characters.row_starts(), characters.value_rowids())
        position = tf.cast(tf.range(tf.shape(rows, tf.int64)[0]) - starts, tf.float32)
        weighted = rows / (1 + position)[:, None]
        count = characters.nrows(tf.int32)
        return tf.math.unsorted_segment_sum(weighted, characters.value_rowids(), count)


ENCODER = Characters()


@functools.cache
def alone(text: str) -> Any:
    return ENCODER.vectors(import_tensorflow().constant([text]))[0].numpy()


def expected(texts: Sequence[str]) -> Any:
    return np.stack([alone(text) for text in texts])


TEXTS = [f"text {number} " + "x" * (number * 7 % 50) for number in range(300)]


def test_vectors_are_the_encoder_s_in_order(tmp_path: Path) -> None:
    found = item_vectors(TEXTS, Characters(), tmp_path, batch_size=32, shard_texts=100)
    assert isinstance(found, np.memmap)
    assert (found.dtype, found.shape) == (np.float32, (300, DIM))
    np.testing.assert_allclose(found, expected(TEXTS), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["", "a", "b", "ab", "中文", "\ud800", "a" * 99]), max_size=30))
def test_any_list_in_any_order(texts: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as cache:
        encoder = Characters()
        for part in (texts[::2], texts, texts[::-1]):
            found = item_vectors(part, encoder, Path(cache), batch_size=3, shard_texts=2)
            assert found.shape == (len(part), DIM)
            if part:
                plain = [text.replace("\ud800", "?") for text in part]
                np.testing.assert_allclose(found, expected(plain), rtol=1e-5, atol=1e-6)
        assert int(encoder.encoded) == len(set(texts))


def test_a_second_call_encodes_nothing_and_is_much_faster(tmp_path: Path) -> None:
    encoder = Characters(seconds=0.05)
    start = time.perf_counter()
    first = item_vectors(TEXTS, encoder, tmp_path, batch_size=16)
    took = time.perf_counter() - start
    again = []
    for _ in range(5):  # a shared machine stalls now and then
        start = time.perf_counter()
        second = item_vectors(TEXTS, encoder, tmp_path, batch_size=16)
        again.append(time.perf_counter() - start)
    assert 50 * min(again) < took
    assert int(encoder.encoded) == len(TEXTS)
    np.testing.assert_array_equal(first, second)


def test_each_distinct_text_once_in_batches_of_similar_length(tmp_path: Path) -> None:
    encoder = Characters()
    texts = ["long " * 40, "s", "long " * 41, "t", "s", "t", "long " * 40] * 20
    found = item_vectors(texts, encoder, tmp_path, batch_size=2)
    assert encoder.batches == [2, 2]
    np.testing.assert_array_equal(found[:7], found[-7:])
    assert (found[1] == found[4]).all()


def test_a_changed_text_is_the_only_one_encoded_again(tmp_path: Path) -> None:
    encoder = Characters()
    item_vectors(TEXTS, encoder, tmp_path)
    changed = [*TEXTS[:100], "another", *TEXTS[101:]]
    found = item_vectors(changed, encoder, tmp_path)
    assert int(encoder.encoded) == len(TEXTS) + 1
    np.testing.assert_allclose(found, expected(changed), rtol=1e-5, atol=1e-6)


def test_encoders_do_not_share_vectors(tmp_path: Path) -> None:
    one, other = Characters(0), Characters(1)
    found = [item_vectors(TEXTS, encoder, tmp_path) for encoder in (one, other)]
    assert int(other.encoded) == len(TEXTS)
    assert not np.allclose(found[0], found[1])


CHILD = """
import sys
from pathlib import Path
from tests.text.test_text_vectors import TEXTS, Characters
from tfrec.text.vectors import item_vectors
encoder = Characters(seconds=float(sys.argv[2]))
item_vectors(TEXTS, encoder, Path(sys.argv[1]), batch_size=10, shard_texts=40)
print(int(encoder.encoded))
"""


def child(cache: Path, seconds: float) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CHILD, str(cache), str(seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("shards", [1, 4])
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, shards: int) -> None:
    process = child(tmp_path, seconds=0.1)
    limit = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.npz"))) < shards and time.monotonic() < limit:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = len(list(tmp_path.rglob("*.npz")))
    assert kept >= shards
    encoder = Characters()
    found = item_vectors(TEXTS, encoder, tmp_path, batch_size=10, shard_texts=40)
    assert int(encoder.encoded) == len(TEXTS) - 40 * kept
    np.testing.assert_allclose(found, expected(TEXTS), rtol=1e-5, atol=1e-6)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from tfrec.text.shards import Shards
shards = Shards(Path(sys.argv[1]), dim=500)
print("ready", flush=True)
for number in range(10**6):
    keys = np.frombuffer(np.random.default_rng().bytes(32 * 2000), "S32")
    shards.add(keys, np.full((2000, 500), number, np.float32))
"""


def test_a_kill_at_any_moment_leaves_only_whole_shards(tmp_path: Path) -> None:
    for milliseconds in range(0, 100, 10):
        arguments = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(milliseconds / 1000)
            process.kill()
    for path in tmp_path.glob("*.npz"):
        with np.load(path) as shard:
            assert shard["vectors"].shape == (len(shard["keys"]), 500)
    assert list(tmp_path.glob("*.npz"))


def test_two_processes_at_once(tmp_path: Path) -> None:
    processes = [child(tmp_path, seconds=0.02) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert all(int(output) <= len(TEXTS) for output in outputs)
    encoder = Characters()
    found = item_vectors(TEXTS, encoder, tmp_path)
    assert int(encoder.encoded) == 0
    np.testing.assert_allclose(found, expected(TEXTS), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("suffix", "damage"),
    # A flipped bit in the .npy would not show: it has no checksum.
    [("npz", "cut"), ("npz", "flip"), ("npz", "empty"), ("npy", "cut"), ("npy", "empty")],
)
def test_damaged_files_are_made_again(tmp_path: Path, suffix: str, damage: str) -> None:
    item_vectors(TEXTS, Characters(), tmp_path, shard_texts=100)
    for path in tmp_path.rglob("*.npy"):
        if suffix == "npz":
            path.unlink()
    for path in tmp_path.rglob(f"*.{suffix}"):
        whole = path.read_bytes()
        flipped = whole[:-4000] + bytes(255 - byte for byte in whole[-4000:-3900]) + whole[-3900:]
        path.write_bytes({"cut": whole[:-1000], "flip": flipped, "empty": b""}[damage])
    found = item_vectors(TEXTS, Characters(), tmp_path)
    np.testing.assert_allclose(found, expected(TEXTS), rtol=1e-5, atol=1e-6)


def test_leftovers_of_killed_writers_go_after_a_day(tmp_path: Path) -> None:
    encoder = Characters()
    folder = tmp_path / "texts" / encoder.fingerprint
    folder.mkdir(parents=True)
    old, new = folder / "a.npz.1.part", folder / "b.npz.2.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    item_vectors(["x"], encoder, tmp_path)
    assert not old.exists()
    assert new.exists()
    assert len(list(folder.iterdir())) == 3


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path) -> None:
    class Interrupted(Characters):
        def __call__(self, texts: Any, training: bool = False) -> Any:
            tf = import_tensorflow()
            with tf.control_dependencies([tf.debugging.assert_less(self.encoded, np.int64(200))]):
                return super().__call__(texts)

    with pytest.raises(import_tensorflow().errors.InvalidArgumentError):
        item_vectors(TEXTS, Interrupted(), tmp_path, batch_size=10)
    encoder = Characters()
    item_vectors(TEXTS, encoder, tmp_path, batch_size=10)
    assert int(encoder.encoded) == 100


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot keep text vectors in .*file.*--cache"):
        item_vectors(["x"], Characters(), tmp_path / "file")


def test_a_text_without_a_finite_vector_is_named(tmp_path: Path) -> None:
    class Broken(Characters):
        def __call__(self, texts: Any, training: bool = False) -> Any:
            tf = import_tensorflow()
            bad = tf.strings.regex_full_match(texts, "text 7 .*")
            return tf.where(bad[:, None], np.nan, super().__call__(texts))

    with pytest.raises(UserError, match=r"'text 7 x*' is not finite"):
        item_vectors(TEXTS, Broken(), tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found[:, :3], r"float32 \[2, 6\] for 2 texts, got float32 \[2, 3\]"),
        (lambda found: found[0], r"got float32 \[6\]"),
        (lambda found: import_tensorflow().cast(found, "float64"), r"got float64 \[2, 6\]"),
    ],
)
def test_an_encoder_of_another_shape(tmp_path: Path, change: Any, said: str) -> None:
    class Other(Characters):
        def __call__(self, texts: Any, training: bool = False) -> Any:
            return change(super().__call__(texts))

    with pytest.raises(ValueError, match=said):
        item_vectors(["a", "b"], Other(), tmp_path)


def test_no_texts(tmp_path: Path) -> None:
    assert item_vectors([], Characters(), tmp_path / "none").shape == (0, DIM)
    assert not (tmp_path / "none").exists()
