"""python -m tfrec.train: a log in, a trained recommender and an honest results table out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrec.config import add_flags, resolve, to_yaml
from tfrec.console import count, import_tensorflow, say, seconds, size
from tfrec.errors import UserError, command
from tfrec.run import (
    CHECKPOINTS,
    CONFIG,
    TENSORBOARD,
    RunConfig,
    command_line,
    load_data,
    new_run_folder,
    resumed_run,
    start,
    without_secrets,
    working,
    write_epochs,
)

if TYPE_CHECKING:
    from tfrec.evaluation.results import Results

EXAMPLES = """\
examples:
  python -m tfrec.train                                   the synthetic world, no network needed
  python -m tfrec.train --data movielens-1m --k-core 5    downloads once into the cache
  python -m tfrec.train --data movielens-1m:/data/ml-1m   the same from a folder on disk
  python -m tfrec.train --data clicks.parquet --columns user=uid,item=sku,timestamp=ts
  python -m tfrec.train --data 'log/*.csv.gz' --items items.jsonl --text title,description
  python -m tfrec.train --model two-tower --split global-time
  python -m tfrec.train --resume runs/ledger-synthetic-20260101-120000
  python -m tfrec.train --config runs/ledger-synthetic-20260101-120000/config.yaml --seed 1

A run leaves config.yaml (makes it again), checkpoints/, epochs.jsonl, tensorboard/, split.npy,
readouts.npz (calibration), results.json, results.md and report.html. Ctrl-C and SIGTERM save and
stop; --resume goes on.
exit codes: 0 done, 2 something to correct in options or data, 130 Ctrl-C, 143 SIGTERM
"""

# What may change when a run goes on: how long, not what.
_RESUMABLE = ("training.patience", "training.checkpoint_minutes")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tfrec.train",
        usage="%(prog)s [--data LOG] [--model MODEL] [options]",
        description="Trains a sequence recommender on an interaction log and ranks the whole "
        "catalogue with it and with tuned baselines.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--config", metavar="FILE", help="options from a YAML file; flags win over it"
    )
    made.add_argument(
        "--out", metavar="RUN", help="run folder (default runs/<model>-<data>-<time>)"
    )
    made.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped or killed")
    add_flags(made, RunConfig)
    return made


@command
def main(argv: Sequence[str]) -> int:
    flags = parser().parse_args(argv)
    if flags.resume is None:
        config = resolve(RunConfig, flags, flags.config)
        folder = (
            Path(flags.out) if flags.out else new_run_folder(config.model.model, config.data.data)
        )
        train(config, folder)
        return 0
    folder = resumed_run(flags, _RESUMABLE)
    train(resolve(RunConfig, flags, folder / CONFIG), folder, resume=True)
    return 0


def train(config: RunConfig, folder: Path, resume: bool = False) -> Results:
    """Runs the whole job and leaves everything in `folder`.

    Arguments:
        config: what to do.
        folder: the run folder, made here unless `resume`.
        resume: go on where the folder's checkpoint stands.

    Returns:
        The results table, also written to results.json, results.md and report.html.

    Raises:
        UserError: something in the options or the data is wrong.
        Interrupted: on SIGINT or SIGTERM, after everything was saved.

    Example:
        >>> config = RunConfig(training=TrainingConfig(epochs=1))  # doctest: +SKIP
        >>> train(config, Path("runs/one")).models[0].metrics["ndcg@10"]  # doctest: +SKIP
    """
    from tfrec.evaluation.run_evaluation import check as check_evaluation
    from tfrec.text.options import HUB
    from tfrec.training.setup import check as check_training

    check_training(config.training)
    check_evaluation(config.evaluation)
    if config.text.text_encoder != "none" and config.model.model != "ledger":
        raise UserError(f"--text-encoder needs the ledger, {config.model.model} reads no texts")
    if config.vectors.item_vectors and config.model.model != "ledger":
        raise UserError(f"--item-vectors needs the ledger, {config.model.model} reads none")
    if config.tuning.tunes and config.text.long_texts == "chunks":
        raise UserError(
            "--long-texts chunks reads texts with an encoder that is there: leave it out, or "
            "--text-tuning"
        )
    if config.tuning.tunes and config.text.text_encoder == "none":
        raise UserError("--text-tuning needs an encoder to tune: name one with --text-encoder")
    hub = config.text.text_encoder.startswith(HUB)
    if hub and config.tuning.text_tuning not in ("frozen", "full"):
        raise UserError(
            f"--text-tuning {config.tuning.text_tuning}: the layers of {config.text.text_encoder} "
            "are not known here. Take full or frozen, or an encoder from a folder, hf:<id> or "
            "keras:<preset>"
        )
    if hub and config.tuning.tunes and config.training.strategy != "none":
        raise UserError(
            f"--text-tuning of {config.text.text_encoder} trains on one replica: leave out "
            "--strategy"
        )
    if config.tuning.tunes and (config.text.user_template or config.text.query_share):
        raise UserError(
            "--text-tuning does not go with --user-template or --query-share: the vectors of what "
            "users say are computed once. Tune first, then name the tuned encoder"
        )
    new = not folder.exists()
    if not resume:
        start(folder, config)
    with working(folder, "tfrec.train", new):
        return _train(config, folder)


def _train(config: RunConfig, folder: Path) -> Results:
    from tfrec.data.item_vectors import item_vectors
    from tfrec.data.sequences import count_items
    from tfrec.data.splits import SPLIT_FILE, load_split, make_split
    from tfrec.evaluation.domains import unasked_domains

    say(f"run folder {folder}")
    data = load_data(folder, config)
    seed = config.training.seed
    if (folder / SPLIT_FILE).exists():
        split = load_split(folder, data)
    else:
        split = make_split(data, config.split, seed)
        split.save(folder)
    say(
        f"{count(data.num_events)} events, {count(data.num_users)} users, "
        f"{count(data.num_items)} items; {split.describe()}"
    )

    # Better said before the training than after it.
    for name in unasked_domains(data, split, "test", not config.evaluation.keep_seen):
        say(f"no test case has a target in the domain {name}: nothing is measured there")

    tf = import_tensorflow()
    from tfrec.evaluation.run_evaluation import Validation, evaluate_run, text_views
    from tfrec.interest.fitting.fit_readouts import fit_readouts
    from tfrec.models.build import DISPLAY_NAMES, build_model, cold_items
    from tfrec.text.catalogue_vectors import catalogue_vectors
    from tfrec.text.users import practice_queries, user_texts
    from tfrec.training import loop, setup, text_setup

    strategy = setup.make_strategy(config.training)
    texts = catalogue_vectors(data, config.text, folder, config.data.cache_folder)
    cache = config.data.cache_folder
    users = user_texts(data, config.text, folder, cache)
    queries = practice_queries(data, config.text, cache, seed)
    vectors = item_vectors(config.vectors.item_vectors, data.items["item_id"].to_pylist(), folder)
    setup.seed_everything(config.training)
    train_sequences = split.train()
    with strategy.scope():
        model = build_model(
            config.model,
            data,
            train_sequences,
            texts,
            users,
            None if vectors is None else vectors.values,
        )
        objective, batches = setup.make_objective_and_batches(
            config.training,
            config.model,
            config.losses,
            data,
            train_sequences,
            count_items(train_sequences, data.num_items),
            cold_items(model),
            strategy.num_replicas_in_sync,
            config.evaluation.keep_seen,
            users,
            queries,
        )
        optimizer = setup.make_optimizer(
            config.training, model.trainable_variables, batches.steps_per_epoch
        )
    name = DISPLAY_NAMES[config.model.model]
    settings = setup.settings(config.model, config.training, data.num_items)
    weights = sum(int(tf.size(variable)) for variable in model.trainable_variables)
    say(
        f"{name}: {count(weights)} weights ({size(4 * weights)}), {settings['loss']} loss, "
        f"{batches.steps_per_epoch} steps of {batches.batch_size} x {batches.max_length} tokens "
        f"per epoch ({batches.fill:.0%} filled), {strategy.num_replicas_in_sync} replica(s)"
    )

    writer = tf.summary.create_file_writer(str(folder / TENSORBOARD))

    def record(epochs: list[dict[str, Any]]) -> None:
        write_epochs(folder, epochs)
        with writer.as_default(step=epochs[-1]["epoch"]):
            for key, value in epochs[-1].items():
                if key != "epoch":
                    tf.summary.scalar(key.replace("@", "_at_").replace(" ", "/"), value)
        writer.flush()

    validation = Validation(model, split, config.evaluation, seed)
    learning = text_setup.Learning(model, optimizer, objective, batches, validation)
    training = config.training
    if config.tuning.tunes:
        with strategy.scope():
            learning = text_setup.with_texts(
                learning, batches, data, config.text, config.tuning, training.epochs, folder
            )
        training = text_setup.compilable(training, strategy)
    progressed = loop.fit(
        *learning,
        config.evaluation.metric,
        training,
        folder / CHECKPOINTS,
        strategy,
        record,
    )
    if config.tuning.tunes:
        text_setup.keep(learning.model, config.text, config.tuning, folder)
    epochs = progressed.epochs
    spent = sum(epoch["seconds"] + epoch["validation_seconds"] for epoch in epochs)
    say(f"trained {len(epochs)} epochs in {seconds(spent)}; now the test cases and the baselines")

    started = time.monotonic()
    readouts = fit_readouts(model, split, config.evaluation.keep_seen, seed)
    readouts.save(folder)
    say(
        f"read-outs fitted on validation in {seconds(time.monotonic() - started)}: "
        f"temperature {readouts.temperature.temperature:.2f}"
    )

    results = evaluate_run(
        model,
        name,
        settings,
        data,
        split,
        "test",
        config.evaluation,
        seed,
        folder,
        epochs,
        text_views(data, config.text, folder),
    )
    publish(results, config, folder)
    return results


def publish(results: Results, config: RunConfig, folder: Path) -> None:
    """Prints the table and what it means, and writes the report."""
    from tfrec.evaluation.domains import WITHIN
    from tfrec.evaluation.grid import slice_names
    from tfrec.evaluation.headline import headline
    from tfrec.evaluation.table import console_table, slice_table

    write_results(results, config, folder)
    say()
    say(console_table(results))
    say()
    for name in slice_names(results):
        if name.endswith(WITHIN):
            say(slice_table(results, name))
            say()
    say(headline(results))
    say(f"report: {folder / 'report.html'}")


def write_results(results: Results, config: RunConfig, folder: Path) -> None:
    """results.json, results.md and report.html, with what they were made by."""
    from tfrec.evaluation.report import write_report

    results.environment["command"] = command_line()
    results.environment["config"] = to_yaml(without_secrets(config))
    write_report(results, folder)


if __name__ == "__main__":
    raise SystemExit(main())
