"""The vectors of a catalogue's texts: each distinct text encoded once, kept on disk."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfrec.atomic import written
from tfrec.console import Progress, import_tensorflow
from tfrec.errors import UserError
from tfrec.text.shards import KEY, Float32, Int64, Keys, Shards, explained

if TYPE_CHECKING:
    from tfrec.text.encoder import TextEncoder

# A shard is written after so many seconds even if it is not full: slow encoders lose little.
_SHARD_SECONDS = 30.0


class Wanted(NamedTuple):
    """The distinct texts of a list.

    Attributes:
        keys: sha256 of each, sorted, [U].
        first: a row of the list that holds it, [U].
        inverse: which of them each row is, [N].
        digest: of the keys in the list's order, hex.
    """

    keys: Keys
    first: Int64
    inverse: Int64
    digest: str


def item_vectors(
    texts: Sequence[str],
    encoder: TextEncoder,
    cache: Path,
    batch_size: int = 64,
    shard_texts: int = 4096,
) -> Float32:
    """The encoder's vector of every text, read from the cache where it has been computed before.

    Under `cache`/texts/<fingerprint of the encoder> lie shards of vectors by text (see `Shards`)
    and, per list of texts, a file `<digest>.npy` with the vectors in its order, which is what is
    returned. Nothing is ever half written: a kill loses at most the shard being filled (half a
    minute's work), and processes may share the folder. It may be deleted at any time. The longest
    texts come first, so that a batch too large for the memory fails at once. Beside the texts
    themselves, memory holds a shard and some 200 bytes per text.

    A vector depends on the other texts of its batch only by rounding.

    Arguments:
        texts: N strings, cleaned and templated.
        encoder: string [n] -> float32 [n, dim].
        cache: a folder, made if missing.
        batch_size: texts per call of the encoder, of similar length.
        shard_texts: texts per shard.

    Returns:
        float32 [N, dim], mapped from the file and read-only.

    Raises:
        UserError: the cache cannot be written or read, or a vector is not finite (names the text).
        ValueError: the encoder returns something other than float [n, dim].

    Example:
        >>> item_vectors(titles, encoder, Path("cache"))[0]  # doctest: +SKIP
    """
    if not len(texts):
        return np.zeros((0, encoder.dim), np.float32)
    wanted = _wanted(texts)
    folder = cache / "texts" / encoder.fingerprint
    result = folder / f"{wanted.digest}.npy"
    if (found := _mapped(result, len(texts), encoder.dim)) is not None:
        return found
    shards = Shards(folder, encoder.dim)
    # A damaged shard may show only while its vectors are read: then they are computed again.
    for _ in range(3):
        missing = np.flatnonzero(~shards.known(wanted.keys))
        if len(missing):
            _encode(texts, wanted, missing, encoder, shards, batch_size, shard_texts)
        try:
            _assemble(shards, wanted, encoder.dim, result)
        except _IncompleteError:
            continue
        if (found := _mapped(result, len(texts), encoder.dim)) is not None:
            return found
    raise UserError(f"{folder} is changed by someone while it is read: delete it and start again")


def _wanted(texts: Sequence[str]) -> Wanted:
    joined = bytearray()
    for text in texts:
        joined += hashlib.sha256(_bytes(text)).digest()
    keys, first, inverse = np.unique(
        np.frombuffer(joined, KEY), return_index=True, return_inverse=True
    )
    return Wanted(keys, first, inverse, hashlib.sha256(joined).hexdigest())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _encode(
    texts: Sequence[str],
    wanted: Wanted,
    missing: Int64,
    encoder: TextEncoder,
    shards: Shards,
    batch_size: int,
    shard_texts: int,
) -> None:
    """Adds shards until every missing text has a vector."""
    rows = wanted.first[missing]
    lengths = np.fromiter((len(texts[row]) for row in rows), np.int64, len(rows))
    order = np.argsort(-lengths, kind="stable")
    call = _graph(encoder)
    total = len(wanted.keys)
    filled: list[tuple[Keys, Float32]] = []

    def write() -> None:
        if filled:
            keys, vectors = zip(*filled, strict=True)
            shards.add(np.concatenate(keys), np.concatenate(vectors))
            filled.clear()

    with Progress(total, "texts", unit="texts", initial=total - len(missing)) as bar:
        began = time.monotonic()
        try:
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                vectors = _vectors(call, [texts[row] for row in rows[batch]], encoder.dim)
                filled.append((wanted.keys[missing[batch]], vectors))
                full = sum(len(keys) for keys, _ in filled) >= shard_texts
                if full or time.monotonic() - began > _SHARD_SECONDS:
                    write()
                    began = time.monotonic()
                bar.update(len(batch))
        finally:
            # Ctrl-C, or a text without a vector: what there is stays.
            write()


def _graph(encoder: TextEncoder) -> Callable[[list[str]], Float32]:
    tf = import_tensorflow()
    # One graph for all batches, whatever their size.
    graph = tf.function(
        lambda texts: encoder(texts, training=False),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )

    def call(texts: list[str]) -> Float32:
        found: Float32 = graph(tf.constant([_bytes(text) for text in texts])).numpy()
        return found

    return call


def _vectors(call: Callable[[list[str]], Float32], texts: list[str], dim: int) -> Float32:
    found = call(texts)
    if found.shape != (len(texts), dim) or found.dtype != np.float32:
        raise ValueError(
            f"the text encoder must return float32 [{len(texts)}, {dim}] for {len(texts)} texts, "
            f"got {found.dtype} {list(found.shape)}"
        )
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        text = texts[int(np.flatnonzero(~finite)[0])]
        shown = text if len(text) <= 80 else text[:80] + "…"
        raise UserError(
            f"the text encoder's vector of {shown!r} is not finite: its weights are damaged or "
            "overflow; load the encoder again or take another --text-encoder"
        )
    return found


class _IncompleteError(Exception):
    """Vectors are missing after all."""


def _assemble(shards: Shards, wanted: Wanted, dim: int, result: Path) -> None:
    """Writes the vectors in the order of the list."""
    rows = np.argsort(wanted.inverse, kind="stable")  # rows of the list, by key
    ends = np.searchsorted(wanted.inverse, np.arange(len(wanted.keys) + 1), sorter=rows)
    left = len(wanted.keys)
    with explained(result), written(result, shared=True) as file:
        shape = (len(rows), dim)
        matrix = np.lib.format.open_memmap(file.name, "w+", np.dtype(np.float32), shape)
        for places, vectors in shards.vectors(wanted.keys):
            left -= len(places)
            counts = ends[places + 1] - ends[places]
            # Where each place's rows begin, and then one further for each of them.
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            matrix[rows[np.repeat(ends[places], counts) + within]] = np.repeat(
                vectors, counts, axis=0
            )
        if left:
            raise _IncompleteError
        matrix.flush()


def _mapped(path: Path, count: int, dim: int) -> Float32 | None:
    try:
        found: Float32 = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None  # not there, or cut off by others: it is made again
    return found if found.shape == (count, dim) and found.dtype == np.float32 else None
