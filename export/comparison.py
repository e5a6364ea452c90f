"""What a smaller version costs: size, speed and metric beside the version in full precision."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from export.requests import requests
from export.saved_model import Exported
from export.version_scorer import VersionScorer, some_cases
from tfrec.console import say, size

if TYPE_CHECKING:
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
        change: what the smaller one is, in a few words.
        original, smaller: see `Side`.
        cases: test cases that both were measured on.
        difference: of the metric, smaller less original, with its 95 % paired bootstrap interval.
    """

    change: str
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
    from tfrec.text.users import kept_user_texts

    config = exported.config
    seed, keep_seen = config.training.seed, config.evaluation.keep_seen
    data = load_data(run, config)
    cases = some_cases(load_split(run, data), "test", _CASES, config)
    users = kept_user_texts(data, config.text, run)
    one = dict(requests(exported)["recommend"])
    models = [Model(folder) for folder in (original, smaller)]
    rounds = [[latency(model, "recommend", one)["p50"] for model in models] for _ in range(_ROUNDS)]
    metrics = []
    for model in models:
        scorer = VersionScorer(model, data, exported.sizes.max_length, users)
        ranking = rank(scorer, cases, data.num_items, 10, not keep_seen, seed, _BATCH)
        metrics.append(accuracy(ranking, cases, [10])[METRIC])
    sides = [
        Side(_bytes(folder), statistics.median(times), float(metric.mean()))
        for folder, times, metric in zip(
            (original, smaller), zip(*rounds, strict=True), metrics, strict=True
        )
    ]
    difference = intervals({METRIC: metrics[1] - metrics[0]}, seed)[METRIC]
    return Comparison(change(exported), sides[0], sides[1], len(cases), difference)


def change(exported: Exported) -> str:
    """What makes a version smaller than the run as it was trained; "" where nothing does."""
    storage, facets = exported.options.storage, exported.facets
    changes: list[str] = [storage] if storage != "float32" else []
    if facets is not None and facets.pruned:
        changes.append(facets.label())
    return ", ".join(changes)


def print_comparison(found: Comparison) -> None:
    """As a table for the console."""
    say(f"\n{'':<26}{'as trained':>12}{'smaller':>12}")
    names = ["size", "recommend, one user, ms", f"NDCG@10, {found.cases:,} cases"]
    columns = [
        [size(side.bytes), f"{side.milliseconds:.2f}", f"{side.metric:.4f}"]
        for side in (found.original, found.smaller)
    ]
    for name, *texts in zip(names, *columns, strict=True):
        say(f"{name:<26}" + "".join(f"{text:>12}" for text in texts))
    say(paired(found))


def paired(found: Comparison) -> str:
    """The difference of the metric in a sentence."""
    value, low, high = found.difference.value, found.difference.low, found.difference.high
    return (
        f"{found.change} changes NDCG@10 by {value:+.4f}, case by case; "
        f"95 % interval {low:+.4f} to {high:+.4f}"
    )


def _bytes(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if "assets.extra" not in path.parts)
