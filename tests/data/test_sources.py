"""Every form of file gives the same rows, and every bad row is found with its line."""

import contextlib
import csv
import gzip
import io
import itertools
import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfrec.data import blocks, delimited
from tfrec.data.chunk import concatenate
from tfrec.data.layout import LINE, TableLayout
from tfrec.data.sources import peek, read_chunks
from tfrec.errors import UserError

ROWS = [(f"u{n % 7}", f"i{n}", str(1_000_000 + n)) for n in range(50)]
NAMES = ["user_id", "item_id", "timestamp"]


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def text_of(rows, separator=",", header=True, end="\n"):
    lines = [separator.join(row) for row in ([NAMES, *rows] if header else rows)]
    return end.join(lines) + end


def read(paths, columns=None, **layout):
    """All rows with their lines, and all bad rows."""
    paths = paths if isinstance(paths, list) else [paths]
    table = TableLayout(paths, **layout)
    chunks = list(read_chunks(table, columns, lambda chunk: chunk))
    good = [
        (line, *row.values())
        for chunk in chunks
        for line, row in zip(chunk.lines.tolist(), chunk.table.to_pylist(), strict=True)
    ]
    return good, [row for chunk in chunks for row in chunk.bad]


def numbered(rows, first=2):
    return [(first + n, *row) for n, row in enumerate(rows)]


@pytest.mark.parametrize("separator", [",", "\t", "::", ";", "|", " ## "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimited(tmp_path, separator, end):
    path = write(tmp_path / "log.txt", text_of(ROWS, separator, end=end))
    good, bad = read(path, separator=separator, quotes=separator in ",;")
    assert (good, bad) == (numbered(ROWS), [])


def test_no_header_and_no_last_line_end(tmp_path):
    path = write(tmp_path / "log.txt", text_of(ROWS, header=False).rstrip("\n"))
    assert read(path, names=NAMES) == (numbered(ROWS, 1), [])


def test_header_only_parts_and_many_files(tmp_path):
    first = write(tmp_path / "1.csv", text_of(ROWS[:3]))
    empty = write(tmp_path / "2.csv", text_of([]))
    third = write(tmp_path / "3.csv", text_of(ROWS[3:]))
    good, _ = read([first, empty, third])
    assert good == numbered(ROWS[:3]) + numbered(ROWS[3:])


def test_json_lines(tmp_path):
    lines = [
        {"user_id": "u1", "item_id": 12, "tags": ["a", "b"], "extra": {"x": 1}},
        {"item_id": 13, "user_id": "u2", "tags": [], "rating": 4.5},
        {"user_id": "ü", "item_id": 14, "tags": None, "rating": 4},
    ]
    path = write(tmp_path / "log.jsonl", "\n".join(json.dumps(line) for line in lines))
    good, bad = read(path, ["user_id", "item_id", "tags", "rating"], format="jsonl")
    assert not bad
    assert [row[:4] for row in good] == [
        (1, "u1", "12", ["a", "b"]),
        (2, "u2", "13", []),
        (3, "ü", "14", None),
    ]
    assert [row[4] and float(row[4]) for row in good] == [None, 4.5, 4.0]


def test_bad_json_lines_are_found(tmp_path):
    good_line = '{"user_id": "a", "item_id": "b"}\n'
    text = good_line + "{broken\n" + "\n" + "[1]\n" + good_line + '{"user_id": "a", "it'
    good, bad = read(write(tmp_path / "log.jsonl", text), format="jsonl")
    assert [row[0] for row in good] == [1, 5]
    assert [(row.line, row.reason) for row in bad] == [
        (2, "not valid JSON"),
        (4, "not a JSON object"),
        (6, "half-written last line"),
    ]


def test_parquet_keeps_types_and_counts_rows(tmp_path):
    table = pyarrow.table({"user_id": ["a", "b"], "item_id": [1, 2], "tags": [["x"], None]})
    pyarrow.parquet.write_table(table, tmp_path / "log.parquet")
    good, _ = read(tmp_path / "log.parquet", ["item_id", "tags"], format="parquet")
    assert good == [(1, 1, ["x"]), (2, 2, None)]


@pytest.mark.parametrize("members", [1, 3])
def test_gzip_is_known_by_content(tmp_path, members):
    text = text_of(ROWS).encode()
    cuts = [len(text) * n // members for n in range(members + 1)]
    packed = b"".join(gzip.compress(text[a:b]) for a, b in itertools.pairwise(cuts))
    (tmp_path / "log").write_bytes(packed)
    assert read(tmp_path / "log") == (numbered(ROWS), [])


def test_cut_or_damaged_gzip_stops(tmp_path):
    packed = gzip.compress(text_of(ROWS).encode())
    for data in (packed[:-20], packed[:40] + b"XXXX" + packed[44:]):
        (tmp_path / "log.gz").write_bytes(data)
        with pytest.raises(UserError, match=r"log\.gz is damaged or cut short"):
            read(tmp_path / "log.gz")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "gb18030"])
def test_encodings(tmp_path, encoding):
    rows = [("é" if encoding == "latin-1" else "中", "ü", "1")] * 3
    path = write(tmp_path / "log.csv", text_of(rows), encoding)
    assert read(path, encoding=encoding) == (numbered(rows), [])


def test_mixed_encodings_name_line_and_field(tmp_path):
    data = "user_id,item_id\nä,b\n".encode() + "x,ö\n".encode("latin-1") + "é,é\n".encode()
    (tmp_path / "log.csv").write_bytes(data)
    good, (bad,) = read(tmp_path / "log.csv")
    assert good == [(2, "ä", "b"), (4, "é", "é")]
    assert (bad.line, bad.field, bad.value) == (3, "item_id", "\\xf6")
    assert "not valid utf-8" in bad.reason


def test_wrong_field_counts_nul_bytes_and_a_half_written_end(tmp_path):
    text = "user_id,item_id\na,b\na\na,b,c\n\na,\0\na,b\na"
    good, bad = read(write(tmp_path / "log.csv", text))
    assert [row[0] for row in good] == [2, 7]
    assert [(row.line, row.reason) for row in bad] == [
        (3, "1 fields instead of 2"),
        (4, "3 fields instead of 2"),
        (6, "NUL bytes, not text"),
        (8, "half-written last line (1 fields instead of 2)"),
    ]


def test_quotes(tmp_path):
    text = 'user_id,item_id\n"a,b","say ""hi"""\n"two\nlines",x\n5" disc,y\n"z",z\n'
    good, bad = read(write(tmp_path / "log.csv", text))
    assert good == [
        (2, "a,b", 'say "hi"'),
        (3, "two\nlines", "x"),
        (5, '5" disc', "y"),
        (6, "z", "z"),
    ]
    assert bad == []


def test_a_quote_that_never_closes_costs_one_line(tmp_path):
    text = "user_id,item_id\na,b\n" + '"a,b\n' + "a,b\n" * 100
    good, bad = read(write(tmp_path / "log.csv", text))
    assert len(good) == 101
    assert [(row.line, row.reason) for row in bad] == [(3, "a quote that does not close")]


def test_quotes_mean_nothing_in_other_files(tmp_path):
    text = 'user_id\titem_id\n"a\t5"\n'
    good, bad = read(write(tmp_path / "log.tsv", text), separator="\t", quotes=False)
    assert (good, bad) == ([(2, '"a', '5"')], [])


CELLS = st.one_of(
    st.sampled_from(["", "a", "7", '"', '""', ",", "\n", 'x"y', "two\nlines", "a,b", " "]),
    st.text(alphabet='ab,"\n é', max_size=6),
)


@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30),
    st.sampled_from(["minimal", "all"]),
    st.sampled_from([3, 17, 64, 1 << 16]),
    st.sampled_from([8, 50, 1 << 16]),
)
@example([("two\nlines", "x")] * 4, "minimal", 3, 8)
def test_what_python_writes_comes_back(tmp_path_factory, rows, quoting, block, piece):
    """Blocks and pieces of any size: rows and their lines are as Python's csv module says."""
    out = io.StringIO()
    style = csv.QUOTE_ALL if quoting == "all" else csv.QUOTE_MINIMAL
    csv.writer(out, quoting=style, lineterminator="\n").writerows([("p", "q"), *rows])
    path = write(tmp_path_factory.mktemp("csv") / "log.csv", out.getvalue())
    lines, expected = 2, []
    for row in rows:
        expected.append((lines, *row))
        lines += 1 + row[0].count("\n") + row[1].count("\n")
    old, delimited.PIECE = delimited.PIECE, piece
    try:
        form = delimited.Delimited(str(path), ["p", "q"], ["p", "q"], ",", "utf-8", True)
        parts = list(blocks.read_blocks(path, quote=",", size=block))
        chunk = concatenate([form.parse(part) for part in parts])
    finally:
        delimited.PIECE = old
    assert b"".join(part.data for part in parts) == path.read_bytes()
    assert chunk.bad == []
    cells = [tuple(row.values()) for row in chunk.table.to_pylist()]
    found = [(line, *row) for line, row in zip(chunk.lines.tolist(), cells, strict=True)]
    assert found[1:] == expected


