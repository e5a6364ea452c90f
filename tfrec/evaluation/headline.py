"""What a run found, in words: names, numbers, the protocol line, the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tfrec.console import count
from tfrec.evaluation.results import Interval, Lead, Results

_LABELS = {
    "ndcg": "NDCG",
    "hit_rate": "HR",
    "mrr": "MRR",
    "map": "MAP",
    "f1": "F1",
    "long_tail_share": "long tail",
}


def label(metric: str) -> str:
    """The printed name of a metric: "ndcg@10" -> "NDCG@10", "mean_rank" -> "mean rank"."""
    name, at, cut_off = metric.partition("@")
    return _LABELS.get(name, name.replace("_", " ")) + at + cut_off


def number(value: float, decimals: int = 4) -> str:
    """A metric's value; "–" when it is undefined."""
    return f"{value:,.{decimals}f}" if math.isfinite(value) else "–"


def shown(value: object) -> str:
    """A setting as people write it: 100,000; 0.05; on; a, b."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int):
        return count(value) if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value))
    return "–" if value is None else str(value)


def what(results: Results) -> str:
    """What was trained on what: "SASRec on movielens-1m"."""
    names = [m.name for m in results.models if m.kind == "model" and m.skipped is None]
    source = results.data.get("source")
    return " and ".join(names or ["Baselines"]) + (f" on {source}" if source else "")


def title(results: Results) -> str:
    """The protocol line: what was asked of every model in the table."""
    return f"{results.subset}, {count(results.cases)} cases: {results.protocol}"


def not_run(results: Results) -> list[str]:
    """One line per baseline that is missing from the table, with the reason."""
    return [
        f"{model.name} was not run: {model.skipped}" for model in results.models if model.skipped
    ]


def headline(results: Results) -> str:
    """Whether the model is above the best baseline, in one honest sentence or two."""
    metric = results.primary_metric
    lines = [m for m in results.models if metric in m.metrics]
    lines = [m for m in lines if math.isfinite(m.metrics[metric].value)]
    models = [m for m in lines if m.kind == "model"]
    baselines = [m for m in lines if m.kind == "baseline"]
    if not models:
        return f"No model has a value of {label(metric)} on the {results.subset} cases."
    model = max(models, key=lambda m: m.metrics[metric].value)
    here = model.metrics[metric]
    stands = f"{model.name} reaches {label(metric)} {_with_interval(here, '95 % interval ')}"
    if not baselines:
        return f"{stands}; no baseline was run beside it."
    best = max(baselines, key=lambda m: m.metrics[metric].value)
    there = best.metrics[metric]
    change = here.value - there.value
    by = "level with"
    if change:
        relative = f" ({percent(change / there.value)})" if there.value > 0 else ""
        by = f"{number(abs(change))}{relative} {'above' if change > 0 else 'below'}"
    stands = f"{stands}, {by} the best baseline, {best.name}, at {_with_interval(there)}."
    lead = results.lead
    if lead is not None and (lead.model, lead.baseline) == (model.name, best.name):
        return f"{stands} {_paired(lead)}"
    if here.low > there.high or here.high < there.low:
        return f"{stands} The two intervals do not overlap."
    return f"{stands} The two intervals overlap; only a paired comparison can tell the two apart."


def _paired(lead: Lead) -> str:
    low, high = lead.difference.low, lead.difference.high
    paired = (
        f"Compared case by case, the 95 % interval of the difference is {low:+.4f} to {high:+.4f} "
        f"({p_value(lead.p_value)})"
    )
    if low > 0 or high < 0:
        return f"{paired}."
    return f"{paired}: these cases cannot tell the two apart."


def percent(change: float) -> str:
    """0.192 -> '+19.2 %'."""
    return f"{100 * change:+.1f} %"


def p_value(value: float) -> str:
    """ "p = 0.013", or "p < 0.001" below that."""
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"


def _with_interval(interval: Interval, name: str = "") -> str:
    if interval.low == interval.high:
        return number(interval.value)
    return f"{number(interval.value)} ({name}{number(interval.low)} to {number(interval.high)})"
