"""The training loop: `strategy.run`, many steps per graph call, exact resume.

A loop of our own because Keras's `Model.fit` fails under a multi-worker strategy on TensorFlow
(keras issue 20585) and cannot resume inside an epoch.
"""

from __future__ import annotations

import math
import operator
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tfrec.console import Progress, import_tensorflow, say, seconds
from tfrec.errors import Interrupted, UserError
from tfrec.training import checkpoint
from tfrec.training.objective import Objective
from tfrec.training.signals import StopRequest

# Steps of a whole run that repay compiling one.
WORTH_COMPILING = 300
LATEST = "latest.npz"
BEST = "best.npz"


class Trainable(Protocol):
    """A built Keras model."""

    variables: list[Any]
    trainable_variables: list[Any]


class Batches(Protocol):
    """A seeded stream of batches, the same whenever it is entered at the same step.

    Attributes:
        same_shapes: whether every batch has the shapes of the first; if not, arrays still keep
            their number of axes.
    """

    same_shapes: bool

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def examples_per_epoch(self) -> int: ...

    def stream(self, epoch: int, step: int) -> Iterator[dict[str, Any]]:
        """Batches from that step on, epoch after epoch, without end."""


class LoopConfig(Protocol):
    """The options that the loop reads; `TrainingConfig` has them."""

    @property
    def epochs(self) -> int: ...

    @property
    def patience(self) -> int: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def xla(self) -> str: ...

    @property
    def steps_per_call(self) -> int: ...

    @property
    def checkpoint_minutes(self) -> float: ...


class Recorder(Protocol):
    """Told after each epoch: a log file, TensorBoard. `epochs` has all of them, the newest last."""

    def __call__(self, epochs: list[dict[str, Any]]) -> None: ...


@dataclass
class Progressed:
    """Where training stands; saved in every checkpoint.

    Attributes:
        epoch, step: the next step to take.
        loss_sums: summed terms of the loss over the steps of this epoch so far.
        epoch_seconds: time spent on this epoch so far.
        best: best validation metric so far, None before the first validation.
        best_epoch: the epoch that it came from.
        epochs: one record per finished epoch.
    """

    epoch: int = 0
    step: int = 0
    loss_sums: dict[str, float] = field(default_factory=dict)
    epoch_seconds: float = 0.0
    best: float | None = None
    best_epoch: int = -1
    epochs: list[dict[str, Any]] = field(default_factory=list)

    def finished(self, config: LoopConfig) -> bool:
        return self.epoch >= config.epochs or self.stale >= config.patience

    @property
    def loss(self) -> float:
        """Mean loss of the steps of this epoch so far."""
        return sum(self.loss_sums.values()) / max(self.step, 1)

    @property
    def stale(self) -> int:
        """Epochs since the best one."""
        return self.epoch - 1 - self.best_epoch if self.epoch else 0


def fit(
    model: Trainable,
    optimizer: Any,
    objective: Objective,
    batches: Batches,
    validate: Callable[[], dict[str, float]],
    metric: str,
    config: LoopConfig,
    folder: Path,
    strategy: Any,
    record: Recorder,
    better: Callable[[float, float], bool] = operator.gt,
    shown: Sequence[str] = (),
) -> Progressed:
    """Trains until the validation metric stops getting better, then loads the best weights.

    Goes on where the checkpoint in `folder` stands, if there is one: killed at any moment and run
    again, it ends with the same weights as if it had never been killed.

    Arguments:
        model: built under `strategy`, with the optimizer.
        optimizer: a built Keras optimizer.
        objective: see `tfrec.training.objective`.
        batches: the training stream.
        validate: measures the model as it is now on what was held out.
        metric: the name in `validate`'s result that decides.
        config: epochs, patience, steps per call, …
        folder: where checkpoints are kept.
        strategy: a tf.distribute strategy; the default one trains on one device.
        record: told after each epoch.
        better: whether a first value of the metric is better than a second: larger, unless told
            otherwise.
        shown: further names in `validate`'s result to print.

    Raises:
        Interrupted: on SIGINT or SIGTERM, after the checkpoint was saved.
        UserError: the loss is no longer a number, or a checkpoint cannot be read or written.
    """
    saved = [*model.variables, *optimizer.variables]
    folder.mkdir(parents=True, exist_ok=True)  # gone, if somebody wants to begin again
    progressed = Progressed()
    if (folder / LATEST).exists():
        progressed = Progressed(**checkpoint.restore(folder / LATEST, saved))
        say(f"resuming at epoch {progressed.epoch + 1}, step {progressed.step}")

    def save() -> None:
        checkpoint.save(folder / LATEST, saved, asdict(progressed))

    total_steps = config.epochs * batches.steps_per_epoch
    run_steps = _graph_call(model, optimizer, objective, config, strategy, total_steps)
    stream = _device_stream(batches, progressed, strategy)
    with StopRequest() as stop:
        while not progressed.finished(config):
            objective.start_epoch(progressed.epoch)
            _train_epoch(run_steps, stream, batches, progressed, config, stop, save)
            _finish_epoch(model, validate, metric, better, batches, progressed, folder, record)
            _say_epoch(progressed, metric, shown, config.patience)
            save()
            _stop_if_asked(stop)
    if (folder / BEST).exists():
        checkpoint.restore(folder / BEST, model.variables)
    return progressed


