"""One model and the baselines on the same cases -> `Results`. Training and evaluate end here."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tfrec
from tfrec.console import Progress, count, import_tensorflow, say, seconds
from tfrec.data.cases import Cases
from tfrec.data.domains import Domains, domains
from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Bool, Int64, count_items
from tfrec.data.splits import Split, Subset
from tfrec.errors import UserError
from tfrec.evaluation.baselines import TEXT_BASELINES, all_baselines, run_baselines
from tfrec.evaluation.case_metrics import load_cases, save_cases
from tfrec.evaluation.compare import compare
from tfrec.evaluation.domains import domain_slices
from tfrec.evaluation.measure import evaluate
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.model_ranking import ModelRanker
from tfrec.evaluation.options import EvaluationConfig
from tfrec.evaluation.ranking import Ranking, Scorer, rank
from tfrec.evaluation.results import Lead, ModelResult, Results
from tfrec.models.build import SequenceModel
from tfrec.text.catalogue_vectors import catalogue_texts, text_vectors
from tfrec.text.options import TextConfig
from tfrec.text.tf_idf import tf_idf

CASES = "cases"
RESULTS = "results.json"
_METRIC = re.compile(r"(hit_rate|ndcg|mrr|map|precision|recall|f1)@([1-9]\d*)")


def check(config: EvaluationConfig) -> int:
    """The cut-off of the validation metric.

    Raises:
        UserError: the metric or the cut-offs make no sense.
    """
    match = _METRIC.fullmatch(config.metric)
    if match is None:
        raise UserError(
            f"--metric {config.metric!r} is not known: write hit_rate@10, ndcg@10, mrr@10, map@10, "
            "precision@10, recall@10 or f1@10, with any cut-off"
        )
    if not config.ks or min(config.ks) < 1:
        raise UserError(f"--ks {config.ks} must be cut-offs of at least 1")
    if config.baselines not in (["all"], ["none"]):
        known = [*all_baselines(), *TEXT_BASELINES]
        for name in config.baselines:
            if name not in known:
                raise UserError(
                    f"--baselines {name!r} is not known: write all, none, or some of "
                    + ", ".join(known)
                )
    return int(match[2])


def nonempty_cases(split: Split, subset: Subset, config: EvaluationConfig) -> Cases:
    """The cases of a subset.

    Raises:
        UserError: the split left none.
    """
    cases = split.cases(subset, seen_removed=not config.keep_seen)
    if not len(cases):
        raise UserError(
            f"the split {split.describe()} leaves no {subset} case "
            f"({split.case_counts(subset, seen_removed=not config.keep_seen)}). "
            "Loosen the filters, or choose another --split"
        )
    return cases


class Validation:
    """Ranks the validation cases with the model as it is now.

    Draws at most `validation_cases` of them, once, by the seed.

    Example:
        >>> validate = Validation(model, split, config, seed=0)  # doctest: +SKIP
        >>> validate()                                           # doctest: +SKIP
        {'ndcg@10': 0.1837, 'hit_rate@10': 0.3146}
    """

    def __init__(
        self, model: SequenceModel, split: Split, config: EvaluationConfig, seed: int
    ) -> None:
        cases = nonempty_cases(split, "validation", config)
        if len(cases) > config.validation_cases > 0:
            chosen = np.random.default_rng(seed).choice(
                len(cases), config.validation_cases, replace=False
            )
            cases = cases.take(np.sort(chosen))
        self.cases = cases
        self.config = config
        self.seed = seed
        self.k = check(config)
        self.ranker = ModelRanker(model)

    def __call__(self) -> dict[str, float]:
        ranking = self.ranker.rank(
            self.cases, self.k, remove_seen=not self.config.keep_seen, seed=self.seed
        )
        per_case = accuracy(ranking, self.cases, [self.k])
        wanted = dict.fromkeys([self.config.metric, f"ndcg@{self.k}", f"hit_rate@{self.k}"])
        return {name: float(per_case[name].mean()) for name in wanted}


def evaluate_run(
    model: SequenceModel,
    name: str,
    settings: dict[str, Any],
    data: PreparedData,
    split: Split,
    subset: Subset,
    config: EvaluationConfig,
    seed: int,
    folder: Path,
    epochs: list[dict[str, Any]],
    texts: Mapping[str, Callable[[], Any]] | None = None,
) -> Results:
    """Ranks the whole catalogue with the model and with every baseline.

    Arguments:
        model: trained.
        name, settings: of the model, for the table.
        data, split: of the run.
        subset: "test" or "validation".
        config: cut-offs, baselines.
        seed: of ties and of the bootstrap.
        folder: per-case metrics of each model are kept in its `cases` folder.
        epochs: the training log.
        texts: of the items, for the baselines that read, see `text_views`.

    Raises:
        UserError: the split has no such cases, or an unknown baseline is asked for.
    """
    check(config)
    started = time.monotonic()
    cases = nonempty_cases(split, subset, config)
    item_counts = count_items(split.train(), data.num_items)
    about = protocol(split, data, config)
    among = domains(data)
    (folder / CASES).mkdir(parents=True, exist_ok=True)

    models = []
    for line in _lines(
        model, name, settings, split, cases, item_counts, among, config, seed, epochs, texts
    ):
        result, per_case = line
        models.append(result)
        if per_case is not None:
            save_cases(
                case_file(folder, result.name),
                cases,
                per_case,
                name=result.name,
                split_hash=split.hash,
                protocol=f"{about}, {subset}",
            )
    primary = config.metric if config.metric in models[0].metrics else f"ndcg@{config.ks[0]}"
    return Results(
        protocol=about,
        subset=subset,
        cases=len(cases),
        primary_metric=primary,
        models=sorted(
            models,
            key=lambda line: line.metrics[primary].value if line.metrics else -1.0,
            reverse=True,
        ),
        epochs=epochs,
        item_counts=np.sort(item_counts)[::-1].tolist(),
        data={**asdict(data.meta), "split": split.counts, "split_hash": split.hash},
        environment=environment(seed, time.monotonic() - started),
        lead=_lead(folder, models, primary, seed),
    )


def text_views(data: PreparedData, config: TextConfig, run: Path) -> dict[str, Callable[[], Any]]:
    """What the text baselines compare items by: words, and what the run's encoder made of them."""
    views: dict[str, Callable[[], Any]] = {}
    if data.meta.text_columns:
        views["text-knn"] = lambda: tf_idf(catalogue_texts(data, config))
    vectors = text_vectors(run)
    if vectors is not None:
        views["encoder-knn"] = lambda: np.asarray(vectors)
    return views


