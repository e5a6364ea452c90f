"""Vectors of items that somebody else computed: of pictures, sounds, a knowledge graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.arrays import load_arrays, save_arrays
from tfrec.console import count, say
from tfrec.data.sequences import Bool, Float32, Int64
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

KEPT = "item_vectors.npz"
# Where a file of vectors has none of its own: one item_id per line, row for row.
IDS = ".ids.txt"


class ItemVectors(NamedTuple):
    """The vectors of a catalogue's items, of all files side by side.

    Every file has its mean taken away and is divided by one number, the root mean square of what
    is left, so that no file is louder than another and directions stay as they were.

    Attributes:
        values: float32 [I, V]; in the columns of a file 0 for an item that it does not have.
        widths: columns of each file, [F].
        means: what was taken away, [V].
        scales: what each file was divided by, [F].
    """

    values: Float32
    widths: Int64
    means: Float32
    scales: Float32

    def save(self, run: Path) -> None:
        """Keeps them in a run, which is then opened again without the files.

        Raises:
            UserError: they cannot be written.
        """
        save_arrays(run / KEPT, self._asdict())

    def and_new(self, files: Sequence[str], ids: Sequence[str]) -> ItemVectors:
        """The same with rows for new items, made as those of the old ones were.

        Arguments:
            files: as many as there were, in the same order; none at all for rows of 0.
            ids: of the new items.

        Raises:
            UserError: other files than there were, or one that cannot be used.
        """
        rows = np.zeros((len(ids), len(self.means)), np.float32)
        if files and len(files) != len(self.widths):
            raise UserError(
                f"--item-vectors names {len(files)} files, the run was trained on "
                f"{len(self.widths)}: name as many in the same order, or none"
            )
        starts = np.cumsum(self.widths) - self.widths
        for file, start, width, scale in zip(files, starts, self.widths, self.scales, strict=False):
            found = matched(Path(file), ids)
            say(found.said)
            if found.values.shape[1] != width:
                raise UserError(
                    f"{file} has vectors of {found.values.shape[1]} numbers, the run was trained "
                    f"on vectors of {width} in its place"
                )
            columns = slice(start, start + width)
            rows[found.known, columns] = (found.values[found.known] - self.means[columns]) / scale
        return self._replace(values=np.concatenate([self.values, rows]))


def kept_vectors(run: Path) -> ItemVectors | None:
    """The vectors that a run was trained on; None if it has none.

    Raises:
        UserError: the file is damaged.
    """
    path = run / KEPT
    if not path.exists():
        return None
    return ItemVectors(*load_arrays(path, ItemVectors._fields, "delete it and resume the run"))


def item_vectors(files: Sequence[str], ids: Sequence[str], run: Path) -> ItemVectors | None:
    """Reads the vectors of a run's items, once: they stay in the run.

    Arguments:
        files: see `matched`.
        ids: of the catalogue's items, [I].
        run: the run folder.

    Returns:
        The vectors; None without files.

    Raises:
        UserError: a file that cannot be used.
    """
    if not files:
        return None
    if (kept := kept_vectors(run)) is not None:
        return kept
    parts, means, scales = [], [], []
    for file in files:
        values, known, said = matched(Path(file), ids)
        say(said)
        mean = values[known].mean(axis=0, dtype=np.float64)
        values[known] -= mean.astype(np.float32)
        scale = float(np.sqrt(np.mean(np.square(values[known], dtype=np.float64))))
        if not scale:
            raise UserError(f"{file}: the vectors of all items are the same, so they say nothing")
        parts.append(values / np.float32(scale))
        means.append(mean)
        scales.append(scale)
    found = ItemVectors(
        np.concatenate(parts, axis=1),
        np.array([part.shape[1] for part in parts]),
        np.concatenate(means).astype(np.float32),
        np.array(scales, np.float32),
    )
    found.save(run)
    return found


class Matched(NamedTuple):
    """Vectors of a file for some items.

    Attributes:
        values: float32 [I, d], 0 for an item that the file does not have.
        known: whether the file has the item, [I].
        said: what matched and what did not, in words.
    """

    values: Float32
    known: Bool
    said: str


def matched(path: Path, ids: Sequence[str]) -> Matched:
    """The vectors of a file for some items.

    Arguments:
        path: X.npy, numbers [N, d], with X.ids.txt beside it, one item_id per line, row for row;
            or Parquet with a column item_id and one column of lists of d numbers.
        ids: of the items, [I].

    Raises:
        UserError: the file cannot be read, has no such form, a number that is not finite, or
            vectors of none of these items; says the row.
    """
    import pyarrow
    import pyarrow.compute as pc

    names, numbers = _npy(path) if path.suffix == ".npy" else _parquet(path)
    with np.errstate(over="ignore"):  # what float32 cannot hold is found next
        vectors = np.asarray(numbers, np.float32)
    _must_be_finite(path, names, vectors)
    encoded = names.dictionary_encode()
    _, first = np.unique(encoded.indices.to_numpy(), return_index=True)
    wanted = pyarrow.array(ids, pyarrow.string())
    place = pc.fill_null(pc.index_in(wanted, encoded.dictionary), -1).to_numpy()
    known = place >= 0
    if not known.any():
        shown = f"{names[0].as_py()!r}, the items here such as {ids[0]!r}" if len(names) else "none"
        raise UserError(f"{path} has vectors of none of these items: its ids are such as {shown}")
    values = np.zeros((len(ids), vectors.shape[1]), np.float32)
    values[known] = vectors[first[place[known]]]
    without, strange = int((~known).sum()), len(first) - len(np.unique(place[known]))
    repeated = len(names) - len(first)
    said = (
        f"{path.name}: vectors of {vectors.shape[1]} for {count(int(known.sum()))} items"
        + f"; {count(without)} items have none" * bool(without)
        + f"; {count(strange)} are of no item here" * bool(strange)
        + f"; {count(repeated)} rows say an item again, the first one counts" * bool(repeated)
    )
    return Matched(values, known, said)


def _npy(path: Path) -> tuple[pyarrow.Array, npt.NDArray[np.number]]:
    import pyarrow

    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read as numbers ({error})") from None
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or not vectors.shape[1]:
        raise UserError(
            f"{path} holds {vectors.dtype} {list(vectors.shape)}, expected numbers [items, width]"
        )
    beside = path.with_name(path.stem + IDS)
    try:
        lines = beside.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{beside} cannot be read ({error}): {path.name} needs it, one item_id per line"
        ) from None
    if len(lines) != len(vectors):
        raise UserError(
            f"{path} has {count(len(vectors))} rows, {beside} {count(len(lines))} lines: they "
            "must be as many"
        )
    return pyarrow.array(lines, pyarrow.string()), vectors


def _parquet(path: Path) -> tuple[pyarrow.Array, npt.NDArray[np.number]]:
    import pyarrow
    import pyarrow.compute as pc
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be read ({reason}); give .npy or Parquet") from None
    kinds = pyarrow.types
    lists = [
        field.name
        for field in table.schema
        if kinds.is_list(field.type)
        or kinds.is_large_list(field.type)
        or kinds.is_fixed_size_list(field.type)
    ]
    if "item_id" not in table.column_names or len(lists) != 1:
        raise UserError(
            f"{path} has the columns {', '.join(table.column_names)}: expected item_id and one "
            "column of lists of numbers"
        )
    names = table["item_id"].cast(pyarrow.string()).combine_chunks()
    column = table[lists[0]].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    if not len(lengths) or not lengths[0]:
        raise UserError(f"{path}: row 1 of {lists[0]} holds no vector")
    if (other := np.flatnonzero(lengths != lengths[0])).size:
        raise UserError(
            f"{path}: row {other[0] + 1} of {lists[0]} has {lengths[other[0]]} numbers, row 1 has "
            f"{lengths[0]}"
        )
    try:
        flat = pc.list_flatten(column).cast(pyarrow.float32(), safe=False)
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path}: {lists[0]} holds no numbers ({error})") from None
    return names, flat.to_numpy(zero_copy_only=False).reshape(len(names), -1)


def _must_be_finite(path: Path, names: pyarrow.Array, vectors: Float32) -> None:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise UserError(
            f"{path}: row {bad[0] + 1} (item {names[int(bad[0])].as_py()}) holds numbers that are "
            f"not finite; so do {count(len(bad) - 1)} other rows. Leave out items without a vector"
        )