def _train_epoch(
    run_steps: Callable[[Any, int], dict[str, float]],
    stream: Any,
    batches: Batches,
    progressed: Progressed,
    config: LoopConfig,
    stop: StopRequest,
    save: Callable[[], None],
) -> None:
    """Takes the steps that are left of this epoch."""
    saved_at = time.monotonic()
    total = batches.steps_per_epoch
    shown = {} if progressed.best is None else {"best": progressed.best}
    label = f"epoch {progressed.epoch + 1}/{config.epochs}"
    with Progress(total, label, initial=progressed.step) as bar:
        while progressed.step < total:
            started = time.monotonic()
            steps = min(config.steps_per_call, total - progressed.step)
            sums = run_steps(stream, steps)
            if not math.isfinite(sum(sums.values())):
                raise UserError(
                    f"the loss is {sum(sums.values())} in epoch {progressed.epoch + 1}, steps "
                    f"{progressed.step + 1} to {progressed.step + steps}: training diverged. "
                    f"Try a lower --learning-rate (now {config.learning_rate})"
                )
            took = time.monotonic() - started
            progressed.step += steps
            for name, value in sums.items():
                progressed.loss_sums[name] = progressed.loss_sums.get(name, 0.0) + value
            progressed.epoch_seconds += took
            rate = batches.examples_per_epoch / total * steps / took
            bar.update(steps, loss=progressed.loss, **shown, examples_per_s=rate)
            if stop.signal_number is not None or (
                time.monotonic() - saved_at > 60 * config.checkpoint_minutes
            ):
                save()
                saved_at = time.monotonic()
            _stop_if_asked(stop)


def _finish_epoch(
    model: Trainable,
    validate: Callable[[], dict[str, float]],
    metric: str,
    better: Callable[[float, float], bool],
    batches: Batches,
    progressed: Progressed,
    folder: Path,
    record: Recorder,
) -> None:
    """Validates, keeps the best weights, writes down the epoch and goes on to the next."""
    started = time.monotonic()
    metrics = validate()
    if progressed.best is None or better(metrics[metric], progressed.best):
        progressed.best, progressed.best_epoch = metrics[metric], progressed.epoch
        checkpoint.save(folder / BEST, model.variables, {"epoch": progressed.epoch, **metrics})
    epoch = {
        "epoch": progressed.epoch + 1,
        "loss": progressed.loss,
        **_terms(progressed),
        **{f"validation {name}": value for name, value in metrics.items()},
        "seconds": progressed.epoch_seconds,
        "validation_seconds": time.monotonic() - started,
        "examples_per_s": batches.examples_per_epoch / max(progressed.epoch_seconds, 1e-9),
    }
    progressed.epochs.append(epoch)
    record(progressed.epochs)
    progressed.epoch += 1
    progressed.step, progressed.loss_sums, progressed.epoch_seconds = 0, {}, 0.0


