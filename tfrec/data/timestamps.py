"""Times of events: told apart once per log, then parsed a column at a time.

A log writes its times as unix seconds, as unix milliseconds or as ISO 8601 text. The unit is told
from a sample and stated; a row that is implausible in that unit (year 50000, or January 1970 in a
log of milliseconds) is a bad row, so that a log that mixes units cannot pass.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import numpy as np

from tfrec.data.sequences import Bool, Int64
from tfrec.errors import UserError

if TYPE_CHECKING:
    import pyarrow

TimeUnit = Literal["seconds", "milliseconds", "ISO 8601", "none"]

# 2100-01-01. Below 1e11 milliseconds (March 1973) a number is taken for seconds.
_LATEST = 4_102_444_800_000
_LEAST_MILLISECONDS = 100_000_000_000

_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_ISO = (
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"([ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$"
)
_ZONE = r":.*(Z|[+-]\d{2}(:?\d{2})?)$"


def detect(sample: pyarrow.Array, where: str) -> TimeUnit:
    """The unit in which most of the sample is plausible.

    Arguments:
        sample: values of the time column: text, numbers or Parquet times; missing ones allowed.
        where: file and column, for the error.

    Raises:
        UserError: no unit fits most of the values.

    Example:
        >>> import pyarrow
        >>> detect(pyarrow.array(["2024-05-01T10:00:00Z", "2024-05-02"]), "log.csv, time")
        'ISO 8601'
    """
    import pyarrow

    if pyarrow.types.is_temporal(sample.type):
        return "ISO 8601"
    best: TimeUnit = "none"
    most = 0
    units: tuple[TimeUnit, ...] = ("seconds", "milliseconds", "ISO 8601")
    for unit in units:
        fits = int(parse(sample, unit)[1].sum())
        if fits > most:
            best, most = unit, fits
    if 2 * most <= len(sample) - sample.null_count:
        shown = ", ".join(repr(value) for value in sample.drop_null()[:3].to_pylist())
        raise UserError(
            f"{where}: cannot tell how times are written from {shown or 'no values at all'}. "
            "tfrec reads unix seconds, unix milliseconds and ISO 8601 (2024-05-01T10:00:00Z) "
            "between 1970 and 2100. Name the time column with --columns timestamp=…, or give "
            "'--columns timestamp=' if there is none"
        )
    return best


def parse(values: pyarrow.Array, unit: TimeUnit) -> tuple[Int64, Bool]:
    """Unix milliseconds of every value, and where that is a plausible time in `unit`.

    Times without a zone are read as UTC. Fractions of a millisecond are cut off.

    Returns:
        int64 [N] (anything where not plausible) and bool [N].
    """
    import pyarrow

    if pyarrow.types.is_temporal(values.type):
        return _plausible(*_from_temporal(values), 0)
    if unit == "ISO 8601":
        return _plausible(*_from_text(values), 0)
    numbers, known = finite_numbers(values)
    if unit == "seconds":
        # Checked before multiplying, which could overflow.
        known = known & (numbers >= 0) & (numbers <= _LATEST // 1000)
        numbers = np.where(known, numbers, 0) * 1000
        return _plausible(_integers(numbers), known, 0)
    known = known & (numbers >= 0) & (numbers <= _LATEST)
    return _plausible(_integers(np.where(known, numbers, 0)), known, _LEAST_MILLISECONDS)


def reason(value: str, unit: TimeUnit) -> str:
    """What is wrong with a value that `parse` did not accept."""
    import pyarrow

    if not value.strip():
        return "missing time"
    name = unit if unit == "ISO 8601" else f"unix {unit}"
    others: tuple[TimeUnit, ...] = ("seconds", "milliseconds", "ISO 8601")
    for other in others:
        if other != unit and parse(pyarrow.array([value]), other)[1][0]:
            other_name = other if other == "ISO 8601" else f"unix {other}"
            return f"looks like {other_name} in a log of {name}"
    number = unit != "ISO 8601" and finite_numbers(pyarrow.array([value]))[1][0]
    return f"not plausible as {name}" if number else f"not a time ({name})"


def parse_one(text: str, flag: str) -> int:
    """Unix milliseconds of a time that a user gave: ISO 8601, unix seconds or milliseconds.

    Raises:
        UserError: it is none of these; `flag` names the option.

    Example:
        >>> parse_one("2000-01-01", "--start")
        946684800000
    """
    import pyarrow

    for unit in ("milliseconds", "seconds", "ISO 8601"):
        time, known = parse(pyarrow.array([text]), unit)
        if known[0]:
            return int(time[0])
    raise UserError(
        f"{flag} {text!r} is not a time. Give ISO 8601 (2024-05-01 or 2024-05-01T10:00:00Z), unix "
        "seconds or unix milliseconds"
    )


def show(milliseconds: int) -> str:
    """A time for people.

    Example:
        >>> show(946684800000)
        '2000-01-01 00:00:00'
    """
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _plausible(times: Int64, known: Bool, earliest: int) -> tuple[Int64, Bool]:
    return times, known & (times >= earliest) & (times < _LATEST)


def _integers(numbers: np.ndarray) -> Int64:
    # floor: a fraction of a millisecond must not move an event past the next one.
    return numbers if numbers.dtype == np.int64 else np.floor(numbers).astype(np.int64)


def _filled(values: pyarrow.Array) -> tuple[np.ndarray, Bool]:
    known = np.ones(len(values), bool)
    if values.null_count:
        known = values.is_valid().to_numpy(zero_copy_only=False)
        values = values.fill_null(0)
    return values.to_numpy(zero_copy_only=False), known


def finite_numbers(values: pyarrow.Array) -> tuple[np.ndarray, Bool]:
    """int64 where every value is a whole number, else float64; and where it is a finite number."""
    import pyarrow
    import pyarrow.compute

    if pyarrow.types.is_integer(values.type):
        return _filled(values.cast(pyarrow.int64(), safe=False))
    if pyarrow.types.is_floating(values.type) or pyarrow.types.is_decimal(values.type):
        numbers, known = _filled(values.cast(pyarrow.float64()))
        return numbers, known & np.isfinite(numbers)
    text = values.cast(pyarrow.string())
    try:
        return _filled(text.cast(pyarrow.int64()))
    except pyarrow.ArrowInvalid:
        matches = pyarrow.compute.match_substring_regex(text, _NUMBER)
        text = pyarrow.compute.utf8_trim_whitespace(
            pyarrow.compute.if_else(matches, text, pyarrow.scalar(None, pyarrow.string()))
        )
        # Arrow reads no leading plus.
        text = pyarrow.compute.utf8_ltrim(text, characters="+")
    try:
        return _filled(text.cast(pyarrow.int64()))
    except pyarrow.ArrowInvalid:
        numbers, known = _filled(text.cast(pyarrow.float64()))
        return numbers, known & np.isfinite(numbers)


def _from_temporal(values: pyarrow.Array) -> tuple[Int64, Bool]:
    import pyarrow

    if pyarrow.types.is_date(values.type):
        values = values.cast(pyarrow.timestamp("ms"))
    # Reading the integers keeps the zone out of it: Arrow stores UTC.
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[values.type.unit]
    ticks, known = _filled(values.cast(pyarrow.int64()))
    if per_second == 1:
        known = known & (np.abs(ticks) <= _LATEST // 1000)
        return np.where(known, ticks, 0) * 1000, known
    return ticks // (per_second // 1000), known


def _from_text(values: pyarrow.Array) -> tuple[Int64, Bool]:
    import pyarrow
    import pyarrow.compute

    if not pyarrow.types.is_string(values.type) and not pyarrow.types.is_large_string(values.type):
        return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    for zone in (None, "UTC"):
        try:
            return _from_temporal(values.cast(pyarrow.timestamp("us", zone)))
        except pyarrow.ArrowInvalid:
            continue
    text = pyarrow.compute.utf8_trim_whitespace(values)
    text = pyarrow.compute.replace_substring_regex(text, r" ?(UTC|GMT|z)$", "Z")
    text = pyarrow.compute.replace_substring_regex(text, r"(\.\d{6})\d+", r"\1")
    is_iso = pyarrow.compute.match_substring_regex(text, _ISO)
    zoned = pyarrow.compute.match_substring_regex(text, _ZONE)
    nothing = pyarrow.scalar(None, pyarrow.string())
    times, known = np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    for chosen, zone in ((pyarrow.compute.invert(zoned), None), (zoned, "UTC")):
        part = pyarrow.compute.if_else(pyarrow.compute.and_(is_iso, chosen), text, nothing)
        part_times, part_known = _cast_each(part, pyarrow.timestamp("us", zone))
        times, known = np.where(part_known, part_times, times), known | part_known
    return times, known


def _cast_each(text: pyarrow.Array, type: pyarrow.DataType) -> tuple[Int64, Bool]:
    """Casts what can be cast. What is left to fail looks like a date and is none (30 February):
    rare, so the halves that hold it are searched."""
    import pyarrow

    try:
        return _from_temporal(text.cast(type))
    except pyarrow.ArrowInvalid:
        if len(text) == 1:
            return np.zeros(1, np.int64), np.zeros(1, bool)
        half = len(text) // 2
        parts = [_cast_each(text[:half], type), _cast_each(text[half:], type)]
        return (
            np.concatenate([times for times, _ in parts]),
            np.concatenate([known for _, known in parts]),
        )
