"""Whether a ledger's lines say what the model does, beside post-hoc explanations of the same model.

    python benchmarks/explanations.py RUN                 (a finished run of the ledger)
    python benchmarks/explanations.py RUN --cases 500 --newest 50

For a sample of test cases the top recommendation is explained: what did each past event add to its
score? The judge is the model itself, asked again with events really gone and the rest encoded
afresh (`tfrec.interest.counterfactuals.rescorer`). The table goes to the console and into
benchmarks/RESULTS.md. In it, ↑ is better high and ↓ better low:

violations ↓    share of large contributions whose event really moves the score the other way
Spearman ↑      rank correlation of contributions and real changes, the newest events of each case
gap ↓           Σ |contribution - real change| / Σ |real change|; only where the unit is a score's
deletion ↓      area over the score of the empty history while the most supportive events go first,
insertion ↑     and while they come first, as parts of the score's range
compr. ↑        score lost without the top 1 to 20 % of the events
suff. ↓         score lost with nothing but those
POS@5 ↓         share still in the top 5 without the five most supportive events
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from results import write_section

from tfrec.console import import_tensorflow, say
from tfrec.data.cases import Cases
from tfrec.data.sequences import Bool, Float32, Int32
from tfrec.errors import command

_ROWS = 32  # cases differentiated at once
STEPS = 32  # of integrated gradients


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--cases", type=int, default=200, help="test cases drawn (default 200)")
    parser.add_argument("--newest", type=int, default=30, help="events deleted one by one (30)")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args(argv)
    import_tensorflow()
    from tfrec.interest.asking.load import load_run

    run = load_run(flags.run)
    cases = run.split.cases("test")
    draw = np.random.default_rng(flags.seed).permutation(len(cases))[: flags.cases]
    measured = measure(run.reader, cases.take(np.sort(draw)), flags.newest, flags.seed)
    command_line = f"python benchmarks/explanations.py {flags.run.name} --cases {flags.cases}"
    body = (
        f"{Path(run.config.data.data).name}, {run.split.describe()}, {len(draw)} test cases, the "
        f"top recommendation of each; weights `{run.config.model.weights}`. "
        f"`{command_line} --newest {flags.newest} --seed {flags.seed}`\n\n{table(measured)}\n\n"
        f"Largest |sum of lines - score|: {measured['completeness']:.1e}. Largest |model on "
        f"embeddings - score|, which the gradients start from: {measured['hook']:.1e}."
    )
    say(body)
    write_section("Explanations", body)
    return 0


def measure(reader: Any, cases: Cases, newest: int, seed: int) -> dict[str, Any]:
    """All numbers of one model."""
    from tfrec.evaluation.attributions import random_attribution
    from tfrec.evaluation.faithfulness import completeness_error, deletion_changes
    from tfrec.interest.counterfactuals import rescorer

    readings = reader.read(cases)
    mask = readings.real
    scores = readings.scores(reader.catalogue)
    histories = cases.histories
    unseen = scores.copy()
    unseen[np.repeat(np.arange(len(cases)), histories.lengths), histories.items()] = -np.inf
    items = unseen.argmax(axis=1).astype(np.int32)
    pairs = items[:, None]
    score = np.take_along_axis(scores, pairs, axis=1)[:, 0]

    lines = readings.contributions(reader.catalogue, pairs)[:, 0].sum(axis=-1)
    scalars = readings.quality_line(reader.catalogue, pairs)
    scalars = scalars + readings.conformity_line(reader.catalogue, pairs)
    scalars = scalars + readings.context_line(reader.catalogue, pairs)
    gradients, hooked = post_hoc(reader, cases, items, mask)
    said = {
        "ledger": lines,
        **gradients,
        "attention weights": (readings.gates[..., None] * readings.weights).sum(axis=1),
        "random": random_attribution(mask, seed),
    }
    scorer = rescorer(reader, cases, items, seed)
    changes = deletion_changes(scorer.rescore, mask, newest)
    return {
        "completeness": completeness_error(lines.sum(axis=1) + scalars[:, 0], score),
        "hook": float(np.abs(hooked - score).max()),
        "rows": {name: row(c, changes, mask, newest, scorer) for name, c in said.items()},
    }


def row(
    contributions: Float32, changes: Any, mask: Bool, newest: int, scorer: Any
) -> dict[str, float]:
    """One explanation's numbers."""
    from tfrec.evaluation import faithfulness as judge

    near = judge.newest_events(mask, newest)
    deletion = judge.deletion_curve(contributions, mask, scorer.rescore)
    insertion = judge.insertion_curve(contributions, mask, scorer.rescore)
    whole = deletion.score_range.sum()
    return {
        "violations": judge.polarity_violations(contributions, changes, near),
        "Spearman": judge.spearman(contributions, changes, near).mean,
        "gap": judge.relative_gap(contributions, changes, near),
        # Ratio of sums: a case whose score hardly depends on its history must not dominate.
        "deletion": float(deletion.area.sum() / whole),
        "insertion": float(insertion.area.sum() / whole),
        "compr.": float(judge.comprehensiveness(contributions, mask, scorer.rescore).mean()),
        "suff.": float(judge.sufficiency(contributions, mask, scorer.rescore).mean()),
        "POS@5": float(judge.pos_at_k(contributions, mask, scorer.ranks, 5, 5).mean()),
    }


