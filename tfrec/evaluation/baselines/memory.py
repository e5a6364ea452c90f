"""How much memory there is, so that a baseline that cannot fit is skipped and not killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

# Part of the free memory that a baseline may plan for: the estimates are not exact, and the
# model that was just trained is still there.
_SHARE = 0.8


def available_bytes() -> int | None:
    """Memory that can still be allocated: free on the machine or in the container, the smaller.

    None where the system does not say.

    Example:
        >>> (available_bytes() or 1) > 0
        True
    """
    return min(_limits(), default=None)


def shortage(needed_bytes: int, num_items: int, free_bytes: int | None) -> str | None:
    """Why a baseline cannot run, or None if it can.

    Example:
        >>> shortage(46 * 10**9, num_items=62_000, free_bytes=16 * 10**9)
        'needs about 46 GB for 62,000 items, 16 GB are free'
        >>> shortage(10**9, num_items=3_000, free_bytes=16 * 10**9)
    """
    if free_bytes is None or needed_bytes <= _SHARE * free_bytes:
        return None
    needed, free = (f"{number / 1e9:.3g} GB" for number in (needed_bytes, free_bytes))
    return f"needs about {needed} for {num_items:,} items, {free} are free"


def _limits() -> Iterator[int]:
    # What the kernel could give without swapping, page cache included.
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024
            break
    else:
        with contextlib.suppress(ValueError, OSError, AttributeError):
            yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # Container limits, cgroup version 2 and 1.
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        numbers = [line for path in (limit, used) for line in _lines(path)[:1]]
        if len(numbers) == 2 and all(number.isdigit() for number in numbers):
            yield max(0, int(numbers[0]) - int(numbers[1]))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []
