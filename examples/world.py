"""What the five examples share: a small world, its split, and one run of the ledger on it.

    python examples/world.py             makes the world and trains the ledger, about a minute
    python examples/world.py --quick     a smaller world, a few epochs

Each example calls `open_run` and so makes all this itself when it is not there yet. The world is
the synthetic one of `python -m tfrec.data simulate`: 300 people, 200 films and books with titles
and descriptions, 10,000 events with a time, an action (view, click, buy) and a grade from 1 to 5.
Nobody takes an item twice, so every list and every distribution leaves out what was taken before.

The split is by time: the first 70 % of the events train, the next 10 % choose epochs and fit
calibrations, the last 20 % test. Both sides of every comparison learn from the same events, are
asked about the same held-out ones, and know the same of a user when they are asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfrec.console import import_tensorflow, say
from tfrec.data.cases import Cases
from tfrec.data.options import DataConfig, SplitConfig
from tfrec.data.sequences import Columns, Int64, Sequences, count_items
from tfrec.errors import UserError, command
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.options import EvaluationConfig
from tfrec.evaluation.ranking import rank
from tfrec.interest.asking.load import LedgerRun, load_run
from tfrec.interest.readouts import READOUTS
from tfrec.models.options import ModelConfig
from tfrec.run import CONFIG, RunConfig, must_be_run
from tfrec.train import train
from tfrec.training.options import LossConfig, TrainingConfig

tf = import_tensorflow()  # without its start-up noise, so before Keras
import keras  # noqa: E402


@dataclass(frozen=True)
class Size:
    """How large the world is, and how long the ledger trains on it."""

    users: int
    items: int
    events: int
    epochs: int
    layers: int


# What a few epochs on a small world have no use for, and what takes long to compile.
FEW_LOSSES = LossConfig(
    pointwise_loss=0,
    long_short_loss=0,
    conformity_loss=0,
    independence_loss=0,
    topic_loss=0,
    balance_loss=0,
)
FULL, QUICK = Size(300, 200, 10_000, 15, 2), Size(120, 100, 2_500, 4, 1)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that all examples have."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("--quick", action="store_true", help="a smaller world, fewer epochs")
    made.add_argument(
        "--folder",
        type=Path,
        default=DataConfig().cache_folder / "examples",
        help="where the world and the ledger's run are kept (default %(default)s)",
    )
    made.add_argument("--run", type=Path, help="compare with this run instead of making one")
    return made


def open_run(flags: argparse.Namespace) -> LedgerRun:
    """The run of `--run`, or the one in `--folder`, made now if it is not there.

    Raises:
        UserError: the run is not a finished one of the ledger on a log with titles, descriptions,
            grades and actions.
    """
    folder = must_be_run(flags.run) if flags.run else made_run(flags.folder, flags.quick)
    run = load_run(folder)
    keras.utils.set_random_seed(0)
    readouts, data = run.readouts, run.data
    if readouts is None:
        raise UserError(f"{folder} has no {READOUTS}: python -m tfrec.train --resume {folder}")
    if (
        {"title", "description", "categories"} - set(data.items.column_names)
        or readouts.grades is None
        or not data.meta.actions
    ):
        raise UserError(
            f"{folder} was trained on {data.meta.source}, which has not all that the examples "
            "read: titles, descriptions, categories, actions and grades. Leave --run out"
        )
    say(
        f"{data.num_users:,} users, {data.num_items:,} items, {data.num_events:,} events; "
        f"{run.split.describe()}; ledger of epoch {run.epoch}"
    )
    return run


def made_run(folder: Path, quick: bool) -> Path:
    """Writes the world and trains the ledger on it, unless that is done."""
    from tfrec.data.simulate import write_world

    size = QUICK if quick else FULL
    home = folder / ("quick" if quick else "full")
    log, run = home / "log", home / "run"
    if (run / READOUTS).exists():
        return run
    if (run / CONFIG).exists():
        raise UserError(
            f"{run} was begun and not finished: python -m tfrec.train --resume {run}, or remove it"
        )
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--folder {folder} cannot be made: {error.strerror}") from None
    write_world(log, size.users, size.items, size.events, seed=0, log=say)
    config = RunConfig(
        data=DataConfig(
            data=str(log / "events.csv"),
            items=str(log / "items.csv"),
            text=["title", "description"],
            categories="categories",
            cache=str(home / "cache"),
        ),
        split=SplitConfig(split="global-time", split_validation=0.1, split_test=0.2),
        model=ModelConfig(dim=32, max_length=50, layers=size.layers),
        # So few steps are over before XLA has compiled one.
        training=TrainingConfig(
            epochs=size.epochs,
            batch_size=8,
            learning_rate=1e-3,
            warmup_steps=20,
            steps_per_call=1,
        ),
        losses=LossConfig() if not quick else FEW_LOSSES,
        evaluation=EvaluationConfig(baselines=["none"]),
    )
    train(config, run)
    return run


@dataclass(frozen=True)
class Told:
    """N events and what was known of their users just before.

    Attributes:
        histories: N sequences, every event of the user that is older, oldest first.
        rows: of the events themselves in `columns`, int64 [N].
        columns: of the log.
    """

    histories: Sequences
    rows: Int64
    columns: Columns

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def items(self) -> Any:
        """What was taken, int [N]."""
        return np.asarray(self.columns.item[self.rows])

    @property
    def times(self) -> Int64:
        """When, unix milliseconds, [N]."""
        return np.asarray(self.columns.timestamp[self.rows])

    def take(self, chosen: Any) -> Told:
        """The chosen events, in the chosen order."""
        return Told(self.histories.take(chosen), self.rows[chosen], self.columns)


def told(run: LedgerRun, labels: Sequence[int]) -> Told:
    """The events with these split labels (0 train, 1 validation, 2 test) that have a history.

    They are in the order of their times, and each knows all that its user did before it.
    """
    data = run.data
    rows = np.flatnonzero(np.isin(run.split.label, labels))
    user = np.searchsorted(data.user_offsets, rows, side="right") - 1
    rows, user = rows[rows > data.user_offsets[user]], user[rows > data.user_offsets[user]]
    order = np.argsort(data.columns.timestamp[rows], kind="stable")
    rows, user = rows[order], user[order]
    histories = Sequences(user.astype(np.int32), data.user_offsets[user], rows, data.columns)
    return Told(histories, rows, data.columns)


def texts(run: LedgerRun, name: str) -> list[str]:
    """A text column of the catalogue, one text per item."""
    return [text or "" for text in run.data.items[name].to_pylist()]


def item_texts(run: LedgerRun) -> list[str]:
    """Title and description of every item."""
    pairs = zip(texts(run, "title"), texts(run, "description"), strict=True)
    return [f"{title}. {description}" for title, description in pairs]


def log_probabilities(scores: Any, histories: Sequences) -> Any:
    """log softmax of [N, I] scores over the items that are not in the history."""
    from scipy.special import log_softmax

    scores = np.broadcast_to(scores, (len(histories), scores.shape[1])).astype(np.float64)
    scores[np.repeat(np.arange(len(histories)), histories.lengths), histories.items()] = -np.inf
    return log_softmax(scores, axis=1)


class Given:
    """A scorer of `tfrec.evaluation.ranking.rank` for scores that are there already."""

    def __init__(self, scores: Any) -> None:
        self.scores, self.next = np.asarray(scores, np.float32), 0

    def score(self, cases: Cases) -> Any:
        """The rows of the next cases; they are asked for in order."""
        start, self.next = self.next, self.next + len(cases)
        return self.scores[start : self.next]


def ranking_metrics(logs: Any, cases: Cases) -> dict[str, float]:
    """Means over cases, and over held-out events the negative log-probability.

    Arguments:
        logs: log p over the catalogue, -inf for the items of the history, [N, I].
    """
    ranking = rank(Given(logs), cases, logs.shape[1], top_k=10)
    found = accuracy(ranking, cases, [10])
    names = ("precision@10", "recall@10", "f1@10", "hit_rate@10", "ndcg@10")
    nll = -logs[cases.target_cases(), cases.targets].mean()
    return {name: float(found[name].mean()) for name in names} | {"NLL (nats)": float(nll)}


def popularity(run: LedgerRun) -> Any:
    """log of the training events of each item, one more for each: the same for every user, [N, I]
    by broadcasting."""
    counts = count_items(run.split.train(), run.data.num_items)
    return np.log1p(counts)[None]


def table(protocol: str, columns: Sequence[str], rows: dict[str, Sequence[float]]) -> None:
    """Prints what was measured on which events, then one line per metric."""
    say(f"\n{protocol}")
    width = max(len(name) for name in rows)
    say(" " * width + "".join(f"{name:>16}" for name in columns))
    for name, values in rows.items():
        say(f"{name:<{width}}" + "".join(f"{value:16.4f}" for value in values))


@command
def main(argv: Sequence[str]) -> int:
    flags = parser(__doc__).parse_args(argv)
    open_run(flags)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
