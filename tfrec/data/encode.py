"""Ids -> dense indices in the order of first appearance, or in the order of a catalogue.

Ids are text. Where all of them are plain whole numbers, as in most public logs, a table that the
number itself addresses stands in for hashing; the first id that is none ends that for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfrec.data.sequences import Bool, Int32, Int64

if TYPE_CHECKING:
    import pyarrow

# A table of this many int32 takes 64 MB.
_LARGEST_NUMBER = 1 << 24
# How logs write that there is no id.
_MISSING = ("", "nan", "null", "none")


@dataclass(frozen=True)
class Ids:
    """A column of ids. Either `numbers`, or `codes` into the distinct `names`.

    Attributes:
        numbers: int64 [N], when every id is a plain whole number.
        codes: int32 [N], rows of `names`; -1 where there is no id.
        names: distinct ids in the order of first appearance.
    """

    numbers: Int64 | None
    codes: Int32 | None = None
    names: Sequence[str] = ()

    @property
    def known(self) -> Bool | None:
        """bool [N], False where there is no id; None when all have one."""
        return None if self.codes is None else self.codes >= 0

    def texts(self) -> list[str]:
        """The id of every row as text, empty where there is none."""
        if self.codes is None:
            assert self.numbers is not None
            return [str(number) for number in self.numbers.tolist()]
        return [self.names[code] if code >= 0 else "" for code in self.codes.tolist()]

    def keep(self, rows: Bool) -> Ids:
        """The chosen rows; names that only others have are forgotten."""
        if self.codes is None:
            assert self.numbers is not None
            return Ids(self.numbers[rows])
        used, first, codes = np.unique(self.codes[rows], return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        return Ids(None, rank[codes], [self.names[code] for code in used[order]])


def read_ids(column: pyarrow.ChunkedArray | pyarrow.Array) -> Ids:
    """Text or whole numbers -> ids. Null, empty, nan, null and none are no ids."""
    import pyarrow
    import pyarrow.compute

    if isinstance(column, pyarrow.ChunkedArray):
        column = column.combine_chunks()
    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pyarrow.types.is_floating(column.type):
        column = _from_floats(column)
    numbers = _plain_numbers(column)
    if numbers is not None:
        return Ids(numbers)
    encoded = column.cast(pyarrow.string()).dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    names = encoded.dictionary
    none = pyarrow.compute.is_in(
        pyarrow.compute.utf8_lower(pyarrow.compute.utf8_trim_whitespace(names)),
        pyarrow.array(_MISSING),
    ).to_numpy(zero_copy_only=False)
    if none.any():
        codes = np.where((codes >= 0) & ~none[codes], codes, -1).astype(np.int32)
    return Ids(None, codes, names.to_pylist())


class Index:
    """A growing map from ids to 0, 1, 2, …

    Arguments:
        names: start with these, in this order; then nothing is added (a catalogue).

    Example:
        >>> import pyarrow
        >>> index = Index()
        >>> index.encode(read_ids(pyarrow.array(["b", "a", "b"]))).tolist()
        [0, 1, 0]
        >>> index.names()
        ['b', 'a']
    """

    def __init__(self, names: Sequence[str] | None = None) -> None:
        import pyarrow

        self._fixed = names is not None
        self._numbers: list[Int64] = []
        self._table: Int32 | None = np.empty(0, np.int32)
        self._map: dict[str, int] = {}
        self._length = 0
        if names is not None:
            self._add(read_ids(pyarrow.array(names, pyarrow.string())))

    def __len__(self) -> int:
        return self._length

    def names(self) -> list[str]:
        """The ids, in index order."""
        if self._table is None:
            return list(self._map)
        return [str(number) for part in self._numbers for number in part.tolist()]

    def encode(self, ids: Ids) -> Int32:
        """The index of every id; -1 for one that a fixed map does not know.

        Every row must have an id.
        """
        return self._find(ids) if self._fixed else self._add(ids)

    def _add(self, ids: Ids) -> Int32:
        if self._table is not None and ids.numbers is None:
            self._leave_numbers()
        if self._table is not None:
            assert ids.numbers is not None
            return self._add_numbers(ids.numbers)
        codes, names = _coded(ids)
        found = np.fromiter(
            (self._map.setdefault(name, len(self._map)) for name in names), np.int32, len(names)
        )
        self._length = len(self._map)
        return found[codes]

    def _find(self, ids: Ids) -> Int32:
        if self._table is not None:
            if ids.numbers is not None:
                inside = ids.numbers < len(self._table)
                return np.where(inside, self._table[np.where(inside, ids.numbers, 0)], -1)
            self._leave_numbers()
        codes, names = _coded(ids)
        get = self._map.get
        return np.fromiter((get(name, -1) for name in names), np.int32, len(names))[codes]

    def _add_numbers(self, numbers: Int64) -> Int32:
        assert self._table is not None
        top = int(numbers.max(initial=-1)) + 1
        if top > len(self._table):
            grown = np.full(max(top, 2 * len(self._table)), -1, np.int32)
            grown[: len(self._table)] = self._table
            self._table = grown
        found = self._table[numbers]
        new = numbers[found < 0]
        if len(new):
            # Of repeated numbers the last assignment stays: backwards, that is the first row.
            rows = np.arange(len(new), dtype=np.int32)
            self._table[new[::-1]] = rows[::-1]
            distinct = new[self._table[new] == rows]
            self._table[distinct] = np.arange(
                self._length, self._length + len(distinct), dtype=np.int32
            )
            self._numbers.append(distinct)
            self._length += len(distinct)
            found = self._table[numbers]
        return found

    def _leave_numbers(self) -> None:
        self._map = {name: index for index, name in enumerate(self.names())}
        self._table, self._numbers = None, []


def _coded(ids: Ids) -> tuple[Int32, Sequence[str]]:
    if ids.codes is not None:
        return ids.codes, ids.names
    assert ids.numbers is not None
    distinct, first, codes = np.unique(ids.numbers, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[codes], [str(number) for number in distinct[order].tolist()]


def _plain_numbers(column: pyarrow.Array) -> Int64 | None:
    """The ids as numbers if each is one that is written without sign, spaces or leading zeros."""
    import pyarrow

    if column.null_count or not len(column):
        return None
    if pyarrow.types.is_integer(column.type):
        numbers = column.cast(pyarrow.int64(), safe=False).to_numpy()
    elif pyarrow.types.is_string(column.type) and not _has_leading_zero_or_sign(column):
        try:
            numbers = column.cast(pyarrow.int64()).to_numpy()
        except pyarrow.ArrowInvalid:
            return None
    else:
        return None
    if numbers.min() < 0 or numbers.max() >= _LARGEST_NUMBER:
        return None
    return numbers  # type: ignore[no-any-return]


def _has_leading_zero_or_sign(column: pyarrow.Array) -> bool:
    _, offsets_buffer, data = column.buffers()
    count = len(column)
    offsets = np.frombuffer(offsets_buffer, np.int32)[column.offset : column.offset + count + 1]
    lengths = np.diff(offsets)
    if data is None or not lengths.all():
        return True
    first = np.frombuffer(data, np.uint8)[offsets[:-1]]
    return bool(
        ((first < ord("0")) | (first > ord("9")) | ((first == ord("0")) & (lengths > 1))).any()
    )


def _from_floats(column: pyarrow.Array) -> pyarrow.Array:
    """Whole numbers that missing values turned into floats: 7.0 -> 7. Others stay as they are."""
    import pyarrow
    import pyarrow.compute

    column = pyarrow.compute.if_else(
        pyarrow.compute.is_finite(column), column, pyarrow.scalar(None, column.type)
    )
    try:
        return column.cast(pyarrow.int64())
    except pyarrow.ArrowInvalid:
        return column
