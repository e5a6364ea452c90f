"""Items that nobody has taken yet: what do ids, genres, texts and neighbours make of them?

    python benchmarks/cold_items.py --movielens /folder/ml-1m --abstracts /abstracts.json \\
        --encoder /folder/all-MiniLM-L6-v2                                        (hours)
    python benchmarks/cold_items.py --movielens /folder/ml-100k --encoder … --quick    (minutes)

The split cold-items holds 10 % of the items out of training and of every history, and another 10 %
for validation. A test case is a user's last event on such an item; the whole catalogue is ranked,
seen items removed. Every user's newest event on the other (warm) items is held out as well: how
high cold items stand is paid for there. So the ledger is also shown with all cold items raised
until it shows as many of them as a neighbour does.
Ledgers are chosen by the warm events before those, and see no cold item; the neighbours are tuned
on the validation items. --abstracts: a JSON object, MovieLens id -> text (joined by title for the
sets that number films in another way). Bars: the ledger with genres and texts as it is is
above every neighbour at cold items, and at warm ones no worse than the ledger of ids alone, by
their 95 % intervals over items. Finished runs in --out are not trained again.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cold_cases import (
    Asked,
    Measured,
    cold_items,
    cold_validation,
    hold_out,
    mean_over_items,
    measure,
    raised_to,
)
from results import write_section

from tfrec.config import resolve
from tfrec.console import say
from tfrec.errors import UserError, command
from tfrec.evaluation.baselines.run import run_baselines
from tfrec.evaluation.model_ranking import ModelRanker
from tfrec.evaluation.results import Interval, Results
from tfrec.evaluation.run_evaluation import RESULTS, text_views
from tfrec.run import CONFIG, RunConfig, command_line
from tfrec.train import train
from tfrec.trained import load_trained

IDS_ALONE, FULL = "ledger, ids alone", "ledger, genres and texts"
NEIGHBOURS = ("text-knn", "encoder-knn")


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--movielens", type=Path, required=True, help="ml-1m or ml-100k")
    parser.add_argument("--abstracts", type=Path, help="JSON: MovieLens-1M id -> text")
    parser.add_argument("--encoder", required=True, help="as --text-encoder of tfrec.train")
    parser.add_argument("--quick", action="store_true", help="fewer epochs, smaller model")
    parser.add_argument("--out", type=Path, default=Path("runs/cold-items"), help="run folders")
    flags = parser.parse_args(argv)

    flags.out.mkdir(parents=True, exist_ok=True)
    write_log(flags.movielens, flags.abstracts, flags.out)
    text = ["title"] + ["abstract"] * (flags.abstracts is not None)
    catalogue = {"data.items": str(flags.out / "items.csv")}
    read = catalogue | {"data.text": text, "text.text_encoder": flags.encoder}
    variants: dict[str, dict[str, Any]] = {
        IDS_ALONE: catalogue,  # the same items in the same order: the same split
        FULL: read | {"data.categories": "categories"},
    }
    for name, options in variants.items():
        run(name, options, flags)
    page, met = report({name: flags.out / folder_name(name) for name in variants})
    write_section(
        f"Cold items: {flags.movielens.name}{', quick' if flags.quick else ''}",
        f"`{command_line()}`\n\n" + "\n".join(page),
    )
    return 0 if met else 1


def folder_name(variant: str) -> str:
    return variant.replace(", ", "-").replace(" ", "-")


def run(name: str, options: dict[str, Any], flags: argparse.Namespace) -> None:
    folder = flags.out / folder_name(name)
    if (folder / RESULTS).exists():
        return
    full = {
        "data.data": str(flags.out / "events.csv"),
        "data.columns": {"strength": "rating"},
        "data.min_item_events": 5,
        "split.split": "cold-items",
        "model.id_dropout": 0.5,  # text and genres are all that a test item has
        "evaluation.baselines": ["none"],
        "training.epochs": 12 if flags.quick else 20,
    }
    if not flags.quick:
        full |= {"model.dim": 128, "model.heads": 2, "model.facet_dim": 32}
    config = resolve(RunConfig, argparse.Namespace(**full, **options), None)
    if not folder.exists():
        hold_out(folder, config)
    train(config, folder, resume=True)


def report(folders: dict[str, Path]) -> tuple[list[str], bool]:
    """The section, and whether both bars are met."""
    measured: dict[str, Measured] = {}
    for name, folder in folders.items():
        say(f"measuring {name}")
        config = resolve(RunConfig, argparse.Namespace(), folder / CONFIG)
        data, split, model, _ = load_trained(folder, config)
        ranker = ModelRanker(model)
        measured[name] = measure(ranker, split, data)
    results = Results.load(folder / RESULTS)
    cold = cold_items(split, data)
    views = text_views(data, config.text, folder)
    neighbours = []
    for fitted in run_baselines(
        split.train(),
        cold_validation(data, split),
        data.num_items,
        NEIGHBOURS,
        texts=views,
        log=say,
    ):
        assert fitted.scorer is not None
        found = measured[fitted.name] = measure(fitted.scorer, split, data)
        neighbours.append(fitted.name)
        raised = raised_to(found.shown, ranker, split, data)
        say(f"cold items raised by {raised.by:+.2f} to be shown as often as by {fitted.name}")
        measured[f"{name}, shown as by {fitted.name}"] = measure(raised, split, data)
    ours = measured[name]
    lines = [
        f"{results.protocol}; newest warm event of every user held out too; "
        f"{len(ours.cold.ndcg):,} cold and {len(ours.warm.ndcg):,} warm test cases, "
        f"{len(np.unique(ours.cold.target))} test items of {int(cold.sum())} cold ones, "
        "seed 0; intervals are over items",
        "",
        "| NDCG@10 | cold items | cold, among themselves | warm items | cold items shown |",
        "|---|---|---|---|---|",
    ]
    for label, found in measured.items():
        cells = [_with_interval(asked) for asked in found[:3]]
        lines.append(f"| {label} | {' | '.join(cells)} | {found.shown:.0%} |")
    lines.append("")
    pairs = [
        (label, neighbour)
        for neighbour in neighbours
        for label in (name, f"{name}, shown as by {neighbour}")
    ]
    met = True
    for label, other in [*pairs, (name, IDS_ALONE)]:
        gaps = [
            _gap(one, another)
            for one, another in zip(measured[label][:3], measured[other][:3], strict=True)
        ]
        if label == name:
            met &= gaps[2].high >= 0 if other == IDS_ALONE else gaps[0].low > 0
        cells = [
            f"{what} {gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
            for what, gap in zip(("cold", "among themselves", "warm"), gaps, strict=True)
        ]
        lines.append(f"- {label}, less {other}: {'; '.join(cells)}.")
    for line in lines:
        say(line)
    return lines, met


def _gap(ours: Asked, theirs: Asked) -> Interval:
    return mean_over_items(ours.ndcg - theirs.ndcg, ours.target)


def _with_interval(asked: Asked) -> str:
    mean = mean_over_items(*asked)
    return f"{mean.value:.4f} ± {(mean.high - mean.low) / 2:.4f}"


def write_log(movielens: Path, abstracts: Path | None, out: Path) -> None:
    """events.csv, and items.csv with title, categories and abstract."""
    old = (movielens / "u.data").exists()
    if not old and not (movielens / "ratings.dat").exists():
        raise UserError(f"{movielens} holds neither u.data nor ratings.dat")
    ratings = _lines(movielens / ("u.data" if old else "ratings.dat"))
    films = _lines(movielens / ("u.item" if old else "movies.dat"))
    with (out / "events.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "rating", "timestamp"])
        writer.writerows(line.split("\t" if old else "::") for line in ratings)
    told = json.loads(abstracts.read_text("utf-8")) if abstracts else {}
    by_title = titles_of(movielens.parent / "ml-1m", told) if old else {}
    genres = [line.split("|")[0] for line in _lines(movielens / "u.genre") if line] if old else []
    with (out / "items.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "categories", "abstract"])
        for line in films:
            if old:
                number, title, _, _, _, *flags = line.split("|")
                named = [genre for genre, flag in zip(genres, flags, strict=True) if flag == "1"]
                writer.writerow([number, title, "|".join(named), by_title.get(title, "")])
            else:
                number, title, categories = line.split("::")
                writer.writerow([number, title, categories, told.get(number, "")])


def titles_of(movielens_1m: Path, told: dict[str, str]) -> dict[str, str]:
    """Title -> abstract, by the films of MovieLens-1M."""
    if not told:
        return {}
    films = [line.split("::") for line in _lines(movielens_1m / "movies.dat")]
    return {title: told.get(number, "") for number, title, _ in films}


def _lines(path: Path) -> list[str]:
    return path.read_text("latin-1").splitlines()


if __name__ == "__main__":
    raise SystemExit(main())
