"""What a ledger finds of the synthetic world that made its log: topics, conformity, half-lives.

    python benchmarks/recovery.py                  (trains on --data synthetic first)
    python benchmarks/recovery.py --run RUN        (a finished run on a synthetic world)
    python benchmarks/recovery.py --quick          (a smaller training, minutes)

The world's log rate is a sum of known lines (tfrec/data/world.py): activity, conformity, and for
each of eight topics a taste that lasts and a pull of recent events with a half-life of its own.
Its lines are worked out for pairs of a moment (a held-out event's, or one drawn from training)
and an item drawn from those on the site that the user had not taken, and compared with the model's.
Both sides are taken relative to the mean over the site, which a choice among items cannot know.

R²: squared correlation over pairs of a planted line with the model's line for it, one line to one
planted topic by the best assignment; lines that share a topic are added first. Half-life: of the
line that is matched with the topic's momentary pull. Bars: half-lives within 15 %, correlation
with log popularity at least .8 for the conformity line and at most .2 for the facets together.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from planted import Planted, requests
from results import write_section

from tfrec.config import resolve
from tfrec.console import say
from tfrec.data.sequences import Bool, Int32, Int64
from tfrec.data.sequences import Sequences as Histories
from tfrec.data.split_labels import TEST, TRAIN
from tfrec.errors import command
from tfrec.evaluation import recovery
from tfrec.interest.asking.load import LedgerRun, load_run
from tfrec.interest.disentanglement import half_life_days
from tfrec.run import RunConfig, command_line

Float64 = npt.NDArray[np.float64]
BARS = {"half-life": 0.15, "conformity": 0.8, "facets": 0.2}
ITEMS_PER_REQUEST = 20
REQUESTS = 1500
REQUESTS_PER_BLOCK = 250
# Of the run that is trained when none is given.
SETTINGS = Path(__file__).with_name("recovery.yaml")


class Pairs(NamedTuple):
    """P pairs of a request and an item, and what is planted and found in each.

    taste, momentary: [P, K]. conformity, log_popularity: [P]. facets: the model's facet lines
    [P, F]. crowd: its κ·lp [P]. user: the request of each pair [P]. kappa, found_kappa: [N].
    """

    taste: Float64
    momentary: Float64
    conformity: Float64
    log_popularity: Float64
    facets: Float64
    crowd: Float64
    kappa: Float64
    found_kappa: Float64


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="a finished run of python -m tfrec.train")
    parser.add_argument("--config", type=Path, default=SETTINGS, help="settings of the run")
    parser.add_argument("--data", default="synthetic", help="synthetic, or events.csv of a world")
    parser.add_argument("--quick", action="store_true", help="four epochs, 300 moments")
    parser.add_argument("--title", default="Recovery of the planted world")
    flags = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        run = load_run(flags.run or trained(flags, Path(folder)))
        pages, reached = [], True
        for name, label in (("held-out", TEST), ("training", TRAIN)):
            pairs = sample(run, label, 300 if flags.quick else REQUESTS)
            page, passed = report(run, pairs, name)
            pages.append(page)
            reached &= passed
    text = f"`{command_line()}`\n\n{about(run)}\n\n" + "\n\n".join(pages)
    say(text)
    write_section(flags.title + (", quick" if flags.quick else ""), text)
    return 0 if reached else 1


def trained(flags: argparse.Namespace, folder: Path) -> Path:
    from tfrec.train import train

    options: dict[str, Any] = {"data.data": flags.data}
    if flags.quick:
        options |= {"training.epochs": 4}
    train(resolve(RunConfig, argparse.Namespace(**options), flags.config), folder / "run")
    return folder / "run"


def sample(run: LedgerRun, label: int, count: int) -> Pairs:
    """Planted and found lines for events of one label, each with items drawn at random."""
    planted = Planted.of(run.config, run.data)
    random = np.random.default_rng(0)
    user = np.searchsorted(run.data.user_offsets, np.arange(run.data.num_events), side="right") - 1
    # The model knows nothing before a user's first event.
    begun = np.arange(run.data.num_events) > run.data.user_offsets[:-1][user]
    rows = np.flatnonzero((run.split.label == label) & begun)
    rows = np.sort(random.choice(rows, min(count, len(rows)), replace=False))
    parts = [
        _block(run, planted, rows[start : start + REQUESTS_PER_BLOCK], random)
        for start in range(0, len(rows), REQUESTS_PER_BLOCK)
    ]
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _block(run: LedgerRun, planted: Planted, rows: Int64, random: np.random.Generator) -> Pairs:
    histories, times = requests(run.data, rows)
    truth = planted.lines(histories, times)
    readings = run.reader.read_at(histories, times)
    catalogue = run.reader.catalogue
    shown = planted.shown(times)
    items = _drawn(shown, histories, random)
    each = np.arange(len(rows))[:, None]

    def relative(lines: npt.NDArray[np.floating]) -> Float64:
        """Of the drawn items, relative to the mean over what was on the site; pairs in rows."""
        weight = shown / shown.sum(axis=1, keepdims=True)
        mean = np.einsum("ni,ni...->n...", weight, lines)
        chosen = lines[each, items] - mean[:, None]
        return np.asarray(chosen.reshape(-1, *lines.shape[2:]), np.float64)

    everything = np.broadcast_to(np.arange(run.data.num_items, dtype=np.int32), shown.shape)
    return Pairs(
        taste=relative(truth.taste),
        momentary=relative(truth.momentary),
        conformity=relative(truth.conformity),
        log_popularity=relative(truth.log_popularity),
        facets=relative(readings.facet_scores(catalogue, everything)),
        crowd=relative(readings.conformity_line(catalogue, everything)),
        kappa=planted.users.conformity[histories.users].astype(np.float64),
        found_kappa=readings.conformity.astype(np.float64),
    )


def _drawn(shown: Bool, histories: Histories, random: np.random.Generator) -> Int32:
    """Items on the site that the user had not taken, [N, ITEMS_PER_REQUEST]."""
    order = np.where(shown, random.random(shown.shape), 2.0)
    order[np.repeat(np.arange(len(shown)), histories.lengths), histories.items()] = 3.0
    drawn = np.argpartition(order, ITEMS_PER_REQUEST, axis=1)[:, :ITEMS_PER_REQUEST]
    return drawn.astype(np.int32)


def about(run: LedgerRun) -> str:
    """The model, in a line."""
    model = dataclasses.asdict(run.config.model)
    losses = dataclasses.asdict(run.config.losses)
    shown = ("facets", "topics", "weights", "facet_dim", "max_length")
    parts = [f"{name} {model[name]}" for name in shown] + [f"topic_loss {losses['topic_loss']}"]
    return f"{', '.join(parts)}; best epoch {run.epoch}; {run.split.describe()}"


class Found(NamedTuple):
    """Everything that is measured on one set of pairs."""

    topic_r2: Float64
    taste_r2: Float64
    momentary_r2: Float64
    all_r2: Float64
    half_lives: Float64
    momentary_facet: Int64
    dci: recovery.DCI
    gap: float
    sap: float
    conformity_r: float
    kappa_r: float
    crowd_with_popularity: float
    facets_with_popularity: float
    facet_with_popularity: Float64


def measure(run: LedgerRun, pairs: Pairs) -> Found:
    model = run.reader.model
    topics = pairs.taste + pairs.momentary
    together = by_topic(model, pairs.facets)
    codes = np.concatenate([together, pairs.crowd[:, None]], axis=1)
    factors = np.concatenate([topics, pairs.conformity[:, None]], axis=1)
    momentary = recovery.matched_r2(pairs.facets, pairs.momentary)
    lives = half_life_days(model)

    def correlation(a: Float64, b: Float64) -> float:
        return float(np.corrcoef(a, b)[0, 1])

    return Found(
        topic_r2=recovery.matched_r2(together, topics).r2,
        taste_r2=recovery.matched_r2(pairs.facets, pairs.taste).r2,
        momentary_r2=momentary.r2,
        all_r2=recovery.informativeness(codes, topics, seed=0),
        half_lives=np.where(momentary.codes >= 0, lives[momentary.codes], np.nan),
        momentary_facet=momentary.codes,
        dci=recovery.dci(recovery.importance(codes, factors)),
        gap=recovery.mutual_information_gap(codes, factors),
        sap=recovery.sap(codes, factors),
        conformity_r=correlation(pairs.crowd, pairs.conformity),
        kappa_r=correlation(pairs.found_kappa, pairs.kappa),
        crowd_with_popularity=correlation(pairs.crowd, pairs.log_popularity),
        facets_with_popularity=correlation(pairs.facets.sum(axis=1), pairs.log_popularity),
        facet_with_popularity=np.array(
            [correlation(facet, pairs.log_popularity) for facet in pairs.facets.T]
        ),
    )


def by_topic(model: Any, facets: Float64) -> Float64:
    """Lines, with taste and pull of one topic added: general facets, then topics."""
    general = facets.shape[1] - 2 * model.topics
    shared = facets[:, general:].reshape(len(facets), 2, model.topics)
    return np.concatenate([facets[:, :general], shared.sum(axis=1)], axis=1)


def report(run: LedgerRun, pairs: Pairs, name: str) -> tuple[str, bool]:
    """Markdown, and whether every bar is met."""
    planted = Planted.of(run.config, run.data)
    found = measure(run, pairs)
    error = found.half_lives / planted.half_life_days - 1
    lines = [
        f"{name} events, {len(pairs.taste):,} pairs",
        "",
        "| topic | R² of its line | of all lines | taste | pull | half-life | found | error |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for k, topic in enumerate(planted.topics):
        lines.append(
            f"| {topic} | {found.topic_r2[k]:.2f} | {found.all_r2[k]:.2f} "
            f"| {found.taste_r2[k]:.2f} | {found.momentary_r2[k]:.2f} "
            f"| {planted.half_life_days[k]:.2f} | {found.half_lives[k]:.2f} | {error[k]:+.0%} |"
        )
    within = int((np.abs(error) <= BARS["half-life"]).sum())
    largest = np.abs(found.facet_with_popularity).max()
    checks = [
        (f"half-lives within 15 %: {within} of {len(error)}", within == len(error)),
        (
            f"conformity line with log popularity: {found.crowd_with_popularity:.2f}, bar ≥ .8",
            found.crowd_with_popularity >= BARS["conformity"],
        ),
        (
            f"facets together with log popularity: {found.facets_with_popularity:+.2f}, bar ≤ .2",
            abs(found.facets_with_popularity) <= BARS["facets"],
        ),
        (f"largest of one facet with it: {largest:.2f}, bar ≤ .2", largest <= BARS["facets"]),
    ]
    lines += [
        "",
        f"mean R² {found.topic_r2.mean():.2f}, from all lines {found.all_r2.mean():.2f}; "
        f"DCI disentanglement {found.dci.disentanglement:.2f}, completeness "
        f"{found.dci.completeness:.2f}; MIG {found.gap:.2f}; SAP {found.sap:.2f}; conformity line "
        f"with the planted one r = {found.conformity_r:.2f}; κ with the planted κ "
        f"r = {found.kappa_r:.2f}; median error of half-lives {np.median(np.abs(error)):.0%}",
        "",
        *(f"- {text}: {'met' if met else 'MISSED'}" for text, met in checks),
    ]
    return "\n".join(lines), all(met for _, met in checks)


if __name__ == "__main__":
    raise SystemExit(main())
