"""What tuning the text encoder is worth, and what it costs: frozen, LoRA, last layer, everything.

    python benchmarks/tuning.py                                            (two hours on 2 cores)
    python benchmarks/tuning.py --quick                                  (minutes, 4 small runs)
    python benchmarks/tuning.py --encoder /folder/all-MiniLM-L6-v2

The synthetic world without its categories, which texts say. Without --encoder a scratch:tiny is
pre-trained on these texts first. Each run is a process of its own: memory is its peak, CPU is what
it used on all cores, from start to report, which other work on the machine blurs less than wall
time. The same steps, batches and draws of texts for all; without the deletion loss, which doubles a
step and has no part in this. Bar: LoRA trains less than 2 % of the encoder and is at most 1 % below
full tuning. Finished runs in --out are not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results import write_section

from tfrec.atomic import write_text
from tfrec.console import say
from tfrec.errors import UserError, command
from tfrec.evaluation.case_metrics import load_cases
from tfrec.evaluation.compare import compare
from tfrec.evaluation.results import Results
from tfrec.evaluation.run_evaluation import RESULTS, case_file
from tfrec.run import command_line

# With the learning rates of a small encoder; MiniLM takes the defaults.
VARIANTS = {"frozen": 0.0, "lora": 2e-3, "last:1": 5e-4, "full": 5e-4}
COST = "cost.json"
SIZES = re.compile(r"^encoder: ([\d,]+) weights \(.*?\), ([\d,]+) \(.*trained", re.MULTILINE)
# Less of LoRA's 2 % goes to the adapters of so small an encoder.
RANK = 4


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", help="as --text-encoder of tfrec.train (default: pre-trained)")
    parser.add_argument("--split", default="leave-one-out", help="as of tfrec.train")
    parser.add_argument("--quick", action="store_true", help="a smaller world, fewer epochs")
    parser.add_argument("--out", type=Path, default=Path("runs/tuning"), help="run folders")
    parser.add_argument("--results", type=Path, help="page to write into (default RESULTS.md)")
    flags = parser.parse_args(argv)

    flags.out.mkdir(parents=True, exist_ok=True)
    world = flags.out / "world"
    size = ["--users", "400", "--items", "250", "--events", "20000"] if flags.quick else []
    if not world.exists():
        call("tfrec.data", "simulate", *size, "--out", str(world))
    data = ["--data", str(world / "events.csv"), "--items", str(world / "items.csv")]
    data += ["--text", "title,description", "--text-max-length", "32"]
    data += ["--cache", str(flags.out / "cache")]
    encoder = flags.encoder
    if encoder is None:
        words = flags.out / "words"
        if not (words / "encoder").exists():
            epochs = ["--epochs", "10" if flags.quick else "20"]
            call("tfrec.pretrain", *data, *epochs, "--encoder", "scratch:tiny", "--out", str(words))
        encoder = str(words / "encoder")
    runs = {name: run(name, rate, encoder, data, flags) for name, rate in VARIANTS.items()}
    lines, passed = report(runs, flags)
    page = {} if flags.results is None else {"path": flags.results}
    title = f"Tuning the text encoder{', quick' if flags.quick else ''}"
    write_section(title, f"`{command_line()}`\n\n" + "\n".join(lines), **page)
    return 0 if passed else 1


def run(
    name: str, rate: float, encoder: str, data: list[str], flags: argparse.Namespace
) -> dict[str, Any]:
    """Trains one variant; its results, and what it cost."""
    folder = flags.out / name.replace(":", "-")
    if not (folder / COST).exists():
        options = [*data, "--out", str(folder), "--split", flags.split, "--baselines", "none"]
        options += ["--text-encoder", encoder, "--text-tuning", name, "--lora-rank", str(RANK)]
        options += ["--xla", "off", "--deletion-loss", "0", "--epochs", "8"]
        if flags.encoder is None:
            options += ["--text-learning-rate", str(rate)]
        if flags.quick:
            options += ["--text-items", "32"]
        write_text(folder.with_suffix(".cost"), json.dumps(call("tfrec.train", *options)))
        folder.with_suffix(".cost").replace(folder / COST)
    cost: dict[str, Any] = json.loads((folder / COST).read_text("utf-8"))
    return cost | {"results": Results.load(folder / RESULTS), "folder": folder}


def call(module: str, *options: str) -> dict[str, Any]:
    """python -m module in a process of its own: its output, peak memory in MB and CPU seconds.

    Raises:
        UserError: it failed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *options], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        say(f"  {line.rstrip()}")
        lines.append(line)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise UserError(f"{module} failed")
    cpu = used.ru_utime + used.ru_stime
    return {"output": "".join(lines), "memory": used.ru_maxrss / 1024, "cpu": cpu}


def report(runs: dict[str, dict[str, Any]], flags: argparse.Namespace) -> tuple[list[str], bool]:
    """The table, what stands below it, and whether the bar is reached."""
    some = runs["frozen"]["results"]
    lines = [
        f"{some.protocol}, {some.cases:,} test cases, seed 0",
        "",
        "| encoder | trained of it | rate | NDCG@10 | HR@10 | validation | peak memory | CPU |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in runs.items():
        results = row["results"]
        ndcg, hit = (results.models[0].metrics[metric] for metric in ("ndcg@10", "hit_rate@10"))
        best = max(epoch["validation ndcg@10"] for epoch in results.epochs)
        rate = f"{VARIANTS[name]:g}" if flags.encoder is None else "default"
        lines.append(
            f"| {name} | {_sizes(row)[1]:,} ({_share(row):.2%}) | {rate} | {ndcg.value:.4f} ± "
            f"{(ndcg.high - ndcg.low) / 2:.4f} | {hit.value:.4f} | {best:.4f} | "
            f"{row['memory']:,.0f} MB | {row['cpu']:,.0f} s |"
        )
    cases = {name: load_cases(case_file(row["folder"], "Ledger")) for name, row in runs.items()}
    for name, other in (("lora", "full"), ("lora", "frozen"), ("full", "frozen")):
        pair = compare(cases[name], cases[other], seed=0)["ndcg@10"]
        lines += [
            "",
            f"{name} beside {other}, case by case: {pair.difference.value:+.4f} NDCG@10 "
            f"({pair.relative or 0:+.1%}), 95 % interval {pair.difference.low:+.4f} to "
            f"{pair.difference.high:+.4f}, p = {pair.p_value:.3f}.",
        ]
    for line in lines:
        say(line)
    pair = compare(cases["lora"], cases["full"], seed=0)["ndcg@10"]
    return lines, _share(runs["lora"]) < 0.02 and pair.a >= 0.99 * pair.b


def _sizes(row: dict[str, Any]) -> tuple[int, int]:
    """The encoder's weights, and those that were trained; from the run's own words."""
    found = SIZES.search(row["output"])
    if found is None:  # nothing is trained, and nothing said
        return 1, 0
    whole, trained = (int(number.replace(",", "")) for number in found.groups())
    return whole, trained


def _share(row: dict[str, Any]) -> float:
    whole, trained = _sizes(row)
    return trained / whole


if __name__ == "__main__":
    raise SystemExit(main())
