"""Does update_user help? Predict every held-out event, then learn from it, through the SavedModel.

    python benchmarks/prequential.py runs/a           (minutes)
    python benchmarks/prequential.py runs/a --quick   (100 users)

The run must be a ledger with several held-out events per user: --split per-user-time or
global-time. Each user's held-out events come one after the other. Before each, the exported model
says how likely the item is with the gains learned so far, and with all gains at 1; afterwards
update_user learns from it. The loss is the negative logarithm of the probability among all items
that may come; the difference is paired, and its interval resamples users. Gains start at 1 before
the first validation event; only test events are counted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from results import write_section

from export.log_requests import LogRequests
from tfrec.config import resolve
from tfrec.console import import_tensorflow, progress, say
from tfrec.data.sequences import Sequences, ragged_index
from tfrec.errors import UserError, command
from tfrec.evaluation.intervals import intervals
from tfrec.run import CONFIG, RunConfig, must_be_run

if TYPE_CHECKING:
    from export.probe.model import Model
    from tfrec.data.prepared import PreparedData
    from tfrec.data.splits import Split

Array = npt.NDArray[Any]

_USERS = 100  # of --quick
_BATCH = 256


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder of a ledger")
    parser.add_argument("--quick", action="store_true", help=f"only {_USERS} users")
    flags = parser.parse_args(argv)
    config = resolve(RunConfig, argparse.Namespace(), must_be_run(flags.run) / CONFIG)
    if config.model.model != "ledger":
        raise UserError(f"{flags.run} holds {config.model.model}; only a ledger has gains to learn")
    import_tensorflow()
    from export.probe.model import Model
    from export.saved_model import save_run
    from tfrec.data.splits import load_split
    from tfrec.run import load_data

    data = load_data(flags.run, config)
    stream = events(data, load_split(flags.run, data), _USERS if flags.quick else None)
    with tempfile.TemporaryDirectory() as folder:
        say("exporting the run")
        exported = save_run(flags.run, Path(folder) / "1")
        losses = play(Model(Path(folder) / "1"), LogRequests(data), exported.sizes.facets, stream)
    body = report(flags, stream, losses, config.training.seed)
    say(body)
    if not flags.quick:
        write_section(f"Learning from every event: {config.data.data.partition(':')[0]}", body)
    return 0


class Stream(NamedTuple):
    """E held-out events, user by user and in time.

    histories: before each. times: unix milliseconds. items: numbers. turn: 0, 1, … inside a user.
    test: whether it counts, bool [E].
    """

    histories: Sequences
    times: Array
    items: Array
    turn: Array
    test: Array


def events(data: PreparedData, split: Split, users: int | None) -> Stream:
    """Everything after the training events of each user (of the first `users`)."""
    held_out = {name: split.cases(name, seen_removed=False) for name in ("validation", "test")}
    parts = [held_out["validation"].histories, held_out["test"].histories]
    stops = np.full((2, data.num_users), np.iinfo(np.int64).max)
    for row, part in enumerate(parts):
        stops[row, part.users] = part.stops
    ends = data.user_offsets[1:]
    chosen = np.flatnonzero(stops.min(axis=0) < ends)[:users]
    first, counts = stops.min(axis=0)[chosen], (ends - stops.min(axis=0))[chosen]
    if counts.max(initial=0) < 2:
        raise UserError(
            "no user has two held-out events; train with --split per-user-time or global-time"
        )
    turn = ragged_index(np.zeros(len(chosen), np.int64), counts)
    rows = ragged_index(first, counts)
    user = np.repeat(chosen, counts)
    columns = data.columns
    histories = Sequences(user.astype(np.int32), data.user_offsets[:-1][user], rows, columns)
    times = np.asarray(columns.timestamp[rows], np.int64)
    return Stream(histories, times, columns.item[rows], turn, rows >= stops[1, user])


def play(model: Model, requests: LogRequests, facets: int, stream: Stream) -> Array:
    """Loss of every event with the gains learned so far and with gains of 1, [E, 2].

    Users take turns: what is the n-th held-out event of many users is asked in one batch.
    """
    losses = np.zeros((len(stream.turn), 2))
    order = np.argsort(stream.turn, kind="stable")
    turns = np.split(order, np.flatnonzero(np.diff(stream.turn[order])) + 1)
    batches = [one[at : at + _BATCH] for one in turns for at in range(0, len(one), _BATCH)]
    state: dict[str, Array] = {}  # gains by user
    for batch in progress(batches, "events"):
        users = stream.histories.users[batch]
        asked = requests.full(stream.histories.take(batch), stream.times[batch], facets)
        event = {"item": requests.ids[stream.items[batch]], "engaged": np.ones(len(batch), bool)}
        for name in ("facet_gain", "conformity_gain"):
            shape = (stream.histories.users.max() + 1, *asked[name].shape[1:])
            state.setdefault(name, np.ones(shape, np.float32))
        frozen = model.ask("update_user_full", asked | event)
        learned = {name: gains[users] for name, gains in state.items()}
        found = model.ask("update_user_full", asked | learned | event)
        losses[batch] = np.stack([found["log_loss"], frozen["log_loss"]], axis=1)
        for name, gains in state.items():
            gains[users] = found[name]
    return losses


def report(flags: argparse.Namespace, stream: Stream, losses: Array, seed: int) -> str:
    """Means over test events; the interval of the difference draws users."""
    learned, frozen = losses[stream.test].T
    users = np.unique(stream.histories.users[stream.test], return_inverse=True)[1]
    sums: dict[str, Array] = {
        "difference": np.bincount(users, learned - frozen),
        "events": np.bincount(users).astype(np.float64),
    }
    found = intervals(sums, seed, {"loss": ("difference", "events")})["loss"]
    quick = " --quick" if flags.quick else ""
    return (
        f"`python benchmarks/prequential.py {flags.run}{quick}`\n\n"
        f"{len(frozen):,} test events of {users.max() + 1:,} users: negative log-likelihood "
        f"{frozen.mean():.4f} with gains of 1, {learned.mean():.4f} with the gains that "
        f"`update_user` learned on the way; paired difference {found.value:+.4f}, 95 % interval "
        f"over users {found.low:+.4f} to {found.high:+.4f}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
