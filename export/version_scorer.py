"""A finished version as what ranks and rates the cases of the run that it is from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from export.log_requests import LogRequests
from export.signatures import FULL_SUFFIX, TOLD_SUFFIX
from tfrec.data.user_texts import PROFILE

if TYPE_CHECKING:
    from export.probe.model import Model
    from tfrec.data.cases import Cases
    from tfrec.data.prepared import PreparedData
    from tfrec.data.sequences import Int32
    from tfrec.data.splits import Split, Subset
    from tfrec.data.user_texts import UserTexts
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
        users: what the users of the run say, None where it reads none of that.
    """

    def __init__(
        self, model: Model, data: PreparedData, max_length: int, users: UserTexts | None
    ) -> None:
        self._model = model
        self._requests = LogRequests(data)
        self._max_length = max_length
        self._users = users
        self._items = model.ask("embed_items", {"items": self._requests.ids})["embedding"].T

    def score(self, cases: Cases) -> npt.NDArray[np.float32]:
        histories = cases.histories.last(self._max_length)
        name = "embed_user" + (FULL_SUFFIX if self._users is None else TOLD_SUFFIX)
        if name in self._model.signatures:
            facets = self._model.facets(name)
            asked = self._requests.full(histories, cases.request_times, facets)
        else:
            name, asked = "embed_user", self._requests.short(histories)
        if self._users is not None:
            asked |= _said(self._users, histories.users)
        return np.asarray(self._model.ask(name, asked)["embedding"] @ self._items, np.float32)


def _said(texts: UserTexts, users: Int32) -> dict[str, npt.NDArray[np.object_]]:
    """What these users say of themselves. They search for nothing."""
    words = np.array([*(text.encode() for text in texts.texts.words), b""], object)
    nothing = np.full(len(users), b"", object)
    return {
        kind: words[texts.of_user[users]] if kind == PROFILE else nothing for kind in texts.kinds
    }
