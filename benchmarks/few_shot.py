"""How well are users served after 0, 1, 3 and 5 events, with and without their own words?

    python benchmarks/few_shot.py --encoder /folder/all-MiniLM-L6-v2                   (an hour)
    python benchmarks/few_shot.py --encoder … --data movielens-100k:/folder/ml-100k
    python benchmarks/few_shot.py --encoder … --quick                                  (minutes)

A fifth of the users is held out of training entirely. The sixth event of each is the target of all
its cases, whose histories are the last n of the five events before it, so that every n asks the
same. The whole catalogue is ranked, seen items removed. A profile is made of what the users' table
says. A query is up to four words of the target's own text, as somebody types who looks for a known
item: it tells much about the target and is compared with a TF-IDF search for the same words, never
with what has no query. Training has put such searches before other events with the same items. Two
ledgers are trained, one that reads profiles and queries, one that reads neither; both read the
items' texts. Finished runs in --out are not trained again.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import run_folders
from results import write_section

from tfrec.config import resolve
from tfrec.console import import_tensorflow, say
from tfrec.data.cases import Cases
from tfrec.data.ingest import load
from tfrec.data.options import DataConfig
from tfrec.data.sequences import Columns, Sequences, Texts
from tfrec.data.user_texts import PROFILE, QUERY, put
from tfrec.errors import UserError, command
from tfrec.run import RunConfig, command_line

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData
    from tfrec.interest.asking.load import LedgerRun

SHOTS = (0, 1, 3, 5)
TEMPLATES = {"synthetic": "{profile}", "movielens-100k": "{age} years old, {gender}, {occupation}"}
METRIC = "ndcg@10"
WITHOUT, SEARCH = "events, by a ledger that reads nothing users say", "query alone, by TF-IDF"
CONDITIONS: dict[str, list[str]] = {
    "events": [],
    "events, profile": [PROFILE],
    "events, query": [QUERY],
    "events, profile, query": [PROFILE, QUERY],
}
COMPARED = (
    ("events", WITHOUT),
    ("events, profile", "events"),
    ("events, profile", WITHOUT),
    ("events, query", SEARCH),
    ("events, profile, query", "events, query"),
)
Values = dict[tuple[str, int], npt.NDArray[np.floating]]


class Users(NamedTuple):
    """Held-out users of at least six events.

    histories: all of their events, numbered as the run's items. profiles, queries: texts.
    """

    histories: Sequences
    profiles: list[str]
    queries: list[str]


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", required=True, help="as --text-encoder of tfrec.train")
    parser.add_argument("--data", default="synthetic", help="synthetic or movielens-100k[:/folder]")
    parser.add_argument("--quick", action="store_true", help="a small model, a few epochs")
    parser.add_argument("--out", type=Path, default=Path("runs/few-shot"), help="run folders")
    flags = parser.parse_args(argv)
    name = flags.data.partition(":")[0]
    if name not in TEMPLATES:
        raise UserError(f"--data {flags.data}: choose one of {', '.join(TEMPLATES)}")
    out = flags.out / name
    out.mkdir(parents=True, exist_ok=True)
    data = load(DataConfig(data=flags.data), say)
    held = np.random.default_rng(0).random(data.num_users) < 0.2
    write_tables(data, held, out)
    told = trained(out / "told", out, flags, template=TEMPLATES[name], share=0.1)
    plain = trained(out / "plain", out, flags, template="", share=0.0)
    users = held_out(data, held, told)
    values = measure(told, plain, users)
    page = report(values, len(users.profiles), told)
    write_section(
        f"Few-shot users: {name}{', quick' if flags.quick else ''}",
        f"`{command_line()}`\n\n" + "\n".join(page),
    )
    return 0


def write_tables(data: PreparedData, held: npt.NDArray[np.bool_], out: Path) -> None:
    """events.csv without the held-out users, items.csv, users.csv."""
    users, items = data.users.to_pydict(), data.items.to_pydict()
    genres = [" ".join(some or []) for some in items.get("categories", [[]] * data.num_items)]
    texts = {**{column: items[column] for column in data.meta.text_columns}, "genres": genres}
    _write(out / "items.csv", {"item_id": items["item_id"], **texts})
    _write(out / "users.csv", users)
    owner = np.repeat(np.arange(data.num_users), np.diff(data.user_offsets))
    rows = np.flatnonzero(~held[owner])
    events = {
        "user_id": np.array(users["user_id"], object)[owner[rows]],
        "item_id": np.array(items["item_id"], object)[data.columns.item[rows]],
        "timestamp": data.columns.timestamp[rows],
    }
    _write(out / "events.csv", events)


def trained(
    folder: Path, tables: Path, flags: argparse.Namespace, template: str, share: float
) -> LedgerRun:
    """The run of this folder, trained if it is not there."""
    from tfrec.interest.asking.load import load_run

    with (tables / "items.csv").open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))[1:]
    options: dict[str, Any] = {
        "data.data": str(tables / "events.csv"),
        "data.items": str(tables / "items.csv"),
        "data.users": str(tables / "users.csv"),
        "data.text": columns,
        "data.min_item_events": 5,
        "text.text_encoder": flags.encoder,
        "text.user_template": template,
        "text.query_share": share,
        "evaluation.baselines": ["none"],
        "training.epochs": 8 if flags.quick else 30,
    }
    if flags.quick:
        options |= {"model.dim": 32, "model.layers": 1, "model.max_length": 50}
        options["losses.deletion_loss"] = 0.0
    run_folders.trained(resolve(RunConfig, argparse.Namespace(**options), None), folder)
    import_tensorflow()
    return load_run(folder)


def held_out(data: PreparedData, held: npt.NDArray[np.bool_], run: LedgerRun) -> Users:
    """The users that no run was trained on, as far as they have events enough."""
    from tfrec.text.catalogue_vectors import catalogue_texts
    from tfrec.text.users import profile_texts, searches

    number = {item: n for n, item in enumerate(run.data.items["item_id"].to_pylist())}
    names = data.items["item_id"].to_pylist()
    renumbered = np.array([number.get(item, -1) for item in names], np.int32)
    owner = np.repeat(np.arange(data.num_users), np.diff(data.user_offsets))
    rows = np.flatnonzero(held[owner] & (renumbered[data.columns.item] >= 0))
    enough = np.bincount(owner[rows], minlength=data.num_users) > max(SHOTS)
    rows = rows[enough[owner[rows]]]
    users, lengths = np.unique(owner[rows], return_counts=True)
    log = Columns(renumbered[data.columns.item[rows]], data.columns.timestamp[rows])
    stops = np.cumsum(lengths)
    histories = Sequences(users.astype(np.int32), stops - lengths, stops, log)
    texts = catalogue_texts(run.data, run.config.text)
    generator = np.random.default_rng(1)
    targets = log.item[histories.starts + max(SHOTS)]
    queries = [searches(texts[target], generator)[0] for target in targets.tolist()]
    profiles = profile_texts(data, run.config.text)
    return Users(histories, [profiles[user] for user in users.tolist()], queries)


def cases(users: Users, shots: int) -> Cases:
    """The last events before the sixth of every user, who is asked for that one."""
    targets = users.histories.starts + max(SHOTS)
    log, count = users.histories.columns, len(targets)
    return Cases(
        replace(users.histories, starts=targets - shots, stops=targets),
        np.asarray(log.item[targets]),
        np.arange(count + 1),
        np.asarray(log.timestamp[targets]),
    )


class Search:
    """Cosine of the TF-IDF of query and item, a `tfrec.evaluation.ranking.Scorer`."""

    def __init__(self, texts: list[str], users: Users) -> None:
        from tfrec.text.tf_idf import tf_idf

        rows = tf_idf([*texts, *users.queries])
        lengths = np.sqrt(rows.multiply(rows).sum(axis=1)).A1.clip(1e-9)
        self._items = rows[: len(texts)].multiply(1 / lengths[: len(texts), None]).tocsr()
        self._queries = rows[len(texts) :]
        self._row = {user: row for row, user in enumerate(users.histories.users.tolist())}

    def score(self, asked: Cases) -> npt.NDArray[np.float32]:
        rows = [self._row[user] for user in asked.histories.users.tolist()]
        return np.asarray((self._queries[rows] @ self._items.T).toarray(), np.float32)


def measure(told: LedgerRun, plain: LedgerRun, users: Users) -> Values:
    """NDCG@10 of every user by what is known and the number of events."""
    from tfrec.evaluation.metrics import accuracy
    from tfrec.evaluation.model_ranking import ModelRanker
    from tfrec.evaluation.ranking import rank
    from tfrec.text.catalogue_vectors import catalogue_texts, vectors_of

    config = told.config
    words = [*users.profiles, *users.queries]
    vectors = vectors_of(words, config.text, config.data.cache_folder)
    texts = Texts(told.data.num_items, vectors, words)
    search = Search(catalogue_texts(told.data, config.text), users)
    ranker, silent = ModelRanker(told.reader.model), ModelRanker(plain.reader.model)
    found: Values = {}
    for shots in SHOTS:
        asked = cases(users, shots)
        rankings = {
            WITHOUT: silent.rank(asked, 10),
            SEARCH: rank(search, asked, told.data.num_items, 10),
        }
        for name, kinds in CONDITIONS.items():
            histories = saying(asked, told, texts, kinds)
            rankings[name] = ranker.rank(replace(asked, histories=histories), 10)
        for name, ranking in rankings.items():
            found[name, shots] = accuracy(ranking, asked, [10])[METRIC]
    return found


def saying(asked: Cases, run: LedgerRun, texts: Texts, kinds: Sequence[str]) -> Sequences:
    """Histories with the texts of their users: first all profiles, then all queries."""
    users = run.reader.model.user_texts
    assert users is not None
    histories, count = asked.histories, len(asked)
    said = [(row, kind) for row in range(count) for kind in kinds]
    said = [(row, kind) for row, kind in said if texts.words[row + count * (kind == QUERY)]]
    owner = np.array([row for row, _ in said], np.int64)
    searched = np.array([kind == QUERY for _, kind in said], bool)
    times = np.where(searched | (histories.lengths[owner] == 0), asked.request_times[owner], 0)
    oldest = histories.columns.timestamp[histories.starts[owner]]
    return put(
        histories,
        texts,
        owner,
        np.where(searched, histories.lengths[owner], 0),
        owner + count * searched,
        np.array([users.action(kind) for _, kind in said], np.int64),
        np.where(times == 0, oldest, times),
    )


def report(values: Values, count: int, run: LedgerRun) -> list[str]:
    """The table, and what texts add."""
    from tfrec.evaluation.intervals import intervals

    def cell(row: npt.NDArray[np.floating]) -> str:
        found = intervals({METRIC: row}, seed=0)[METRIC]
        return f"{found.value:.4f} ± {(found.high - found.low) / 2:.4f}"

    lines = [
        f"NDCG@10 of {count:,} users held out of training, {run.data.num_items:,} items, full "
        f"ranking, seen removed, seed 0; trained on {len(run.split.train()):,} other users.",
        "",
        "| read | after 0 events | " + " | ".join(f"after {shots}" for shots in SHOTS[1:]) + " |",
        "|---" * (len(SHOTS) + 1) + "|",
    ]
    for name in dict.fromkeys(name for name, _ in values):
        lines.append(f"| {name} | " + " | ".join(cell(values[name, n]) for n in SHOTS) + " |")
    lines.append("")
    for name, beside in COMPARED:
        parts = []
        for shots in SHOTS:
            gap = values[name, shots] - values[beside, shots]
            found = intervals({"gap": gap}, seed=0)["gap"]
            parts.append(f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})")
        lines.append(f"- {name}, less {beside}: {'; '.join(parts)} after 0, 1, 3, 5 events.")
    for line in lines:
        say(line)
    return lines


def _write(path: Path, columns: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


if __name__ == "__main__":
    raise SystemExit(main())
