"""Whatever arrives as JSON: tensors, or an error that says what is wrong; never anything else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving import json_examples, json_parse, json_tensors, json_write
from serving.status import ServingError
from serving.tensors import from_proto, to_proto
from tests.serving.running import Server

TYPES = [1, 2, 3, 4, 5, 6, 7, 9, 10, 19, 22, 23]
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.fixed_dictionaries({"b64": st.text(max_size=8)})
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
documents = st.dictionaries(
    st.sampled_from(["instances", "inputs", "signature_name", "examples", "context"]), values
)


def outcome(read: Callable[[], Any]) -> Any:
    """What came out, or the name of the code of the refusal; anything else is raised."""
    try:
        return read()
    except ServingError as error:
        return error.code.name


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(body: bytes) -> None:
    found = outcome(lambda: json_parse.parse(body))
    assert isinstance(found, dict) or found == "INVALID_ARGUMENT"


@given(documents)
def test_what_python_writes_is_read_back(document: dict[str, Any]) -> None:
    read = json_parse.parse(json.dumps(document).encode())
    assert json.dumps(read, sort_keys=True) == json.dumps(document, sort_keys=True)


@given(values, st.sampled_from(TYPES))
def test_any_value_is_a_tensor_or_an_error(value: Any, kind: int) -> None:
    for inputs in ({"x": ("x:0", kind)}, {"x": ("x:0", kind), "y": ("y:0", 1)}):
        column = outcome(lambda inputs=inputs: json_tensors.read_inputs(value, inputs))
        row = outcome(
            lambda inputs=inputs: json_tensors.read_instances({"instances": value}, inputs)
        )
        for found in (column, row):
            if isinstance(found, dict):
                assert all(isinstance(array, np.ndarray) for array in found.values())
            else:
                assert found in ("INVALID_ARGUMENT", "UNIMPLEMENTED")


@given(documents)
def test_any_document_makes_examples_or_an_error(document: dict[str, Any]) -> None:
    found = outcome(lambda: json_examples.read(document))
    if isinstance(found, np.ndarray):
        assert len(found) == len(document["examples"])
    else:
        assert found == "INVALID_ARGUMENT"


@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=4, min_side=0)))
def test_floats_survive_both_directions(array: np.ndarray[Any, Any]) -> None:
    document = json.loads(json_write.columns({"y": array}))
    read = json_tensors.read_inputs(document["outputs"], {"y": ("y:0", 1)})["y"]
    if array.size:
        assert read.shape == array.shape
    assert np.array_equal(read.ravel(), array.ravel(), equal_nan=True)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_are_written_as_numbers_with_a_point_or_an_exponent(number: float) -> None:
    (text,) = json_write.decimals(np.array([number]))
    assert float(text) == number
    assert "." in text or "e" in text
    short = f"{number:g}"
    assert text.removesuffix(".0") == (short if float(short) == number else f"{number:.17g}")


@pytest.mark.parametrize("as_content", [False, True])
@given(st.data())
def test_protos_hold_arrays_of_every_type(as_content: bool, data: st.DataObject) -> None:
    from tensorflow.core.framework import tensor_pb2

    kinds = ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8", "c16"]
    kind = data.draw(st.sampled_from(kinds))
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6))
    array = data.draw(arrays.arrays(kind, shape))
    proto = tensor_pb2.TensorProto()
    to_proto(array, proto, as_content)
    back = from_proto(tensor_pb2.TensorProto.FromString(proto.SerializeToString()))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert np.array_equal(back, array, equal_nan=array.dtype.kind in "fc")
    import tensorflow as tf  # an independent reader of the same message

    assert np.array_equal(tf.make_ndarray(proto), array, equal_nan=array.dtype.kind in "fc")


@given(body=st.binary(max_size=100) | documents.map(lambda d: json.dumps(d).encode()))
def test_the_live_server_answers_anything(server: Server, body: bytes) -> None:
    for path in ("half:predict", "mixed:predict", "half:classify", "half:regress"):
        answer = server.http("POST", f"/v1/models/{path}", body)
        assert answer.status in (200, 400, 404, 501)
        if answer.status != 200:
            assert list(answer.json) == ["error"]


@given(st.text(max_size=40), st.sampled_from(["GET", "POST", "DELETE", "HEAD"]))
def test_the_live_server_answers_any_path(server: Server, path: str, method: str) -> None:
    from urllib.parse import quote

    answer = server.http(method, "/v1/" + quote(path, safe="/:?%"), "{}")
    assert answer.status in (200, 400, 404)


def test_numbers_that_stand_for_themselves() -> None:
    assert math.isnan(json_parse.parse(b'{"a": NaN}')["a"])
    assert json_parse.parse(b'{"a": -Infinity}')["a"] == -math.inf
