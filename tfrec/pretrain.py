"""python -m tfrec.pretrain: texts in, an encoder out that --text-encoder takes."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrec.atomic import write_text
from tfrec.config import add_flags, resolve
from tfrec.console import count, import_tensorflow, say, seconds, size
from tfrec.errors import command
from tfrec.run import (
    CHECKPOINTS,
    CONFIG,
    PretrainConfig,
    load_data,
    new_run_folder,
    resumed_run,
    start,
    working,
    write_epochs,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from tfrec.training.pretraining.ready import Ready

EXAMPLES = """\
examples:
  python -m tfrec.pretrain --data movielens-1m            a BERT of our own, from its titles
  python -m tfrec.pretrain --data log.csv --items items.csv --text title,description
  python -m tfrec.pretrain --data log.csv --items items.csv --text title --encoder minilm
  python -m tfrec.pretrain --texts 'reviews/*.txt.gz' --encoder scratch:small --epochs 20
  python -m tfrec.pretrain --objective item-pairs --data log.csv --items items.csv --text title
  python -m tfrec.pretrain --resume runs/pretrain-synthetic-20260101-120000
  python -m tfrec.train --text-encoder runs/pretrain-synthetic-20260101-120000/encoder …

masked-lm: words are hidden and the encoder learns to guess them (masked language modelling). Some
texts are held out; perplexity and accuracy on them stand beside those of a guess by frequency.
item-pairs: texts of items that are near each other in a history get vectors that are alike. Only
training events of the split are read: give --split and --seed as the training to come will have
them. Of held-out texts the partners are looked for among all texts, beside TF-IDF and popularity.
The one may begin with what the other left: --encoder RUN/encoder.

