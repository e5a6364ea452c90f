"""How long a signature takes for one user, in this process and without a server."""

from __future__ import annotations

import time

import numpy as np

from .model import Model, Tensors

_CALLS, _SECONDS = 100, 0.2


def latency(model: Model, signature: str, inputs: Tensors) -> dict[str, float]:
    """Milliseconds: {"p50": …, "p99": …} of 100 calls, or of as many as 0.2 s hold."""
    one = {name: value[:1] for name, value in inputs.items()}
    for _ in range(3):
        model.ask(signature, one)
    times: list[float] = []
    while len(times) < _CALLS and sum(times) < _SECONDS:
        started = time.perf_counter()
        model.ask(signature, one)
        times.append(time.perf_counter() - started)
    p50, p99 = 1000 * np.quantile(times, [0.5, 0.99])
    return {"p50": float(p50), "p99": float(p99)}
