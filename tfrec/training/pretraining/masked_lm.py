"""Masked language modelling: words are hidden, and the encoder learns to guess them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path

from tfrec.console import count, say
from tfrec.text.encoder import load_encoder
from tfrec.text.options import TextReading
from tfrec.text.pretraining.batches import MaskedBatches
from tfrec.text.pretraining.beginning import begin, max_length
from tfrec.text.pretraining.corpus import Corpus, held_out, make_corpus
from tfrec.text.pretraining.head import assign_head, read_head, save_head
from tfrec.text.pretraining.held_out import HeldOut
from tfrec.text.pretraining.masked_lm import MaskedLM, must_see_both_sides
from tfrec.text.pretraining.masking import masking
from tfrec.text.pretraining.options import PretrainingConfig
from tfrec.training.masked_objective import MaskedObjective, make_adamw
from tfrec.training.pretraining.ready import Ready
from tfrec.training.text_setup import Learning


def prepare(
    options: PretrainingConfig,
    reading: TextReading,
    texts: Callable[[], list[str]],
    start: Path,
    path: Path,
) -> Corpus:
    """The corpus; makes it and the encoder to begin with unless the run has both.

    Arguments:
        options, reading: of the run.
        texts: gives the different texts.
        start: the folder of the encoder to begin with.
        path: where the corpus is kept.

    Raises:
        UserError: the texts are too few, or the encoder cannot be read or hides no words.
    """
    if path.exists():
        return Corpus.load(path)
    found = texts()
    measuring = held_out(found, options.held_out)
    say(f"{count(len(found))} texts, {count(int(measuring.sum()))} of them held out")
    learned = (text for text, out in zip(found, measuring, strict=True) if not out)
    encoder = begin(options, reading, learned, start)
    if options.scratch is None:
        must_see_both_sides(encoder.architecture)
        head = read_head(options.encoder)
        if head is not None:
            save_head(head, start)
        encoder.save(start)
    corpus = make_corpus(found, measuring, encoder.tokenizer, encoder.tokenizer.max_length)
    corpus.save(path)
    return corpus


def ready(
    options: PretrainingConfig, reading: TextReading, corpus: Corpus, start: Path, replicas: int
) -> Ready:
    """All parts of the training. Call it under the strategy.

    Arguments:
        options, reading: of the run.
        corpus: of `prepare`.
        start: the encoder to begin with.
        replicas: of the strategy.

    Raises:
        UserError: the encoder cannot guess hidden words, or there are too few to measure.
    """
    model = MaskedLM(load_encoder(start, max_length(options, reading)))
    model.build()
    head = read_head(str(start))
    if head is not None:
        assign_head(model.head, head, options.encoder)
    tokenizer = model.encoder.tokenizer
    words = masking(tokenizer, options.mask_rate, options.whole_words)

    def batches_of(part: Corpus, multiple_of: int = 1) -> MaskedBatches:
        length, tokens = tokenizer.max_length, options.batch_tokens
        return MaskedBatches(part, tokenizer, length, words, tokens, options.seed, multiple_of)

    train, measured = corpus.part(held_out=False), corpus.part(held_out=True)
    batches = batches_of(train, replicas)
    validate = HeldOut(model, batches_of(measured))
    optimizer = make_adamw(
        model.trainable_variables,
        options.learning_rate,
        round(options.warmup * options.epochs * batches.steps_per_epoch),
        options.epochs * batches.steps_per_epoch,
        options.weight_decay,
    )
    return Ready(
        model.encoder,
        Learning(model, optimizer, MaskedObjective(), batches, validate),
        "perplexity",
        operator.lt,
        ["accuracy"],
        f"{count(batches.examples_per_epoch)} pieces of up to {tokenizer.max_length} tokens",
        f"{count(len(measured.lengths))} pieces, {count(validate.tokens)} masked tokens",
        lambda: {"unigram": validate.by_frequency(train, words.ordinary)},
        lambda folder: save_head([weight.numpy() for weight in model.head], folder),
    )