A run leaves encoder/ (what --text-encoder takes), config.yaml (makes it again), results.json,
epochs.jsonl and, to go on, checkpoints/, start/ and corpus.npz or pairs.npz. Ctrl-C and SIGTERM
save and stop; --resume goes on.
exit codes: 0 done, 2 something to correct in options or data, 130 Ctrl-C, 143 SIGTERM
"""

START, CORPUS, PAIRS = "start", "corpus.npz", "pairs.npz"
ENCODER_FOLDER, RESULTS = "encoder", "results.json"
_RESUMABLE = ("pretraining.patience", "pretraining.checkpoint_minutes")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tfrec.pretrain",
        usage="%(prog)s [--data LOG | --texts FILES] [--encoder ENCODER] [options]",
        description="Trains a text encoder on a catalogue's texts, or on any texts, before "
        "recommending is learned.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--config", metavar="FILE", help="options from a YAML file; flags win over it"
    )
    made.add_argument(
        "--out", metavar="RUN", help="run folder (default runs/pretrain-<data>-<time>)"
    )
    made.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped or killed")
    add_flags(made, PretrainConfig)
    return made


@command
def main(argv: Sequence[str]) -> int:
    flags = parser().parse_args(argv)
    if flags.resume is None:
        config = resolve(PretrainConfig, flags, flags.config)
        data = config.pretraining.texts or config.data.data
        folder = Path(flags.out) if flags.out else new_run_folder("pretrain", data)
        pretrain(config, folder)
        return 0
    folder = resumed_run(flags, _RESUMABLE)
    pretrain(resolve(PretrainConfig, flags, folder / CONFIG), folder, resume=True)
    return 0


def pretrain(config: PretrainConfig, folder: Path, resume: bool = False) -> dict[str, Any]:
    """Runs the whole job and leaves everything in `folder`.

    Arguments:
        config: what to do.
        folder: the run folder, made here unless `resume`.
        resume: go on where the folder's checkpoint stands.

    Returns:
        What results.json holds: measures on held-out texts of what knows less ("unigram", or
        "popularity" and "tf-idf"), "before" and "after" training, and per epoch. The best epoch,
        whose weights are kept, is told on the same held-out texts.

    Raises:
        UserError: something in the options or the texts is wrong.
        Interrupted: on SIGINT or SIGTERM, after everything was saved.

    Example:
        >>> pretrain(PretrainConfig(), Path("runs/bert"))["after"]["perplexity"]  # doctest: +SKIP
    """
    new = not folder.exists()
    if not resume:
        start(folder, config)
    with working(folder, "tfrec.pretrain", new):
        return _pretrain(config, folder)


def _pretrain(config: PretrainConfig, folder: Path) -> dict[str, Any]:
    tf = import_tensorflow()
    from tfrec.training import loop, setup

    options = config.pretraining
    say(f"run folder {folder}")
    strategy = setup.make_strategy(options)
    setup.seed_everything(options)
    made = _prepared(config, folder, strategy)
    model, batches, validate = made.learning.model, made.learning.batches, made.learning.validate
    weights = sum(int(tf.size(variable)) for variable in model.trainable_variables)
    say(
        f"{options.encoder}: {count(weights)} weights ({size(4 * weights)}), {made.trains_on} in "
        f"{batches.steps_per_epoch} steps per epoch, {strategy.num_replicas_in_sync} replica(s)"
    )
    say(f"held out: {made.measures_on}")
    if (folder / RESULTS).exists():
        found = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        results = {name: found[name] for name in found if name not in ("after", "epochs")}
    else:
        results = made.guesses() | {"before": validate()}
        write_text(folder / RESULTS, json.dumps(results, indent=1) + "\n")
    for name in results:
        say(_line(name, results[name]))
    progressed = loop.fit(
        *made.learning,
        made.metric,
        options,
        folder / CHECKPOINTS,
        strategy,
        lambda epochs: write_epochs(folder, epochs),
        better=made.better,
        shown=made.shown,
    )
    spent = sum(epoch["seconds"] + epoch["validation_seconds"] for epoch in progressed.epochs)
    results |= {"after": validate()}
    made.keep(folder / ENCODER_FOLDER)
    made.encoder.save(folder / ENCODER_FOLDER)
    if config.pretraining.scratch is None:
        from tfrec.text.licence import inherit_licence

        inherit_licence(config.pretraining.encoder, folder / ENCODER_FOLDER)
    results |= {"epochs": progressed.epochs}
    write_text(folder / RESULTS, json.dumps(results, indent=1) + "\n")
    say(f"trained {len(progressed.epochs)} epochs in {seconds(spent)}")
    say(_line("after", results["after"]))
    say(f"encoder: {folder / ENCODER_FOLDER}, for --text-encoder of python -m tfrec.train")
    return results


def _prepared(config: PretrainConfig, folder: Path, strategy: Any) -> Ready:
    """The parts of the training, made of the texts or the log."""
    from tfrec.training import setup

    options, reading, replicas = config.pretraining, config.text, strategy.num_replicas_in_sync
    begin = folder / START
    if options.objective == "item-pairs":
        from tfrec.training.pretraining import item_pairs

        taken = functools.cache(functools.partial(_taken_together, config, folder))
        pairs = item_pairs.prepare(options, reading, taken, begin, folder / PAIRS)
        # Again, so that a run that finds its start made draws what the one that made it drew.
        setup.seed_everything(options)
        with strategy.scope():
            return item_pairs.ready(options, reading, pairs, begin, replicas, taken)
    from tfrec.training.pretraining import masked_lm

    texts = functools.partial(_texts, config, folder)
    corpus = masked_lm.prepare(options, reading, texts, begin, folder / CORPUS)
    setup.seed_everything(options)
    with strategy.scope():
        return masked_lm.ready(options, reading, corpus, begin, replicas)


def _texts(config: PretrainConfig, folder: Path) -> list[str]:
    """The different texts of the catalogue or the files."""
    from tfrec.text.catalogue_vectors import catalogue_texts
    from tfrec.text.cleaning import clean
    from tfrec.text.pretraining.corpus import distinct, read_lines

    if config.pretraining.texts is None:
        found = catalogue_texts(load_data(folder, config), config.text)
    else:
        from tfrec.data.locate import find_files

        found = clean(list(read_lines(find_files(config.pretraining.texts))), config.text)
    return distinct(found)


def _taken_together(config: PretrainConfig, folder: Path) -> tuple[list[str], csr_matrix]:
    """The different texts of the items, and how often each two were taken together in training."""
    from tfrec.data.splits import make_split
    from tfrec.text.catalogue_vectors import catalogue_texts
    from tfrec.text.pretraining.item_pairs import together

    data = load_data(folder, config)
    texts = catalogue_texts(data, config.text)
    split = make_split(data, config.split, config.pretraining.seed)
    say(f"training events of {split.describe()}")
    return together(split.train(), texts, config.pretraining.pair_window)


def _line(name: str, measured: dict[str, float]) -> str:
    values = "  ".join(
        f"{measure} {value:>11,.2f}" if measure == "perplexity" else f"{measure} {value:.4f}"
        for measure, value in measured.items()
    )
    return f"  {name:<10} {values}"


if __name__ == "__main__":
    raise SystemExit(main())
