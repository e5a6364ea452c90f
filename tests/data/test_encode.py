"""Ids get numbers in the order of first appearance, however they are written and chunked."""

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.data.encode import Index, read_ids

NUMBERS = st.integers(0, 40).map(str)
TEXTS = st.sampled_from(["a", "b", "007", "7", "-3", "+3", " 5", "5", "99999999999", "é"])


@given(st.lists(st.lists(st.one_of(NUMBERS, TEXTS), min_size=1), min_size=1))
def test_first_appearance_over_chunks(chunks):
    index = Index()
    found = [
        code for chunk in chunks for code in index.encode(read_ids(pyarrow.array(chunk))).tolist()
    ]
    order = {}
    expected = [order.setdefault(name, len(order)) for chunk in chunks for name in chunk]
    assert found == expected
    assert index.names() == list(order)
    assert len(index) == len(order)


@given(
    st.lists(st.one_of(NUMBERS, TEXTS), unique=True, min_size=1),
    st.lists(st.one_of(NUMBERS, TEXTS), min_size=1),
)
def test_a_catalogue_fixes_the_order(names, asked):
    index = Index(names)
    expected = [names.index(name) if name in names else -1 for name in asked]
    assert index.encode(read_ids(pyarrow.array(asked))).tolist() == expected
    assert len(index) == len(names)


@given(
    st.lists(
        st.one_of(st.none(), TEXTS, st.sampled_from(["", "NaN", "null", " None "])), min_size=1
    )
)
def test_missing_ids(values):
    known = read_ids(pyarrow.array(values, pyarrow.string())).known
    expected = [
        v is not None and v.strip().lower() not in ("", "nan", "null", "none") for v in values
    ]
    assert (known is None and all(expected)) or known.tolist() == expected


@given(st.lists(st.one_of(NUMBERS, TEXTS), min_size=1), st.data())
def test_keeping_rows_forgets_what_only_others_have(values, data):
    rows = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    kept = read_ids(pyarrow.array(values)).keep(np.array(rows))
    expected = [value for value, row in zip(values, rows, strict=True) if row]
    assert kept.texts() == expected
    index = Index()
    index.encode(kept)
    assert index.names() == list(dict.fromkeys(expected))


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pyarrow.array([7, 3], pyarrow.uint64()), ["7", "3"]),
        (pyarrow.array([7.0, None, float("nan")]), ["7", "", ""]),
        (pyarrow.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pyarrow.array([2**40, -1]), [str(2**40), "-1"]),
        (pyarrow.array(["1", "2", "3"]).slice(1), ["2", "3"]),
    ],
)
def test_column_types(column, texts):
    assert read_ids(column).texts() == texts
