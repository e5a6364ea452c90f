"""python -m export: a finished run becomes the next version in a folder that a server watches."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from export.index.options import EXACT, KINDS, IndexOptions, RecallError
from export.options import PLAIN, Options
from export.stopping import tidy_on_sigterm
from export.versions import locked, new_version, remove_older, versions
from tfrec.console import import_tensorflow, say, size
from tfrec.errors import UserError, command
from tfrec.run import load_data, must_be_run

if TYPE_CHECKING:
    from export.check import Report
    from export.comparison import Comparison
    from export.contract import Signatures
    from export.saved_model import Exported
    from tfrec.evaluation.results import Results

EXAMPLES = """\
examples:
  python -m export runs/a models/shop               writes models/shop/1, then 2, …
  python -m export runs/a models/shop --keep 3      and deletes all but the newest three
  python -m export runs/a models/shop --top-k 500 --name shop
  python -m export runs/a models/shop --quantize int8      smaller, and says what that costs
  python -m export runs/a models/shop --prune .95      without the facets that matter least
  python -m export runs/a models/shop --language zh    explains in Chinese
  python -m export runs/a models/shop --index ivf     for a large catalogue, see below
  python -m export runs/a models/shop --vectors v     for faiss or a vector database: in v/
                                                      users.parquet, items.parquet (id, vector);
                                                      a product of two vectors is the score

A version is a SavedModel with the tokenizer, the catalogue and the calibration inside; a client
sends strings. In its assets.extra: contract.json, MODEL_CARD.md, samples/ and warm-up records.
Beside the versions, to be edited as you like: model.config, monitoring.config, batching.config,
docker-compose.yaml. A version that fails its check (python -m export.check) is not published; a
kill at any moment leaves the earlier versions as they were.

A recommendation compares all items, which is exact. With --index ivf it compares those of some
lists, as few as find --min-recall of the ten best for real users of the log, and the same of the
next ten with those excluded; what was measured is printed and stands in contract.json. It pays
from about 50,000 items and runs on any TensorFlow Serving. --index scann needs a server with
ScaNN's operations and pip install 'tfrec[scann]' here. Only `recommend` uses an index; its
probabilities are then of the items that were compared, a little above those of `score`.
exit codes: 0 done, 1 the check failed or the recall is too low, 2 something to correct in options
or run, 130 Ctrl-C, 143 SIGTERM
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m export",
        description="Writes a trained run as a model that stock TensorFlow Serving loads.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("run", metavar="RUN", type=Path, help="run folder of python -m tfrec.train")
    made.add_argument("models", metavar="MODEL_DIR", type=Path, help="holds the numbered versions")
    made.add_argument(
        "--keep", metavar="N", type=int, help="versions that stay, this one included (default all)"
    )
    made.add_argument(
        "--top-k",
        metavar="K",
        type=int,
        default=PLAIN.top_k,
        help="items of a recommendation (default 100)",
    )
    made.add_argument(
        "--name", default="tfrec", help="under which clients ask for the model (default tfrec)"
    )
    made.add_argument(
        "--quantize",
        choices=["float16", "int8"],
        help="how item vectors and large weights lie in the file, a half or a quarter as large; "
        "they are read as float32. An encoder from TensorFlow Hub stays as it is. The version is "
        "compared with one in float32, which takes as long again (default float32)",
    )
    made.add_argument(
        "--prune",
        metavar="SHARE",
        type=float,
        help="keep as few facets of a ledger as contribute this share of what all of them do to "
        "scores, .95 say; which that are is printed, and the version is compared likewise "
        "(default all facets)",
    )
    made.add_argument(
        "--language",
        choices=["en", "zh"],
        default="en",
        help="of the sentences of explain (default en)",
    )
    made.add_argument(
        "--vectors",
        metavar="DIR",
        type=Path,
        help="also write users and items as vectors: DIR/users.parquet, DIR/items.parquet",
    )
    index = made.add_argument_group("Index")
    index.add_argument(
        "--index",
        choices=KINDS,
        default="exact",
        help="how recommendations are searched for (default exact)",
    )
    index.add_argument(
        "--min-recall",
        metavar="R",
        type=float,
        default=EXACT.min_recall,
        help="recall@10 below which nothing is published (default %(default)s)",
    )
    index.add_argument(
        "--lists", metavar="N", type=int, help="of items (default 4 times the root of their number)"
    )
    index.add_argument(
        "--probes", metavar="N", type=int, help="lists that are read (default as few as will do)"
    )
    index.add_argument(
        "--int8-lists",
        action="store_true",
        help="the copy of the item vectors in the lists of ivf takes a quarter of the bytes; the "
        "best that are found are scored again exactly",
    )
    return made