def _say_epoch(progressed: Progressed, metric: str, shown: Sequence[str], patience: int) -> None:
    """Prints the newest epoch, and whether it was the last one for want of better ones."""
    epoch = progressed.epochs[-1]
    values = "  ".join(f"{name} {epoch[f'validation {name}']:.4f}" for name in (metric, *shown))
    marked = " *" if progressed.stale == 0 else ""
    say(
        f"epoch {epoch['epoch']:3d}  loss {epoch['loss']:.4f}  validation {values}{marked}  "
        f"{epoch['examples_per_s']:,.0f} examples/s  {seconds(epoch['seconds'])}"
    )
    if progressed.stale >= patience:
        say(
            f"no better {metric} for {progressed.stale} epochs; "
            f"the best was epoch {progressed.best_epoch + 1}"
        )


def _terms(progressed: Progressed) -> dict[str, float]:
    """The mean of each term of the loss, where there is more than one."""
    if len(progressed.loss_sums) < 2:
        return {}
    sums = progressed.loss_sums
    return {f"loss {name}": value / progressed.step for name, value in sums.items()}


def _stop_if_asked(stop: StopRequest) -> None:
    if stop.signal_number is not None:
        name = signal.Signals(stop.signal_number).name
        raise Interrupted(f"stopped by {name}; everything is saved", stop.signal_number)


def _graph_call(
    model: Trainable,
    optimizer: Any,
    objective: Objective,
    config: LoopConfig,
    strategy: Any,
    total_steps: int,
) -> Callable[[Any, int], dict[str, float]]:
    """`(iterator, steps) -> summed loss by term`, compiled once for any number of steps."""
    tf = import_tensorflow()
    variables = model.trainable_variables
    alone = strategy.num_replicas_in_sync == 1

    names: list[str] = []  # of the terms, known once the step is traced

    # Only the loop over steps is Python that AutoGraph must turn into a graph. Rewriting the source
    # of every layer below it as well took half of the time to the first step.
    @tf.autograph.experimental.do_not_convert
    def gradients_of(batch: dict[str, Any]) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            terms = objective(model, batch)
            names[:] = terms
            values = tf.stack(list(terms.values()))
            value = tf.reduce_sum(values)
        gradients = tape.gradient(value, variables)
        # An embedding's gradient comes as slices; the tied output makes it dense anyway.
        return values, [
            tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]

    @tf.autograph.experimental.do_not_convert
    def update(batch: dict[str, Any]) -> Any:
        values, gradients = gradients_of(batch)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return values

    xla = config.xla == "on" or (config.xla == "auto" and total_steps >= WORTH_COMPILING)
    if xla and alone:
        update = tf.function(update, jit_compile=True, autograph=False)
    elif xla:
        # The replicas meet in apply_gradients, which XLA cannot compile.
        gradients_of = tf.function(gradients_of, jit_compile=True, autograph=False)

    @tf.function
    def run_steps(iterator: Any, steps: Any) -> Any:
        total = tf.zeros((1,), tf.float32)
        for _ in tf.range(steps):
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[(total, tf.TensorShape((None,)))]
            )
            per_replica = strategy.run(update, args=(next(iterator),))
            total += strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
        return total

    def call(iterator: Any, steps: int) -> dict[str, float]:
        values = run_steps(iterator, tf.constant(steps)).numpy().tolist()
        return dict(zip(names, values, strict=True))

    return call


def _device_stream(batches: Batches, progressed: Progressed, strategy: Any) -> Any:
    """An iterator over the batches from the next step on, split over the replicas."""
    tf = import_tensorflow()
    example = next(batches.stream(0, 0))

    def spec(value: Any) -> Any:
        shape = value.shape if batches.same_shapes else [None] * value.ndim
        return tf.TensorSpec(shape, value.dtype)

    epoch, step = progressed.epoch, progressed.step  # where to start, not where we are later
    dataset = tf.data.Dataset.from_generator(
        lambda: batches.stream(epoch, step),
        output_signature={name: spec(value) for name, value in example.items()},
    )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    options.deterministic = True
    dataset = dataset.with_options(options).prefetch(4)
    return iter(strategy.experimental_distribute_dataset(dataset))
