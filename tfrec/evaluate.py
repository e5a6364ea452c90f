"""python -m tfrec.evaluate: ranks the catalogue with a trained run, or compares two runs."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrec.config import resolve
from tfrec.console import say
from tfrec.errors import UserError, command
from tfrec.run import CONFIG, RunConfig, locked, must_be_run, read_epochs
from tfrec.train import publish
from tfrec.trained import load_trained

if TYPE_CHECKING:
    from tfrec.evaluation.results import Results

EXAMPLES = """\
examples:
  python -m tfrec.evaluate runs/a                       the test cases, model and baselines
  python -m tfrec.evaluate runs/a --ks 1,10,100 --baselines none
  python -m tfrec.evaluate runs/a --subset validation --out validation
  python -m tfrec.evaluate runs/a --compare runs/b      paired, case by case, with p-values

Results go to results.json, results.md and report.html in --out (default: the run folder itself
for the test cases as the run was made, otherwise RUN/evaluation-<subset>).
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tfrec.evaluate",
        description="Ranks the whole catalogue with the best weights of a run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("run", metavar="RUN", type=Path, help="run folder of python -m tfrec.train")
    made.add_argument(
        "--subset", choices=["test", "validation"], default="test", help="cases (default test)"
    )
    made.add_argument("--ks", metavar="K,K,…", help="cut-offs (default: those of the run)")
    made.add_argument(
        "--baselines", metavar="NAMES", help="all, none or names (default: as the run)"
    )
    made.add_argument("--out", metavar="FOLDER", type=Path, help="where the results go")
    made.add_argument(
        "--compare",
        metavar="RUN",
        type=Path,
        help="no new ranking: RUN's stored test results against this run's, paired",
    )
    return made


@command
def main(argv: Sequence[str]) -> int:
    flags = parser().parse_args(argv)
    if flags.compare is not None:
        if flags.ks or flags.baselines or flags.out or flags.subset != "test":
            raise UserError("--compare reads stored results; it goes with no other option")
        compare_runs(must_be_run(flags.run), must_be_run(flags.compare))
        return 0
    run = must_be_run(flags.run)
    config = resolve(RunConfig, argparse.Namespace(), run / CONFIG)
    asked: dict[str, Any] = {}
    if flags.ks:
        asked["ks"] = _numbers(flags.ks)
    if flags.baselines:
        asked["baselines"] = [name.strip() for name in flags.baselines.split(",")]
    config = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, **asked))
    as_run = flags.subset == "test" and not asked
    out = flags.out or (run if as_run else run / f"evaluation-{flags.subset}")
    evaluate(run, config, flags.subset, out)
    return 0


def evaluate(run: Path, config: RunConfig, subset: str, out: Path) -> None:
    """Ranks the cases of `subset` with the run's best weights and writes the report into `out`.

    Raises:
        UserError: the run has no weights yet, or its data cannot be read.
    """
    from tfrec.evaluation.run_evaluation import check

    check(config.evaluation)
    with locked(run):
        publish(ranked(run, config, subset, out), config, out)


def ranked(run: Path, config: RunConfig, subset: str, out: Path) -> Results:
    """The results on the cases of `subset`; the metrics of every case go into `out`."""
    from tfrec.evaluation.run_evaluation import evaluate_run, text_views
    from tfrec.models.build import DISPLAY_NAMES
    from tfrec.training import setup

    data, split, model, epoch = load_trained(run, config)
    say(f"weights of epoch {epoch}; {split.describe()}")
    return evaluate_run(
        model,
        DISPLAY_NAMES[config.model.model],
        setup.settings(config.model, config.training, data.num_items),
        data,
        split,
        "test" if subset == "test" else "validation",
        config.evaluation,
        config.training.seed,
        out,
        read_epochs(run),
        text_views(data, config.text, run),
    )


def compare_runs(a: Path, b: Path) -> None:
    """Prints the paired differences between the models of two finished runs.

    Raises:
        UserError: a run is not finished, or they were not measured on the same cases.
    """
    from tfrec.evaluation.case_metrics import load_cases
    from tfrec.evaluation.compare import compare
    from tfrec.evaluation.results import Results
    from tfrec.evaluation.run_evaluation import RESULTS, case_file
    from tfrec.evaluation.table import compare_table

    sides = []
    for run in (a, b):
        if not (run / RESULTS).exists():
            raise UserError(
                f"{run} has no results yet; finish it with python -m tfrec.train --resume {run}"
            )
        results = Results.load(run / RESULTS)
        name = next(line.name for line in results.models if line.kind == "model")
        sides.append(dataclasses.replace(load_cases(case_file(run, name)), name=f"{run} ({name})"))
    say(compare_table(sides[0].name, sides[1].name, compare(sides[0], sides[1], seed=0)))


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--ks {text!r} must be whole numbers with commas, such as 5,10") from None


if __name__ == "__main__":
    raise SystemExit(main())
