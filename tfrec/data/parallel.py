"""Work on a stream in threads, results in the order of the stream."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

# NumPy, zlib and Arrow release the interpreter lock, so two threads really are two; more gain
# little because one consumer takes what they make, and each holds a block in memory.
WORKERS = min(4, max(2, os.cpu_count() or 2))


def in_order(
    work: Callable[[Given], Made], stream: Iterable[Given], workers: int = WORKERS
) -> Iterator[Made]:
    """`map(work, stream)` with `workers` threads and at most `workers + 1` results in memory.

    Example:
        >>> list(in_order(str, range(3)))
        ['0', '1', '2']
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ingest")
    waiting: deque[Future[Made]] = deque()
    try:
        for given in stream:
            waiting.append(pool.submit(work, given))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