@given(st.binary(max_size=400))
@example(b'a,b\n"\n\n,\n')
@example(b"\xef\xbb\xbf")
def test_no_bytes_make_it_fail_otherwise_than_by_a_user_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "log.csv"
    path.write_bytes(data)
    for layout in ({}, {"format": "jsonl"}, {"format": "parquet"}, {"separator": "::"}):
        # An empty or binary file, or a header line that is none.
        with contextlib.suppress(UserError):
            good, bad = read(path, **layout)
            lines = data.count(b"\n") + 1
            assert all(1 <= row[0] <= lines for row in good)
            assert all(1 <= row.line <= lines for row in bad)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a picture"),
        (b"PK\x03\x04....", "a zip archive"),
        (bytes(range(256)) * 9, "not text"),
        (np.arange(99).tobytes(), "not text"),
        ("user_id,item_id\n".encode("utf-16"), "UTF-16: add --encoding utf-16"),
        (b"user_id\xff,item_id\na,b\n", "first line is not utf-8"),
        (b"user_id,item_id\n", "holds no rows"),
        (b"user_id,item_id\nx\n", r"log\.csv:2: 1 fields instead of 2"),
    ],
)
def test_files_that_hold_no_log(tmp_path, content, message):
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        peek(TableLayout([tmp_path / "log.csv"]))


def test_a_missing_file(tmp_path):
    for form in ("csv", "jsonl", "parquet"):
        with pytest.raises(UserError, match=r"nothing\.csv"):
            read(tmp_path / "nothing.csv", format=form)


def test_a_json_array_is_told_how_to_become_lines(tmp_path):
    with pytest.raises(UserError, match="one JSON array"):
        read(write(tmp_path / "log.json", '[{"a": 1}]'), format="jsonl")


def test_an_unknown_encoding(tmp_path):
    with pytest.raises(UserError, match="'utf-9' is not known"):
        read(write(tmp_path / "log.csv", text_of(ROWS)), encoding="utf-9")


def test_a_missing_column_lists_what_there_is_and_the_flag(tmp_path):
    path = write(tmp_path / "log.csv", "uid,sku,when\na,b,1\n")
    with pytest.raises(UserError, match=r"no column 'user_id'.*uid, sku, when.*--columns user="):
        read(path, ["user_id"])
    layout = TableLayout([path], columns={"item_id": "product"})
    with pytest.raises(UserError, match="--columns item=<column>"):
        next(read_chunks(layout, ["product"], len))
    with pytest.raises(UserError, match="2 columns are called 'a'"):
        read(write(tmp_path / "twice.csv", "a,a\n1,2\n"), ["a"])


def test_a_wrong_separator_is_suspected(tmp_path):
    path = write(tmp_path / "log.csv", text_of(ROWS, ";"))
    with pytest.raises(UserError, match="give --separator"):
        read(path, ["user_id"])


def test_a_transform_carries_lines_along(tmp_path):
    def split(chunk):
        lists = pyarrow.compute.split_pattern(chunk["items"], " ")
        parents = pyarrow.compute.list_parent_indices(lists)
        return pyarrow.table(
            {
                "user_id": chunk["user_id"].take(parents),
                "item_id": pyarrow.compute.list_flatten(lists),
                LINE: chunk[LINE].take(parents),
            }
        )

    path = write(tmp_path / "log.csv", "user_id,items\na,1 2\nb,3\n")
    good, _ = read(path, ["user_id", "item_id"], transform=split)
    assert good == [(2, "a", "1"), (2, "a", "2"), (3, "b", "3")]


def test_one_bad_row_costs_a_piece_not_the_file(tmp_path, monkeypatch):
    rows = [f"user{n},item{n}" for n in range(50_000)]
    rows[30_000] = "only one field"
    path = write(tmp_path / "log.csv", "user_id,item_id\n" + "\n".join(rows) + "\n")
    slow = []
    exact = delimited.Delimited._row_by_row
    monkeypatch.setattr(
        delimited.Delimited,
        "_row_by_row",
        lambda self, block: slow.append(len(block.data)) or exact(self, block),
    )
    good, (bad,) = read(path)
    assert (len(good), bad.line) == (49_999, 30_002)
    assert sum(slow) <= delimited.PIECE
