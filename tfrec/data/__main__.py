"""python -m tfrec.data prepare | join | inspect | simulate."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfrec import config
from tfrec.console import say
from tfrec.data.options import DataConfig
from tfrec.errors import UserError, command
from tfrec.interrupts import interrupts_wait

PREPARE = """\
examples:
  a CSV file whose columns have their own names
    python -m tfrec.data prepare --data log.csv --columns user=uid,item=sku,timestamp=time -o shop

  many gzipped JSON Lines files with a catalogue, only purchases, at least 5 events each
    python -m tfrec.data prepare --data 'logs/*.jsonl.gz' --items items.jsonl --text name,summary \\
        --categories topics --actions buy --k-core 5 -o shop

  a public set, downloaded once and checked; or from a copy that you have
    python -m tfrec.data prepare --data movielens-1m -o ml1m
    python -m tfrec.data prepare --data movielens-1m:/data/ml-1m -o ml1m

  then
    python -m tfrec.data inspect --data shop
    python -m tfrec.train --data shop

The folder holds plain .npy and .parquet files that training reads without loading them whole.
Rows that cannot be used are in its rejected.csv, each with file, line, field and reason.
"""

JOIN = """\
example: people who read and watch, by one model
  python -m tfrec.data prepare --data books.csv --items books-items.csv --text title -o books
  python -m tfrec.data prepare --data films.csv --items films-items.csv --text title -o films
  python -m tfrec.data join books=books films=films -o both
  python -m tfrec.train --data both

NAME is the domain of the log's items. The results say, for each domain, how well its items are
ranked among themselves: for users with events in it, with events in other domains only, and, with
--min-history 0, without any.
"""

INSPECT = """\
examples:
  python -m tfrec.data inspect                                   the synthetic world
  python -m tfrec.data inspect --data shop                       a folder that prepare wrote
  python -m tfrec.data inspect --data log.csv --plot log.html    the page with pictures
  python -m tfrec.data inspect --data movielens-1m --json facts.json
"""

SIMULATE = """\
example:
  python -m tfrec.data simulate --users 2000 --items 1000 --events 200000 --seed 7 -o world

Writes events.csv, items.csv, users.csv, and truth/: the planted tastes, half-lives, conformity
and the true reason of every event. The same numbers and seed give the same bytes.
"""


@dataclass(frozen=True)
class Config:
    """What `prepare` and `inspect` need to know of a log: one section."""

    data: DataConfig = field(default_factory=DataConfig)


@command
def main(argv: Sequence[str]) -> int:
    """Parses the command line and calls the function it names."""
    flags = _parser().parse_args(argv)
    run = {"prepare": _prepare, "join": _join, "inspect": _inspect, "simulate": _simulate}[
        flags.command
    ]
    run(flags)
    return 0


def _import_arrow() -> None:
    # Arrow imports pandas when it first converts something, in C code that loses an interrupt.
    with interrupts_wait():
        import pandas  # noqa: F401
        import pyarrow.csv
        import pyarrow.json
        import pyarrow.parquet  # noqa: F401


def _prepare(flags: argparse.Namespace) -> None:
    _import_arrow()
    from tfrec.data.ingest import prepare
    from tfrec.data.locate import locate
    from tfrec.data.prepared import META

    options = config.resolve(Config, flags).data
    if (Path(options.data) / META).exists():
        raise UserError(f"--data {options.data} is a prepared folder already: name the raw log")
    data = prepare(locate(options, say), options, flags.out, say)
    # The counts after each step have been said while it worked.
    say(f"rejected rows: {data.meta.rejected_rows:,}")
    say(f"prepared in {data.folder}; train with python -m tfrec.train --data {data.folder}")


def _join(flags: argparse.Namespace) -> None:
    _import_arrow()
    from tfrec.data.join import join

    folders: dict[str, Path] = {}
    for pair in flags.logs:
        name, equals, folder = pair.partition("=")
        if not (name and equals and folder):
            raise UserError(f"{pair!r}: write NAME=FOLDER, such as books=prepared/books")
        if name in folders:
            raise UserError(f"{pair!r}: the name {name!r} is given twice")
        folders[name] = Path(folder).expanduser()
    separate = [what.strip() for what in flags.separate.split(",")] if flags.separate else []
    data = join(folders, flags.out, separate, say)
    say(f"joined in {data.folder}; train with python -m tfrec.train --data {data.folder}")


def _inspect(flags: argparse.Namespace) -> None:
    from tfrec.data.ingest import load
    from tfrec.data.inspect import inspect
    from tfrec.data.inspect_page import page
    from tfrec.data.inspect_plots import check_format, save

    if flags.plot:
        check_format(flags.plot)
    _import_arrow()
    # News goes to standard error, so that the page alone can be piped on.
    data = load(config.resolve(Config, flags).data, lambda line: print(line, file=sys.stderr))
    inspection = inspect(data)
    say(page(inspection.facts).rstrip())
    if flags.json:
        try:
            text = json.dumps(inspection.facts, indent=1, ensure_ascii=False)
            flags.json.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {flags.json}: {error.strerror}") from None
    if flags.plot:
        save(inspection, flags.plot)


def _simulate(flags: argparse.Namespace) -> None:
    from tfrec.data.simulate import EVENTS, ITEMS, USERS, write_world

    out = flags.out
    try:
        write_world(out, flags.users, flags.items, flags.events, flags.seed, say)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from None
    say(
        f"look at it with python -m tfrec.data inspect --data {out / EVENTS} --items {out / ITEMS} "
        f"--users {out / USERS} --text title,description --categories categories "
        "--columns context=domain"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tfrec.data",
        description="Raw logs into prepared folders, a look at what is in them, and a synthetic "
        "world to try things on.",
        epilog="examples: python -m tfrec.data COMMAND --help",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str, description: str, examples: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=help,
            description=description,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    prepare = add(
        "prepare",
        "read, check, filter and sort a log into a folder for training",
        "Reads a log, sets bad rows aside, filters, and writes a prepared folder.",
        PREPARE,
    )
    prepare.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FOLDER", help="the folder to write"
    )
    config.add_flags(prepare, Config)

    join = add(
        "join",
        "several prepared logs into one, whose items have domains",
        "Joins prepared logs: one catalogue, and one history for a user who is in several.",
        JOIN,
    )
    join.add_argument(
        "logs", nargs="+", metavar="NAME=FOLDER", help="a domain and its prepared folder"
    )
    join.add_argument(
        "--separate",
        metavar="users,items",
        help="equal ids of users, of items or of both mean different ones: they become NAME/ID",
    )
    join.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FOLDER", help="the folder to write"
    )

    inspect = add(
        "inspect",
        "say and plot what is in a log",
        "Counts, sparsity, long tail, times, texts and suspicious rows of a log.",
        INSPECT,
    )
    inspect.add_argument("--json", type=Path, metavar="FILE", help="write all findings as JSON too")
    inspect.add_argument(
        "--plot", type=Path, metavar="FILE", help="write plots: a .png picture or an .html page"
    )
    config.add_flags(inspect, Config)

    simulate = add(
        "simulate",
        "write the synthetic world, with the truth beside it",
        "Writes a log whose every cause is known, and the causes.",
        SIMULATE,
    )
    simulate.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FOLDER", help="the folder to write"
    )
    for flag, default, what in (
        ("users", 2000, "users"),
        ("items", 1000, "items"),
        ("events", 200_000, "events"),
        ("seed", 0, "seed of all random draws"),
    ):
        simulate.add_argument(
            f"--{flag}",
            type=int,
            default=default,
            metavar="N",
            help=f"{what} (default {default:,})",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
