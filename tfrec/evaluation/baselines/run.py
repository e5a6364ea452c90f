"""The whole set of baselines, tuned and fitted one after another, for the results table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfrec.data.cases import Cases
from tfrec.data.sequences import Sequences
from tfrec.errors import UserError
from tfrec.evaluation.baselines.baseline import Baseline, settings_of
from tfrec.evaluation.baselines.decayed_ease import DecayedEASE
from tfrec.evaluation.baselines.ease import EASE
from tfrec.evaluation.baselines.item_knn import ItemKNN
from tfrec.evaluation.baselines.matrix_factorization import BiasedMF
from tfrec.evaluation.baselines.memory import available_bytes, shortage
from tfrec.evaluation.baselines.popularity import Popularity, RecencyPopularity
from tfrec.evaluation.baselines.text_knn import TextKNN
from tfrec.evaluation.baselines.tuning import METRIC, Trial, tune

_LONG_TRIAL_SECONDS = 20.0
# By the name that a user types: what of the items each compares.
TEXT_BASELINES = {"text-knn": "TF-IDF kNN", "encoder-knn": "Text-encoder kNN"}


def all_baselines(
    seed: int = 0, texts: Mapping[str, Callable[[], Any]] | None = None
) -> dict[str, Baseline]:
    """Every baseline by the name that a user types, from the simplest on, at its defaults.

    Arguments:
        seed: of the item vectors of matrix factorisation.
        texts: name of a text baseline -> what gives its vectors, see `TextKNN`.
    """
    return {
        "popularity": Popularity(),
        "recency-popularity": RecencyPopularity(),
        "item-knn": ItemKNN(),
        "biased-mf": BiasedMF(seed=seed),
        "ease": EASE(),
        "decayed-ease": DecayedEASE(),
        **{name: TextKNN(TEXT_BASELINES[name], given) for name, given in (texts or {}).items()},
    }


@dataclass(frozen=True)
class FittedBaseline:
    """One baseline, ready to be ranked, or the reason why not.

    Attributes:
        name: as printed in the table.
        scorer: the fitted baseline; None when skipped.
        settings: hyperparameters in force, after tuning.
        fit_seconds: wall time of tuning and fitting together.
        trials: what tuning tried.
        skipped: why it did not run.
    """

    name: str
    scorer: Baseline | None
    settings: dict[str, Any]
    fit_seconds: float
    trials: list[Trial] = field(default_factory=list)
    skipped: str | None = None


def run_baselines(
    train: Sequences,
    validation: Cases,
    num_items: int,
    names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    texts: Mapping[str, Callable[[], Any]] | None = None,
    remove_seen: bool = True,
    tune_seconds: float = 120.0,
    log: Callable[[str], None] = lambda line: None,
) -> Iterator[FittedBaseline]:
    """Tunes each baseline on the validation cases and yields it fitted on the training events.

    One baseline at a time is held here: rank it and let it go before asking for the next.

    Arguments:
        train: training sequences.
        validation: cases to tune on; with none, the defaults are used.
        num_items: size of the catalogue.
        names: which baselines, see `all_baselines`; None means all. They come in the order of
            `all_baselines`.
        seed: of the item vectors of matrix factorisation and of the search.
        texts: see `all_baselines`.
        remove_seen: as the final ranking will be made.
        tune_seconds: wall time of the search for each baseline.
        log: takes one line per baseline.

    Raises:
        UserError: an unknown name.
    """
    known = all_baselines(seed, texts)
    for name in names or ():
        if name in TEXT_BASELINES and name not in known:
            raise UserError(
                f"--baselines {name} needs texts: text columns of the catalogue (--text)"
                + (", read by --text-encoder" if name == "encoder-knn" else "")
            )
        if name not in known:
            raise UserError(f"unknown baseline {name!r}. There are: {', '.join(known)}")
    chosen = list(known) if names is None else [name for name in known if name in names]
    return (
        _fit(known.pop(name), train, validation, num_items, seed, remove_seen, tune_seconds, log)
        for name in chosen
    )


def _fit(
    baseline: Baseline,
    train: Sequences,
    validation: Cases,
    num_items: int,
    seed: int,
    remove_seen: bool,
    tune_seconds: float,
    log: Callable[[str], None],
) -> FittedBaseline:

    def sign_of_life(trial: Trial) -> None:
        if trial.seconds > _LONG_TRIAL_SECONDS:
            log(
                f"{baseline.name}: {_listed(trial.settings)}: validation {METRIC} "
                f"{trial.ndcg:.4f} after {trial.seconds:.0f} s"
            )

    start = time.monotonic()
    why = shortage(baseline.needed_bytes(train, num_items), num_items, available_bytes())
    if why is None:
        try:
            tuned = tune(
                baseline,
                train,
                validation,
                num_items,
                budget_seconds=tune_seconds,
                seed=seed,
                remove_seen=remove_seen,
                progress=sign_of_life,
            )
        except MemoryError:
            why = f"ran out of memory with {num_items:,} items"
        except np.linalg.LinAlgError as error:
            why = str(error)
    if why is not None:
        log(f"{baseline.name}: skipped, {why}")
        return FittedBaseline(baseline.name, None, {}, 0.0, skipped=why)

    seconds = time.monotonic() - start
    settings = settings_of(tuned.baseline)
    line = f"{baseline.name}: {seconds:.1f} s"
    if tuned.trials:
        best = max(trial.ndcg for trial in tuned.trials)
        line += f", best of {len(tuned.trials)} settings, validation {METRIC} {best:.4f}"
        line += "" if tuned.finished else " (search stopped by its time budget)"
    if settings:
        line += f": {_listed(settings)}"
    log(line)
    return FittedBaseline(baseline.name, tuned.baseline, settings, seconds, tuned.trials)


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