def protocol(split: Split, data: PreparedData, config: EvaluationConfig) -> str:
    """The protocol line that stands above every table."""
    seen = "seen kept" if config.keep_seen else "seen removed"
    return (
        f"full ranking over {count(data.num_items)} items, {seen}, {split.describe()}, "
        "ties in a seeded random order"
    )


def environment(seed: int, evaluation_seconds: float) -> dict[str, Any]:
    """Versions and machine, for the report."""
    import keras

    tf = import_tensorflow()
    return {
        "tfrec": tfrec.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "devices": ", ".join(device.name for device in tf.config.list_logical_devices()),
        "seed": seed,
        "evaluation_seconds": round(evaluation_seconds, 1),
    }


def _lines(
    model: SequenceModel,
    name: str,
    settings: dict[str, Any],
    split: Split,
    cases: Cases,
    item_counts: Int64,
    among: Domains | None,
    config: EvaluationConfig,
    seed: int,
    epochs: list[dict[str, Any]],
    texts: Mapping[str, Callable[[], Any]] | None,
) -> Iterator[tuple[ModelResult, dict[str, Any] | None]]:
    """The model's line of the table, then the baselines', each with its per-case metrics."""
    top_k = max(config.ks)
    remove_seen = not config.keep_seen
    started = time.monotonic()
    ranker = ModelRanker(model)
    with Progress(len(cases), f"ranking with {name}", unit="cases") as bar:
        ranking = ranker.rank(cases, top_k, remove_seen=remove_seen, seed=seed, progress=bar.update)
    took = time.monotonic() - started
    fit_seconds = sum(epoch["seconds"] + epoch["validation_seconds"] for epoch in epochs)
    result, per_case = evaluate(
        ranking,
        cases,
        item_counts,
        config.ks,
        seed,
        name=name,
        settings=settings,
        fit_seconds=fit_seconds,
        evaluate_seconds=took,
    )

    def rank_again(part: Cases, candidates: Bool) -> Ranking:
        return ranker.rank(part, top_k, remove_seen=remove_seen, seed=seed, candidates=candidates)

    say(f"{name}: {count(len(cases))} cases ranked in {seconds(took)}")
    yield _by_domain(result, rank_again, cases, among, config, seed), per_case

    if config.baselines == ["none"]:
        return

    def rank_baseline(scorer: Scorer, part: Cases, candidates: Bool) -> Ranking:
        return rank(
            scorer,
            part,
            len(item_counts),
            top_k,
            remove_seen=remove_seen,
            seed=seed,
            candidates=candidates,
        )

    for baseline in run_baselines(
        split.train(),
        split.cases("validation", seen_removed=remove_seen),
        len(item_counts),
        None if config.baselines == ["all"] else config.baselines,
        seed=seed,
        texts=texts,
        remove_seen=remove_seen,
        log=say,
    ):
        if baseline.scorer is None:
            yield ModelResult(baseline.name, "baseline", skipped=baseline.skipped), None
            continue
        started = time.monotonic()
        with Progress(len(cases), f"ranking with {baseline.name}", unit="cases") as bar:
            ranking = rank(
                baseline.scorer,
                cases,
                len(item_counts),
                top_k,
                remove_seen=remove_seen,
                seed=seed,
                progress=bar.update,
            )
        result, per_case = evaluate(
            ranking,
            cases,
            item_counts,
            config.ks,
            seed,
            name=baseline.name,
            kind="baseline",
            settings=baseline.settings,
            fit_seconds=baseline.fit_seconds,
            evaluate_seconds=time.monotonic() - started,
        )
        within = partial(rank_baseline, baseline.scorer)
        yield _by_domain(result, within, cases, among, config, seed), per_case


def _by_domain(
    result: ModelResult,
    rank_within: Callable[[Cases, Bool], Ranking],
    cases: Cases,
    among: Domains | None,
    config: EvaluationConfig,
    seed: int,
) -> ModelResult:
    """The result with the slices of a joined log's domains."""
    if among is None:
        return result
    found = domain_slices(rank_within, cases, among, config.ks, seed)
    return replace(result, slices={**result.slices, **found})


def _lead(folder: Path, models: list[ModelResult], primary: str, seed: int) -> Lead | None:
    """The model beside the best baseline, paired case by case."""
    measured = [line for line in models if line.kind == "baseline" and line.metrics]
    if not measured:
        return None
    best = max(measured, key=lambda line: line.metrics[primary].value)
    pair = compare(
        load_cases(case_file(folder, models[0].name)),
        load_cases(case_file(folder, best.name)),
        seed,
    )[primary]
    return Lead(models[0].name, best.name, pair.difference, pair.p_value)


def case_file(folder: Path, name: str) -> Path:
    """Where the per-case metrics of a line of the table are kept."""
    return folder / CASES / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".npz")
