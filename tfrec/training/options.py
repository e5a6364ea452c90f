"""How to train: the options of the command line. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tfrec.config import option


@dataclass(frozen=True)
class TrainingConfig:
    """The training."""

    loss: Literal["auto", "full", "sampled", "gbce"] = option(
        "auto",
        "full cross-entropy over the catalogue, sampled softmax with logQ correction, or gBCE; "
        "auto is full up to 20,000 items and sampled above",
    )
    negatives: int = option(256, "items drawn per row for the sampled losses")
    gbce_calibration: float = option(0.75, "gBCE's t: 0 is plain BCE, 1 calibrated", metavar="T")
    epochs: int = option(30, "at the most; the learning rate falls to 0 over them")
    patience: int = option(6, "stop after so many epochs without a better validation metric")
    batch_size: int = option(
        0,
        "rows of --max-length tokens per step, in which short histories share one; 0: 8, but "
        "fewer in a small log and up to 32 in a large one, for 100 to 400 steps per epoch",
    )
    learning_rate: float = option(3e-3, "of Adam at its peak, after the warm-up")
    warmup_steps: int = option(100, "steps over which the learning rate rises from 0")
    seed: int = option(0, "fixes everything random; only the rounding of long sums may differ")
    strategy: Literal["none", "mirrored"] = option(
        "none", "mirrored trains on every GPU of this machine, or on --replicas CPU devices"
    )
    replicas: int = option(0, "replicas of --strategy mirrored; 0 takes every GPU")
    xla: Literal["auto", "on", "off"] = option(
        "auto",
        "compile the training step with XLA; auto does where there are steps enough to repay the "
        "half minute that it takes",
    )
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    steps_per_call: int = option(8, "training steps per call into the graph")
    checkpoint_minutes: float = option(
        5.0, "save a checkpoint this often inside an epoch; each epoch's end saves one anyway"
    )


@dataclass(frozen=True)
class LossConfig:
    """The ledger's losses beside the ranking loss; 0 switches one off."""

    deletion_loss: float = option(
        1.0, "an event's line equals what deleting the event does to the score"
    )
    deletion_warmup: int = option(
        4, "epochs over which --deletion-loss rises from 0: first the ranking, then its reasons"
    )
    deletion_rows: int = option(4, "rows of a batch on which that is checked, or all if fewer")
    strength_loss: float = option(0.2, "predict the strength (rating, dwell) of the next event")
    pointwise_loss: float = option(0.1, "the score also fits a probability of engagement")
    long_short_loss: float = option(0.1, "lasting facets follow the history, momentary its end")
    conformity_loss: float = option(0.1, "keep interest and crowd apart (DICE pairs)")
    conformity_decay: float = option(0.9, "factor on --conformity-loss from epoch to epoch")
    independence_loss: float = option(0.01, "distance correlation between facet blocks")
    topic_loss: float = option(0.05, "topic facets follow the categories")
    text_loss: float = option(0.05, "an item's id and its text point the same way (with texts)")
    balance_loss: float = option(0.01, "no facet may fall out of use")
    exposure_loss: float = option(0.0, "pull what is recommended towards --exposure-mix")
    exposure_mix: dict[str, str] = option(
        {}, "wanted shares of categories, e.g. Drama=0.2,Comedy=0.3", metavar="CATEGORY=SHARE,…"
    )
    quality_decay: float = option(1e-3, "L2 on the quality line")
