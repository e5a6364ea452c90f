"""How to evaluate: the options of the command line. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from tfrec.config import option


@dataclass(frozen=True)
class EvaluationConfig:
    """The evaluation."""

    metric: str = option(
        "ndcg@10", "what validation selects on: hit_rate, ndcg, mrr, map, precision, recall, f1 @k"
    )
    ks: list[int] = option([5, 10, 20], "cut-offs of the table", metavar="K,K,…")
    keep_seen: bool = option(False, "let items of the history be recommended again")
    validation_cases: int = option(
        20_000, "validate on at most so many cases, drawn once by the seed; test uses all of them"
    )
    baselines: list[str] = option(
        ["all"], "baselines beside the model: all, none, or names", metavar="NAMES"
    )
