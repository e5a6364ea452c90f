"""A ranking -> one line of the results table, and the per-case numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32
from tfrec.evaluation import beyond_accuracy
from tfrec.evaluation.intervals import intervals
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.ranking import Ranking
from tfrec.evaluation.results import Interval, ModelResult
from tfrec.evaluation.slices import slices


def evaluate(
    ranking: Ranking,
    cases: Cases,
    item_counts: beyond_accuracy.Counts,
    ks: Sequence[int],
    seed: int,
    *,
    name: str,
    kind: Literal["model", "baseline"] = "model",
    settings: Mapping[str, Any] | None = None,
    fit_seconds: float = 0.0,
    evaluate_seconds: float = 0.0,
) -> tuple[ModelResult, dict[str, Float32]]:
    """Every metric of one model on one set of cases.

    Metrics, for every k: the accuracy metrics of `metrics.accuracy`; "long_tail_share@k",
    "novelty@k", "average_popularity@k" and "popularity_lift@k", whose intervals resample cases as
    those of accuracy do; "coverage@k" and "gini@k", which belong to all lists together. These two
    have no interval (low and high equal the value): lists drawn with replacement repeat, so
    resampled coverage is always too small. "popularity_lift@k" is left out when no case has a
    history to compare with.

    Arguments:
        ranking: of the N cases, with at least max(ks) top items.
        cases: what was ranked.
        item_counts: training events per catalogue item, int [num_items].
        ks: cut-offs.
        seed: of the bootstrap.
        name, kind, settings, fit_seconds, evaluate_seconds: go into the result as they are.

    Returns:
        The result, and float32 [N] for every metric that is a mean over cases.
    """
    if len(cases) == 0:
        raise ValueError(f"{name}: there are no cases to evaluate")
    if ranking.top_items.shape[0] != len(cases):
        raise ValueError(
            f"{name}: the ranking has {ranking.top_items.shape[0]} cases, expected {len(cases)}"
        )
    per_case = accuracy(ranking, cases, ks)
    columns: dict[str, Float32] = {}
    ratios: dict[str, tuple[str, str]] = {}
    shared: dict[str, Interval] = {}
    history = beyond_accuracy.history_popularity(cases.histories, item_counts)
    for k in ks:
        top = ranking.top_items
        per_case[f"long_tail_share@{k}"] = beyond_accuracy.long_tail_share(top, item_counts, k)
        per_case[f"novelty@{k}"] = beyond_accuracy.novelty(top, item_counts, k)
        popularity = beyond_accuracy.average_popularity(top, item_counts, k)
        per_case[f"average_popularity@{k}"] = popularity
        if np.nansum(history) > 0:
            above, of_history = beyond_accuracy.popularity_lift(popularity, history)
            columns[f"above@{k}"], columns[f"history@{k}"] = above, of_history
            ratios[f"popularity_lift@{k}"] = (f"above@{k}", f"history@{k}")
        exposed = beyond_accuracy.exposure(top, k, len(item_counts))
        shared[f"coverage@{k}"] = _exact(beyond_accuracy.coverage(exposed))
        shared[f"gini@{k}"] = _exact(beyond_accuracy.gini(exposed))
    metrics = intervals({**per_case, **columns}, seed, ratios) | shared
    result = ModelResult(
        name=name,
        kind=kind,
        settings=dict(settings or {}),
        fit_seconds=fit_seconds,
        evaluate_seconds=evaluate_seconds,
        metrics=metrics,
        slices=slices(ranking, cases, item_counts, ks, seed),
    )
    return result, per_case


def _exact(value: float) -> Interval:
    return Interval(value, value, value)
