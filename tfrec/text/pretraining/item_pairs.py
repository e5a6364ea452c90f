"""Which texts belong to things that people take one soon after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from tfrec.arrays import load_arrays, save_arrays
from tfrec.data.sequences import Int64, Sequences
from tfrec.errors import UserError
from tfrec.text.tuning.tokens import CatalogueTokens

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]

# Histories that are read together.
_BLOCK = 1 << 14


class ItemPairs(NamedTuple):
    """N different texts as tokens, and how often each was taken near each other one.

    Attributes:
        ids, ends: the tokens, as `CatalogueTokens` has them, [T] and [N].
        starts: where the partners of each text begin, and where the last ones end, [N + 1].
        partners: the other text of each pair, ascending within a text; pairs stand in both
            directions, [P].
        counts: how often they were taken together, [P].
        held_out: whether the text only measures, [N].
    """

    ids: Int32
    ends: Int64
    starts: Int64
    partners: Int32
    counts: Int64
    held_out: Bool

    def __len__(self) -> int:
        return len(self.ends)

    def tokens(self, pad_id: int) -> CatalogueTokens:
        """The tokens, to be padded with `pad_id`."""
        return CatalogueTokens(self.ids, self.ends, pad_id)

    @property
    def first(self) -> Int64:
        """The text of each pair that `partners` does not name, [P]."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    @property
    def trains(self) -> Bool:
        """Whether a pair may be learned: neither of its texts is held out, [P]."""
        found: Bool = ~(self.held_out[self.first] | self.held_out[self.partners])
        return found

    def save(self, path: Path) -> None:
        """Writes one .npz file.

        Raises:
            UserError: it cannot be written.
        """
        save_arrays(path, self._asdict())

    @classmethod
    def load(cls, path: Path) -> ItemPairs:
        """Reads what `save` wrote.

        Raises:
            UserError: the file is damaged.
        """
        return cls(*load_arrays(path, cls._fields, "delete it and resume the run"))


def together(train: Sequences, texts: Sequence[str], window: int) -> tuple[list[str], csr_matrix]:
    """How often two texts stand within `window` events of each other in a history.

    Arguments:
        train: training events only: what stands in others must not be learned.
        texts: one per item; items of the same text count as one, those of "" not at all.
        window: 1 for neighbours only.

    Returns:
        The N different texts that were taken near another one, in the order of the catalogue, and
        the counts, symmetric, int64 [N, N], no text with itself.

    Raises:
        UserError: there are none.

    Example:
        >>> from tfrec.data.sequences import Columns
        >>> log = Columns(item=np.array([0, 1, 1, 2], np.int32), timestamp=np.arange(4))
        >>> train = Sequences(np.array([0], np.int32), np.array([0]), np.array([4]), log)
        >>> names, counts = together(train, ["tea", "cup", "pot"], window=1)
        >>> counts.toarray().tolist()
        [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    from scipy.sparse import csr_matrix

    numbers: dict[str, int] = {}
    of_item = np.array([numbers.setdefault(text, len(numbers)) if text else -1 for text in texts])
    shape = (len(numbers), len(numbers))
    nothing = np.zeros(0, np.int64)
    counts = csr_matrix((nothing, (nothing, nothing)), shape=shape)
    for start in range(0, len(train), _BLOCK):
        block = train.take(slice(start, start + _BLOCK))
        found = of_item[block.items()]
        history = np.repeat(np.arange(len(block)), block.lengths)
        for distance in range(1, window + 1):
            a, b = found[:-distance], found[distance:]
            near = (history[:-distance] == history[distance:]) & (a >= 0) & (b >= 0) & (a != b)
            ones = np.ones(int(near.sum()), np.int64)
            counts = counts + csr_matrix((ones, (a[near], b[near])), shape=shape)
    counts = (counts + counts.T).tocsr()
    paired = np.flatnonzero(np.diff(counts.indptr))
    if not len(paired):
        raise UserError(
            "no two items with different texts follow each other in a history: item pairs cannot "
            "be learned from this log"
        )
    names = list(numbers)
    counts = counts[paired][:, paired].tocsr()
    counts.sort_indices()
    return [names[number] for number in paired], counts


def make_pairs(counts: csr_matrix, tokens: CatalogueTokens, measuring: Bool) -> ItemPairs:
    """Counts of `together` and tokens of its texts, some of them held out.

    Raises:
        UserError: no pair is left to learn from.
    """
    pairs = ItemPairs(
        tokens.ids,
        tokens.ends,
        counts.indptr.astype(np.int64),
        counts.indices.astype(np.int32),
        counts.data,
        measuring,
    )
    if not pairs.trains.any():
        raise UserError(
            f"of {len(pairs)} texts no two that belong together are left to learn from; lower "
            "--held-out"
        )
    return pairs
