"""Are interest and crowd, long and short, facet and facet apart? The test of DICE, and three more.

    python benchmarks/disentanglement.py --data movielens-1m:/folder/of/ml-1m
    python benchmarks/disentanglement.py --data movielens-100k:/folder --quick   (minutes)

Trains a ledger and a SASRec on the intervened split (test items nearly uniform, as in DICE: Zheng
et al., WWW 2021, section 4.1; 10 % validation, 20 % test), ranks the full catalogue with seen
items removed, and takes the crowd out of the ledger's score step by step without training again.

overlap: share of a list that is in the list of the most popular items the user had not taken.
distance correlation, CKA: between the item blocks of two facets, mean over pairs of facets; beside
the same with the rows of one block permuted. Correlations with log popularity: over pairs of a
user and an item drawn from those the user had not taken.
Swap test: how far a facet moves when the older events, or the newest 3, are exchanged for those of
other users; share old / (old + recent).
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import run_folders
from results import write_section

from tfrec.config import resolve
from tfrec.console import say
from tfrec.data.cases import Cases
from tfrec.data.sequences import Float32, count_items
from tfrec.errors import command
from tfrec.evaluation.beyond_accuracy import average_popularity
from tfrec.evaluation.independence import distance_correlation, linear_cka
from tfrec.evaluation.intervals import resampled_means
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.ranking import Ranking, rank
from tfrec.evaluation.results import Results
from tfrec.interest.asking.load import LedgerRun, load_run
from tfrec.interest.disentanglement import half_life_days
from tfrec.interest.reading import matrix
from tfrec.interest.swap import swap_test
from tfrec.run import RunConfig, command_line

GAINS = (0.0, 0.25, 0.5, 0.75, 1.0)
TOP = 20
SHOWN = (f"recall@{TOP}", f"ndcg@{TOP}")
COMMON: dict[str, Any] = {
    "split.split": "intervened",
    "split.split_validation": 0.1,
    "split.split_test": 0.2,
    "training.batch_size": 8,
    "evaluation.metric": f"ndcg@{TOP}",
}
READ_AT_ONCE = 512
ITEMS_COMPARED = 1000
PAIRED_USERS, PAIRED_ITEMS = 500, 40


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="as --data of python -m tfrec.train")
    parser.add_argument("--config", type=Path, help="settings of both models, a YAML file")
    parser.add_argument("--quick", action="store_true", help="at most 6 epochs")
    parser.add_argument("--baselines", default="all", help="as in python -m tfrec.train")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/disentanglement"), help="run folders"
    )
    flags = parser.parse_args(argv)
    results = {model: trained(model, flags) for model in ("ledger", "sasrec")}
    run = load_run(flags.out / "ledger")
    page, reached = report(run, results)
    text = f"`{command_line()}`\n\n{results['ledger'].protocol}\n\n{page}"
    say(text)
    log = flags.data.partition(":")[0]
    write_section(f"Disentanglement: {log}{', quick' if flags.quick else ''}", text)
    return 0 if reached else 1


def trained(model: str, flags: argparse.Namespace) -> Results:
    folder = flags.out / model
    options = COMMON | {"model.model": model, "data.data": flags.data}
    options["evaluation.baselines"] = flags.baselines.split(",") if model == "sasrec" else ["none"]
    if flags.quick:
        options["training.epochs"] = 6
    config = resolve(RunConfig, argparse.Namespace(**options), flags.config)
    return run_folders.trained(config, folder)


def report(run: LedgerRun, results: dict[str, Results]) -> tuple[str, bool]:
    """Markdown, and whether the bars are met."""
    cases = run.split.cases("test")
    popular = Known(log_counts(run), cases)
    top_popular = rank(popular, cases, run.data.num_items, TOP).top_items
    lists = {gain: ranked(run, cases, gain) for gain in GAINS}
    counts = count_items(run.split.train(), run.data.num_items)

    lines = [
        f"| model | Recall@{TOP} | NDCG@{TOP} | overlap with most popular | events per item |",
        "|---|---:|---:|---:|---:|",
    ]
    for gain, ranking in lists.items():
        values = per_case(ranking, cases)
        cells = [f"{values[name].mean():.4f}" for name in SHOWN]
        cells.append(f"{overlap(ranking, top_popular):.3f}")
        cells.append(f"{average_popularity(ranking.top_items, counts, TOP).mean():.0f}")
        lines.append(f"| ledger, crowd × {gain:g} | {' | '.join(cells)} |")
    for row in results["sasrec"].models:
        if row.metrics:
            cells = [f"{row.metrics[name].value:.4f}" for name in SHOWN]
            lines.append(f"| {row.name} | {' | '.join(cells)} | | |")
    checks = [free_beside_full(lists, cases), *correlations(run, cases)]
    lines += ["", *independence(run), "", *swaps(run, cases), ""]
    lines += [f"- {text}: {'met' if met else 'MISSED'}" for text, met in checks]
    return "\n".join(lines), all(met for _, met in checks)


class Known:
    """Ranks with given scores per case; cases must be asked in their order."""

    def __init__(self, scores: Float32, cases: Cases) -> None:
        self.scores = scores
        self.row = {int(user): row for row, user in enumerate(cases.histories.users)}

    def score(self, cases: Cases) -> Float32:
        if self.scores.ndim == 1:
            return np.broadcast_to(self.scores, (len(cases), len(self.scores))).copy()
        return self.scores[[self.row[int(user)] for user in cases.histories.users]]


def log_counts(run: LedgerRun) -> Float32:
    counts = count_items(run.split.train(), run.data.num_items)
    return np.log1p(counts).astype(np.float32)


def ranked(run: LedgerRun, cases: Cases, gain: float) -> Ranking:
    """The full catalogue with κ multiplied by a gain."""
    catalogue = run.reader.catalogue
    items = matrix(catalogue).T
    scores = [
        run.reader.read(cases.take(slice(start, start + READ_AT_ONCE)))
        .with_gains(conformity_gain=gain)
        .states()
        @ items
        for start in range(0, len(cases), READ_AT_ONCE)
    ]
    return rank(Known(np.concatenate(scores), cases), cases, run.data.num_items, TOP)


def per_case(ranking: Ranking, cases: Cases) -> dict[str, Float32]:
    found = accuracy(ranking, cases, [TOP])
    return {name: found[name] for name in SHOWN}


def overlap(ranking: Ranking, popular: npt.NDArray[np.int32]) -> float:
    """Mean share of a list that is also in the list of the most popular."""
    both = ranking.top_items[:, :, None] == popular[:, None, :]
    known = ranking.top_items[:, :, None] >= 0
    return float((both & known).any(axis=2).sum(axis=1).mean() / TOP)


def free_beside_full(lists: dict[float, Ranking], cases: Cases) -> tuple[str, bool]:
    """Crowd-free minus full score, paired case by case."""
    free, full = (per_case(lists[gain], cases) for gain in (0.0, 1.0))
    gaps = np.stack([free[name] - full[name] for name in SHOWN], axis=1).astype(np.float64)
    low, high = np.percentile(resampled_means(gaps, seed=0), (2.5, 97.5), axis=0)
    means = gaps.mean(axis=0)
    texts = [
        f"{name} {mean:+.4f} [{a:+.4f}, {b:+.4f}]"
        for name, mean, a, b in zip(SHOWN, means, low, high, strict=True)
    ]
    return f"crowd-free minus full score: {', '.join(texts)}, bar > 0", bool((means > 0).all())


class Correlations(NamedTuple):
    """With log popularity: the conformity line, all facets together, each facet [K]."""

    crowd: float
    facets: float
    each: npt.NDArray[np.float64]


def correlations(run: LedgerRun, cases: Cases) -> list[tuple[str, bool]]:
    found = measure_correlations(run, cases)
    largest = float(np.abs(found.each).max())
    return [
        (f"conformity line with log popularity: {found.crowd:.2f}, bar ≥ .8", found.crowd >= 0.8),
        (
            f"facets together with log popularity: {found.facets:+.2f}, bar ≤ .2",
            abs(found.facets) <= 0.2,
        ),
        (f"largest of one facet with it: {largest:.2f}, bar ≤ .2", largest <= 0.2),
    ]


def measure_correlations(run: LedgerRun, cases: Cases) -> Correlations:
    random = np.random.default_rng(0)
    asked = random.choice(len(cases), min(PAIRED_USERS, len(cases)), replace=False)
    cases = cases.take(asked)
    readings = run.reader.read(cases)
    catalogue = run.reader.catalogue
    order = random.random((len(cases), run.data.num_items))
    order[np.repeat(np.arange(len(cases)), cases.histories.lengths), cases.histories.items()] = 2.0
    items = np.argpartition(order, PAIRED_ITEMS, axis=1)[:, :PAIRED_ITEMS].astype(np.int32)
    popularity = np.take_along_axis(readings.period @ catalogue.popularity, items, axis=1).ravel()
    crowd = readings.conformity_line(catalogue, items).ravel()
    facets = readings.facet_scores(catalogue, items).reshape(crowd.size, -1)

    def correlation(line: npt.NDArray[np.floating]) -> float:
        return float(np.corrcoef(line, popularity)[0, 1]) if np.ptp(line) else 0.0

    return Correlations(
        correlation(crowd),
        correlation(facets.sum(axis=1)),
        np.array([correlation(facet) for facet in facets.T]),
    )


def independence(run: LedgerRun) -> list[str]:
    """One line per measure: mean over pairs of facets, beside permuted rows."""
    random = np.random.default_rng(0)
    blocks = run.reader.catalogue.blocks.astype(np.float64)
    chosen = random.choice(len(blocks), min(ITEMS_COMPARED, len(blocks)), replace=False)
    blocks = blocks[chosen]
    lines = []
    for name, measure in (
        ("distance correlation", distance_correlation),
        ("linear CKA", linear_cka),
    ):
        found, apart = [], []
        for f, g in itertools.combinations(range(blocks.shape[1]), 2):
            found.append(measure(blocks[:, f], blocks[:, g]))
            apart.append(measure(blocks[:, f], random.permutation(blocks[:, g])))
        lines.append(
            f"{name} of item blocks: mean {np.mean(found):.3f} (largest {np.max(found):.3f}), "
            f"permuted {np.mean(apart):.3f}"
        )
    return ["; ".join(lines)]


def swaps(run: LedgerRun, cases: Cases) -> list[str]:
    """A table of the facets, from lasting to momentary."""
    found = swap_test(run.reader, cases.histories, cases.request_times)
    lives = half_life_days(run.reader.model)
    each = measure_correlations(run, cases).each
    lines = [
        "| facet | half-life, days | old events exchanged | newest 3 exchanged | old share "
        "| with log popularity |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for facet in np.argsort(-lives):
        lines.append(
            f"| {facet + 1} | {lives[facet]:.3g} | {found.old[facet]:.2f} "
            f"| {found.recent[facet]:.2f} | {found.old_share[facet]:.2f} | {each[facet]:+.2f} |"
        )
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
