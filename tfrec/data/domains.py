"""Which domain every item is of: what `join` writes into a catalogue, and how it is read again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Bool, Int32

DOMAIN = "domain"


@dataclass(frozen=True)
class Domains:
    """The domains of a catalogue.

    Attributes:
        names: of the D domains, in the order in which they were joined.
        of_item: int32 [num_items], the domain of every item, 0 .. D - 1.

    Example:
        >>> Domains(["books", "films"], np.array([0, 1, 1], np.int32)).items(1).tolist()
        [False, True, True]
    """

    names: list[str]
    of_item: Int32

    def items(self, domain: int) -> Bool:
        """True at the items of a domain, [num_items]."""
        return np.asarray(self.of_item == domain)


def domains(data: PreparedData) -> Domains | None:
    """The domains of a log that `join` wrote; None for any other log."""
    import pyarrow.compute

    if not has_domains(data):
        return None
    encoded = pyarrow.compute.dictionary_encode(data.items[DOMAIN].combine_chunks())
    return Domains(encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int32))


def has_domains(data: PreparedData) -> bool:
    """Whether `join` wrote this log: a text column may happen to have the same name."""
    return DOMAIN in data.items.column_names and DOMAIN not in data.meta.text_columns
