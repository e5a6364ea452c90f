"""What is asked of a model that was trained without some items: about them, and about the others.

`hold_out` also takes every user's two newest events on the remaining (warm) items out of training.
The newest is a test case, so that the same run answers both questions, and nothing that helps cold
items can hide its price. The other validates: a model is chosen by what it is used for, also one
that knows nothing of cold items, and cold items are as new to the choice as to the training.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Bool, Float32, Int32, count_items
from tfrec.data.split_cases import build_cases
from tfrec.data.split_labels import LEFT_OUT, TEST, TRAIN, VALIDATION, Labels, user_of
from tfrec.data.splits import Split, make_split
from tfrec.evaluation.intervals import resampled_means
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.ranking import Ranking, Scorer, rank
from tfrec.evaluation.results import Interval
from tfrec.run import RunConfig, load_data, start

K = 10
# Beside the labels of a split.
WARM = 9


def hold_out(folder: Path, config: RunConfig) -> None:
    """Begins the run folder of a training that knows neither cold items nor newest warm events."""
    start(folder, config)
    data = load_data(folder, config)
    split = make_split(data, config.split, config.training.seed)
    newest, before = _newest_warm(data, split.label)
    label = np.where(split.label == TRAIN, TRAIN, LEFT_OUT)
    label[split.label == TEST] = TEST
    label[newest] = LEFT_OUT
    label[before] = VALIDATION
    Split(data, config.split, config.training.seed, label.astype(np.int8)).save(folder)


def cold_validation(data: PreparedData, split: Split) -> Cases:
    """A user's last event on an item of validation, which no run of `hold_out` has seen."""
    whole = make_split(data, split.config, split.seed)
    label = np.where(split.label == VALIDATION, LEFT_OUT, split.label)
    label = np.where(whole.label == VALIDATION, VALIDATION, label).astype(np.int8)
    return Split(data, split.config, split.seed, label).cases("validation")


def warm_cases(data: PreparedData, split: Split) -> Cases:
    """The newest warm event of every user, as `hold_out` took them out of training."""
    whole = make_split(data, split.config, split.seed)
    newest, _ = _newest_warm(data, whole.label)
    label = np.where(newest, WARM, split.label)
    return build_cases(
        data, label, split.protocol, target_label=WARM, min_history=0, seen_removed=True
    )[0]


def _newest_warm(data: PreparedData, label: Labels) -> tuple[Bool, Bool]:
    """The newest training events, and those before them, of users with a third, bool [E] each."""
    rows = np.flatnonzero(label == TRAIN)
    user = user_of(rows, data.user_offsets)
    enough = np.bincount(user, minlength=data.num_users)[user] > 2
    left = np.searchsorted(user, user, side="right") - 1 - np.arange(len(rows))  # newer ones
    newest, before = np.zeros((2, len(label)), bool)
    newest[rows[enough & (left == 0)]] = True
    before[rows[enough & (left == 1)]] = True
    return newest, before


class Asked(NamedTuple):
    """NDCG@10 of N cases [N], and the one item that each asks about [N]."""

    ndcg: Float32
    target: Int32


class Measured(NamedTuple):
    """What a scorer makes of held-out events.

    cold, warm: on cold and on warm items, in the whole catalogue. cold_alone, warm_alone: in the
    order of the cold or of the warm items alone, which does not depend on how high they stand
    against the others. shown: share of cold items in the first ten places of the warm cases.
    """

    cold: Asked
    cold_alone: Asked
    warm: Asked
    warm_alone: Asked
    shown: float


def measure(scorer: Scorer, split: Split, data: PreparedData, seed: int = 0) -> Measured:
    """Asks about the test items, and about the newest warm event of every user."""
    cold = cold_items(split, data)
    tests, warm = split.cases("test"), warm_cases(data, split)

    def ranked(cases: Cases, candidates: Bool | None = None) -> tuple[Asked, float]:
        ranking = rank(scorer, cases, data.num_items, K, seed=seed, candidates=candidates)
        found = Asked(accuracy(ranking, cases, [K])[f"ndcg@{K}"], cases.targets)
        return found, share_shown(ranking, cold)

    in_all, shown = ranked(warm)
    alone = ranked(tests, cold)[0], ranked(warm, ~cold)[0]
    return Measured(ranked(tests)[0], alone[0], in_all, alone[1], shown)


def share_shown(ranking: Ranking, cold: Bool) -> float:
    """How many of all places are taken by cold items."""
    return float(cold[ranking.top_items].mean())


def mean_over_items(values: Float32, target: Int32) -> Interval:
    """The mean over cases with its 95 % bootstrap interval over the items that they ask about.

    Many cases ask about the same few cold items, and what is known of an item is right or wrong
    for all of them: an interval over cases would take these very items for granted.
    """
    sums, cases = np.bincount(target, values), np.bincount(target)
    both = np.stack([sums, cases], axis=1)[cases > 0].astype(np.float64)
    drawn = resampled_means(both, seed=0)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def cold_items(split: Split, data: PreparedData) -> Bool:
    """Items without a training event, bool [I]."""
    return np.asarray(count_items(split.train(), data.num_items) == 0)
