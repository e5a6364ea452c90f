"""Training and evaluation speed of SASRec beside RecTools (torch), same data, size and loss.

    python benchmarks/speed.py --data ml-1m/ratings.dat --peer-python /venv/with/rectools/bin/python

RecTools lives in an environment of its own: `pip install 'RecTools[torch]'`. Both run as fresh
processes in turn (ours, theirs, ours, …); the first epoch of each is warm-up and not counted. The
peer gets glibc settings that keep freed memory, which helps torch a great deal.

Examples are real next-item predictions (padding does not count), so that packing is compared with
padding fairly. Evaluation is a full ranking of the catalogue with seen items removed, and HR@10 and
NDCG@10 of every user.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MODEL: dict[str, Any] = {"dim": 64, "layers": 2, "heads": 1, "max_length": 200, "dropout": 0.2}
PEER_MALLOC = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"
)


def tfrec_worker(log: Path, epochs: int, rows: int) -> dict[str, float]:
    """One training and one evaluation with tfrec."""
    from tfrec.console import import_tensorflow

    tf = import_tensorflow()
    from tfrec.data.ingest import load
    from tfrec.data.options import DataConfig, SplitConfig
    from tfrec.data.sequences import count_items
    from tfrec.data.splits import make_split
    from tfrec.evaluation.metrics import accuracy
    from tfrec.evaluation.model_ranking import ModelRanker
    from tfrec.models.build import build_model
    from tfrec.models.options import ModelConfig
    from tfrec.training import loop, setup
    from tfrec.training.options import LossConfig, TrainingConfig

    with tempfile.TemporaryDirectory() as folder:
        data = load(DataConfig(data=str(log), cache=folder), lambda line: None)
        split = make_split(data, SplitConfig(), seed=0)
        config = TrainingConfig(epochs=epochs, batch_size=rows, patience=epochs, loss="full")
        setup.seed_everything(config)
        sasrec, train = ModelConfig(model="sasrec", **MODEL), split.train()
        model = build_model(sasrec, data, train)
        objective, batches = setup.make_objective_and_batches(
            config,
            sasrec,
            LossConfig(),
            data,
            train,
            count_items(train, data.num_items),
            cold=None,
            replicas=1,
            keep_seen=True,  # as the other side does
        )
        optimizer = setup.make_optimizer(config, model.trainable_variables, batches.steps_per_epoch)
        nothing = {"ndcg@10": 0.0}
        progressed = loop.fit(
            model,
            optimizer,
            objective,
            batches,
            lambda: nothing,
            "ndcg@10",
            config,
            Path(folder),
            tf.distribute.get_strategy(),
            lambda epochs: None,
        )
        seconds = statistics.median(epoch["seconds"] for epoch in progressed.epochs[1:])
        cases = split.cases("test")
        ranker = ModelRanker(model)
        ranker.rank(cases.take(slice(0, 500)), 10)  # warm-up
        started = time.perf_counter()
        metrics = accuracy(ranker.rank(cases, 10), cases, [10])
        metrics["hit_rate@10"].mean(), metrics["ndcg@10"].mean()
        evaluation = time.perf_counter() - started
    return {
        "epoch_seconds": seconds,
        "examples_per_s": batches.examples_per_epoch / seconds,
        "evaluation_users_per_s": len(cases) / evaluation,
    }


def rectools_worker(log: Path, epochs: int, users_per_batch: int) -> dict[str, float]:
    """The same with RecTools."""
    import logging
    import warnings

    import pandas as pd
    import torch
    from pytorch_lightning import Callback, Trainer
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.metrics import NDCG, HitRate, calc_metrics
    from rectools.models import SASRecModel
    from rectools.models.nn.item_net import IdEmbeddingsItemNet

    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(os.cpu_count() or 1)

    frame = pd.read_csv(log).rename(columns={"timestamp": Columns.Datetime})
    frame[Columns.Weight] = 1
    newest = frame.groupby(Columns.User).cumcount(ascending=False)
    train, known, test = frame[newest >= 2], frame[newest >= 1], frame[newest == 0]

    marks: list[float] = []

    class Clock(Callback):
        def on_train_epoch_start(self, *_: object) -> None:
            marks.append(-time.perf_counter())

        def on_train_epoch_end(self, *_: object) -> None:
            marks[-1] += time.perf_counter()

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Clock()],
        )

    model = SASRecModel(
        n_factors=MODEL["dim"],
        n_blocks=MODEL["layers"],
        n_heads=MODEL["heads"],
        session_max_len=MODEL["max_length"],
        dropout_rate=MODEL["dropout"],
        loss="softmax",
        batch_size=users_per_batch,
        lr=1e-3,
        item_net_block_types=(IdEmbeddingsItemNet,),
        get_trainer_func=trainer,
    )
    model.fit(Dataset.construct(train))
    lengths = train.groupby(Columns.User).size()
    examples = int((lengths.clip(upper=MODEL["max_length"] + 1) - 1).sum())
    seconds = statistics.median(marks[1:])

    dataset = Dataset.construct(known)
    users = test[Columns.User].unique()
    model.recommend(users[:500], dataset, k=10, filter_viewed=True)  # warm-up
    started = time.perf_counter()
    recommended = model.recommend(users, dataset, k=10, filter_viewed=True)
    calc_metrics({"hr": HitRate(k=10), "ndcg": NDCG(k=10)}, recommended, interactions=test)
    evaluation = time.perf_counter() - started
    return {
        "epoch_seconds": seconds,
        "examples_per_s": examples / seconds,
        "evaluation_users_per_s": len(users) / evaluation,
    }


def run(python: str, worker: str, log: Path, epochs: int, batch: int) -> dict[str, float]:
    environment = dict(os.environ)
    if worker == "rectools":
        environment["GLIBC_TUNABLES"] = PEER_MALLOC
    argv = [python, __file__, "--worker", worker, "--data", str(log)]
    argv += ["--epochs", str(epochs), "--batch", str(batch)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{worker} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def as_csv(ratings: Path, folder: Path) -> Path:
    """ratings.dat of MovieLens-1M -> a CSV in time order, ties in file order."""
    import pandas as pd

    frame = pd.read_csv(
        ratings,
        sep="::",
        engine="python",
        names=["user_id", "item_id", "rating", "timestamp"],
        usecols=["user_id", "item_id", "timestamp"],
    )
    frame = frame[frame.groupby("item_id")["item_id"].transform("size") >= 5]
    frame = frame.sort_values(["user_id", "timestamp"], kind="stable")
    path = folder / "events.csv"
    frame.to_csv(path, index=False)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="ratings.dat of MovieLens-1M")
    parser.add_argument("--peer-python", help="Python of the environment with RecTools")
    parser.add_argument("--repeats", type=int, default=3, help="alternations (default 3)")
    parser.add_argument("--epochs", type=int, default=3, help="per process, the first is warm-up")
    parser.add_argument("--worker", choices=["tfrec", "rectools"], help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=0, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.worker:
        work = tfrec_worker if flags.worker == "tfrec" else rectools_worker
        print(json.dumps(work(flags.data, flags.epochs, flags.batch)))
        return
    if not flags.peer_python:
        parser.error("--peer-python is needed")

    # 70 packed rows hold as many examples as 128 padded users of MovieLens-1M.
    sides = [(sys.executable, "tfrec", 70), (flags.peer_python, "rectools", 128)]
    runs: dict[str, list[dict[str, float]]] = {"tfrec": [], "rectools": []}
    with tempfile.TemporaryDirectory() as folder:
        log = as_csv(flags.data, Path(folder))
        for repeat in range(flags.repeats):
            for python, worker, batch in sides:
                runs[worker].append(run(python, worker, log, flags.epochs, batch))
                print(f"{repeat + 1}/{flags.repeats} {worker}: {runs[worker][-1]}", flush=True)
    print(f"\n{'':24}{'tfrec':>12}{'RecTools':>12}   ratio (median of pairs)")
    for name in ("epoch_seconds", "examples_per_s", "evaluation_users_per_s"):
        ours, theirs = ([result[name] for result in runs[side]] for side in runs)
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        line = f"{name:24}{statistics.median(ours):12,.1f}{statistics.median(theirs):12,.1f}"
        print(f"{line}{ratio:8.2f}")


if __name__ == "__main__":
    main()
