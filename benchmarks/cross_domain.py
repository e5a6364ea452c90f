"""Does a log of one domain help to recommend in another?

    python benchmarks/cross_domain.py --data movielens-100k:/folder/ml-100k
    python benchmarks/cross_domain.py --quick                               (minutes)
    python benchmarks/cross_domain.py --quick --encoder /folder/all-MiniLM-L6-v2

The two domains are made up: one log of films is cut in two by genre. "light" are films of comedy,
romance, musical, animation or for children, "dark" all others; light is the target. Two questions:

shared users: everybody keeps the one user id. Of a third of those who have enough dark events
before their last light one, all light events but that one are taken away, and what they did after
it. They are cold in the target domain. Trained are two SASRecs, on both logs and on the light one
alone, where a cold user has no history at all.

shared texts alone (with --encoder): three quarters of the users have only their dark events, the
others only their light ones, so that nothing but the space of texts joins the logs. Trained are two
ledgers that read titles and genres, on both logs and on the light one alone.

All are asked the same: the same test cases, the last light event of each user, and the same
candidates, all light films that are not in the history. EASE is tuned and fitted on the same events
beside each. Popularity is that of the light films; it is the same with and without the other log.
Finished runs in --out are not trained again.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import run_folders
from results import write_section

from tfrec.config import resolve
from tfrec.console import count, import_tensorflow, say
from tfrec.data.domains import domains
from tfrec.data.ingest import load
from tfrec.data.join import join
from tfrec.data.options import DataConfig, SplitConfig
from tfrec.data.prepared import PreparedData
from tfrec.data.splits import Split, make_split
from tfrec.errors import UserError, command
from tfrec.run import RunConfig, command_line

if TYPE_CHECKING:
    from tfrec.evaluation.ranking import Ranking

LIGHT = {"Comedy", "Romance", "Musical", "Animation", "Children's"}
TARGET, SOURCE = "light", "dark"
METRIC = "ndcg@10"
COLD_SHARE, ENOUGH = 1 / 3, 5  # of users; dark events of a cold user
SOURCE_SHARE = 0.75  # of users, where none is shared
Rows = npt.NDArray[np.int64]
Values = npt.NDArray[np.floating]


class Logs(NamedTuple):
    """Two logs joined, the target first, and the target alone, cut in the same way.

    cold: of the target's test cases, who has no event of the target in the history.
    """

    both: Split
    alone: Split
    cold: npt.NDArray[np.bool_]


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", default="movielens-100k", help="a MovieLens set (default movielens-100k)"
    )
    parser.add_argument("--encoder", help="as --text-encoder of tfrec.train")
    parser.add_argument("--quick", action="store_true", help="small models, a few epochs")
    parser.add_argument("--out", type=Path, default=Path("runs/cross-domain"), help="run folders")
    flags = parser.parse_args(argv)
    data = load(DataConfig(data=flags.data, min_item_events=5), say)
    if "categories" not in data.items.column_names:
        raise UserError(f"--data {flags.data}: its catalogue has no genres")
    light = np.array([bool(LIGHT & set(kinds)) for kinds in data.items["categories"].to_pylist()])
    random = np.random.default_rng(0)
    parts: list[tuple[str, Rows, list[str], dict[str, Any]]] = [
        ("shared users", shared_users(data, light, random), [], sasrec(flags.quick))
    ]
    if flags.encoder:
        model = ledger(flags.quick, flags.encoder)
        rows = other_users(data, light, random)
        parts.append(("shared texts alone", rows, ["users"], model))
    for name, rows, separate, options in parts:
        folder = flags.out / name.replace(" ", "-")
        logs = joined(data, light, rows, separate, folder)
        values = measure(logs, options, folder)
        page = report(values, logs)
        title = f"Two domains, {name}: {data.meta.source.partition(':')[0]}"
        title += ", quick" if flags.quick else ""
        write_section(title, f"`{command_line()}`\n\n" + "\n".join(page))
    return 0


def shared_users(
    data: PreparedData, light: npt.NDArray[np.bool_], random: np.random.Generator
) -> Rows:
    """The events that stay where users are shared."""
    kept = []
    for start, stop in zip(data.user_offsets, data.user_offsets[1:], strict=False):
        rows = np.arange(start, stop)
        of_light = rows[light[data.columns.item[start:stop]]]
        if len(of_light) and random.random() < COLD_SHARE:
            last = of_light[-1]
            dark = np.setdiff1d(np.arange(start, last), of_light)
            if len(dark) >= ENOUGH:
                rows = np.append(dark, last)
        kept.append(rows)
    return np.concatenate(kept)


def other_users(
    data: PreparedData, light: npt.NDArray[np.bool_], random: np.random.Generator
) -> Rows:
    """The events that stay where nobody has events of both domains."""
    is_source = random.random(data.num_users) < SOURCE_SHARE
    owner = np.repeat(np.arange(data.num_users), np.diff(data.user_offsets))
    return np.flatnonzero(light[data.columns.item] != is_source[owner])


def sasrec(quick: bool) -> dict[str, Any]:
    small = {"model.dim": 32, "model.layers": 1, "model.max_length": 100}
    return {"model.model": "sasrec", "training.epochs": 12 if quick else 40} | (
        small if quick else {}
    )


def ledger(quick: bool, encoder: str) -> dict[str, Any]:
    small: dict[str, Any] = {"model.dim": 32, "model.layers": 1, "model.max_length": 50}
    small |= {"losses.deletion_loss": 0.0}
    return {"text.text_encoder": encoder, "training.epochs": 8 if quick else 30} | (
        small if quick else {}
    )


def joined(
    data: PreparedData,
    light: npt.NDArray[np.bool_],
    rows: Rows,
    separate: list[str],
    folder: Path,
) -> Logs:
    """Writes, prepares, joins and cuts the two logs."""
    from tfrec.evaluation.domains import events_in
    from tfrec.evaluation.slices import with_targets

    folder.mkdir(parents=True, exist_ok=True)
    owner = np.repeat(np.arange(data.num_users), np.diff(data.user_offsets))
    users, items = data.users["user_id"].to_pylist(), data.items.to_pydict()
    logs = {}
    for name, is_target in ((TARGET, True), (SOURCE, False)):
        of_log = rows[light[data.columns.item[rows]] == is_target]
        events = [
            (users[owner[row]], items["item_id"][data.columns.item[row]],
             int(data.columns.timestamp[row]) // 1000)
            for row in of_log
        ]  # fmt: skip
        catalogue = [
            (item, title, " ".join(kinds))
            for item, title, kinds, of_light in zip(
                items["item_id"], items[data.meta.text_columns[0]], items["categories"], light,
                strict=True,
            )
            if of_light == is_target
        ]  # fmt: skip
        _write(folder / f"{name}.csv", ["user_id", "item_id", "timestamp"], events)
        _write(folder / f"{name}-items.csv", ["item_id", "title", "genres"], catalogue)
        config = DataConfig(
            data=str(folder / f"{name}.csv"),
            items=str(folder / f"{name}-items.csv"),
            text=["title", "genres"],
        )
        logs[name] = load(config, say)
    both_data = join({n: log.folder for n, log in logs.items()}, folder / "both", separate, say)
    cut = SplitConfig(min_history=0)
    both = make_split(both_data, cut, seed=0)
    among = domains(both_data)
    assert among is not None
    # The target was joined first: its users and items have the same numbers alone.
    label = both.label[among.items(0)[both_data.columns.item]]
    alone = Split(logs[TARGET], cut, 0, label)
    part, _ = with_targets(both.cases("test"), among.items(0)[both.cases("test").targets])
    same = alone.cases("test")
    if not np.array_equal(part.targets, same.targets) or not np.array_equal(
        part.histories.users, same.histories.users
    ):
        raise RuntimeError("the two splits ask different things")
    return Logs(both, alone, events_in(part, among.items(0)) == 0)


def measure(logs: Logs, options: dict[str, Any], folder: Path) -> dict[str, Values]:
    """NDCG@10 of every test case of the target, by what was trained and on which log."""
    from tfrec.evaluation.baselines import run_baselines
    from tfrec.evaluation.metrics import accuracy
    from tfrec.evaluation.model_ranking import ModelRanker
    from tfrec.evaluation.ranking import rank
    from tfrec.evaluation.slices import with_targets
    from tfrec.models.build import DISPLAY_NAMES

    found: dict[str, Values] = {}
    for split, what in ((logs.both, "both logs"), (logs.alone, f"{TARGET} alone")):
        candidates = np.arange(split.data.num_items) < logs.alone.data.num_items
        cases = split.cases("test")
        part, _ = with_targets(cases, candidates[cases.targets])

        def add(name: str, ranking: Ranking, what: str = what, part: Any = part) -> None:
            found[f"{name}, {what}"] = accuracy(ranking, part, [10])[METRIC]

        model, name = trained(folder / what.replace(" ", "-"), split, options)
        ranked: Callable[..., Ranking] = ModelRanker(model).rank
        add(DISPLAY_NAMES[name], ranked(part, 10, candidates=candidates))
        names = ["popularity", "ease"] if split is logs.both else ["ease"]
        validation = split.cases("validation")
        for line in run_baselines(
            split.train(), validation, split.data.num_items, names, seed=0, log=say
        ):
            assert line.scorer is not None
            items = split.data.num_items
            add(line.name, rank(line.scorer, part, items, 10, candidates=candidates))
    return found


def trained(folder: Path, split: Split, options: dict[str, Any]) -> tuple[Any, str]:
    """The model of the run in this folder, trained if it is not there, and its kind."""
    from tfrec.evaluation.run_evaluation import RESULTS
    from tfrec.train import train
    from tfrec.trained import load_trained

    options = {
        "data.data": str(split.data.folder),
        "split.min_history": 0,
        "evaluation.baselines": ["none"],
    } | options
    config = resolve(RunConfig, argparse.Namespace(**options), None)
    import_tensorflow()
    run_folders.must_be_of(config, folder)
    if not (folder / RESULTS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        split.save(folder)  # training takes the split that is there
        train(config, folder)
    return load_trained(folder, config).model, config.model.model


def report(values: dict[str, Values], logs: Logs) -> list[str]:
    """The table, and what the other log adds."""
    from tfrec.evaluation.compare import sign_flip_test
    from tfrec.evaluation.headline import p_value
    from tfrec.evaluation.intervals import intervals

    among = domains(logs.both.data)
    assert among is not None
    groups = {"all": np.ones(len(logs.cold), bool)}
    if logs.cold.any():
        groups = {f"{TARGET} events in the history": ~logs.cold, f"none, some {SOURCE}": logs.cold}
    own = int(among.items(0).sum())
    lines = [
        f"A made-up split of one log by genre. NDCG@10 of the test cases whose target is {TARGET}, "
        f"ranked among the {count(own)} {TARGET} items (of {count(logs.both.data.num_items)}), "
        f"seen removed, {logs.both.describe()}, seed 0. {count(logs.both.data.num_events)} events, "
        f"{count(logs.alone.data.num_events)} of them {TARGET}.",
        "",
        "| trained on | "
        + " | ".join(f"{name}, {count(int(rows.sum()))} cases" for name, rows in groups.items())
        + " |",
        "|---" * (len(groups) + 1) + "|",
    ]
    for name, row in values.items():
        cells = []
        for chosen in groups.values():
            mean = intervals({METRIC: row[chosen]}, seed=0)[METRIC]
            cells.append(f"{mean.value:.4f} ± {(mean.high - mean.low) / 2:.4f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("")
    model, popularity, ease, alone, ease_alone = values  # in the order of `measure`
    for name, beside in ((model, alone), (ease, ease_alone), (model, popularity), (model, ease)):
        parts = []
        for group, chosen in groups.items():
            gap = (values[name] - values[beside])[chosen]
            mean = intervals({"gap": gap}, seed=0)["gap"]
            p = float(sign_flip_test(gap[:, None].astype(np.float64), seed=0)[0])
            parts.append(
                f"{group} {mean.value:+.4f} ({mean.low:+.4f} to {mean.high:+.4f}, {p_value(p)})"
            )
        lines.append(f"- {name}, less {beside}: {'; '.join(parts)}.")
    for line in lines:
        say(line)
    return lines


def _write(path: Path, header: list[str], rows: Sequence[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    raise SystemExit(main())