def post_hoc(
    reader: Any, cases: Cases, items: Int32, mask: Bool
) -> tuple[dict[str, Float32], Float32]:
    """Integrated gradients and gradient × input of the events' item vectors, and f of these."""
    from tfrec.evaluation.attributions import gradient_times_input, integrated_gradients

    tokens = reader.tokens(cases.histories, cases.request_times)
    embedded = np.asarray(reader.model.tower(), np.float32)[np.maximum(tokens["items"], 0)]
    embedded *= mask[..., None]
    parts: dict[str, list[Float32]] = {"integrated gradients": [], "gradient × input": []}
    hooked = []
    score = scorer_of_embeddings(reader)
    for start in range(0, len(cases), _ROWS):
        block = slice(start, start + _ROWS)
        some = {name: array[block] for name, array in tokens.items()}
        f = bound(score, some, items[block])
        x, real = embedded[block], mask[block]
        hooked.append(f(x).numpy())
        parts["integrated gradients"].append(integrated_gradients(f, x, real, STEPS))
        parts["gradient × input"].append(gradient_times_input(f, x, real))
    return {name: np.concatenate(part) for name, part in parts.items()}, np.concatenate(hooked)


def bound(score: Any, tokens: dict[str, Any], items: Int32) -> Callable[[Any], Any]:
    """f of the embeddings alone, for cases and items that are given."""
    return lambda embedded: score(embedded, tokens, items)


class _WithEmbeddings:
    """A ledger whose item vectors are given, one for every event."""

    def __init__(self, model: Any, table: Any) -> None:
        self._model, self._table = model, table
        self.num_items = table.shape[0] or import_tensorflow().shape(table)[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def tower(self, training: bool = False) -> Any:
        return self._table

    def _embedded(self, table: Any, batch: dict[str, Any]) -> Any:
        # The model's own would look the events up among its own items.
        return type(self._model)._embedded(self, table, batch)


def scorer_of_embeddings(reader: Any) -> Any:
    """(embeddings [N, L, D], tokens, items [N]) -> scores [N], differentiable."""
    tf = import_tensorflow()
    from tfrec.interest.reading import matrix

    model, rows = reader.model, tf.constant(matrix(reader.catalogue))

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def score(embedded: Any, tokens: dict[str, Any], items: Any) -> Any:
        shape = tf.shape(tokens["items"])
        cells = tf.reshape(tf.range(shape[0] * shape[1]), shape)  # every event is its own item
        own = tokens | {"items": tf.where(tokens["items"] >= 0, cells, -1)}
        table = tf.reshape(embedded, (-1, embedded.shape[-1]))
        reading = type(model).read(_WithEmbeddings(model, table), own)
        states = tf.cast(reading.state()[:, -1], tf.float32)
        return tf.reduce_sum(states * tf.gather(rows, items), axis=-1)

    return score


def table(measured: dict[str, Any]) -> str:
    """Markdown."""
    rows = measured["rows"]
    names = list(rows["ledger"])
    head = ["explanation", *names]
    lines = [" | ".join(head), " | ".join(["---", *["---:"] * len(names)])]
    for name, numbers in rows.items():
        cells = [f"{numbers[column]:.3f}" for column in names]
        if name in ("attention weights", "random"):  # not in the unit of a score
            cells[names.index("gap")] = "-"
        lines.append(" | ".join([name, *cells]))
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
