"""Ingestion beside a plain pandas script: rows per second and peak memory.

    python benchmarks/ingest.py --rows 1000000 10000000

Writes a seeded log as CSV and as Parquet, then lets both programs make sorted, numbered arrays of
it, each time in a fresh process, in turn. Prints medians; peak memory is the process's own
high-water mark, interpreter and libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

USERS, ITEMS = 100_000, 20_000
CHUNK = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ids", choices=["numbers", "text"], default="numbers")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, ids are {options.ids}")
    print(
        f"{'rows':>11} {'format':>8} {'tfrec rows/s':>13} {'pandas rows/s':>14} {'ratio':>6}"
        f" {'tfrec MB':>9} {'pandas MB':>10}"
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for rows in options.rows:
            for source in write_log(Path(folder), rows, options.ids):
                print_row(rows, source, measure(source, options.repeats))
                source.unlink()


def write_log(folder: Path, rows: int, ids: str) -> list[Path]:
    """A log in random order: popular items, active users, ratings, five years of seconds."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    random = np.random.default_rng(0)
    csv, parquet = folder / "log.csv", folder / "log.parquet"
    writers: list[Any] = []
    for start in range(0, rows, CHUNK):
        size = min(CHUNK, rows - start)
        users = (USERS * random.random(size) ** 2).astype(np.int64)
        items = (ITEMS * random.random(size) ** 3).astype(np.int64)
        columns = {
            "user_id": users,
            "item_id": items,
            "timestamp": 1_500_000_000 + random.integers(0, 150_000_000, size),
            "strength": random.integers(1, 6, size),
        }
        table = pyarrow.table(columns)
        if ids == "text":
            for place, name in enumerate(("user_id", "item_id")):
                texts = pyarrow.array(np.char.add(name[0].upper(), columns[name].astype("U8")))
                table = table.set_column(place, name, texts)
        if not writers:
            writers = [
                pyarrow.csv.CSVWriter(csv, table.schema),
                pyarrow.parquet.ParquetWriter(parquet, table.schema),
            ]
        for writer in writers:
            writer.write_table(table)
    for writer in writers:
        writer.close()
    return [csv, parquet]


def measure(source: Path, repeats: int) -> dict[str, tuple[float, float]]:
    """Median seconds and megabytes of each program, runs in turn."""
    found: dict[str, list[tuple[float, float]]] = {"tfrec": [], "pandas": []}
    out = source.parent / "out"
    for _ in range(repeats):
        for program, results in found.items():
            shutil.rmtree(out, ignore_errors=True)
            command = [sys.executable, __file__, "--child", program, str(source), str(out)]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            seconds, megabytes = json.loads(answer.stdout.splitlines()[-1])
            results.append((seconds, megabytes))
    shutil.rmtree(out, ignore_errors=True)
    return {
        program: (
            statistics.median(seconds for seconds, _ in results),
            statistics.median(megabytes for _, megabytes in results),
        )
        for program, results in found.items()
    }


def child(program: str, source: str, out: str) -> None:
    """One program on one log; prints seconds (imports not counted) and peak megabytes."""
    seconds = (with_tfrec if program == "tfrec" else with_pandas)(Path(source), Path(out))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    print(json.dumps([seconds, peak / (1024 if sys.platform == "linux" else 1024**2)]))


def with_tfrec(source: Path, out: Path) -> float:
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401  imported before the clock starts, as for pandas

    from tfrec.data.ingest import prepare
    from tfrec.data.locate import files_layout
    from tfrec.data.options import DataConfig

    config = DataConfig(data=str(source))
    start = time.perf_counter()
    prepare(files_layout(config), config, out, log=lambda line: None)
    return time.perf_counter() - start


def with_pandas(source: Path, out: Path) -> float:
    """What one would write in ten lines: no checks, all in memory."""
    import pandas as pd
    import pyarrow.parquet  # noqa: F401

    start = time.perf_counter()
    out.mkdir()
    log = pd.read_csv(source) if source.suffix == ".csv" else pd.read_parquet(source)
    log["user"], users = pd.factorize(log["user_id"])
    log["item"], items = pd.factorize(log["item_id"])
    log = log.sort_values(["user", "timestamp"], kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(log["user"]))])
    np.save(out / "user_offsets.npy", offsets)
    np.save(out / "event_item.npy", log["item"].to_numpy(np.int32))
    np.save(out / "event_timestamp.npy", log["timestamp"].to_numpy(np.int64) * 1000)
    np.save(out / "event_strength.npy", log["strength"].to_numpy(np.float32))
    pd.DataFrame({"user_id": users}).astype(str).to_parquet(out / "users.parquet")
    pd.DataFrame({"item_id": items}).astype(str).to_parquet(out / "items.parquet")
    return time.perf_counter() - start


def print_row(rows: int, source: Path, found: dict[str, tuple[float, float]]) -> None:
    (ours, our_memory), (theirs, their_memory) = found["tfrec"], found["pandas"]
    print(
        f"{rows:>11,} {source.suffix[1:]:>8} {rows / ours:>13,.0f} {rows / theirs:>14,.0f}"
        f" {theirs / ours:>6.2f} {our_memory:>9,.0f} {their_memory:>10,.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
