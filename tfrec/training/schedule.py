"""The learning rate over a run: up, then down to nothing."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfrec")
class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from 0 to `peak` over `warmup_steps`, then linear to 0 at `total_steps`.

    Example:
        >>> rate = WarmUpAndDecay(peak=1.0, warmup_steps=2, total_steps=6)
        >>> [round(float(rate(step)), 2) for step in range(7)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: Any) -> Any:
        done = ops.cast(step, "float32")
        up = (done + 1) / max(self.warmup_steps, 1)
        down = (self.total_steps - done) / max(self.total_steps - self.warmup_steps, 1)
        return self.peak * ops.clip(ops.minimum(up, down), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }
