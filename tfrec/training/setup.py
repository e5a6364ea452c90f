"""From the training options to their parts: strategy, loss, batches, optimizer."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tfrec.console import import_tensorflow
from tfrec.data.batches import TrainingBatches
from tfrec.data.prepared import PreparedData
from tfrec.data.sequences import Bool, Float32, Sequences
from tfrec.data.telling import Telling
from tfrec.data.user_texts import PracticeQueries, UserTexts
from tfrec.errors import UserError
from tfrec.models.options import ModelConfig
from tfrec.training.options import LossConfig, TrainingConfig

if TYPE_CHECKING:
    from tfrec.training.objective import Objective

# Above this the full softmax costs more than drawing negatives.
FULL_SOFTMAX_ITEMS = 20_000
# Mikolov et al. 2013, arXiv 1310.4546, §2.2: negatives ∝ count^0.75.
NEGATIVE_EXPONENT = 0.75
# Negatives per row of the ledger's pairwise losses where the ranking loss needs none.
PAIR_NEGATIVES = 8


def check(config: TrainingConfig) -> None:
    """Raises UserError for values that cannot train anything."""
    for name in ("epochs", "patience", "steps_per_call"):
        if getattr(config, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1")
    if config.batch_size < 0:
        raise UserError(f"--batch-size {config.batch_size} must not be negative")
    if config.learning_rate <= 0:
        raise UserError(f"--learning-rate {config.learning_rate} must be above 0")
    if config.warmup_steps < 0 or config.replicas < 0:
        raise UserError("--warmup-steps and --replicas must not be negative")
    if config.loss in ("sampled", "gbce") and config.negatives < 1:
        raise UserError(f"--loss {config.loss} needs --negatives of at least 1")
    if not 0 <= config.gbce_calibration <= 1:
        raise UserError(f"--gbce-calibration {config.gbce_calibration} must be between 0 and 1")


class DeviceConfig(Protocol):
    """The options that say on what to train; `TrainingConfig` has them."""

    @property
    def seed(self) -> int: ...

    @property
    def strategy(self) -> str: ...

    @property
    def replicas(self) -> int: ...

    @property
    def mixed_precision(self) -> bool: ...


def seed_everything(config: DeviceConfig) -> None:
    """Fixes Python's, NumPy's and Keras's randomness, and makes TensorFlow's ops deterministic."""
    tf = import_tensorflow()
    import keras

    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_global_policy(
        "mixed_bfloat16" if config.mixed_precision else "float32"
    )


def make_strategy(config: DeviceConfig) -> Any:
    """The tf.distribute strategy. Call it before anything else touches TensorFlow's devices.

    Raises:
        UserError: more replicas are asked for than there are GPUs, or none is there.
    """
    tf = import_tensorflow()
    if config.strategy == "none":
        return tf.distribute.get_strategy()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        replicas = config.replicas or len(gpus)
        if replicas > len(gpus):
            raise UserError(f"--replicas {replicas}: this machine has {len(gpus)} GPUs")
        return tf.distribute.MirroredStrategy([f"GPU:{n}" for n in range(replicas)])
    if not config.replicas:
        raise UserError(
            "--strategy mirrored found no GPU. --replicas 2 trains on two CPU devices instead"
        )
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * config.replicas,
    )
    return tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(config.replicas)])


def loss_name(config: TrainingConfig, num_items: int) -> str:
    """The loss that `auto` stands for."""
    if config.loss != "auto":
        return config.loss
    return "full" if num_items <= FULL_SOFTMAX_ITEMS else "sampled"


def settings(model: ModelConfig, training: TrainingConfig, num_items: int) -> dict[str, Any]:
    """What the report shows of a model: its options, and the training options that shaped it."""
    return {
        **dataclasses.asdict(model),
        "loss": loss_name(training, num_items),
        "batch_size": training.batch_size or "auto",
        "learning_rate": training.learning_rate,
        "seed": training.seed,
    }


def make_objective_and_batches(
    config: TrainingConfig,
    model: ModelConfig,
    losses_config: LossConfig,
    data: PreparedData,
    train: Sequences,
    item_counts: npt.NDArray[np.int64],
    cold: Bool | None,
    replicas: int,
    keep_seen: bool,
    users: UserTexts | None = None,
    queries: PracticeQueries | None = None,
) -> tuple[Objective, TrainingBatches]:
    """What to minimise, and the batches that feed it what it needs.

    Raises:
        UserError: no user has two training events.
    """
    from tfrec.training import losses
    from tfrec.training.objective import RankingObjective

    num_items = len(item_counts)
    name = loss_name(config, num_items)
    competing = np.ones(num_items) if cold is None else 1.0 - cold
    probabilities = None if cold is None else competing / competing.sum()
    if name == "sampled":
        # One more count each, so that items without a training event can be drawn too.
        weights = competing * (item_counts + 1.0) ** NEGATIVE_EXPONENT
        probabilities = weights / weights.sum()
        # Those that are never drawn have no logarithm, and need none.
        logarithms = np.log(probabilities, where=probabilities > 0, out=np.zeros(num_items))
        loss = losses.sampled_softmax(logarithms.astype(np.float32), keep_seen)
    elif name == "gbce":
        loss = losses.gbce(int(competing.sum()), config.gbce_calibration, keep_seen)
    else:
        loss = losses.full_cross_entropy(keep_seen, cold)
    if not (train.lengths >= 2).any():
        raise UserError(
            "no user has two events to train on after filtering and splitting. "
            "Loosen the filters or the split"
        )
    _check_losses(losses_config, model)
    objective: Objective = RankingObjective(loss)
    negatives = 0 if name == "full" else config.negatives
    if model.model == "ledger":
        from tfrec.training.ledger_objective import LedgerObjective

        target = None
        if losses_config.exposure_loss or losses_config.exposure_mix:
            target = _exposure_target(losses_config, data)
        objective = LedgerObjective(loss, losses_config, replicas, target)
        negatives = negatives or PAIR_NEGATIVES
    batches = TrainingBatches(
        train,
        num_items,
        model.max_length,
        config.batch_size,
        config.seed,
        negatives=negatives,
        negative_probabilities=probabilities,
        uniforms=model.model == "ledger",
        multiple_of=replicas,
        telling=None if users is None else Telling(users, queries),
    )
    return objective, batches


def _check_losses(config: LossConfig, model: ModelConfig) -> None:
    for name, value in dataclasses.asdict(config).items():
        if name != "exposure_mix" and value < 0:
            raise UserError(f"--{name.replace('_', '-')} {value} must not be negative")
    if config.deletion_rows < 1:
        raise UserError(f"--deletion-rows {config.deletion_rows} must be at least 1")
    if model.model != "ledger" and (config.exposure_loss or config.exposure_mix):
        raise UserError(f"--exposure-loss and --exposure-mix need the ledger, not {model.model}")


def _exposure_target(config: LossConfig, data: PreparedData) -> Float32:
    from tfrec.models.build import category_matrix, category_names
    from tfrec.training.exposure import exposure_target

    if not config.exposure_loss or not config.exposure_mix:
        raise UserError(
            "--exposure-loss and --exposure-mix go together: how strongly, and where to"
        )
    shares = category_matrix(data)
    if shares is None:
        shares = np.zeros((data.num_items, 0), np.float32)
    return exposure_target(config.exposure_mix, category_names(data), shares)


def make_optimizer(config: TrainingConfig, variables: list[Any], steps_per_epoch: int) -> Any:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) whose rate rises linearly, then falls linearly to 0.

    β2 = .98 as in SASRec §IV-D. ε is below Keras's default, since the gradient of a rare item's
    vector is itself that small.
    """
    import keras

    from tfrec.training.schedule import WarmUpAndDecay

    rate = WarmUpAndDecay(
        config.learning_rate, config.warmup_steps, config.epochs * steps_per_epoch
    )
    optimizer = keras.optimizers.Adam(rate, beta_2=0.98, epsilon=1e-8)
    optimizer.build(variables)
    return optimizer
