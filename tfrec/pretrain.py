"""python -m tfrec.pretrain: texts in, an encoder out that --text-encoder takes."""

from __future__ import annotations

import argparse
import json
import operator
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
    from tfrec.text.pretraining.corpus import Corpus
    from tfrec.text.pretraining.masked_lm import MaskedLM

EXAMPLES = """\
examples:
  python -m tfrec.pretrain --data movielens-1m            a BERT of our own, from its titles
  python -m tfrec.pretrain --data log.csv --items items.csv --text title,description
  python -m tfrec.pretrain --data log.csv --items items.csv --text title --encoder minilm
  python -m tfrec.pretrain --texts 'reviews/*.txt.gz' --encoder scratch:small --epochs 20
  python -m tfrec.pretrain --resume runs/pretrain-synthetic-20260101-120000
  python -m tfrec.train --text-encoder runs/pretrain-synthetic-20260101-120000/encoder …

Words are hidden and the encoder learns to guess them (masked language modelling). Some texts are
held out; perplexity and accuracy on them stand beside those of a guess by frequency.

A run leaves encoder/ (what --text-encoder takes), config.yaml (makes it again), results.json,
epochs.jsonl and, to go on, checkpoints/, start/ and corpus.npz. Ctrl-C and SIGTERM save and stop;
--resume goes on.
exit codes: 0 done, 2 something to correct in options or data, 130 Ctrl-C, 143 SIGTERM
"""

START, CORPUS, ENCODER_FOLDER, RESULTS = "start", "corpus.npz", "encoder", "results.json"
# Tokens that an encoder of our own reads at the most, where --text-max-length says nothing.
_SCRATCH_LENGTH = 128
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
        What results.json holds: perplexity and accuracy on held-out texts of a guess by frequency
        ("unigram"), "before" and "after" training, and per epoch. The epoch of the best
        perplexity, whose weights are kept, is told on the same held-out texts.

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
    from tfrec.text.pretraining.batches import MaskedBatches
    from tfrec.text.pretraining.head import save_head
    from tfrec.text.pretraining.held_out import HeldOut
    from tfrec.text.pretraining.masking import masking
    from tfrec.training import loop, setup
    from tfrec.training.masked_objective import MaskedObjective, make_adamw

    options = config.pretraining
    say(f"run folder {folder}")
    strategy = setup.make_strategy(options)
    setup.seed_everything(options)
    corpus = _prepare(config, folder)
    # Again, so that a run that finds its start made draws what the one that made it drew.
    setup.seed_everything(options)
    replicas = strategy.num_replicas_in_sync
    with strategy.scope():
        model = _model(folder, config)
        tokenizer = model.encoder.tokenizer
        words = masking(tokenizer, options.mask_rate, options.whole_words)
        batches = MaskedBatches(
            corpus.part(held_out=False),
            tokenizer,
            tokenizer.max_length,
            words,
            options.batch_tokens,
            options.seed,
            replicas,
        )
        steps = options.epochs * batches.steps_per_epoch
        optimizer = make_adamw(
            model.trainable_variables,
            options.learning_rate,
            round(options.warmup * steps),
            steps,
            options.weight_decay,
        )
    measured = corpus.part(held_out=True)
    held_out = HeldOut(
        model,
        MaskedBatches(
            measured, tokenizer, tokenizer.max_length, words, options.batch_tokens, options.seed
        ),
    )
    weights = sum(int(tf.size(variable)) for variable in model.trainable_variables)
    say(
        f"{options.encoder}: {count(weights)} weights ({size(4 * weights)}), "
        f"{count(batches.examples_per_epoch)} pieces of up to {tokenizer.max_length} tokens in "
        f"{batches.steps_per_epoch} steps per epoch, {replicas} replica(s)"
    )
    results = _before(folder, held_out, batches.corpus, words.ordinary)
    say(f"held out: {count(len(measured.lengths))} pieces, {count(held_out.tokens)} masked tokens")
    for name in ("unigram", "before"):
        say(_line(name, results[name]))
    progressed = loop.fit(
        model,
        optimizer,
        MaskedObjective(),
        batches,
        held_out,
        "perplexity",
        options,
        folder / CHECKPOINTS,
        strategy,
        lambda epochs: write_epochs(folder, epochs),
        better=operator.lt,
        shown=["accuracy"],
    )
    spent = sum(epoch["seconds"] + epoch["validation_seconds"] for epoch in progressed.epochs)
    results |= {"after": held_out(), "epochs": progressed.epochs}
    save_head([weight.numpy() for weight in model.head], folder / ENCODER_FOLDER)
    model.encoder.save(folder / ENCODER_FOLDER)
    write_text(folder / RESULTS, json.dumps(results, indent=1) + "\n")
    say(f"trained {len(progressed.epochs)} epochs in {seconds(spent)}")
    say(_line("after", results["after"]))
    say(f"encoder: {folder / ENCODER_FOLDER}, for --text-encoder of python -m tfrec.train")
    return results


