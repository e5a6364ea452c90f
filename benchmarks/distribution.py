"""How good a run's distribution over the catalogue is: likelihood, calibration, lists, facets.

    python benchmarks/distribution.py --runs RUN,RUN          (finished runs of one data set)
    python benchmarks/distribution.py --data movielens-100k   (trains a ledger and a SASRec first)
    python benchmarks/distribution.py --quick                 (synthetic world, two epochs each)

Test cases, full catalogue, items of the history removed. The temperature is fitted on validation
cases alone. The tables go to the console and to the end of benchmarks/RESULTS.md.

NLL: of the held-out item, in nats, with a 95 % bootstrap interval; perplexity is its exponential.
top-1 ECE: of the most probable item, 15 bins of equal mass. pair ECE: Σ over bins of all (user,
item) pairs, 4 per decade of p, of |Σ p - Σ y|, per case: the probability that lies in wrong places.
C_KL: Steck's divergence of a list's categories from the history's, in nats; λ trades it for NDCG.
facets: mean share of Σ|facet lines| under each user's distribution, and the entropy of these means
as a part of log K (1: all alike).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tfrec.config import resolve
from tfrec.console import say
from tfrec.data.cases import Cases
from tfrec.data.sequences import Sequences, count_items
from tfrec.errors import UserError, command
from tfrec.run import CHECKPOINTS, CONFIG, RunConfig, load_data, must_be_run

RESULTS = Path(__file__).with_name("RESULTS.md")
LAMBDAS = (0.0, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)
CANDIDATES = 100
VALIDATION_TARGETS = 5000
_CELLS_PER_BLOCK = 2**22
_BINS_PER_DECADE, _DECADES = 4, 10


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", help="folders of finished runs, with commas")
    parser.add_argument("--data", default="synthetic", help="log to train on when there are none")
    parser.add_argument("--quick", action="store_true", help="two epochs, 500 test cases")
    flags = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        runs = (
            [must_be_run(Path(run)) for run in flags.runs.split(",")]
            if flags.runs
            else trained(flags.data, flags.quick, Path(folder))
        )
        measured = [measure(run, 500 if flags.quick else None) for run in runs]
    names = {(m["log"], m["split"]) for m in measured}
    if len(names) > 1:
        raise UserError(f"the runs are not of one split: {', '.join(map(str, sorted(names)))}")
    page = markdown(measured)
    say(page)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write("\n" + page)
    return 0


def trained(data: str, quick: bool, folder: Path) -> list[Path]:
    from tfrec.train import train

    runs = []
    for name in ("ledger", "sasrec"):
        options: dict[str, Any] = {"data.data": data, "model.model": name}
        options["evaluation.baselines"] = ["none"]
        if quick:
            options["training.epochs"] = 2
        train(resolve(RunConfig, argparse.Namespace(**options)), folder / name)
        runs.append(folder / name)
    return runs


def measure(run: Path, most_cases: int | None) -> dict[str, Any]:
    """Every number of one run."""
    from tfrec.data.splits import load_split
    from tfrec.evaluation.model_ranking import ModelRanker
    from tfrec.interest.fitting.calibrators import Temperature, blockwise_nll, fit_temperature
    from tfrec.models.build import DISPLAY_NAMES, build_model, category_matrix
    from tfrec.training import checkpoint, loop

    config = resolve(RunConfig, argparse.Namespace(), run / CONFIG)
    if not (run / CHECKPOINTS / loop.BEST).exists():
        raise UserError(f"{run} has no trained weights yet")
    data = load_data(run, config)
    split = load_split(run, data)
    model = build_model(config.model, data, split.train())
    checkpoint.restore(run / CHECKPOINTS / loop.BEST, model.variables)
    ranker = ModelRanker(model)
    items = np.asarray(model.item_matrix(), np.float32)

    validation = split.cases("validation")
    validation = validation.take(slice(0, VALIDATION_TARGETS))
    states = ranker.states(validation)
    known = list(blocks(validation, states, items))  # kept: a fit passes over them twenty times
    temperature = fit_temperature(blockwise_nll(lambda: known))
    test = split.cases("test")
    test = test.take(slice(0, most_cases)) if most_cases else test
    states = ranker.states(test)
    found: dict[str, Any] = {
        "name": DISPLAY_NAMES[config.model.model],
        "log": config.data.data.partition(":")[0],
        "split": split.describe(),
        "cases": len(test),
        "items": data.num_items,
        "temperature": temperature.temperature,
        "before": likelihood(test, states, items, Temperature(1.0)),
        "after": likelihood(test, states, items, temperature),
        "lists": lists(
            test,
            states,
            items,
            temperature,
            category_matrix(data),
            count_items(split.train(), data.num_items),
        ),
    }
    if config.model.model == "ledger":
        found["facets"] = facets(model, test, temperature)
    return found


def blocks(
    cases: Cases, states: np.ndarray, items: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(logits [n, I], targets [n]) of the targets one after another, seen items at -inf."""
    case = cases.target_cases()
    step = max(1, _CELLS_PER_BLOCK // len(items))
    for start in range(0, len(case), step):
        rows = case[start : start + step]
        logits = states[rows] @ items.T
        hide_seen(logits, cases.histories.take(rows))
        yield logits, cases.targets[start : start + step]


def hide_seen(logits: np.ndarray, histories: Sequences) -> None:
    logits[np.repeat(np.arange(len(histories)), histories.lengths), histories.items()] = -np.inf


def likelihood(
    cases: Cases, states: np.ndarray, items: np.ndarray, temperature: Any
) -> dict[str, Any]:
    from tfrec.evaluation.calibration import catalogue_log_loss, expected_calibration_error
    from tfrec.evaluation.intervals import intervals

    bins = _BINS_PER_DECADE * _DECADES
    mass, hits = np.zeros(bins), np.zeros(bins)
    target_logs, top, right = [], [], []
    for logits, targets in blocks(cases, states, items):
        logs = temperature.apply(logits.astype(np.float64))
        rows = np.arange(len(targets))
        target_logs.append(logs[rows, targets])
        best = logs.argmax(axis=1)
        top.append(np.exp(logs[rows, best]))
        right.append(best == targets)
        place = _bin(logs)
        mass += np.bincount(place.ravel(), np.exp(logs).ravel(), bins)
        hits += np.bincount(place[rows, targets], minlength=bins)
    values = np.concatenate(target_logs)
    loss = catalogue_log_loss(values)
    return {
        "nll": intervals({"nll": -values}, seed=0)["nll"],
        "perplexity": loss.perplexity,
        "top-1 ECE": expected_calibration_error(np.concatenate(top), np.concatenate(right)),
        "pair ECE": float(np.abs(mass - hits).sum() / len(values)),
    }


def _bin(logs: np.ndarray) -> np.ndarray:
    """Number of the bin of p, from 1 down in decades; the last holds all that is smaller."""
    depth = np.maximum(logs, -1e3) * (-_BINS_PER_DECADE / np.log(10))
    return np.asarray(np.minimum(depth.astype(np.int64), _BINS_PER_DECADE * _DECADES - 1))


def lists(
    cases: Cases,
    states: np.ndarray,
    items: np.ndarray,
    temperature: Any,
    categories: np.ndarray | None,
    item_counts: np.ndarray,
) -> list[dict[str, float]]:
    """Lists of ten and twenty at every λ; only λ = 0 without categories."""
    from scipy.sparse import csr_matrix

    from tfrec.evaluation.beyond_accuracy import coverage, exposure, gini, long_tail_share
    from tfrec.evaluation.metrics import accuracy
    from tfrec.evaluation.ranking import Ranking
    from tfrec.interest.reranking import category_divergence, list_distribution, rerank

    histories = cases.histories
    shares = np.zeros((len(items), 1)) if categories is None else categories.astype(np.float64)
    bounds = np.concatenate([[0], np.cumsum(histories.lengths)])
    seen = histories.items()
    counted = csr_matrix((np.ones(len(seen)), seen, bounds), (len(cases), len(items)))
    wanted = np.asarray(counted @ shares)
    wanted /= np.maximum(wanted.sum(axis=1, keepdims=True), 1e-12)
    liked = wanted.sum(axis=1) > 0.5  # has a category at all

    best, best_logs = candidates(cases, states, items, temperature)
    rows = []
    for lam in LAMBDAS if categories is not None else (0.0,):
        chosen = np.concatenate(
            [
                rerank(best_logs[b], shares[best[b]], wanted[b], 20, lam)
                for b in (slice(n, n + 500) for n in range(0, len(cases), 500))
            ]
        )
        listed = np.take_along_axis(best, chosen.astype(np.int64), axis=1).astype(np.int32)
        case = cases.target_cases()
        hit = listed[case] == cases.targets[:, None]
        ranks = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, len(items)).astype(np.int32)
        shown = exposure(listed, 10, len(items))
        row = {
            "λ": lam,
            "NDCG@10": float(accuracy(Ranking(ranks, listed), cases, [10])["ndcg@10"].mean()),
        }
        for k in (10, 20):
            first = np.arange(k, dtype=np.int32)[None].repeat(len(cases), 0)
            q = list_distribution(first, shares[listed[:, :k]])
            if categories is not None:
                row[f"C_KL@{k}"] = float(category_divergence(wanted[liked], q[liked]).mean())
        row |= {
            "coverage@10": coverage(shown),
            "Gini@10": gini(shown),
            "long tail@10": float(long_tail_share(listed, item_counts, 10).mean()),
        }
        rows.append(row)
    return rows


