"""Users and items as vectors in files, for faiss, a vector database or a study of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from export.disk import cannot_write
from export.log_requests import LogRequests
from tfrec.atomic import written
from tfrec.console import import_tensorflow, progress
from tfrec.data.prepared import PreparedData

_USERS_PER_BATCH = 256
_ITEMS_PER_BATCH = 8192

Vectors = tuple[list[str], npt.NDArray[np.float32]]


def write_vectors(version: Path, data: PreparedData, max_length: int, folder: Path) -> None:
    """Writes items.parquet and users.parquet: columns `id`, string, and `vector`, S × float32.

    A user's vector times an item's is the score just after the user's newest event; biases are
    inside the vectors. The SavedModel is asked for them, batch by batch, so that memory does not
    grow with the number of users.

    Arguments:
        version: folder with a SavedModel.
        data: the log that it learned from.
        max_length: newest events of a history that are sent.
        folder: made if missing.

    Raises:
        UserError: the folder cannot be written.

    Example:
        >>> table = pq.read_table("vectors/items.parquet")                        # doctest: +SKIP
        >>> flat = table["vector"].combine_chunks().flatten()                     # doctest: +SKIP
        >>> matrix = flat.to_numpy().reshape(len(table), -1)                      # doctest: +SKIP
    """
    signatures = import_tensorflow().saved_model.load(str(version)).signatures
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "items.parquet", _items(signatures["embed_items"], data))
        _write(folder / "users.parquet", _users(signatures["embed_user"], data, max_length))
    except OSError as error:
        raise cannot_write(f"vectors into {folder}", error) from None


def _items(embed: Any, data: PreparedData) -> Iterator[Vectors]:
    import tensorflow as tf

    ids = data.items["item_id"]
    for start in progress(range(0, len(ids), _ITEMS_PER_BATCH), "items", unit="batches"):
        some = ids.slice(start, _ITEMS_PER_BATCH).to_pylist()
        yield some, embed(items=tf.constant([name.encode() for name in some]))["embedding"].numpy()


def _users(embed: Any, data: PreparedData, max_length: int) -> Iterator[Vectors]:
    import tensorflow as tf

    requests, ids = LogRequests(data), data.users["user_id"]
    histories = data.sequences().last(max_length)
    for start in progress(range(0, len(ids), _USERS_PER_BATCH), "users", unit="batches"):
        some = ids.slice(start, _USERS_PER_BATCH).to_pylist()
        asked = requests.short(histories.take(slice(start, start + len(some))))
        given = {name: tf.constant(array) for name, array in asked.items()}
        yield some, embed(**given)["embedding"].numpy()


def _write(path: Path, batches: Iterator[Vectors]) -> None:
    with written(path) as file, ExitStack() as open_files:
        writer = None
        for ids, vectors in batches:
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
            table = pa.table({"id": pa.array(ids, pa.string()), "vector": column})
            if writer is None:
                writer = open_files.enter_context(pq.ParquetWriter(file, table.schema))
            writer.write_table(table)
