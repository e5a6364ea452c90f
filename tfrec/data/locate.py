"""What `--data` names -> where its files are and how they are read."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from tfrec import __version__
from tfrec.data.blocks import read_blocks, record_end
from tfrec.data.layout import Format, LogLayout, TableLayout
from tfrec.data.options import DataConfig
from tfrec.data.prepared import FORMAT_VERSION
from tfrec.errors import UserError

Log = Callable[[str], None]

_SEPARATORS = ("::", "\t", ",", ";", "|")
_TEXT_ENDINGS = (".csv", ".tsv", ".dat", ".txt", ".jsonl", ".json", ".ndjson", ".parquet", ".gz")
# Options that say where things lie or how much may go wrong, not what the prepared log holds.
_NO_MATTER = {"data", "items", "users", "cache", "max_bad_rows"}


def locate(config: DataConfig, log: Log) -> LogLayout:
    """The layout of the log that the config names: the synthetic world, a named set, or files.

    Raises:
        UserError: nothing has that name.
    """
    from tfrec.data import named

    if config.data == "synthetic":
        return _synthetic(config, log)
    name, _, folder = config.data.partition(":")
    if named.is_name(name):
        if config.items or config.users:
            raise UserError(
                f"{name} brings its own catalogue and users: leave out --items, --users"
            )
        where = Path(folder).expanduser() if folder else None
        return named.layout(name, where, config.cache_folder, log)
    if Path(config.data).expanduser().exists() or _looks_like_files(config.data):
        return files_layout(config)
    return named.layout(name, Path(folder) if folder else None, config.cache_folder, log)


def files_layout(config: DataConfig) -> LogLayout:
    """The layout of a user's own files.

    Raises:
        UserError: a file is missing, or options contradict each other.
    """
    known = ("user", "item", "timestamp", "action", "strength", "context")
    for name in config.columns:
        if name not in known:
            raise UserError(f"--columns {name}=…: known names are {', '.join(known)}")
    no_time = config.columns.get("timestamp") == ""
    mapped = {
        {"user": "user_id", "item": "item_id"}.get(ours, ours): theirs
        for ours, theirs in config.columns.items()
        if theirs
    }
    if not config.items and (config.text or config.categories):
        raise UserError("--text and --categories are columns of the catalogue: give --items too")
    events = _table(config.data, config, config.column_names or None)
    return LogLayout(
        source=config.data,
        events=dataclasses.replace(events, columns=mapped),
        items=_side_table(config.items, config, "item_id", mapped) if config.items else None,
        users=_side_table(config.users, config, "user_id", mapped) if config.users else None,
        text_columns=list(config.text),
        category_column=config.categories,
        category_separator=config.category_separator,
        ordinal_time=no_time,
    )


def items_layout(items: str, config: DataConfig, texts: list[str], categories: bool) -> LogLayout:
    """A catalogue alone, in the form of the one that a log was prepared with.

    Arguments:
        items: the files.
        config: of the log.
        texts: its text columns.
        categories: whether it has categories.

    Raises:
        UserError: a file is missing.
    """
    ids = {"item_id": config.columns["item"]} if "item" in config.columns else {}
    table = _side_table(items, config, "item_id", ids)
    return LogLayout(
        source=items,
        events=table,
        items=table,
        text_columns=texts,
        category_column=(config.categories or "categories") if categories else None,
        category_separator=config.category_separator,
    )


def cached_folder(layout: LogLayout, config: DataConfig) -> Path:
    """Where the prepared form of this log belongs in the cache: named by all that decides it."""
    tables = [table for table in (layout.events, layout.items, layout.users) if table]
    files = [
        (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)
        for table in tables
        for path in table.paths
    ]
    options = {
        name: value for name, value in dataclasses.asdict(config).items() if name not in _NO_MATTER
    }
    key = json.dumps([FORMAT_VERSION, files, options], sort_keys=True)
    digest = hashlib.blake2b(key.encode(), digest_size=6).hexdigest()
    name = "".join(c if c.isalnum() or c in "-._" else "-" for c in layout.source.partition(":")[0])
    return config.cache_folder / "prepared" / f"{name.strip('-.')[-40:]}-{digest}"


def _synthetic(config: DataConfig, log: Log) -> LogLayout:
    from tfrec.data import simulate
    from tfrec.data.writers import new_folder

    folder = config.cache_folder / f"synthetic-{__version__}"
    if not (folder / simulate.TRUTH / "world.json").exists():
        log(f"writing the synthetic world into {folder}")
        with new_folder(folder, complete=simulate.TRUTH) as partial:
            simulate.write_world(partial)
    return simulate.layout(folder)


def _looks_like_files(text: str) -> bool:
    return any(mark in text for mark in "*?[/") or text.lower().endswith(_TEXT_ENDINGS)


def find_files(text: str) -> list[Path]:
    """The files that a path, a glob or a folder stands for, sorted by name.

    Files whose names begin with a dot or an underscore are not data, as in Spark and Hive.

    Raises:
        UserError: there are none.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        paths = [p for p in path.rglob("*") if p.is_file() and not p.name.startswith((".", "_"))]
        nothing = f"{text} is a folder without files"
    elif path.exists():
        return [path]
    else:
        found = [Path(p) for p in glob.glob(str(path), recursive=True)]
        paths = [p for p in found if p.is_file()]
        wild = any(mark in text for mark in "*?[")
        nothing = f"no file matches {text}" if wild else f"{text} does not exist"
    if not paths:
        raise UserError(nothing)
    return sorted(paths)


def _table(text: str, config: DataConfig, names: list[str] | None) -> TableLayout:
    paths = find_files(text)
    form = _format(paths[0])
    separator = config.separator or _separator(paths[0], config.encoding, form)
    separator = {"\\t": "\t", "tab": "\t"}.get(separator, separator)
    return TableLayout(
        paths,
        format=form,
        separator=separator,
        names=names if form == "csv" else None,
        encoding=config.encoding,
        quotes=separator in (",", ";"),
    )


def _side_table(text: str, config: DataConfig, id_name: str, mapped: dict[str, str]) -> TableLayout:
    table = _table(text, config, None)
    theirs = mapped.get(id_name, id_name)
    # A catalogue often calls its key as the events do; if not, item_id (user_id) is looked for.
    from tfrec.data.sources import peek

    present = peek(table).table.column_names
    return dataclasses.replace(table, columns={id_name: theirs if theirs in present else id_name})


def _format(path: Path) -> Format:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if magic == b"PAR1":
        return "parquet"
    ending = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if ending in ("jsonl", "ndjson", "json"):
        return "jsonl"
    return "csv"


def _separator(path: Path, encoding: str, form: Format) -> str:
    """The separator that the first line holds most of; longer ones first."""
    if form != "csv":
        return ","
    start = next(read_blocks(path, encoding, size=1 << 16)).data
    line = start[: record_end(start, 0, None, last=True)].decode("latin-1")
    best = max(_SEPARATORS, key=lambda separator: line.count(separator))
    return best if best in line else ","
