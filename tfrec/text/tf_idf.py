"""Texts as weighted counts of their words: what a text encoder has to be better than."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Words of letters and digits; of scripts without spaces, single characters.
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af]|[^\W_\u2e80-\u9fff\uac00-\ud7af]+")


def tf_idf(texts: Sequence[str]) -> csr_matrix:
    """One row per text: (1 + log count) · log(texts / texts with the word), float32 [N, words].

    Salton & Buckley, "Term-weighting approaches in automatic text retrieval", 1988. A word of one
    text alone ties nothing together and is left out.

    Example:
        >>> print(tf_idf(["red fox", "red red hen", "hen 白 fox"]).toarray().round(2))
        [[0.41 0.41 0.  ]
         [0.69 0.   0.41]
         [0.   0.41 0.41]]
    """
    from scipy.sparse import csr_matrix, diags_array

    numbers: dict[str, int] = {}
    columns: list[int] = []
    ends = [0]
    for text in texts:
        columns += [numbers.setdefault(w, len(numbers)) for w in _WORD.findall(text.casefold())]
        ends.append(len(columns))
    shape = (len(texts), len(numbers))
    counts = csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=shape)
    counts.sum_duplicates()
    holding = np.bincount(counts.indices, minlength=shape[1])
    counts = counts[:, holding > 1]
    counts.data = 1 + np.log(counts.data)
    rarity = np.log(len(texts) / holding[holding > 1]).astype(np.float32)
    return csr_matrix(counts @ diags_array(rarity))
