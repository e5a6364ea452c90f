"""Hyperparameters of a baseline, chosen on validation: an untuned baseline proves nothing.

Dacrema, Cremonesi & Jannach, "Are we really making much progress?", RecSys 2019; Rendle et al.,
"Revisiting the performance of iALS", RecSys 2022: much published progress was over baselines
that nobody had tuned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.sequences import Sequences
from tfrec.evaluation.baselines.baseline import Baseline, Memo, settings_of
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.ranking import rank

K = 10
METRIC = f"ndcg@{K}"
MAX_CASES = 10_000

AnyBaseline = TypeVar("AnyBaseline", bound=Baseline)


@dataclass(frozen=True)
class Trial:
    """One grid point: its settings, mean validation NDCG@10, and wall time of fit and ranking."""

    settings: dict[str, Any]
    ndcg: float
    seconds: float


@dataclass(frozen=True)
class Tuned(Generic[AnyBaseline]):
    """The best baseline found, fitted; all trials in order; whether the search ran to its end."""

    baseline: AnyBaseline
    trials: list[Trial]
    finished: bool


def tune(
    baseline: AnyBaseline,
    train: Sequences,
    validation: Cases,
    num_items: int,
    *,
    budget_seconds: float = 120.0,
    seed: int = 0,
    remove_seen: bool = True,
    progress: Callable[[Trial], None] = lambda trial: None,
) -> Tuned[AnyBaseline]:
    """One round of coordinate ascent over `baseline.GRID`: validation NDCG@10, full ranking.

    The search starts at the settings of `baseline` and takes one hyperparameter after another, in
    the order of GRID: it steps to the next larger value as long as that is better, or else to the
    next smaller one. It ends early when the next trial may not end inside the budget, the only
    way in which the speed of the machine decides anything.

    Every trial is fitted on `train` alone, and so is the result: like any trained model it
    meets the validation events only in the histories of the test cases.

    Arguments:
        baseline: where to start; it is not changed.
        train: training sequences.
        validation: cases to select on, at most 10,000 of them, drawn with `seed`. Without any,
            the result is `baseline` as it is, fitted.
        num_items: size of the catalogue.
        budget_seconds: wall time of the search.
        seed: of the choice of cases and of the order of ties.
        remove_seen: as the final ranking will be made, see `rank`.
        progress: called after each trial.
    """
    cases, memo = _sample(validation, seed), Memo()
    trials: list[Trial] = []

    def attempt(unfitted: AnyBaseline) -> tuple[AnyBaseline, float]:
        start = time.monotonic()
        fitted = replace(unfitted)
        fitted.fit(train, num_items, memo)
        ranking = rank(fitted, cases, num_items, K, remove_seen=remove_seen, seed=seed)
        ndcg = float(np.mean(accuracy(ranking, cases, [K])[METRIC], dtype=np.float64))
        trials.append(Trial(settings_of(fitted), ndcg, time.monotonic() - start))
        progress(trials[-1])
        return fitted, ndcg

    if not len(validation):
        fitted = replace(baseline)
        fitted.fit(train, num_items)
        return Tuned(fitted, trials, finished=True)

    deadline = time.monotonic() + budget_seconds
    best = attempt(baseline)
    for name, values in baseline.GRID.items():
        before = best
        for step in (1, -1):
            while (neighbour := _neighbour(best[0], name, values, step)) is not None:
                if max(trial.seconds for trial in trials) > deadline - time.monotonic():
                    return Tuned(best[0], trials, finished=False)
                candidate = attempt(neighbour)
                is_better = candidate[1] > best[1]
                if is_better:
                    best = candidate
                del candidate  # a loser must not take memory while the next one is fitted
                if not is_better:
                    break
            if best is not before:
                break  # larger was better, and smaller is where we came from
    return Tuned(best[0], trials, finished=True)


def _neighbour(
    baseline: AnyBaseline, name: str, values: tuple[Any, ...], step: int
) -> AnyBaseline | None:
    """The baseline with the next value of one hyperparameter; None at the end of the grid."""
    place = values.index(getattr(baseline, name)) + step
    return replace(baseline, **{name: values[place]}) if 0 <= place < len(values) else None


def _sample(cases: Cases, seed: int) -> Cases:
    if len(cases) <= MAX_CASES:
        return cases
    chosen = np.random.default_rng(seed).choice(len(cases), MAX_CASES, replace=False)
    return cases.take(np.sort(chosen))