def _prepare(config: PretrainConfig, folder: Path) -> Corpus:
    """The corpus; makes it and the encoder to begin with unless the run has both."""
    from tfrec.text.encoder import load_encoder
    from tfrec.text.pretraining.corpus import Corpus, held_out, make_corpus
    from tfrec.text.pretraining.head import read_head, save_head
    from tfrec.text.pretraining.masked_lm import must_see_both_sides
    from tfrec.text.scratch import make_scratch

    if (folder / CORPUS).exists():
        return Corpus.load(folder / CORPUS)
    options = config.pretraining
    texts = _texts(config, folder)
    measuring = held_out(texts, options.held_out)
    say(f"{count(len(texts))} texts, {count(int(measuring.sum()))} of them held out")
    begin = folder / START
    if options.scratch is not None:
        if not begin.exists():
            learned = (text for text, out in zip(texts, measuring, strict=True) if not out)
            make_scratch(options.scratch, learned, begin, options.seed)
        encoder = load_encoder(begin, _max_length(config))
    else:
        encoder = load_encoder(options.encoder, _max_length(config))
        must_see_both_sides(encoder.architecture)
        head = read_head(options.encoder)
        if head is not None:
            save_head(head, begin)
        encoder.save(begin)
    corpus = make_corpus(texts, measuring, encoder.tokenizer, encoder.tokenizer.max_length)
    corpus.save(folder / CORPUS)
    return corpus


def _texts(config: PretrainConfig, folder: Path) -> list[str]:
    from tfrec.text.catalogue_vectors import catalogue_texts
    from tfrec.text.cleaning import clean
    from tfrec.text.pretraining.corpus import distinct, read_lines

    if config.pretraining.texts is None:
        found = catalogue_texts(load_data(folder, config), config.text)
    else:
        from tfrec.data.locate import find_files

        found = clean(list(read_lines(find_files(config.pretraining.texts))), config.text)
    return distinct(found)


def _model(folder: Path, config: PretrainConfig) -> MaskedLM:
    """The model as the run begins with it."""
    from tfrec.text.encoder import load_encoder
    from tfrec.text.pretraining.head import assign_head, read_head
    from tfrec.text.pretraining.masked_lm import MaskedLM

    begin = str(folder / START)
    model = MaskedLM(load_encoder(begin, _max_length(config)))
    model.build()
    head = read_head(begin)
    if head is not None:
        assign_head(model.head, head, config.pretraining.encoder)
    return model


def _max_length(config: PretrainConfig) -> int | None:
    """Tokens of a row; None for as many as the encoder was made for."""
    told = config.text.text_max_length or None
    return told if config.pretraining.scratch is None else told or _SCRATCH_LENGTH


def _before(folder: Path, held_out: Any, train: Corpus, ordinary: Any) -> dict[str, Any]:
    """What stands before the first step, measured once."""
    path = folder / RESULTS
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    results = {
        "masked_tokens": held_out.tokens,
        "unigram": held_out.by_frequency(train, ordinary),
        "before": held_out(),
    }
    write_text(path, json.dumps(results, indent=1) + "\n")
    return results


def _line(name: str, measured: dict[str, float]) -> str:
    return (
        f"  {name:<8} perplexity {measured['perplexity']:>11,.2f}  "
        f"accuracy {measured['accuracy']:.4f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
