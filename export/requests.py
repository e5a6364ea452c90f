"""A request for every signature, made of real histories: for warm-up, samples and the check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.messages import Array, Tensors
from export.samples import Sample
from export.saved_model import Exported
from export.signatures import FORMS, Sizes, inputs

_CANDIDATES = 5
_DAY = 86_400_000
# No catalogue has it: a client sees what is answered then.
_UNKNOWN = b"no-such-item"


def requests(exported: Exported) -> dict[str, Tensors]:
    """Signature -> inputs by name, with one row for each of the exported samples.

    The items asked about are the users' own, and one that is unknown. The `_full` twins are asked
    an hour after each user's newest event and leave the crowd out.
    """
    from export.probe.forms import examples

    offered = _inputs(exported.samples, exported.sizes)
    features = [
        {
            "history_items": sample.items,
            "history_times": sample.times,
            "exclude_items": candidates[:1],
            "candidate_items": candidates[:1],
        }
        for sample, candidates in zip(exported.samples, offered["candidate_items"], strict=True)
    ]
    forms: dict[str, Tensors] = {
        name: examples([{key: row[key] for key in form.features} for row in features])
        for name, form in FORMS.items()
    }
    return forms | {
        name: {key: offered[key] for key in inputs(signature)}
        for name, signature in exported.signatures.items()
        if name not in FORMS
    }


def _inputs(samples: Sequence[Sample], sizes: Sizes) -> dict[str, Array]:
    users, length = len(samples), max(len(sample.items) for sample in samples)
    seen = list(dict.fromkeys(item for sample in samples for item in reversed(sample.items)))
    candidates = [item.encode() for item in seen[:_CANDIDATES]] + [_UNKNOWN]
    newest = np.array([max(sample.times) for sample in samples], np.int64)
    oldest = np.array([min(sample.times) for sample in samples], np.int64)

    def padded(rows: list[list[Any]], fill: Any, kind: Any) -> Array:
        return np.array([row + [fill] * (length - len(row)) for row in rows], kind)

    def texts(rows: list[list[str]]) -> Array:
        return padded([[text.encode() for text in row] for row in rows], b"", object)

    return {
        "history_items": texts([sample.items for sample in samples]),
        "history_times": padded([sample.times for sample in samples], 0, np.int64),
        "actions": texts([sample.actions for sample in samples]),
        "values": padded([sample.strengths for sample in samples], np.nan, np.float32),
        "now": newest + _DAY // 24,
        "facet_gain": np.ones((users, sizes.facets), np.float32),
        "event_gain": np.ones((users, length), np.float32),
        "conformity_gain": np.zeros(users, np.float32),
        "profile": np.array([b"something old" if n % 2 else b"" for n in range(users)], object),
        "query": np.array([b"" if n % 2 else b"something new" for n in range(users)], object),
        "candidate_items": np.array([candidates] * users, object),
        "exclude_items": np.array([candidates[:1]] * users, object),
        "item": np.array([candidates[0]] * users, object),
        "engaged": np.arange(users) % 2 == 0,
        "checkpoint_times": np.stack([(oldest + newest) // 2, newest, newest + _DAY], axis=1),
        "items": np.array(candidates, object),
        "texts": np.array([b"something new", b""], object),
    }
