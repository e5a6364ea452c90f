"""python -m tfrec.append: new items join a trained run, placed by their texts and categories."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfrec.config import resolve
from tfrec.console import count, import_tensorflow, say
from tfrec.errors import UserError, command
from tfrec.run import (
    APPENDED,
    CHECKPOINTS,
    CONFIG,
    EPOCHS,
    RunConfig,
    link_data,
    load_data,
    locked,
    must_be_run,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

    from tfrec.data.item_vectors import ItemVectors
    from tfrec.data.prepared import PreparedData
    from tfrec.data.sequences import Bool
    from tfrec.data.user_texts import UserTexts
    from tfrec.evaluation.results import Results
    from tfrec.models.ledger import Ledger

EXAMPLES = """\
examples:
  python -m tfrec.append runs/shop new.csv                    makes runs/shop+2 of two new items
  python -m tfrec.append runs/shop new.csv --out runs/monday
  python -m tfrec.append runs/shop new.csv --item-vectors new.npy   of a run with --item-vectors
  python -m export runs/monday models/shop                    and they are recommended

The file has the columns of the run's catalogue: item_id, its texts, its categories. RUN stays as it
is. The test cases are ranked again, now with the new items among the candidates.
"""
PREPARED = "data"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tfrec.append",
        description="Adds items to a trained ledger without training it again: it places them by "
        "what it has learned to make of texts and categories, and takes them for as popular as "
        "such items are.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("run", metavar="RUN", type=Path, help="a finished run")
    made.add_argument(
        "items", metavar="ITEMS", help="CSV, TSV, JSON Lines or Parquet; one row each"
    )
    made.add_argument(
        "--item-vectors",
        metavar="FILE,…",
        default="",
        help="vectors of the new items, as many files as the run has and in the same order; items "
        "may go without",
    )
    made.add_argument("--out", metavar="RUN", type=Path, help="the new run (default RUN+<items>)")
    return made


@command
def main(argv: Sequence[str]) -> int:
    flags = parser().parse_args(argv)
    files = [part.strip() for part in flags.item_vectors.split(",") if part.strip()]
    append_items(flags.run, flags.items, flags.out, files)
    return 0


def append_items(
    run: Path, items: str, out: Path | None = None, vectors: Sequence[str] = ()
) -> Path:
    """A run like another, whose catalogue has more items.

    Arguments:
        run: of a ledger that reads texts, categories or vectors of items, finished.
        items: the file, with the columns of the run's catalogue.
        out: the folder of the new run; None: the old one's name, "+" and the number of new items.
        vectors: files with vectors of the new items, see `tfrec.data.item_vectors`.

    Returns:
        The new run: exported, asked and evaluated like any other, and complete or not there.

    Raises:
        UserError: the run cannot place new items, a row of the file cannot be used or says nothing
            that the run could place the item by, every item is known already, or `out` is there.

    Example:
        >>> append_items(Path("runs/shop"), "new.csv")  # doctest: +SKIP
        PosixPath('runs/shop+2')
    """
    from tfrec.data.writers import new_folder
    from tfrec.evaluation.table import console_table

    config = resolve(RunConfig, argparse.Namespace(), must_be_run(run) / CONFIG)
    with locked(run):
        data = load_data(run, config)
        if config.model.model != "ledger":
            raise UserError(f"{run} is a {config.model.model}: only a ledger places new items")
        rows, known_vectors = _new_rows(data, config, run, items, vectors)
        out = out or run.with_name(f"{run.name}+{len(rows)}")
        if out.exists():
            raise UserError(f"{out} is there already. Choose another folder with --out")
        with new_folder(out) as folder:
            results = _extend(run, folder, config, data, rows, known_vectors)
            link_data(folder, out / PREPARED)
    say()
    say(console_table(results))
    say()
    say(f"{count(len(rows))} items joined: {out}")
    return out


def _new_rows(
    data: PreparedData, config: RunConfig, run: Path, items: str, vectors: Sequence[str]
) -> tuple[pyarrow.Table, ItemVectors | None]:
    """What the file holds that the run does not have, and the vectors of all items, old and new.

    Raises:
        UserError: see `append_items`.
    """
    import numpy as np

    from tfrec.data.item_vectors import kept_vectors
    from tfrec.data.new_items import read_new_items
    from tfrec.models.build import category_names
    from tfrec.text.catalogue_vectors import texts_of

    kinds = category_names(data)
    reads_texts = config.text.text_encoder != "none"
    longer = kept_vectors(run)
    if vectors and longer is None:
        raise UserError(f"{run} was trained without --item-vectors, so it cannot read any")
    vector = longer is not None
    ways = {"text": reads_texts, "vector": vector, "category that is known": bool(kinds)}
    if not any(ways.values()):
        raise UserError(
            f"{run} reads neither texts nor categories, so nothing could place a new item. Train "
            "with --items and --categories, with --text and --text-encoder, or --item-vectors"
        )

    def described(rows: pyarrow.Table) -> Bool:
        nonlocal longer  # the vectors are aligned to the rows, which only the reader knows
        told = np.zeros(len(rows), bool)
        if reads_texts:
            told |= np.array([bool(t) for t in texts_of(rows, data.meta.text_columns, config.text)])
        if longer is not None:
            longer = longer.and_new(vectors, rows["item_id"].to_pylist())
            told |= longer.values[data.num_items :].any(axis=1)
        return told

    wanted = " or ".join(name for name, read in ways.items() if read)
    rows = read_new_items(items, data, config.data, kinds, described, wanted)
    return rows, longer


def _extend(
    run: Path,
    folder: Path,
    config: RunConfig,
    data: PreparedData,
    rows: pyarrow.Table,
    vectors: ItemVectors | None,
) -> Results:
    """Writes the new run into an empty folder, and ranks its test cases."""
    from tfrec.data.prepared import PreparedData
    from tfrec.data.splits import LABEL_FILE, SPLIT_FILE
    from tfrec.evaluate import ranked
    from tfrec.interest.readouts import Readouts
    from tfrec.text.users import PROFILES, kept_user_texts
    from tfrec.train import write_results
    from tfrec.trained import load_trained, with_own_encoder
    from tfrec.training import checkpoint, loop
    from tfrec.training.text_setup import TUNED

    import_tensorflow()
    readouts = Readouts.load(run)
    before = load_trained(run, config)
    (folder / CHECKPOINTS).mkdir()
    for name in (CONFIG, SPLIT_FILE, LABEL_FILE, EPOCHS):
        shutil.copyfile(run / name, folder / name)
    if (run / PROFILES).exists():
        shutil.copyfile(run / PROFILES, folder / PROFILES)
    if config.tuning.tunes:
        shutil.copytree(run / TUNED, folder / TUNED)
    appended = {"from": str(run.resolve()), "items": rows["item_id"].to_pylist()}
    (folder / APPENDED).write_text(json.dumps(appended, ensure_ascii=False), encoding="utf-8")
    _write_data(data, rows, folder / PREPARED)
    link_data(folder, folder / PREPARED)
    longer = PreparedData.open(folder / PREPARED)
    texts = _write_texts(run, folder, longer, with_own_encoder(run, config), len(rows))
    if vectors is not None:
        vectors.save(folder)
    users = kept_user_texts(longer, config.text, folder)
    model = _grown(before.model, longer, before.split.train(), config, texts, users, vectors)
    state = {"epoch": before.epoch - 1}
    checkpoint.save(folder / CHECKPOINTS / loop.BEST, model.variables, state)
    readouts.with_items(len(rows)).save(folder)
    plain = dataclasses.replace(config.evaluation, baselines=["none"])
    results = ranked(folder, dataclasses.replace(config, evaluation=plain), "test", folder)
    write_results(results, config, folder)
    return results


def _write_data(data: PreparedData, rows: pyarrow.Table, folder: Path) -> None:
    """The prepared log with more items; its arrays are the same files where the disk allows it."""
    import pyarrow
    import pyarrow.parquet

    from tfrec.data.prepared import ITEMS, META

    folder.mkdir()
    for path in data.folder.iterdir():
        if path.name in (ITEMS, META) or not path.is_file():
            continue
        try:
            os.link(path, folder / path.name)
        except OSError:
            shutil.copyfile(path, folder / path.name)
    items = pyarrow.concat_tables([data.items, rows.cast(data.items.schema)])
    pyarrow.parquet.write_table(items, folder / ITEMS)
    dataclasses.replace(data.meta, num_items=len(items)).save(folder)


def _write_texts(
    run: Path, folder: Path, longer: PreparedData, config: RunConfig, added: int
) -> np.ndarray[Any, Any] | None:
    """Vectors of all items; those of the old ones are not computed again."""
    import numpy as np

    from tfrec.text.catalogue_vectors import VECTORS, text_vectors, texts_of, vectors_of

    old = text_vectors(run)
    if old is None:
        return None
    rows = longer.items.slice(longer.num_items - added)
    said = texts_of(rows, longer.meta.text_columns, config.text)
    texts = np.concatenate([old, vectors_of(said, config.text, config.data.cache_folder)])
    np.save(folder / VECTORS, texts)
    return texts


def _grown(
    model: Any,
    longer: PreparedData,
    train: Any,
    config: RunConfig,
    texts: np.ndarray[Any, Any] | None,
    users: UserTexts | None,
    vectors: ItemVectors | None,
) -> Ledger:
    """The model with rows for the new items.

    What was learned or counted of the old items stays. What a fresh model knows of the new ones is
    theirs: texts, categories, vectors, expected popularity. What it would have to learn is 0.
    """
    from tfrec.models.build import build_model

    fresh: Any = build_model(
        config.model, longer, train, texts, users, None if vectors is None else vectors.values
    )
    learned = {id(variable) for variable in fresh.trainable_variables}
    for old, new in zip(model.variables, fresh.variables, strict=True):
        value = old.numpy()
        if old.shape != new.shape:
            whole = new.numpy() * (id(new) not in learned)
            whole[tuple(slice(length) for length in old.shape)] = value
            value = whole
        new.assign(value)
    return fresh  # type: ignore[no-any-return]


if __name__ == "__main__":
    raise SystemExit(main())