@command
def main(argv: Sequence[str]) -> int:
    flags = parser().parse_args(argv)
    if flags.keep is not None and flags.keep < 1:
        raise UserError(f"--keep {flags.keep} must be at least 1, the version that is written")
    if flags.top_k < 1:
        raise UserError(f"--top-k {flags.top_k} must be at least 1")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", flags.name):
        raise UserError(
            f"--name {flags.name!r} must be letters, digits, '_', '.' and '-', because it becomes "
            "part of addresses and paths"
        )
    if not 0 < flags.min_recall <= 1:
        raise UserError(f"--min-recall {flags.min_recall} must be above 0 and at most 1")
    for name in ("lists", "probes"):
        if (given := getattr(flags, name)) is not None and given < 1:
            raise UserError(f"--{name} {given} must be at least 1")
    if flags.index == "exact" and (flags.lists or flags.probes):
        raise UserError("--lists and --probes are those of an index: say --index ivf too")
    if flags.int8_lists and flags.index != "ivf":
        raise UserError("--int8-lists are those of an inverted file: say --index ivf too")
    search = IndexOptions(
        flags.index, flags.lists, flags.probes, flags.min_recall, flags.int8_lists
    )
    if flags.prune is not None and not 0 < flags.prune <= 1:
        raise UserError(f"--prune {flags.prune} must be a share, above 0 and at most 1")
    options = Options(
        flags.top_k, search, flags.quantize or PLAIN.storage, flags.prune, flags.language
    )
    with tidy_on_sigterm():
        return export(flags.run, flags.models, options, flags.name, flags.keep, flags.vectors)


