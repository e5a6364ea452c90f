"""What faithful lines cost: the deletion-consistency loss at several strengths, and none.

    python benchmarks/frontier.py --data movielens-100k:/folder            (about 15 min on 2 cores)
    python benchmarks/frontier.py --data movielens-100k:/folder --strengths 0,2 --epochs 6

Leave-one-out, full ranking. Violations and Spearman: the lines of the top recommendation of 300
test users against really deleting each of their newest 30 events and encoding the rest again, see
benchmarks/explanations.py. The ranking loss and the deletion loss alone.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import run_folders
from results import write_section

from tfrec.config import resolve
from tfrec.console import import_tensorflow, say
from tfrec.errors import command
from tfrec.evaluation.results import Results
from tfrec.run import RunConfig, command_line
from tfrec.training.options import LossConfig

OFF = {f"losses.{f.name}": 0.0 for f in dataclasses.fields(LossConfig) if f.name.endswith("_loss")}
USERS, NEWEST = 300, 30


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="as --data of python -m tfrec.train")
    parser.add_argument("--strengths", default="0,1,2,4", help="of the loss (default 0,1,2,4)")
    parser.add_argument("--weights", default="root", help="forms of the weights, with commas")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--seeds", type=int, default=1, help="how many (default 1)")
    parser.add_argument("--out", type=Path, default=Path("runs/frontier"), help="run folders")
    flags = parser.parse_args(argv)
    lines = [
        "| weights | deletion loss | NDCG@10 | HR@10 | validation | violations | Spearman | gap |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for form in flags.weights.split(","):
        for strength in map(float, flags.strengths.split(",")):
            given = OFF | {"model.weights": form, "losses.deletion_loss": strength}
            rows = []
            for seed in range(flags.seeds):
                folder = flags.out / f"{form}-{strength:g}-{seed}"
                results = trained(given | {"training.seed": seed}, folder, flags)
                metrics = results.models[0].metrics
                best = max(epoch["validation ndcg@10"] for epoch in results.epochs)
                values = [metrics["ndcg@10"].value, metrics["hit_rate@10"].value, best]
                rows.append([*values, *faithfulness(folder)])
            means = np.mean(rows, axis=0)
            cells = [f"{number:.4f}" for number in means[:3]] + [f"{x:.3f}" for x in means[3:]]
            lines.append(f"| {form} | {strength:g} | {' | '.join(cells)} |")
            say(lines[-1])
    body = f"`{command_line()}`\n\n{results.protocol}, means of {flags.seeds} seed(s)\n\n"
    body += "\n".join(lines)
    write_section(f"Faithful lines: {flags.data.partition(':')[0]}", body)
    return 0


def trained(options: dict[str, Any], folder: Path, flags: argparse.Namespace) -> Results:
    options |= {
        "data.data": flags.data,
        "training.batch_size": 8,
        "training.epochs": flags.epochs,
        "training.patience": flags.epochs,
        "evaluation.baselines": ["none"],
    }
    config = resolve(RunConfig, argparse.Namespace(**options))
    return run_folders.trained(config, folder)


def faithfulness(run: Path) -> tuple[float, float, float]:
    """Violations, Spearman and relative gap of a run's lines."""
    import_tensorflow()
    from tfrec.evaluation import faithfulness as judge
    from tfrec.interest.asking.load import load_run
    from tfrec.interest.counterfactuals import rescorer

    loaded = load_run(run)
    reader, cases = loaded.reader, loaded.split.cases("test")
    draw = np.random.default_rng(0).permutation(len(cases))[:USERS]
    cases = cases.take(np.sort(draw))
    readings = reader.read(cases)
    scores = readings.scores(reader.catalogue)
    histories = cases.histories
    scores[np.repeat(np.arange(len(cases)), histories.lengths), histories.items()] = -np.inf
    items = scores.argmax(axis=1).astype(np.int32)
    lines = readings.contributions(reader.catalogue, items[:, None])[:, 0].sum(axis=-1)
    asked = judge.newest_events(readings.real, NEWEST)
    changes = judge.deletion_changes(
        rescorer(reader, cases, items, 0).rescore, readings.real, NEWEST
    )
    lines = np.where(asked, lines, 0)
    return (
        judge.polarity_violations(lines, changes, asked),
        judge.spearman(lines, changes, asked).mean,
        judge.relative_gap(lines, changes, asked),
    )


if __name__ == "__main__":
    raise SystemExit(main())
