"""The results of a run as data: what the table, the report and `evaluate --compare` all read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Interval:
    """A metric with its 95 % bootstrap interval over cases (equal to the value when undefined)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SliceRow:
    """Metrics of the cases in one slice, e.g. label "11-50" of slice "history length"."""

    label: str
    cases: int
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class ModelResult:
    """One line of the table.

    Attributes:
        name: as printed, e.g. "SASRec" or "EASE, recency-decayed".
        kind: "model" for what the user asked to train, "baseline" for what stands beside it.
        settings: hyperparameters in force, after tuning.
        fit_seconds, evaluate_seconds: wall time.
        metrics: "ndcg@10" -> Interval; names are `metric@k`, or `metric` without a cut-off.
        slices: slice name -> rows.
        skipped: why a baseline was not run; metrics are empty then.
    """

    name: str
    kind: Literal["model", "baseline"]
    settings: dict[str, Any] = field(default_factory=dict)
    fit_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    metrics: dict[str, Interval] = field(default_factory=dict)
    slices: dict[str, list[SliceRow]] = field(default_factory=dict)
    skipped: str | None = None


@dataclass(frozen=True)
class Lead:
    """How far the model is above the best baseline in the primary metric, paired case by case.

    Attributes:
        model, baseline: names of the two lines of the table.
        difference: model - baseline with its 95 % paired bootstrap interval.
        p_value: two-sided, of a difference at least as large if the two were interchangeable.
    """

    model: str
    baseline: str
    difference: Interval
    p_value: float


@dataclass(frozen=True)
class Results:
    """Everything that a run measured on one set of cases.

    Attributes:
        protocol: one line, e.g. "full ranking over 3,416 items, seen removed, leave-one-out,
            split a1b2c3, ties in a seeded random order".
        subset: "test" or "validation".
        cases: number of evaluation cases.
        primary_metric: what validation selected on, e.g. "ndcg@10".
        models: the table, best first by the primary metric, skipped ones last.
        epochs: per-epoch training log (epoch, loss, validation metrics, seconds, …).
        item_counts: training events per catalogue item, most popular first (the long tail).
        data: counts and steps of the prepared log.
        environment: versions, seed, device, wall time.
        lead: the model beside the best baseline, or None where no pair was compared.
    """

    protocol: str
    subset: str
    cases: int
    primary_metric: str
    models: list[ModelResult]
    epochs: list[dict[str, Any]] = field(default_factory=list)
    item_counts: list[int] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    lead: Lead | None = None

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        raw = json.loads(path.read_text(encoding="utf-8"))
        raw["models"] = [_model(model) for model in raw["models"]]
        if raw.get("lead") is not None:
            raw["lead"]["difference"] = Interval(**raw["lead"]["difference"])
            raw["lead"] = Lead(**raw["lead"])
        return cls(**raw)


def _model(raw: dict[str, Any]) -> ModelResult:
    raw["metrics"] = {name: Interval(**value) for name, value in raw["metrics"].items()}
    raw["slices"] = {
        name: [
            SliceRow(
                row["label"],
                row["cases"],
                {metric: Interval(**value) for metric, value in row["metrics"].items()},
            )
            for row in rows
        ]
        for name, rows in raw["slices"].items()
    }
    return ModelResult(**raw)
