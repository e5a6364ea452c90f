"""Items that nobody has taken yet: what do ids, genres, texts and neighbours make of them?

    python benchmarks/cold_items.py --movielens /folder/ml-1m --abstracts /abstracts.json \\
        --encoder /folder/all-MiniLM-L6-v2                                        (hours)
    python benchmarks/cold_items.py --movielens /folder/ml-100k --encoder … --quick    (minutes)

The split cold-items holds 10 % of the items out of training and of every history, and another 10 %
for validation. A test case is a user's last event on such an item; the whole catalogue is ranked,
seen items removed. --abstracts: a JSON object, MovieLens id -> text (joined by title for the sets
that number films in another way). Neighbours are tuned on validation. Bar: the ledger with texts is
above everything else. Finished runs in --out are not trained again.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results import write_section

from tfrec.config import resolve
from tfrec.console import say
from tfrec.errors import UserError, command
from tfrec.evaluation.case_metrics import load_cases
from tfrec.evaluation.compare import compare
from tfrec.evaluation.results import ModelResult, Results
from tfrec.evaluation.run_evaluation import RESULTS, case_file
from tfrec.run import RunConfig, command_line
from tfrec.train import train

SHOWN = ("ndcg@10", "hit_rate@10", "mrr@10")


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
    genres = {"data.categories": "categories"}
    variants: dict[str, dict[str, Any]] = {
        "ledger, ids alone": catalogue,  # the same items in the same order: the same split
        "ledger, genres": catalogue | genres,
        "ledger, texts": read,
        "ledger, genres and texts": read | genres,
    }
    runs = {name: run(name, options, flags) for name, options in variants.items()}
    page, best = report(runs, flags.out)
    write_section(
        f"Cold items: {flags.movielens.name}{', quick' if flags.quick else ''}",
        f"`{command_line()}`\n\n" + "\n".join(page),
    )
    return 0 if best.startswith("ledger, ") and "texts" in best else 1


def run(name: str, options: dict[str, Any], flags: argparse.Namespace) -> Results:
    folder = flags.out / name.replace(", ", "-").replace(" ", "-")
    if (folder / RESULTS).exists():
        return Results.load(folder / RESULTS)
    full = {
        "data.data": str(flags.out / "events.csv"),
        "data.columns": {"strength": "rating"},
        "data.min_item_events": 5,
        "split.split": "cold-items",
        "model.id_dropout": 0.5,  # text and genres are all that a test item has
        "evaluation.baselines": ["all"] if name.endswith("genres and texts") else ["none"],
        "training.epochs": 12 if flags.quick else 20,
    }
    if not flags.quick:
        full |= {"model.dim": 128, "model.heads": 2, "model.facet_dim": 32}
    config = resolve(RunConfig, argparse.Namespace(**full, **options), None)
    return train(config, folder, resume=folder.exists())


def report(runs: dict[str, Results], out: Path) -> tuple[list[str], str]:
    """The table, best first, and the name of its first row."""
    some = next(iter(runs.values()))
    rows = [(name, model_of(results)) for name, results in runs.items()]
    last = list(runs)[-1]
    rows += [(row.name, row) for row in runs[last].models if row.kind == "baseline" and row.metrics]
    rows.sort(key=lambda row: row[1].metrics["ndcg@10"].value, reverse=True)
    lines = [
        f"{some.protocol}, {some.cases:,} test cases, seed 0",
        "",
        "| | " + " | ".join(SHOWN) + " |",
        "|---" * (len(SHOWN) + 1) + "|",
    ]
    for name, row in rows:
        cells = [f"{row.metrics[metric].value:.4f}" for metric in SHOWN]
        first = row.metrics[SHOWN[0]]
        cells[0] += f" ± {(first.high - first.low) / 2:.4f}"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    folder = out / last.replace(", ", "-").replace(" ", "-")
    ours = load_cases(case_file(folder, "Ledger"))
    for name in ("TF-IDF kNN", "Text-encoder kNN"):
        if case_file(folder, name).exists():
            pair = compare(ours, load_cases(case_file(folder, name)), seed=0)["ndcg@10"]
            lines += [
                "",
                f"{last} beside {name}, case by case: {pair.difference.value:+.4f} NDCG@10, 95 % "
                f"interval {pair.difference.low:+.4f} to {pair.difference.high:+.4f}, "
                f"p = {pair.p_value:.3f}.",
            ]
    for line in lines:
        say(line)
    return lines, rows[0][0]


def model_of(results: Results) -> ModelResult:
    return next(row for row in results.models if row.kind == "model")


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
