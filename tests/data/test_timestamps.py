"""Times in every form come back as the milliseconds that went in; units are never mixed up."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.data.timestamps import detect, parse, parse_one, reason
from tfrec.errors import UserError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS = st.integers(0, 4_102_444_799)
MILLISECONDS = st.integers(100_000_000_000, 4_102_444_799_999)


@given(st.lists(SECONDS, min_size=1), st.booleans())
def test_seconds(times, as_text):
    column = pyarrow.array([str(t) for t in times] if as_text else times)
    parsed, known = parse(column, "seconds")
    assert known.all()
    assert parsed.tolist() == [1000 * t for t in times]


@given(st.lists(MILLISECONDS, min_size=1))
def test_milliseconds_are_never_taken_for_seconds(times):
    column = pyarrow.array([str(t) for t in times])
    assert detect(column, "log") == "milliseconds"
    assert parse(column, "milliseconds")[0].tolist() == times
    assert not parse(column, "seconds")[1].any()


@given(
    st.lists(
        st.tuples(
            SECONDS, st.integers(0, 999_999), st.integers(-14 * 4, 14 * 4), st.sampled_from("T ")
        ),
        min_size=1,
    )
)
def test_iso_text_with_and_without_zone(moments):
    texts, expected = [], []
    for seconds, microseconds, quarters, separator in moments:
        moment = EPOCH + timedelta(seconds=seconds, microseconds=microseconds)
        zone = timezone(timedelta(minutes=15 * quarters))
        local = moment.astimezone(zone)
        if local.year < 1970:
            local = moment
        texts.append(local.isoformat(separator))
        texts.append(moment.replace(tzinfo=None).isoformat(separator))
        expected += [seconds * 1000 + microseconds // 1000] * 2
    parsed, known = parse(pyarrow.array(texts), "ISO 8601")
    assert known.all()
    assert parsed.tolist() == expected


@given(st.lists(st.one_of(st.none(), st.text(max_size=12), SECONDS.map(str)), min_size=1))
def test_bad_values_do_not_disturb_good_ones(values):
    parsed, known = parse(pyarrow.array(values, pyarrow.string()), "seconds")
    for value, time, good in zip(values, parsed.tolist(), known.tolist(), strict=True):
        if value is not None and value.isascii() and value.isdigit() and len(value) <= 10:
            plausible = int(value) * 1000 < 4_102_444_800_000
            assert good == plausible
            assert not good or time == int(value) * 1000
        if value is None or not any(c.isdigit() for c in value):
            assert not good


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01", "2024-05-01T00:00:00+00:00"),
        ("2024-05-01 10:30", "2024-05-01T10:30:00+00:00"),
        ("2019-10-01 00:00:07 UTC", "2019-10-01T00:00:07+00:00"),
        ("2024-05-01T10:00:00.123456789+0200", "2024-05-01T08:00:00.123+00:00"),
        (" 2024-05-01T10:00:00Z ", "2024-05-01T10:00:00+00:00"),
    ],
)
def test_forms_of_iso(text, expected):
    # A row that fails sends the column down the exact path as well.
    for column in ([text], [text, "2023-02-30", "noon"]):
        parsed, known = parse(pyarrow.array(column), "ISO 8601")
        assert known.tolist() == [True, False, False][: len(column)]
        want = (datetime.fromisoformat(expected) - EPOCH) / timedelta(milliseconds=1)
        assert parsed[0] == int(want)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Paris"])
def test_parquet_times(unit, zone):
    # 2000-01-01T00:00:00Z in every unit: Arrow stores UTC whatever the zone says.
    ticks = 946_684_800 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    column = pyarrow.array([ticks, None], pyarrow.timestamp(unit, zone))
    assert detect(column, "log") == "ISO 8601"
    parsed, known = parse(column, "ISO 8601")
    assert (parsed[0], known.tolist()) == (946_684_800_000, [True, False])


def test_parquet_dates():
    column = pyarrow.array([10_957], pyarrow.date32())
    assert parse(column, "ISO 8601")[0].tolist() == [946_684_800_000]


def test_numbers_with_fractions_and_signs():
    column = pyarrow.array(["978300000.25", "+7", "1e9", "-5", "nan", "inf", ""])
    parsed, known = parse(column, "seconds")
    assert known.tolist() == [True, True, True, False, False, False, False]
    assert parsed[:3].tolist() == [978_300_000_250, 7_000, 10**12]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("978300000000", "seconds", "looks like unix milliseconds"),
        ("978300000", "milliseconds", "looks like unix seconds"),
        ("2024-05-01", "seconds", "looks like ISO 8601"),
        ("noon", "ISO 8601", "not a time"),
        ("-5", "seconds", "not plausible"),
        (" ", "seconds", "missing"),
    ],
)
def test_reasons(value, unit, expected):
    assert expected in reason(value, unit)


def test_a_column_that_holds_no_times_is_refused_with_a_hint():
    with pytest.raises(UserError, match=r"log\.csv, 'when'.*'noon'.*--columns timestamp="):
        detect(pyarrow.array(["noon", "dusk", "978300000"]), "log.csv, 'when'")


def test_limits_given_by_users():
    assert parse_one("2000-01-01", "--start") == 946_684_800_000
    assert parse_one("946684800", "--start") == 946_684_800_000
    assert parse_one("946684800000", "--start") == 946_684_800_000
    with pytest.raises(UserError, match="--end 'soon'"):
        parse_one("soon", "--end")


def test_nothing_overflows():
    column = pyarrow.array([2**62, -(2**62), 5], pyarrow.int64())
    parsed, known = parse(column, "seconds")
    assert known.tolist() == [False, False, True]
    assert parsed.dtype == np.int64
