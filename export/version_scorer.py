"""A finished version as what ranks and rates the cases of the run that it is from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from export.log_requests import LogRequests
from export.signatures import FULL_SUFFIX

if TYPE_CHECKING:
    from export.probe.model import Model
    from tfrec.data.cases import Cases
    from tfrec.data.prepared import PreparedData
    from tfrec.data.splits import Split, Subset
    from tfrec.run import RunConfig


def some_cases(split: Split, subset: Subset, most: int, config: RunConfig) -> Cases:
    """At most so many cases, drawn by the seed of the run, as its rankings ask them."""
    cases = split.cases(subset, seen_removed=not config.evaluation.keep_seen)
    if len(cases) <= most:
        return cases
    rng = np.random.default_rng(config.training.seed)
    return cases.take(np.sort(rng.choice(len(cases), most, replace=False)))


class VersionScorer:
    """A version as a `tfrec.evaluation.ranking.Scorer`, through its embeddings.

    Arguments:
        model: the version.
        data: of the run.
        max_length: newest events of a history that the model reads.
    """

    def __init__(self, model: Model, data: PreparedData, max_length: int) -> None:
        self._model = model
        self._requests = LogRequests(data)
        self._max_length = max_length
        self._items = model.ask("embed_items", {"items": self._requests.ids})["embedding"].T

    def score(self, cases: Cases) -> npt.NDArray[np.float32]:
        histories = cases.histories.last(self._max_length)
        full = "embed_user" + FULL_SUFFIX
        if full in self._model.signatures:
            times = cases.request_times
            facets = self._model.facets(full)
            asked = self._requests.full(histories, times, facets)
            user = self._model.ask(full, asked)["embedding"]
        else:
            user = self._model.ask("embed_user", self._requests.short(histories))["embedding"]
        return np.asarray(user @ self._items, np.float32)
