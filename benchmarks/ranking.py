"""The ledger beside SASRec with full cross-entropy: one harness, one budget, paired case by case.

    python benchmarks/ranking.py --data movielens-1m:/folder/of/ml-1m     (about an hour on 2 cores)
    python benchmarks/ranking.py --data movielens-100k:/folder --quick     (minutes)
    python benchmarks/ranking.py --sequences /folder/Beauty.txt            (about half an hour)

Settings are those of benchmarks/ranking.yaml for both models. Bars on MovieLens-1M: ledger HR@10
≥ .320 and NDCG@10 ≥ .185; everywhere: NDCG@10 not below SASRec's by more than 1 %. Exits with 1
when a bar is missed. --sequences takes lines "user item item …", oldest first, without times.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from results import write_section
from run_folders import trained

from tfrec.config import resolve
from tfrec.console import say
from tfrec.errors import UserError, command
from tfrec.evaluation.case_metrics import load_cases
from tfrec.evaluation.compare import compare
from tfrec.evaluation.results import ModelResult, Results
from tfrec.evaluation.run_evaluation import case_file
from tfrec.evaluation.table import compare_table
from tfrec.run import RunConfig, command_line

SETTINGS = Path(__file__).with_name("ranking.yaml")
BARS = {"hit_rate@10": 0.320, "ndcg@10": 0.185}
QUICK = {"model.dim": 64, "model.heads": 1, "training.epochs": 12}
SHOWN = ("ndcg@10", "hit_rate@10", "mrr@10", "coverage@10", "long_tail_share@10")


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="as --data of python -m tfrec.train")
    parser.add_argument("--sequences", type=Path, help='a file of lines "user item item …"')
    parser.add_argument("--seeds", type=int, default=1, help="how many (default 1)")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter, for a small log")
    parser.add_argument("--baselines", default="all", help="as in python -m tfrec.train")
    parser.add_argument("--out", type=Path, default=Path("runs/ranking"), help="run folders")
    flags = parser.parse_args(argv)
    if (flags.data is None) == (flags.sequences is None):
        raise UserError("give either --data or --sequences")

    data = flags.data or str(as_csv(flags.sequences, flags.out))
    lines, reached = [], True
    for seed in range(flags.seeds):
        runs = {
            model: run(model, data, seed, flags, flags.out / f"{model}-{seed}")
            for model in ("ledger", "sasrec")
        }
        lines += report(flags.out, runs, seed)
        reached &= bars(runs, "1m" in data)
    name = flags.sequences.stem if flags.sequences else flags.data.partition(":")[0]
    page = f"`{command_line()}`\n\n" + "\n".join(lines)
    write_section(f"Ranking: {name}{', quick' if flags.quick else ''}", page)
    return 0 if reached else 1


def as_csv(sequences: Path, folder: Path) -> Path:
    """Lines "user item item …" as an event log without times."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{sequences.stem}.csv"
    with sequences.open(encoding="utf-8") as file, out.open("w", encoding="utf-8") as csv:
        csv.write("user_id,item_id\n")
        for line in file:
            user, *items = line.split()
            csv.writelines(f"{user},{item}\n" for item in items)
    return out


def run(model: str, data: str, seed: int, flags: argparse.Namespace, folder: Path) -> Results:
    options = {"model.model": model, "data.data": data, "training.seed": seed}
    options["evaluation.baselines"] = [flags.baselines if model == "sasrec" else "none"]
    if flags.sequences:
        options["data.columns"] = {"timestamp": ""}
    if flags.quick:
        options |= QUICK
    config = resolve(RunConfig, argparse.Namespace(**options), SETTINGS)
    return trained(config, folder)


def report(out: Path, runs: dict[str, Results], seed: int) -> list[str]:
    """Markdown of one seed: every model and baseline, then the paired differences."""
    rows = [*runs["ledger"].models, *runs["sasrec"].models]
    rows = sorted((row for row in rows if row.metrics), key=_ndcg, reverse=True)
    lines = [
        f"{runs['ledger'].protocol}, {runs['ledger'].cases:,} test cases, seed {seed}",
        "",
        "| model | " + " | ".join(SHOWN) + " | training |",
        "|---" * (len(SHOWN) + 2) + "|",
    ]
    for row in rows:
        cells = [f"{row.metrics[name].value:.4f}" for name in SHOWN]
        low, high = row.metrics[SHOWN[0]].low, row.metrics[SHOWN[0]].high
        cells[0] += f" ± {(high - low) / 2:.4f}"
        cells.append(f"{row.fit_seconds / 60:.1f} min")
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    ours, theirs = (
        dataclasses.replace(
            load_cases(case_file(out / f"{model}-{seed}", _model(runs[model]).name)),
            name=model,
        )
        for model in ("ledger", "sasrec")
    )
    paired = compare_table("ledger", "sasrec", compare(ours, theirs, seed=0))
    return [*lines, "", "```", paired, "```", ""]


def bars(runs: dict[str, Results], movielens_1m: bool) -> bool:
    ledger, sasrec = (_model(runs[name]) for name in ("ledger", "sasrec"))
    relative = _ndcg(ledger) / _ndcg(sasrec) - 1
    say(f"ledger's NDCG@10 beside SASRec's: {relative:+.1%}, bar -1.0 %")
    reached = relative >= -0.01
    for metric, bar in BARS.items() if movielens_1m else ():
        value = ledger.metrics[metric].value
        say(f"{metric} {value:.4f}, bar {bar:.3f}: {'reached' if value >= bar else 'MISSED'}")
        reached &= value >= bar
    return reached


def _model(results: Results) -> ModelResult:
    return next(row for row in results.models if row.kind == "model")


def _ndcg(row: ModelResult) -> float:
    return row.metrics["ndcg@10"].value


if __name__ == "__main__":
    raise SystemExit(main())