class CheckFailedError(Exception):
    """The version that was written does not keep its word."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


class Written(NamedTuple):
    """A version that is whole and checked."""

    signatures: int
    report: Report
    comparison: Comparison | None


def export(
    run: Path,
    models: Path,
    options: Options,
    name: str,
    keep: int | None = None,
    vectors: Path | None = None,
) -> int:
    """Writes the next version and the files beside it.

    Arguments:
        run: of `python -m tfrec.train`, finished.
        models: the model folder, made if missing.
        options: what the version is like.
        name: under which clients ask for the model.
        keep: versions that stay; None: all.
        vectors: folder for users and items as vectors, see `export.vectors`; None: not written.

    Returns:
        The exit code: 1 where the version failed its check, or its index misses too much, and was
        not published.

    Raises:
        UserError: the run is not finished or damaged, its contract would break the clients of
            earlier versions, or the model folder cannot be written.

    Example:
        >>> export(Path("runs/a"), Path("models/shop"), PLAIN, "shop")  # doctest: +SKIP
        0
    """
    from export.check import EXIT_FAILED, print_report
    from export.comparison import print_comparison
    from export.configs import IMAGE, SCANN_IMAGE, write_configs
    from export.model_card import read_results

    results = read_results(must_be_run(run))
    try:
        with locked(models):
            with new_version(models) as draft:
                say(f"writing version {draft.number} of {models}")
                written = _write(run, results, models, draft.folder, options, name, vectors)
                # Before the version has its number: should they fail, it is not published.
                image = SCANN_IMAGE if options.search.kind == "scann" else IMAGE
                kept = write_configs(models, name, image)
            removed = remove_older(models, keep) if keep is not None else []
    except RecallError as failed:
        say(f"FAIL  {failed}")
        say("\nthe version is not published; earlier ones are untouched")
        return EXIT_FAILED
    except CheckFailedError as failed:
        print_report(failed.report)
        say("\nthe version fails its check and is not published; earlier ones are untouched")
        return EXIT_FAILED
    folder = models / str(draft.number)
    bytes_written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print_report(written.report)
    if written.comparison is not None:
        print_comparison(written.comparison)
    say(f"\n{folder}: {written.signatures} signatures, {size(bytes_written)}")
    if removed:
        say(f"deleted: {', '.join(str(models / str(number)) for number in removed)}")
    if kept:
        say(f"kept as they are, though others would be written now: {', '.join(kept)}")
    say(f"serve it with: docker compose --file {models / 'docker-compose.yaml'} up")
    return 0


def _write(
    run: Path,
    results: Results,
    models: Path,
    folder: Path,
    options: Options,
    name: str,
    vectors: Path | None,
) -> Written:
    import_tensorflow()
    from export.check import check_version
    from export.comparison import change
    from export.contract import EXTRA, signatures, write_contract
    from export.model_card import CARD, model_card
    from export.probe.model import Model
    from export.reliability import PICTURE, draw_reliability, measure_reliability
    from export.requests import requests
    from export.sample_files import write_samples
    from export.saved_model import save_run
    from export.vectors import write_vectors
    from export.warmup import write_warmup

    exported = save_run(run, folder, options)
    _must_fit(signatures(folder), models)
    say("asking it for the samples")
    model = Model(folder)
    exchanges = write_samples(model, folder, name, requests(exported))
    write_warmup(folder, exchanges)
    reliability = measure_reliability(model, exported, run)
    draw_reliability(reliability, folder / EXTRA / PICTURE)
    comparison = _compare(run, folder, exported) if change(exported) else None
    card = model_card(exported, results, reliability, comparison)
    (folder / EXTRA / CARD).write_text(card, encoding="utf-8")
    sizes = exported.sizes
    vocabulary = {
        "items": sizes.items,
        "categories": sizes.categories,
        "actions": sizes.actions,
        "facets": sizes.facets,
        "embedding": sizes.embedding,
        "tokens": sizes.tokens,
    }
    if exported.indexed is not None:
        say(exported.indexed.sentence())
    write_contract(folder, sizes.model, vocabulary, exported.indexed, exported.signatures)
    say("checking it in a process that can import neither tfrec nor export")
    report = check_version(folder)
    if not report.passed:
        raise CheckFailedError(report)
    if vectors is not None:
        say(f"writing vectors into {vectors}")
        data = load_data(run, exported.config)
        write_vectors(folder, data, sizes.max_length, vectors)
    return Written(len(exported.signatures), report, comparison)


def _compare(run: Path, folder: Path, exported: Exported) -> Comparison:
    """Beside the same run as it was trained, which nobody else will ever see."""
    from tempfile import TemporaryDirectory

    from export.comparison import compare_versions
    from export.saved_model import save_run

    say("comparing it with the same run as it was trained")
    with TemporaryDirectory() as beside:
        original = Path(beside) / "1"
        plain = exported.options._replace(storage=PLAIN.storage, prune=PLAIN.prune)
        save_run(run, original, plain)
        return compare_versions(original, folder, exported, run)


def _must_fit(found: Signatures, models: Path) -> None:
    """A server replaces the newest version by this one under its clients' feet."""
    from export.contract import incompatibilities, read_contract

    published = list(versions(models).values())
    if not published:
        return
    before = published[-1]
    broken = incompatibilities(read_contract(before)["signatures"], found)
    if broken:
        raise UserError(
            f"clients of {before} would break: {'; '.join(broken)}. Export into another folder "
            "and move the clients there"
        )


if __name__ == "__main__":
    raise SystemExit(main())
