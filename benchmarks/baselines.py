"""The tuned baselines, leave-one-out, full ranking, seen removed: what a model has to beat.

    python benchmarks/baselines.py --data /folder/of/ml-1m          (2 to 3 minutes on 2 cores)
    python benchmarks/baselines.py --data ml-1m.txt                 (lines "user item", in order)
    python benchmarks/baselines.py --data movielens-100k            (any named set or file)

Movies with fewer than 5 ratings are left out, as everywhere in the literature on this protocol.
Tuned on the validation cases; the table is of the test cases.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfrec.data.ingest import load, prepare
from tfrec.data.locate import files_layout
from tfrec.data.options import DataConfig, SplitConfig
from tfrec.data.prepared import PreparedData
from tfrec.data.splits import make_split
from tfrec.errors import command
from tfrec.evaluation.baselines import all_baselines, run_baselines
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.ranking import rank

MIN_ITEM_EVENTS = 5


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="see above")
    parser.add_argument("--names", help=f"some of {','.join(all_baselines())}; default all")
    parser.add_argument("--tune-seconds", type=float, default=120.0, help="per baseline")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as folder:
        data = read(flags.data, Path(folder))
        split = make_split(data, SplitConfig(), flags.seed)
        test = split.cases("test")
        print(
            f"{len(test):,} cases, full ranking over {data.num_items:,} items, seen removed, "
            f"{split.describe()}"
        )
        rows = []
        for baseline in run_baselines(
            split.train(),
            split.cases("validation"),
            data.num_items,
            flags.names.split(",") if flags.names else None,
            seed=flags.seed,
            tune_seconds=flags.tune_seconds,
            log=lambda line: print(line, flush=True),
        ):
            if baseline.scorer is None:
                continue
            started = time.monotonic()
            ranking = rank(baseline.scorer, test, data.num_items, top_k=10, seed=flags.seed)
            metrics = accuracy(ranking, test, [10])
            rows.append((baseline, metrics, len(test) / (time.monotonic() - started)))

    print(f"\n{'test':<30} {'HR@10':>7} {'NDCG@10':>8} {'tune+fit':>9} {'cases/s':>9}")
    for baseline, metrics, speed in sorted(rows, key=lambda row: row[1]["ndcg@10"].mean()):
        hit_rate, ndcg = (np.mean(metrics[name]) for name in ("hit_rate@10", "ndcg@10"))
        print(
            f"{baseline.name:<30} {hit_rate:>7.4f} {ndcg:>8.4f} {baseline.fit_seconds:>7.1f} s"
            f" {speed:>9,.0f}"
        )
    return 0


def read(data: str, folder: Path) -> PreparedData:
    """A folder of MovieLens-1M, two columns of text without a header, or what tfrec reads."""
    if Path(data).is_dir():
        data = f"movielens-1m:{data}"
    if not data.endswith(".txt"):
        return load(DataConfig(data=data, min_item_events=MIN_ITEM_EVENTS))
    config = DataConfig(
        data=data,
        separator=" ",
        column_names=["user", "item"],
        columns={"user": "user", "item": "item", "timestamp": ""},
        min_item_events=MIN_ITEM_EVENTS,
    )
    return prepare(files_layout(config), config, folder / "prepared", log=lambda line: None)


if __name__ == "__main__":
    raise SystemExit(main())
