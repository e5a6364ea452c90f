"""Everything that is found out about a version, as one JSON-able report."""

from __future__ import annotations

import functools
import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXTRA = Path("assets.extra")
OPS = "every op is TensorFlow's or TF Text's"
SCANN = "Scann>"


def inspect_version(folder: Path) -> dict[str, Any]:
    """Loads the SavedModel and asks it.

    Returns:
        `findings`: [what was checked, whether it holds, details] in the order of the checks;
        `ops`: the names of all ops; and where the model can be loaded `load_seconds`,
        `first_answer_seconds` and `latency`: signature -> milliseconds, see `latency.latency`.
    """
    from .ops import not_served, op_names

    index = json.loads((folder / EXTRA / "contract.json").read_text("utf-8")).get("index")
    names = op_names(folder)
    missing = not_served(names)
    scann = index is not None and index["kind"] == "scann"
    who = "every op is TensorFlow's, TF Text's or ScaNN's" if scann else OPS
    others = [name for name in missing if not (scann and name.startswith(SCANN))]
    if others:
        lacks = f"the server lacks {', '.join(others)}"
        return {"findings": [[who, False, lacks]], "ops": names}
    detail = f"{len(names)} kinds"
    if missing:
        detail += f", of which the server needs: {', '.join(missing)}"
        importlib.import_module("scann.scann_ops.py.scann_ops")  # registers them
    findings: list[list[Any]] = [[who, True, detail]]

    from .latency import latency
    from .model import TOLERANCE, Model
    from .replay import grpc_difference, read_samples, rest_difference, warm_up
    from .rules import APPROXIMATE, EXACT, HISTORY, RULES

    samples_folder = folder / EXTRA / "samples"
    started = time.perf_counter()
    try:
        model = Model(folder)
        loaded = time.perf_counter()
        samples = read_samples(samples_folder)
        recommend = samples["recommend"].inputs
        asked = time.perf_counter()
        model.ask("recommend", recommend)
        answered = time.perf_counter()
    except Exception as error:
        findings.append(["it loads and answers its first sample", False, _reason(error)])
        return {"findings": findings, "ops": names}

    def judge(what: str, worst: Callable[[], float]) -> None:
        try:
            found = worst()
            findings.append([what, found <= TOLERANCE, f"worst difference {found:.1e}"])
        except Exception as error:  # a model that refuses a question fails that check only
            findings.append([what, False, _reason(error)])

    judge("the gRPC samples are answered as before", lambda: grpc_difference(model, samples))
    judge("the REST samples are answered as before", lambda: rest_difference(model, samples_folder))
    records = EXTRA / "tf_serving_warmup_requests"
    try:
        count = warm_up(model, folder / records)
        findings.append(["the warm-up records are answered", 0 < count <= 1000, f"{count} records"])
    except Exception as error:
        findings.append(["the warm-up records are answered", False, _reason(error)])
    history = {name: recommend[name] for name in HISTORY}
    for rule in [*RULES, *(APPROXIMATE if index else EXACT)]:
        if all(name in model.signatures for name in rule.needs):
            judge(rule.says, functools.partial(rule.worst, model, history))
    return {
        "findings": findings,
        "ops": names,
        "load_seconds": loaded - started,
        "first_answer_seconds": answered - asked,
        "latency": {name: latency(model, name, samples[name].inputs) for name in samples},
    }


def _reason(error: Exception) -> str:
    """An error on one line: TensorFlow's go on with stack traces."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
