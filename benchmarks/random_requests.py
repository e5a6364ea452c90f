"""10,000 random requests to an exported run: do its signatures agree, do lines add up to scores?

    python benchmarks/random_requests.py runs/a            (minutes)
    python benchmarks/random_requests.py runs/a --quick    (200 requests, nothing written)

A request is a user with 0 to 60 events at random times in any order, of random items of the
catalogue, one in ten unknown; of a ledger also with random actions, strengths, times of the request
and gains. The recommended items are then asked about one by one. What it must reach: no error above
1e-4, of lines absolutely, of all others relative to max(1, |number|).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results import write_section

from tfrec.console import count, import_tensorflow, progress, say
from tfrec.errors import command
from tfrec.run import load_data, must_be_run

if TYPE_CHECKING:
    from export.probe.model import Model
    from export.signatures import Sizes

_REQUESTS, _QUICK = 10_000, 200
_AT_ONCE = 100
_MOST_EVENTS = 60
_ASKED_ABOUT = 20
_DAY = 86_400_000
_UNKNOWN = b"(an item that no catalogue has)"
_ALLOWED = 1e-4


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder of python -m tfrec.train")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK} requests")
    parser.add_argument("--seed", type=int, default=0, help="of the requests (default 0)")
    flags = parser.parse_args(argv)
    run = must_be_run(flags.run)
    import_tensorflow()
    from export.log_requests import LogRequests
    from export.probe.model import Model
    from export.saved_model import save_run

    requests = _QUICK if flags.quick else _REQUESTS
    rng = np.random.default_rng(flags.seed)
    with tempfile.TemporaryDirectory() as folder:
        say("exporting the run")
        exported = save_run(run, Path(folder) / "1")
        data = load_data(run, exported.config)
        ids = LogRequests(data).ids
        model = Model(Path(folder) / "1")
        begin, end = int(data.columns.timestamp.min()), int(data.columns.timestamp.max())
        worst: dict[str, float] = {}
        for _ in progress(range(requests // _AT_ONCE), "asking"):
            asked = request(rng, ids, data.meta.actions, (begin, end), exported.sizes)
            for name, error in errors(model, asked, exported.sizes.facets > 0).items():
                worst[name] = max(worst.get(name, 0.0), error)
    lines = [
        f"`python benchmarks/random_requests.py {flags.run}{' --quick' if flags.quick else ''}`",
        "",
        f"A {exported.sizes.model} of {count(exported.sizes.items)} items; {count(requests)} "
        f"requests, seed {flags.seed}.",
        "",
        "| what must be the same | largest error |",
        "|---|---|",
        *(f"| {name} | {error:.1e} |" for name, error in worst.items()),
    ]
    say("\n".join(lines))
    if not flags.quick:
        write_section(f"Random requests: {exported.sizes.model}", "\n".join(lines))
    return 0 if max(worst.values()) <= _ALLOWED else 1


def request(
    rng: np.random.Generator,
    ids: Any,
    actions: Sequence[str],
    times: tuple[int, int],
    sizes: Sizes,
) -> dict[str, Any]:
    """Inputs of so many users at once; without those of a ledger where it is none."""
    shape = _AT_ONCE, _MOST_EVENTS
    items = rng.choice(ids, shape)
    items[rng.random(shape) < 0.1] = _UNKNOWN
    items[np.arange(_MOST_EVENTS) >= rng.integers(0, _MOST_EVENTS + 1, (_AT_ONCE, 1))] = b""
    found = {
        "history_items": items,
        "history_times": rng.integers(times[0], times[1] + 1, shape),
    }
    if not sizes.facets:
        return found
    words = np.array([b"", *(name.encode() for name in actions)], object)

    def gains(*of: int) -> Any:
        return rng.choice([0.0, 0.5, 1.0, 2.0], of).astype(np.float32)

    strengths = rng.integers(1, 6, shape).astype(np.float32)
    return found | {
        "actions": rng.choice(words, shape),
        "values": np.where(rng.random(shape) < 0.5, np.float32(np.nan), strengths),
        "now": times[1] + rng.integers(0, 30 * _DAY, _AT_ONCE),
        "facet_gain": gains(_AT_ONCE, sizes.facets),
        "event_gain": gains(*shape),
        "conformity_gain": gains(_AT_ONCE),
    }


def errors(model: Model, asked: dict[str, Any], ledger: bool) -> dict[str, float]:
    """The largest error of each kind."""
    from export.probe.model import difference

    suffix = "_full" if ledger else ""

    def ask(name: str, **own: Any) -> dict[str, Any]:
        return model.ask(name + suffix, asked | own)

    nothing = np.zeros((_AT_ONCE, 0), object)
    best = ask("recommend", exclude_items=nothing)
    about = best["items"][:, :_ASKED_ABOUT]
    scored = ask("score", candidate_items=about)
    head = ask("distribution")
    user = ask("embed_user")["embedding"].astype(np.float64)
    items = model.ask("embed_items", {"items": about.ravel()})["embedding"].astype(np.float64)
    product = np.einsum("bs,bms->bm", user, items.reshape(*about.shape, -1))
    real = about != b""  # a small catalogue may run out
    first = {name: best[name][:, : about.shape[1]][real] for name in ("scores", "probabilities")}
    total = head["probabilities"].astype(np.float64).sum(axis=1) + head["tail_mass"]
    found = {
        "`recommend`'s scores and `score`": difference(first["scores"], scored["score"][real]),
        "`recommend`'s probabilities and `score`'s": difference(
            first["probabilities"], scored["probability"][real]
        ),
        "`recommend` and the head of `distribution`": difference(
            best["probabilities"], head["probabilities"]
        ),
        "`distribution` in all, and 1": difference(total, np.ones_like(total)),
        "`embed_user` times `embed_items`, and `score`": difference(product, scored["score"]),
    }
    if ledger:
        told = ask("explain", candidate_items=about)
        lines = told["event_contributions"].astype(np.float64).sum(axis=(2, 3))
        lines += sum(told[name].astype(np.float64) for name in ("quality", "conformity", "context"))
        found["the lines of `explain` added up, and their score"] = float(
            np.abs(lines - told["score"]).max()
        )
        found["`explain`'s score and `score`"] = difference(told["score"], scored["score"])
    return found


if __name__ == "__main__":
    raise SystemExit(main())