def candidates(
    cases: Cases, states: np.ndarray, items: np.ndarray, temperature: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable items of every case and their log-probabilities, [N, M] each."""
    found = []
    step = max(1, _CELLS_PER_BLOCK // len(items))
    for start in range(0, len(cases), step):
        logits = states[start : start + step] @ items.T
        hide_seen(logits, cases.histories.take(slice(start, start + step)))
        logs = temperature.apply(logits.astype(np.float64))
        order = np.argsort(-logs, axis=1, kind="stable")[:, : min(CANDIDATES, len(items))]
        found.append((order, np.take_along_axis(logs, order, axis=1)))
    best, logs = zip(*found, strict=True)
    return np.concatenate(best), np.concatenate(logs)


def facets(model: Any, cases: Cases, temperature: Any) -> dict[str, Any]:
    from tfrec.interest.disentanglement import half_life_days
    from tfrec.interest.distribution import distribution
    from tfrec.interest.reading import LedgerReader

    reader = LedgerReader(model)
    facet, line = [], []
    for start in range(0, len(cases), 1024):  # a reading holds its users' event values
        part = cases.take(slice(start, start + 1024))
        found = distribution(
            reader.read(part), reader.catalogue, temperature, 1, removed=part.histories
        )
        facet.append(found.facet_shares)
        line.append(found.line_shares)
    shares = np.concatenate(facet)
    mean = shares[shares.sum(axis=1) > 0].mean(axis=0)
    spread = -(mean * np.log(np.maximum(mean, 1e-12))).sum() / np.log(max(len(mean), 2))
    return {
        "half-lives": half_life_days(model),
        "shares": mean,
        "entropy": float(spread),
        "lines": np.concatenate(line).mean(axis=0)[len(mean) :],
    }


def markdown(measured: list[dict[str, Any]]) -> str:
    first = measured[0]
    parts = [
        f"## Distribution, {first['log']}, {datetime.now(UTC):%Y-%m-%d}",
        f"{first['cases']:,} test cases, {first['items']:,} items, seen removed, {first['split']}. "
        "Definitions: benchmarks/distribution.py.",
    ]
    head = ["model", "T", "NLL", "perplexity", "top-1 ECE", "pair ECE"]
    rows = []
    for m in measured:
        for temperature, part in ((1.0, m["before"]), (m["temperature"], m["after"])):
            nll = part["nll"]
            rows.append(
                [
                    m["name"],
                    f"{temperature:.3f}",
                    f"{nll.value:.4f} ({nll.low:.4f} to {nll.high:.4f})",
                    f"{part['perplexity']:.1f}",
                    f"{part['top-1 ECE']:.4f}",
                    f"{part['pair ECE']:.4f}",
                ]
            )
    parts.append(table(head, rows))
    columns = list(first["lists"][0])
    parts.append(
        table(
            ["model", *columns],
            [
                [m["name"], *(f"{row[c]:.4g}" for c in columns)]
                for m in measured
                for row in m["lists"]
            ],
        )
    )
    for m in measured:
        if "facets" in m:
            f = m["facets"]
            each = ", ".join(
                f"{share:.1%} (half-life {life:.3g} days)"
                for share, life in zip(f["shares"], f["half-lives"], strict=True)
            )
            quality, crowd, context = f["lines"]
            parts.append(
                f"{m['name']}: facets {each}; smallest {f['shares'].min():.1%}, usage entropy "
                f"{f['entropy']:.3f}. Of all lines: quality {quality:.1%}, crowd {crowd:.1%}, "
                f"context {context:.1%}."
            )
    return "\n\n".join(parts) + "\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
