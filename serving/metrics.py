"""Counters and histograms under TensorFlow Serving's names, printed for Prometheus."""

from __future__ import annotations

import bisect
import threading
from itertools import accumulate

Labels = tuple[str, ...]
# Names of models come from requests too: whoever invents them must not fill the memory.
MAX_CELLS = 10_000


def _exponential(start: float, factor: float, count: int) -> list[float]:
    return [start * factor**power for power in range(count)]


MICROSECONDS = _exponential(10, 1.8, 33)
POWERS_OF_TWO = _exponential(1, 2, 15)
QUEUEING = _exponential(100, 1.2, 52)


class Counter:
    """A number per combination of labels that only grows."""

    kind = "counter"

    def __init__(self, name: str, *labels: str) -> None:
        self.name, self.labels = name, labels
        self._lock = threading.Lock()
        self._values: dict[Labels, int] = {}

    def add(self, *values: str, by: int = 1) -> None:
        with self._lock:
            if values in self._values or len(self._values) < MAX_CELLS:
                self._values[values] = self._values.get(values, 0) + by

    def total(self) -> int:
        with self._lock:
            return sum(self._values.values())

    def lines(self) -> list[str]:
        with self._lock:
            values = sorted(self._values.items())
        return [f"{_metric(self.name)}{{{_pairs(self.labels, v)}}} {n}" for v, n in values]


class Histogram:
    """How often a number fell into each bucket, per combination of labels."""

    kind = "histogram"

    def __init__(self, name: str, bounds: list[float], *labels: str) -> None:
        self.name, self.labels, self._bounds = name, labels, bounds
        self._lock = threading.Lock()
        self._cells: dict[Labels, tuple[list[int], list[float]]] = {}

    def observe(self, number: float, *values: str) -> None:
        with self._lock:
            cell = self._cells.get(values)
            if cell is None:
                cell = self._cells[values] = ([0] * (len(self._bounds) + 1), [0.0])
            cell[0][bisect.bisect_right(self._bounds, number)] += 1
            cell[1][0] += number

    def lines(self) -> list[str]:
        with self._lock:
            cells = [(v, list(c[0]), c[1][0]) for v, c in sorted(self._cells.items())]
        name = _metric(self.name)
        lines = []
        for values, counts, total in cells:
            pairs = _pairs(self.labels, values)
            before = pairs + "," if pairs else ""
            ends = [f"{bound:.6g}" for bound in self._bounds] + ["+Inf"]
            for end, count in zip(ends, accumulate(counts), strict=True):
                lines.append(f'{name}_bucket{{{before}le="{end}"}} {count}')
            lines.append(f"{name}_sum{{{pairs}}} {total:.6g}")
            lines.append(f"{name}_count{{{pairs}}} {sum(counts)}")
        return lines


class Metrics:
    """Everything that a server counts."""

    def __init__(self) -> None:
        serving, batching = "/tensorflow/serving", "/tensorflow/serving/batching_session"
        self.requests = Counter(f"{serving}/request_count", "model_name", "status")
        self.latency = Histogram(
            f"{serving}/request_latency", MICROSECONDS, "model_name", "API", "entrypoint"
        )
        self.runtime = Histogram(
            f"{serving}/runtime_latency", MICROSECONDS, "model_name", "API", "runtime"
        )
        self.examples = Histogram(f"{serving}/request_example_counts", POWERS_OF_TWO, "model")
        self.example_total = Counter(f"{serving}/request_example_count_total", "model")
        self.warmup = Histogram(
            f"{serving}/model_warmup_latency", MICROSECONDS, "model_path", "status"
        )
        self.warmup_records = Counter(f"{serving}/model_warmup_records_read", "model_path")
        self.load_attempts = Counter(
            "/tensorflow/cc/saved_model/load_attempt_count", "model_path", "status"
        )
        self.load_latency = Counter("/tensorflow/cc/saved_model/load_latency", "model_path")
        # Requests are never logged here, so it stays empty; dashboards look for the name.
        self.logged = Counter(f"{serving}/request_log_count", "model_name", "status_code")
        self.queueing = Histogram(f"{batching}/queuing_latency", QUEUEING, "thread_pool_name")
        self.wrapped_runs = Counter(f"{batching}/wrapped_run_count")
        self._all: list[Counter | Histogram] = [
            value for value in vars(self).values() if isinstance(value, Counter | Histogram)
        ]

    def value(self, name: str) -> int:
        """The sum over a counter's labels; 0 for a name that is none of ours."""
        return sum(
            metric.total()
            for metric in self._all
            if isinstance(metric, Counter) and metric.name == name
        )

    def page(self) -> str:
        """What Prometheus reads.

        Example:
            >>> metrics = Metrics()
            >>> metrics.requests.add("m", "OK")
            >>> ':tensorflow:serving:request_count{model_name="m",status="OK"} 1' in metrics.page()
            True
        """
        lines = []
        for metric in sorted(self._all, key=lambda metric: metric.name):
            lines.append(f"# TYPE {_metric(metric.name)} {metric.kind}")
            lines += metric.lines()
        return "\n".join(lines) + "\n"


def _metric(name: str) -> str:
    return name.replace("/", ":")


def _pairs(labels: Labels, values: Labels) -> str:
    return ",".join(
        f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
