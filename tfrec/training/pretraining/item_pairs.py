"""Item pairs: what is taken together in histories gets texts whose vectors are alike."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfrec.console import count, import_tensorflow, say
from tfrec.data.sequences import Int64
from tfrec.text.encoder import load_encoder
from tfrec.text.options import TextReading
from tfrec.text.pretraining.beginning import begin, max_length
from tfrec.text.pretraining.corpus import held_out
from tfrec.text.pretraining.item_pairs import ItemPairs, make_pairs
from tfrec.text.pretraining.options import PretrainingConfig
from tfrec.text.pretraining.pair_batches import PairBatches
from tfrec.text.pretraining.pair_ranking import HeldOutPairs
from tfrec.text.tf_idf import tf_idf
from tfrec.text.tuning.tokens import encode_all, tokenize_catalogue
from tfrec.training.masked_objective import make_adamw
from tfrec.training.pair_objective import PairObjective
from tfrec.training.pretraining.ready import Ready
from tfrec.training.text_setup import Learning

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Texts per call where all of them are encoded.
_ENCODED = 64

# The different texts, and how often each two of them stand together in the training events.
Taken = Callable[[], "tuple[list[str], csr_matrix]"]


def prepare(
    options: PretrainingConfig, reading: TextReading, taken: Taken, start: Path, path: Path
) -> ItemPairs:
    """The pairs; makes them and the encoder to begin with unless the run has both.

    Arguments:
        options, reading: of the run.
        taken: gives what is learned from, see `tfrec.text.pretraining.item_pairs.together`.
        start: the folder of the encoder to begin with.
        path: where the pairs are kept.

    Raises:
        UserError: nothing stands together in the log, or the encoder cannot be read.
    """
    if path.exists():
        return ItemPairs.load(path)
    texts, counts = taken()
    measuring = held_out(texts, options.held_out)
    say(
        f"{count(len(texts))} texts in {count(counts.nnz // 2)} pairs, "
        f"{count(int(measuring.sum()))} of the texts held out"
    )
    learned = (text for text, out in zip(texts, measuring, strict=True) if not out)
    encoder = begin(options, reading, learned, start)
    if options.scratch is None:
        encoder.save(start)
    pairs = make_pairs(counts, tokenize_catalogue(texts, encoder.tokenizer), measuring)
    pairs.save(path)
    return pairs


def ready(
    options: PretrainingConfig,
    reading: TextReading,
    pairs: ItemPairs,
    start: Path,
    replicas: int,
    taken: Taken,
) -> Ready:
    """All parts of the training. Call it under the strategy.

    Arguments:
        options, reading, start, taken: as `prepare` takes them.
        pairs: what it returned.
        replicas: of the strategy.

    Raises:
        UserError: the encoder cannot be read.
    """
    encoder = load_encoder(start, max_length(options, reading))
    pad = encoder.tokenizer.pad_id
    batches = PairBatches(pairs, pad, options.batch_pairs, options.seed, replicas)
    steps = options.epochs * batches.steps_per_epoch
    optimizer = make_adamw(
        encoder.trainable_variables,
        options.learning_rate,
        round(options.warmup * steps),
        steps,
        options.weight_decay,
    )
    ranking = HeldOutPairs(pairs)
    encode = import_tensorflow().function(encoder.encode_tokens, reduce_retracing=True)

    def validate() -> dict[str, float]:
        vectors = encode_all(pairs.tokens(pad), encode, encoder.dim, _ENCODED)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return ranking(lambda asking: vectors[asking] @ vectors.T)

    def guesses() -> dict[str, dict[str, float]]:
        popular = ranking(lambda asking: np.tile(ranking.popularity, (len(asking), 1)))
        return {"popularity": popular, "tf-idf": ranking(_word_scores(taken()[0]))}

    return Ready(
        encoder,
        Learning(encoder, optimizer, PairObjective(), batches, validate),
        "mrr",
        operator.gt,
        ["recall@10", "accuracy"],
        f"{count(batches.examples_per_epoch)} pairs of texts of up to "
        f"{encoder.tokenizer.max_length} tokens",
        f"{count(len(ranking.asking))} texts, whose {count(ranking.asked)} partners are looked for "
        f"among {count(len(pairs))} texts",
        guesses,
        lambda folder: None,
    )


def _word_scores(texts: list[str]) -> Callable[[Int64], Any]:
    """Cosines of TF-IDF."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import norm

    words = tf_idf(texts)
    unit = (diags_array(1 / np.maximum(norm(words, axis=1), 1e-12)) @ words).tocsr()
    return lambda asking: (unit[asking] @ unit.T).toarray()
