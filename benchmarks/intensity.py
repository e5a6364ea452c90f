"""Ratings of held-out events: how far off, how well calibrated, beside biased factorisation.

    python benchmarks/intensity.py --data movielens-100k:/folder/of/ml-100k
    python benchmarks/intensity.py --data movielens-1m:/folder/of/ml-1m --split per-user-time
    python benchmarks/intensity.py --data movielens-100k --quick      (three epochs, small tables)

Every held-out event is predicted from what was known of its user before the split, also of users
of whom nothing was known. The baselines' settings are chosen on validation events, and links and
calibrators of every line are fitted on them: an ordinal link for ratings, isotonic for "strong",
a rating of at least 80 % of the scale. Before calibration, P(strong) is the logistic function of
the distance from the threshold in standard deviations of the training ratings.
The table goes to the console and into benchmarks/RESULTS.md.

Bars: RMSE at most that of biased MF; ECE at most .02 after calibration; calibration turns no pair
around. Exits with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rating_baselines import RatingMF, ratings_of
from results import RESULTS, write_section

from tfrec.config import resolve
from tfrec.console import say
from tfrec.data.splits import Split, load_split
from tfrec.data.strengths import grade_values, strength_scale
from tfrec.errors import UserError, command
from tfrec.evaluation import calibration
from tfrec.interest.fitting.calibrators import fit_isotonic
from tfrec.interest.fitting.fit_readouts import strong_threshold, target_strengths
from tfrec.interest.fitting.held_out import HeldOut, held_out
from tfrec.interest.fitting.ordinal import fit_ordinal
from tfrec.run import CHECKPOINTS, CONFIG, RunConfig, load_data, must_be_run

Floats = npt.NDArray[np.floating[Any]]

DIMENSIONS = (4, 8, 16, 32)
PENALTIES = (0.02, 0.05, 0.08, 0.12, 0.15, 0.2)
ECE_BAR = 0.02
_USERS_PER_BLOCK = 256


@dataclass
class Line:
    """A number per held-out event that rises with its rating, [V] and [T].

    standardised: it is in standard deviations of ratings, not a rating.
    """

    name: str
    validation: Floats
    test: Floats
    standardised: bool = False


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="a log with ratings, as for tfrec.train")
    parser.add_argument("--run", type=Path, help="instead of --data, a finished run of the ledger")
    parser.add_argument("--split", default="global-time", choices=["global-time", "per-user-time"])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--cache", help="folder for prepared logs, as for tfrec.train")
    parser.add_argument("--quick", action="store_true", help="three epochs, one factorisation")
    parser.add_argument("--results", type=Path, default=RESULTS, help="page to write to")
    flags = parser.parse_args(argv)
    if (flags.data is None) == (flags.run is None):
        raise UserError("give either --data (and train) or --run (a finished run)")

    run = must_be_run(flags.run) if flags.run else trained(flags)
    model, split = loaded(run)
    events = Events.of(split)
    lines = list(baselines(events, flags.quick))
    lines.append(ledger(model, events))
    rows = {line.name: measure(line, events) for line in lines}
    name = Path(events.split.data.meta.source.partition(":")[0]).name
    title = f"Intensity: {name}, {events.split.config.split}{', quick' if flags.quick else ''}"
    page = f"`{called(flags)}`\n\n{markdown(events, rows)}"
    say(page)
    write_section(title, page, flags.results)
    return 0 if bars(rows) else 1


def called(flags: argparse.Namespace) -> str:
    """What was called, without the folders of this machine."""
    script = "python benchmarks/intensity.py"
    if flags.run:
        return f"{script} --run {flags.run.name}"
    how = "--quick" if flags.quick else f"--epochs {flags.epochs}"
    return f"{script} --data {flags.data.partition(':')[0]} --split {flags.split} {how}"


def trained(flags: argparse.Namespace) -> Path:
    """Trains the ledger with its defaults."""
    from tfrec.train import train

    options = {
        "data.data": flags.data,
        "split.split": flags.split,
        "training.epochs": 3 if flags.quick else flags.epochs,
        "training.batch_size": flags.batch_size,
        "evaluation.baselines": ["none"],
    }
    if flags.cache:
        options["data.cache"] = flags.cache
    folder = Path("runs") / f"intensity-{flags.split}-{time.strftime('%Y%m%d-%H%M%S')}"
    train(resolve(RunConfig, argparse.Namespace(**options)), folder)
    return folder


def loaded(run: Path) -> tuple[Any, Split]:
    """The best weights of a run, and its split with cases of users without a history too."""
    from tfrec.models.build import build_model
    from tfrec.training import checkpoint, loop

    config = resolve(RunConfig, argparse.Namespace(), run / CONFIG)
    data = load_data(run, config)
    split = load_split(run, data)
    model = build_model(config.model, data, split.train())
    checkpoint.restore(run / CHECKPOINTS / loop.BEST, model.variables)
    return model, replace(split, config=replace(split.config, min_history=0), _built={})


@dataclass
class Events:
    """The held-out events that have a rating.

    users: the case of each test event, [T]. known: whether its user has a history, [T].
    """

    split: Split
    validation: HeldOut
    test: HeldOut
    grades: Floats
    threshold: float
    users: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, split: Split) -> Events:
        validation = held_out(split, "validation", seen_removed=False)
        test = held_out(split, "test", seen_removed=False)
        learned = ratings_of(split.train())[2].astype(np.float32)
        grades = grade_values(learned)
        rated = (np.asarray(part.strengths, np.float64) for part in (validation, test))
        if grades is None or any(np.isnan(ratings).any() for ratings in rated):
            raise UserError("this benchmark needs a rating of 2 to 20 grades on every event")
        users = test.cases.target_cases()
        known = (test.cases.histories.lengths > 0)[users]
        threshold = strong_threshold(learned, grades)
        return cls(split, validation, test, grades, threshold, users, known)

    @property
    def wanted(self) -> Floats:
        """Validation ratings, [V]."""
        return np.asarray(self.validation.strengths, np.float64)

    @property
    def ratings(self) -> Floats:
        """Test ratings, [T]."""
        return np.asarray(self.test.strengths, np.float64)


def baselines(events: Events, quick: bool) -> Iterator[Line]:
    """Global mean, biases, biased factorisation, settings chosen on validation events."""
    train, num_items = events.split.train(), events.split.data.num_items
    cases = events.validation.cases, events.test.cases
    mean = float(ratings_of(train)[2].mean())
    constant = [np.full(len(part.targets), mean) for part in cases]
    yield Line("global mean", constant[0], constant[1])

    def tuned(name: str, dimensions: Sequence[int], penalties: Sequence[float]) -> Line:
        tried = []
        for dim in dimensions:
            for penalty in penalties:
                fitted = RatingMF(dim, penalty).fit(train, num_items)
                predicted = fitted.predict(cases[0])
                error = calibration.root_mean_squared_error(predicted, events.wanted)
                tried.append((error, dim, penalty, predicted, fitted))
                say(f"{name} dim {dim} penalty {penalty:g}: validation RMSE {error:.4f}")
        _, dim, penalty, predicted, fitted = min(tried, key=lambda entry: entry[0])
        about = f"{name}, λ {penalty:g}" + (f", dim {dim}" if dim else "")
        return Line(about, predicted, fitted.predict(cases[1]))

    yield tuned("user and item bias", (0,), PENALTIES)
    yield tuned("biased MF", (8,) if quick else DIMENSIONS, (0.12,) if quick else PENALTIES)


def ledger(model: Any, events: Events) -> Line:
    """The trained read-out."""
    validation, test = (strengths(model, part) for part in (events.validation, events.test))
    return Line("ledger", validation, test, standardised=True)


def strengths(model: Any, held: HeldOut) -> Floats:
    """Standardised strength of every target, [T]."""
    from tfrec.interest.reading import LedgerReader
    from tfrec.interest.strength_lines import StrengthWeights
    from tfrec.interest.user_side import UserSide

    reader, weights = LedgerReader(model), StrengthWeights.of(model)
    users = UserSide.concatenate(
        [
            UserSide.of(reader.read(held.cases.take(slice(start, start + _USERS_PER_BLOCK))))
            for start in range(0, len(held), _USERS_PER_BLOCK)
        ]
    )
    return target_strengths(users, reader.catalogue, weights, held.cases)


def measure(line: Line, events: Events) -> dict[str, float]:
    """Every number of one line of the table."""
    grades, ratings = events.grades, events.ratings
    wanted = events.wanted
    strong, strong_before = ratings >= events.threshold, wanted >= events.threshold
    link = fit_ordinal(line.validation, np.searchsorted(grades, wanted), len(grades))
    chances = link.grade_probabilities(line.test)
    expected = chances @ grades
    raw, chance = uncalibrated(line, events)
    curve = fit_isotonic(line.validation, strong_before)
    calibrated = curve.apply(line.test)
    order = np.argsort(line.test, kind="stable")
    turned = int((np.diff(calibrated[order]) < 0).sum())
    known, rmse = events.known, calibration.root_mean_squared_error
    return {
        "RMSE raw": rmse(raw, ratings),
        "RMSE": rmse(expected, ratings),
        "RMSE, history": rmse(expected[known], ratings[known]) if known.any() else np.nan,
        "MAE": calibration.mean_absolute_error(expected, ratings),
        "ordinal NLL": calibration.ordinal_log_loss(chances, np.searchsorted(grades, ratings)),
        "AUC": calibration.auc(line.test, strong),
        "GAUC": calibration.grouped_auc(line.test, strong, events.users),
        "Brier raw": calibration.brier(chance, strong),
        "Brier": calibration.brier(calibrated, strong),
        "ECE raw": calibration.expected_calibration_error(chance, strong),
        "ECE": calibration.expected_calibration_error(calibrated, strong),
        "turned": turned,
    }


def uncalibrated(line: Line, events: Events) -> tuple[Floats, Floats]:
    """Ratings and P(strong) as the numbers say them by themselves."""
    from scipy.special import expit

    learned = ratings_of(events.split.train())[2]
    if not line.standardised:
        return line.test, expit((line.test - events.threshold) / learned.std())
    _, mean, deviation = strength_scale(events.split.train())
    threshold = (events.threshold - mean) / deviation
    return mean + deviation * line.test.astype(np.float64), expit(line.test - threshold)


def markdown(events: Events, rows: dict[str, dict[str, float]]) -> str:
    """The body of the section."""
    columns = [name for name in next(iter(rows.values())) if name != "turned"]
    table = [
        f"| {name} | " + " | ".join(f"{row[column]:.4f}" for column in columns) + " |"
        for name, row in rows.items()
    ]
    turned = sum(int(row["turned"]) for row in rows.values())
    lines = [
        f"{events.split.describe()}; "
        f"{len(events.ratings):,} held-out ratings, {events.known.mean():.0%} of users with "
        f"a history; strong: at least {events.threshold:g}; raw: before calibration. "
        f"Pairs that calibration turned around: {turned}.",
        "",
        "| model | " + " | ".join(columns) + " |",
        "| --- | " + " | ".join("---:" for _ in columns) + " |",
        *table,
    ]
    return "\n".join(lines) + "\n"


def bars(rows: dict[str, dict[str, float]]) -> bool:
    """Says which bars are reached."""
    mine = rows["ledger"]
    mf = next(row for name, row in rows.items() if name.startswith("biased MF"))
    least = min(mf["RMSE"], mf["RMSE raw"])
    checks = {
        f"RMSE {mine['RMSE']:.4f}, biased MF {least:.4f}": mine["RMSE"] <= least,
        f"ECE after calibration {mine['ECE']:.4f}, bar {ECE_BAR}": mine["ECE"] <= ECE_BAR,
        f"pairs turned around by calibration {mine['turned']:.0f}, bar 0": mine["turned"] == 0,
    }
    for text, reached in checks.items():
        say(f"{text}: {'reached' if reached else 'MISSED'}")
    return all(checks.values())


if __name__ == "__main__":
    raise SystemExit(main())
