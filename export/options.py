"""What an export is asked for. Imports no TensorFlow."""

from __future__ import annotations

from typing import Literal, NamedTuple

from export.index.options import EXACT, IndexOptions

Storage = Literal["float32", "float16", "int8"]
Language = Literal["en", "zh"]


class Options(NamedTuple):
    """How a run becomes a SavedModel.

    Attributes:
        top_k: items of a recommendation; at most the whole catalogue.
        search: how they are searched for.
        storage: of item vectors and large weights in the file.
        prune: facets are left out that are not needed for this share of what all facets
            contribute; None: none is.
        language: of the sentences of `explain`.
    """

    top_k: int = 100
    search: IndexOptions = EXACT
    storage: Storage = "float32"
    prune: float | None = None
    language: Language = "en"


PLAIN = Options()
