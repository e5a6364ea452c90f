"""What each part of the ledger is worth: one part changed at a time, several seeds.

    python benchmarks/ablations.py --data movielens-100k:/folder           (hours on 2 cores)
    python benchmarks/ablations.py --data movielens-100k:/folder --quick   (one seed)
    python benchmarks/ablations.py --data … --only sink,pointwise

Leave-one-out, full ranking. NDCG@10 and HR@10 are means over seeds, ± the standard deviation over
seeds. "untied": the items' blocks are a table of their own. "slow order": in all facets weights
begin to fall by the 0.3rd power of the number of events since. Runs that are finished in --out are
not trained again. With --split global-time the log is cut by time instead.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from results import write_section
from run_folders import trained

from tfrec.config import resolve
from tfrec.console import say
from tfrec.errors import UserError, command
from tfrec.evaluation.results import Results
from tfrec.run import RunConfig, command_line

COMMON = {"training.batch_size": 8, "evaluation.baselines": ["none"]}
VARIANTS: dict[str, dict[str, Any]] = {
    "ledger": {},
    "SASRec": {"model.model": "sasrec"},
    "1 facet of 64": {"model.facets": 1, "model.facet_dim": 64},
    "2 facets of 32": {"model.facets": 2, "model.facet_dim": 32},
    "8 facets of 8": {"model.facets": 8, "model.facet_dim": 8},
    "softmax": {"model.weights": "softmax"},
    "sink": {"model.weights": "sink"},
    "pointwise": {"model.weights": "pointwise"},
    "hstu": {"model.encoder": "hstu"},
    "residual": {"model.residual": True},
    "no request time": {"model.request_time": False},
    "no id dropout": {"model.id_dropout": 0.0},
    "one period": {"model.periods": 1},
    "no deletion loss": {"losses.deletion_loss": 0.0},
    "no strength loss": {"losses.strength_loss": 0.0},
    "no pointwise loss": {"losses.pointwise_loss": 0.0},
    "no long-short loss": {"losses.long_short_loss": 0.0},
    "no conformity loss": {"losses.conformity_loss": 0.0},
    "no independence loss": {"losses.independence_loss": 0.0},
    "no balance loss": {"losses.balance_loss": 0.0},
    "untied": {},
    "slow order": {},
}


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="as --data of python -m tfrec.train")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--epochs", type=int, default=12, help="of every training (default 12)")
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--only", help="names of variants with commas, see the table")
    parser.add_argument("--split", default="leave-one-out", help="as in python -m tfrec.train")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"), help="run folders")
    flags = parser.parse_args(argv)
    names = [name.strip() for name in flags.only.split(",")] if flags.only else list(VARIANTS)
    for name in names:
        if name not in VARIANTS:
            raise UserError(f"--only {name!r} is not known; known: {', '.join(VARIANTS)}")

    seeds = 1 if flags.quick else flags.seeds
    options = {
        "data.data": flags.data,
        "split.split": flags.split,
        "training.epochs": flags.epochs,
    } | COMMON
    lines = ["| variant | NDCG@10 | HR@10 | seconds per epoch |", "|---|---|---|---|"]
    for name in names:
        results = [run(name, options, seed, flags.out) for seed in range(seeds)]
        protocol = results[0].protocol
        lines.append(row(name, results))
        say(lines[-1])
    page = (
        f"`{command_line()}`\n\n{protocol}, {seeds} seed(s), {flags.epochs} epochs\n\n"
        + "\n".join(lines)
    )
    log = flags.data.partition(":")[0]
    write_section(f"Ablations: {log}, {flags.split}{', quick' if flags.quick else ''}", page)
    return 0


def run(name: str, options: dict[str, Any], seed: int, out: Path) -> Results:
    folder = out / f"{name.replace(' ', '-')}-{seed}"
    given = options | VARIANTS[name] | {"training.seed": seed}
    config = resolve(RunConfig, argparse.Namespace(**given))
    with CHANGED.get(name, contextlib.nullcontext)():
        return trained(config, folder)


def untied() -> Any:
    """While entered, item blocks are a table of their own, not a map of the items' vectors."""
    import keras
    from keras import ops

    from tfrec.models import ledger
    from tfrec.models.item_lines import ItemLines

    class Untied(ItemLines):
        def build(self, *shapes: Any) -> None:
            super().build(*shapes)
            self.own_blocks = self.add_weight(
                shape=(self.num_items, self.facets, self.facet_dim),
                initializer=keras.initializers.TruncatedNormal(stddev=0.02),
                name="own_blocks",
            )

        def blocks(self, embeddings: Any) -> Any:
            return ops.convert_to_tensor(self.own_blocks)

    return mock.patch.object(ledger, "ItemLines", Untied)


def slow_order() -> Any:
    from tfrec.models import facet_weights

    return mock.patch.object(facet_weights, "FIRST_ORDER_DECAYS", (0.3, 0.3))


# Changes that are no options.
CHANGED = {"untied": untied, "slow order": slow_order}


def row(name: str, results: list[Results]) -> str:
    cells = []
    for metric in ("ndcg@10", "hit_rate@10"):
        values = [result.models[0].metrics[metric].value for result in results]
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        cells.append(f"{statistics.mean(values):.4f}{spread}")
    seconds = [epoch["seconds"] for result in results for epoch in result.epochs[1:]]
    pace = f"{statistics.median(seconds):.1f}" if seconds else ""
    return f"| {name} | {' | '.join(cells)} | {pace} |"


if __name__ == "__main__":
    raise SystemExit(main())
