"""What a training step of the ledger costs beside one of SASRec of the same size.

    python benchmarks/steps.py              (about 10 min on 2 cores)

64 wide, 2 blocks, 32 rows of 200 tokens, 3,416 items, full cross-entropy, XLA, float32. Steps of
the variants alternate in one process; numbers are medians of CPU seconds per step (time that other
processes take does not count) and of the ratio to SASRec in the same round.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from results import write_section

from tfrec.console import import_tensorflow, say
from tfrec.errors import command
from tfrec.run import command_line
from tfrec.training.options import LossConfig

ITEMS, ROWS, LENGTH, NEGATIVES = 3416, 32, 200, 8
OFF: dict[str, Any] = {
    f.name: 0.0 for f in dataclasses.fields(LossConfig) if f.name.endswith("_loss")
}
BAR = 1.6


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="of 3 steps each (default 7)")
    flags = parser.parse_args(argv)
    batch = random_batch()
    steps = {
        "SASRec": sasrec(),
        "ledger, ranking loss alone": ledger(LossConfig(**OFF)),
        "ledger, all losses but deletion consistency": ledger(LossConfig(deletion_loss=0.0)),
        "ledger, all default losses": ledger(LossConfig()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step(batch)
    for _ in range(flags.rounds):
        for name, step in steps.items():
            started = time.process_time()
            for _ in range(3):
                step(batch)
            seconds[name].append((time.process_time() - started) / 3)
    lines = ["| step | CPU seconds | beside SASRec |", "|---|---|---|"]
    ratios = {}
    for name, taken in seconds.items():
        pairs = zip(taken, seconds["SASRec"], strict=True)
        ratios[name] = statistics.median(own / base for own, base in pairs)
        lines.append(f"| {name} | {statistics.median(taken):.3f} | {ratios[name]:.2f} |")
    for line in lines:
        say(line)
    body = f"`{command_line()}`\n\n" + (__doc__ or "").split("\n\n")[2] + "\n\n" + "\n".join(lines)
    write_section("Cost of a training step", body)
    return 0 if ratios["ledger, ranking loss alone"] <= BAR else 1


def random_batch() -> dict[str, Any]:
    """Full rows of one history each."""
    tf = import_tensorflow()
    random, shape = np.random.default_rng(0), (ROWS, LENGTH)
    times = np.cumsum(random.integers(0, 3_600_000, shape), axis=1)
    batch = {
        "items": random.integers(0, ITEMS, shape).astype(np.int32),
        "segments": np.ones(shape, np.int32),
        "positions": np.tile(np.arange(LENGTH, dtype=np.int32)[::-1], (ROWS, 1)),
        "times": times,
        "request_times": times + 60_000,
        "actions": np.zeros(shape, np.int32),
        "strengths": random.integers(1, 6, shape).astype(np.float32),
        "targets": random.integers(0, ITEMS, shape).astype(np.int32),
        "target_strengths": random.integers(1, 6, shape).astype(np.float32),
        "weights": np.full(shape, 1 / (ROWS * LENGTH), np.float32),
        "negatives": random.integers(0, ITEMS, (ROWS, NEGATIVES)).astype(np.int32),
        "uniforms": random.random(shape, np.float32),
    }
    return {name: tf.constant(value) for name, value in batch.items()}


def sasrec() -> Callable[[dict[str, Any]], Any]:
    from tfrec.models.sasrec import SASRec
    from tfrec.training.losses import full_cross_entropy
    from tfrec.training.objective import RankingObjective

    return compiled(SASRec(ITEMS, dim=64), RankingObjective(full_cross_entropy(keep_seen=False)))


def ledger(losses: LossConfig) -> Callable[[dict[str, Any]], Any]:
    from tfrec.models.ledger import Ledger
    from tfrec.training.ledger_objective import LedgerObjective
    from tfrec.training.losses import full_cross_entropy

    objective = LedgerObjective(full_cross_entropy(keep_seen=False), losses)
    objective.start_epoch(losses.deletion_warmup)
    return compiled(Ledger(ITEMS, dim=64, num_periods=8), objective)


def compiled(model: Any, objective: Any) -> Callable[[dict[str, Any]], Any]:
    import keras

    tf = import_tensorflow()
    model.build()
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def step(batch: dict[str, Any]) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(objective(model, batch).values()))
        gradients = tape.gradient(loss, model.trainable_variables)
        pairs = zip(gradients, model.trainable_variables, strict=True)
        optimizer.apply_gradients([(tf.convert_to_tensor(g), v) for g, v in pairs if g is not None])
        return loss

    compiled_step: Callable[[dict[str, Any]], Any] = step
    return compiled_step


if __name__ == "__main__":
    raise SystemExit(main())
