"""How to pre-train: the options of the command line. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tfrec.config import option
from tfrec.errors import UserError
from tfrec.text.options import HUB, check_encoder

_SCRATCH = "scratch:"


@dataclass(frozen=True)
class PretrainingConfig:
    """The pre-training.

    Raises:
        UserError: a value that cannot train anything.

    Example:
        >>> PretrainingConfig().learning_rate, PretrainingConfig(encoder="minilm").learning_rate
        (0.0005, 0.0001)
    """

    objective: Literal["masked-lm", "item-pairs"] = option(
        "masked-lm",
        "masked-lm: words are hidden and guessed; item-pairs: texts of items that follow each "
        "other in histories get vectors that are alike, those of others do not",
    )
    encoder: str = option(
        "scratch:mini",
        "where to begin: scratch:tiny, scratch:mini or scratch:small, a BERT of our own with a "
        "vocabulary learned from the texts; or an encoder to go on from: a folder, hf:<id> or "
        "keras:<preset> (BERT, MiniLM, DistilBERT, RoBERTa; for item-pairs GPT-2 too)",
    )
    texts: str | None = option(
        None,
        "text files instead of a catalogue: file, glob or folder, one text per line, plain or .gz "
        "(masked-lm)",
    )
    held_out: float = option(
        0.05, "share of the texts, by their hash, that only measure", metavar="SHARE"
    )
    mask_rate: float = option(
        0.15, "share of the tokens that masked-lm has to guess; drawn anew in every epoch"
    )
    whole_words: bool = option(True, "mask words as a whole, not pieces of them")
    pair_window: int = option(
        5, "item-pairs: items belong together within so many events of a history", metavar="N"
    )
    batch_pairs: int = option(
        64, "item-pairs: pairs per step; each text is told apart from those of all others"
    )
    epochs: int = option(10, "at the most; the learning rate falls to 0 over them")
    patience: int = option(
        3, "stop after so many epochs without a better held-out perplexity (or mrr of pairs)"
    )
    batch_tokens: int = option(
        4096, "masked-lm: tokens per step, the filling of short texts included"
    )
    learning_rate: float = option(
        0.0, "of AdamW at its peak, after the warm-up; 0: 5e-4 from scratch, 1e-4 when going on"
    )
    warmup: float = option(
        0.1, "share of the steps over which the learning rate rises from 0", metavar="SHARE"
    )
    weight_decay: float = option(0.01, "of all weights but biases and layer norms")
    seed: int = option(0, "fixes everything random; only the rounding of long sums may differ")
    strategy: Literal["none", "mirrored"] = option(
        "none", "mirrored trains on every GPU of this machine, or on --replicas CPU devices"
    )
    replicas: int = option(0, "replicas of --strategy mirrored; 0 takes every GPU")
    xla: Literal["on", "off"] = option(
        "off", "compile the training step with XLA, once for each length of batches"
    )
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    steps_per_call: int = option(8, "training steps per call into the graph")
    checkpoint_minutes: float = option(
        5.0, "save a checkpoint this often inside an epoch; each epoch's end saves one anyway"
    )

    @property
    def scratch(self) -> str | None:
        """The size of an encoder of our own; None for one to go on from."""
        return self.encoder.removeprefix(_SCRATCH) if self.encoder.startswith(_SCRATCH) else None

    def __post_init__(self) -> None:
        check_encoder("--encoder", self.encoder, "scratch:<size>, ")
        if self.encoder.startswith(HUB):
            raise UserError(
                f"--encoder {self.encoder}: an encoder of TensorFlow Hub cannot learn to guess "
                "words or pairs here. Take a folder, hf:<id> or keras:<preset>"
            )
        for name in ("epochs", "patience", "steps_per_call", "pair_window"):
            if getattr(self, name) < 1:
                raise UserError(f"{_flag(name)} must be at least 1")
        for name in ("learning_rate", "weight_decay", "replicas"):
            if getattr(self, name) < 0:
                raise UserError(f"{_flag(name)} must not be negative")
        for name in ("held_out", "mask_rate"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"{_flag(name)} {getattr(self, name)} must be between 0 and 1")
        if not 0 <= self.warmup < 1:
            raise UserError(f"--warmup {self.warmup} must be at least 0 and below 1")
        if self.batch_tokens < 8:
            raise UserError(f"--batch-tokens {self.batch_tokens} must be at least 8")
        if self.batch_pairs < 2:
            raise UserError(f"--batch-pairs {self.batch_pairs} must be at least 2")
        if self.objective == "item-pairs" and self.texts is not None:
            raise UserError(
                "--objective item-pairs needs a log, which --texts has not: name it with --data, "
                "and its texts with --items and --text"
            )
        if not self.learning_rate:
            # Settled here, so that a run's config.yaml says it.
            object.__setattr__(self, "learning_rate", 1e-4 if self.scratch is None else 5e-4)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
