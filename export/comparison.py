"""What a smaller version costs: size, speed and metric beside the version in full precision."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from export.log_requests import LogRequests
from export.requests import requests
from export.saved_model import Exported
from export.signatures import FULL_SUFFIX, Sizes
from tfrec.console import say, size

if TYPE_CHECKING:
    from export.probe.model import Model
    from tfrec.data.cases import Cases
    from tfrec.data.prepared import PreparedData
    from tfrec.evaluation.results import Interval

METRIC = "ndcg@10"
# More would say little more and take minutes on a small machine.
_CASES = 2000
_BATCH = 64
_ROUNDS = 3


class Side(NamedTuple):
    """A version: bytes of its files but those in assets.extra, median milliseconds of `recommend`
    for one user, and mean NDCG@10."""

    bytes: int
    milliseconds: float
    metric: float


class Comparison(NamedTuple):
    """Two versions of one run.

    Attributes:
        storage: of the smaller one.
        original, smaller: see `Side`.
        cases: test cases that both were measured on.
        difference: of the metric, smaller less original, with its 95 % paired bootstrap interval.
    """

    storage: str
    original: Side
    smaller: Side
    cases: int
    difference: Interval


def compare_versions(original: Path, smaller: Path, exported: Exported, run: Path) -> Comparison:
    """Loads both and asks them the same questions.

    Arguments:
        original, smaller: folders with a SavedModel.
        exported: of the smaller one. run: that both are from.
    """
    from export.probe.latency import latency
    from export.probe.model import Model
    from tfrec.data.splits import load_split
    from tfrec.evaluation.intervals import intervals
    from tfrec.evaluation.metrics import accuracy
    from tfrec.evaluation.ranking import rank
    from tfrec.run import load_data

    config = exported.config
    seed, keep_seen = config.training.seed, config.evaluation.keep_seen
    data = load_data(run, config)
    cases = load_split(run, data).cases("test", seen_removed=not keep_seen)
    if len(cases) > _CASES:
        chosen = np.random.default_rng(seed).choice(len(cases), _CASES, replace=False)
        cases = cases.take(np.sort(chosen))
    one = dict(requests(exported)["recommend"])
    models = [Model(folder) for folder in (original, smaller)]
    rounds = [[latency(model, "recommend", one)["p50"] for model in models] for _ in range(_ROUNDS)]
    metrics = []
    for model in models:
        scorer = _Scorer(model, data, exported.sizes)
        ranking = rank(scorer, cases, data.num_items, 10, not keep_seen, seed, _BATCH)
        metrics.append(accuracy(ranking, cases, [10])[METRIC])
    sides = [
        Side(_bytes(folder), statistics.median(times), float(metric.mean()))
        for folder, times, metric in zip(
            (original, smaller), zip(*rounds, strict=True), metrics, strict=True
        )
    ]
    difference = intervals({METRIC: metrics[1] - metrics[0]}, seed)[METRIC]
    return Comparison(exported.storage, sides[0], sides[1], len(cases), difference)


def print_comparison(found: Comparison) -> None:
    """As a table for the console."""
    say(f"\n{'':<26}{'float32':>10}{found.storage:>10}")
    names = ["size", "recommend, one user, ms", f"NDCG@10, {found.cases:,} cases"]
    columns = [
        [size(side.bytes), f"{side.milliseconds:.2f}", f"{side.metric:.4f}"]
        for side in (found.original, found.smaller)
    ]
    for name, *texts in zip(names, *columns, strict=True):
        say(f"{name:<26}" + "".join(f"{text:>10}" for text in texts))
    say(paired(found))


def paired(found: Comparison) -> str:
    """The difference of the metric in a sentence."""
    value, low, high = found.difference.value, found.difference.low, found.difference.high
    return (
        f"{found.storage} changes NDCG@10 by {value:+.4f}, case by case; "
        f"95 % interval {low:+.4f} to {high:+.4f}"
    )


def _bytes(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if "assets.extra" not in path.parts)


class _Scorer:
    """A version as a `tfrec.evaluation.ranking.Scorer`, through its embeddings."""

    def __init__(self, model: Model, data: PreparedData, sizes: Sizes) -> None:
        self._model = model
        self._requests = LogRequests(data)
        self._sizes = sizes
        self._items = model.ask("embed_items", {"items": self._requests.ids})["embedding"].T

    def score(self, cases: Cases) -> npt.NDArray[np.float32]:
        histories = cases.histories.last(self._sizes.max_length)
        full = "embed_user" + FULL_SUFFIX
        if full in self._model.signatures:
            times = cases.request_times
            asked = self._requests.full(histories, times, self._sizes.facets)
            user = self._model.ask(full, asked)["embedding"]
        else:
            user = self._model.ask("embed_user", self._requests.short(histories))["embedding"]
        return np.asarray(user @ self._items, np.float32)
