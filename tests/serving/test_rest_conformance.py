"""REST against the table of TensorFlow Serving's answers: routes, JSON rules, codes and texts."""

from __future__ import annotations

import base64
import gzip
import json
import math
import socket
from typing import Any

import numpy as np
import pytest

from tests.serving.running import Server


def test_row_and_columnar_forms(server: Server) -> None:
    row = server.predict("half", {"instances": [1.0, 2]})
    assert (row.status, row.json) == (200, {"predictions": [3.5, 4.0]})
    assert row.headers["Content-Type"] == "application/json"
    named = server.predict("half", {"instances": [{"x": 1.0}, {"x": 2.0}]})
    assert named.json == row.json
    column = server.predict("half", {"inputs": [1.0, 2.0]})
    assert column.json == {"outputs": [3.5, 4.0]}
    assert server.predict("half", {"inputs": {"x": [1.0, 2.0]}}).json == column.json
    assert server.predict("half", {"inputs": 2.0}).json == {"outputs": 4.0}


def test_several_outputs_are_objects(server: Server) -> None:
    row = server.predict("half", {"signature_name": "pair", "instances": [[0.0], [2.0]]})
    assert row.json == {
        "predictions": [{"y": [3.0], "z": [3.0, 6.0]}, {"y": [4.0], "z": [4.0, 8.0]}]
    }
    column = server.predict("half", {"signature_name": "pair", "inputs": [[2.0]]})
    assert column.json == {"outputs": {"y": [[4.0]], "z": [[4.0, 8.0]]}}


def test_several_inputs_and_strings(server: Server) -> None:
    red = base64.b64encode(b"red").decode()
    row = server.predict(
        "mixed",
        {"instances": [{"name": {"b64": red}, "weight": 1}, {"name": "né", "weight": 2.5}]},
    )
    assert row.json["predictions"] == [
        {"number": 1, "weighted": 3.0, "echo": "red", "echo_bytes": {"b64": red}},
        {"number": -1, "weighted": 7.5, "echo": "né", "echo_bytes": {"b64": "bsOp"}},
    ]
    column = server.predict("mixed", {"inputs": {"name": ["a"], "weight": [1.0], "surplus": 3}})
    assert column.json["outputs"]["weighted"] == [1.0]


@pytest.mark.parametrize(
    "path",
    ["half/versions/1", "half/labels/stable", "HALF/versions/00001", "half/versions/1?x=1"],
)
def test_versions_labels_and_queries(server: Server, path: str) -> None:
    answer = server.predict(path, {"instances": [2.0]})
    if "?" in path:
        assert answer.status == 400
        assert answer.json == {"error": f"Malformed request: POST /v1/models/{path}:predict"}
    elif path.startswith("HALF"):
        assert answer.status == 404  # the route ignores case, names do not
    else:
        assert answer.json == {"predictions": [3.0]}


def test_the_route_ignores_case_and_decodes_percent_signs(server: Server) -> None:
    answer = server.http("POST", "/V1/Models/h%61lf:predict", {"instances": [2.0]})
    assert answer.json == {"predictions": [4.0]}


def test_what_ends_a_path_is_looked_up_as_it_is_written(server: Server) -> None:
    answer = server.http("POST", "/v1/models/half:PREDICT", {"instances": [2.0]})
    assert answer.status == 400
    assert answer.json == {"error": "Malformed request: POST /v1/models/half:PREDICT"}
    status = server.http("GET", "/v1/models/half")
    assert server.http("GET", "/v1/models/half/METADATA").body == status.body


def test_a_proxy_may_send_the_whole_address(server: Server) -> None:
    path = "/v1/models/half"
    answer = server.http("GET", f"http://localhost:{server.rest_port}{path}")
    assert (answer.status, answer.body) == (200, server.http("GET", path).body)


ECHOES: list[tuple[str, str, str]] = [
    ("float32", "0.2", "0.2"),
    ("float32", "1", "1.0"),
    ("float32", "16777217", "16777216.0"),
    ("float32", "0.1234567891", "0.123456791"),
    ("float32", "1e39", "Infinity"),
    ("float32", "NaN", "NaN"),
    ("float32", "-Infinity", "-Infinity"),
    ("float32", "Inf", "Infinity"),
    ("float32", "-Inf", "-Infinity"),
    ("float32", "-NaN", "NaN"),
    ("float32", "9000000", "9e+06"),
    ("float64", "0.1234567891", "0.12345678910000001"),
    ("float64", "0.30000000000000004", "0.30000000000000004"),
    ("float64", "1e39", "1e+39"),
    ("float16", "1", "UNIMPLEMENTED"),
    ("bfloat16", "1", "UNIMPLEMENTED"),
    ("complex64", "1", "UNIMPLEMENTED"),
    ("int8", "-128", "-128"),
    ("int8", "300", "44"),
    ("int16", "-5", "-5"),
    ("int32", "2147483647", "2147483647"),
    ("int32", "2147483648", "int32"),
    ("int32", "1.0", "int32"),
    ("int32", "true", "int32"),
    ("int64", "-9223372036854775808", "-9223372036854775808"),
    ("int64", "9007199254740993", "9007199254740993"),
    ("int64", "9223372036854775808", "int64"),
    ("uint8", "255", "255"),
    ("uint32", "4294967295", "4294967295"),
    ("uint32", "-1", "uint32"),
    ("uint64", "18446744073709551615", "18446744073709551615"),
    ("uint64", "18446744073709551616", "uint64"),
    ("bool", "true", "true"),
    ("bool", "1", "bool"),
    ("string", '"a\\u00e9\\n"', '"aé\\n"'),
    ("string", '{"b64": "aGk="}', '"hi"'),
    ("string", '{"b64": "aGk"}', '"hi"'),
    ("string", "1", "string"),
    ("string", "null", "string"),
    ("float32", '"x"', "float"),
    ("float64", '"x"', "double"),
    ("float32", "{}", "float"),
]


@pytest.mark.parametrize(("kind", "sent", "expected"), ECHOES)
def test_values_of_every_type(server: Server, kind: str, sent: str, expected: str) -> None:
    text = f'{{"signature_name": "echo_{kind}", "inputs": [{sent}]}}'
    column = server.predict("mixed", text)
    row = server.predict("mixed", text.replace('"inputs"', '"instances"'))
    if expected == "UNIMPLEMENTED":
        name = "half" if kind == "float16" else kind
        shown = f"Conversion of JSON Value: {sent} to type: {name}"
        assert (column.status, column.json) == (501, {"error": shown})
        wrapped = f"Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: {shown}"
        assert (row.status, row.json) == (400, {"error": wrapped})
    elif expected in ("float", "double", "bool", "string") or "int" in expected:
        assert column.status == row.status == 400
        assert column.json["error"].endswith(f" is not of expected type: {expected}")
        assert column.json["error"].startswith("JSON Value: ")
        if kind == "float32" and sent == "{}":
            return  # as an instance it names inputs, none of them
        prefix = "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
        assert row.json["error"] == prefix + column.json["error"]
    else:
        assert column.body.decode() == f'{{"outputs": [{expected}]}}'
        assert row.body.decode() == f'{{"predictions": [{expected}]}}'


def test_the_text_of_a_type_error(server: Server) -> None:
    answer = server.predict("half", {"inputs": ["x"]})
    shown = 'JSON Value: "x" Type: String is not of expected type: float'
    assert answer.json == {"error": shown}


def test_bytes_that_are_no_text_pass_through(server: Server) -> None:
    body = b'{"signature_name": "echo_string", "instances": ["\xff\xfe"]}'
    assert server.predict("mixed", body).body == b'{"predictions": ["\xff\xfe"]}'


def test_shapes(server: Server) -> None:
    echo = {"signature_name": "echo_int32"}
    deep: list[Any] = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert server.predict("mixed", {**echo, "inputs": deep}).json == {"outputs": deep}
    assert server.predict("mixed", {**echo, "instances": deep}).json == {"predictions": deep}
    assert server.predict("mixed", {**echo, "inputs": [[], []]}).json == {"outputs": [[], []]}
    assert server.predict("mixed", {**echo, "inputs": []}).json == {"outputs": []}
    assert server.predict("mixed", {**echo, "inputs": 7}).json == {"outputs": 7}


FAILURES: list[tuple[str, str, int, str]] = [
    ("half", "", 400, "JSON Parse error: The document is empty"),
    ("half", "{", 400, "JSON Parse error: Missing a name for object member. at offset: 1"),
    ("half", '{"instances": [1,]}', 400, "JSON Parse error: Invalid value. at offset: "),
    ("half", '{"instances" 1}', 400, "JSON Parse error: Missing a colon after a name of object"),
    ("half", '{"instances": [1 2]}', 400, "JSON Parse error: Missing a comma or ] after an array"),
    ("half", '{"a": 1 "b": 2}', 400, "JSON Parse error: Missing a comma or } after an object"),
    ("half", '{"inputs": [tru]}', 400, "JSON Parse error: Invalid value. at offset: 15"),
    ("half", '{"inputs": [-]}', 400, "JSON Parse error: Invalid value. at offset: 13"),
    (
        "half",
        '{"inputs": ["\\x"]}',
        400,
        "JSON Parse error: Invalid escape character in string. at offset: 13",
    ),
    (
        "mixed",
        '{"signature_name": "echo_int64", "inputs": 12345678901234567890123}',
        400,
        "JSON Value: 1.23456794e+22 Type: Number is not of expected type: int64",
    ),
    (
        "mixed",
        '{"signature_name": "__saved_model_init_op", "inputs": 1}',
        400,
        "Failed to get input map for signature: __saved_model_init_op",
    ),
    (
        "half",
        '{"a": "é", "b": "c',
        400,
        "JSON Parse error: Missing a closing quotation mark in string. at offset: 19",
    ),
    (
        "half",
        '{"é\\\\ud83d\\ud83d\\ude00": "\\ud83d"}',
        400,
        "JSON Parse error: The surrogate pair in string is invalid. at offset: 27",
    ),
    ("m", '{"a": "\\ud83d\\ud83d"}', 400, "JSON Parse error: The surrogate pair in string is"),
    ("m", '{"a": 1} "\\ud83d"', 404, "Servable not found"),
    (
        "half",
        '{"a": "1e999", "instances": [1e999]}',
        400,
        "JSON Parse error: Number too big to be stored in double. at offset: 29",
    ),
    (
        "half",
        f'{{"instances": [1{"0" * 400}]}}',
        400,
        "JSON Parse error: Number too big to be stored in double. at offset: 15",
    ),
    (
        "half",
        '{"instances": [5.]}',
        400,
        "JSON Parse error: Miss fraction part in number. at offset: 17",
    ),
    (
        "half",
        '{"instances": [1e+]}',
        400,
        "JSON Parse error: Miss exponent in number. at offset: 18",
    ),
    ("half", '{"instances": [Infinite]}', 400, "JSON Parse error: "),
    ("half", '{"instances": [Inf, inf]}', 400, "JSON Parse error: Invalid value."),
    ("half", "[1]", 400, "JSON Value: [\n    1\n] Is not object"),
    ("m", "{", 400, "JSON Parse error: "),
    ("m", '{"signature_name": 1}', 400, "JSON Value: "),
    ("m", '{"instances": [1]}', 404, "Servable not found for request: Latest(m)"),
    (
        "half/versions/9",
        '{"instances": [1]}',
        404,
        "Servable not found for request: Specific(half, 9)",
    ),
    ("half/labels/x", '{"instances": [1]}', 400, "Unrecognized servable version label: x"),
    (
        "half",
        '{"signature_name": "x", "instances": [1]}',
        400,
        'Serving signature name: "x" not found in signature def',
    ),
    ("half", "{}", 400, "Missing 'inputs' or 'instances' key"),
    ("half", '{"inputs": 1, "instances": [1]}', 400, "JSON Value: "),
    ("half", '{"instances": 1}', 400, "JSON Value: "),
    ("half", '{"instances": []}', 400, "JSON Value: "),
    ("half", '{"inputs": null}', 400, "JSON Value: null Type: Null is not of expected type: float"),
    (
        "half",
        '{"inputs": [1, [2]]}',
        400,
        "Encountered list at unexpected level: 1 expected < 1",
    ),
    (
        "half",
        '{"inputs": [[1], [2, 3]]}',
        400,
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
    ),
    (
        "half",
        '{"inputs": [[1], 2]}',
        400,
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    (
        "half",
        '{"instances": [[1], [2, 3]]}',
        400,
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting "
        "tensor size: 1 but got: 2",
    ),
    (
        "half",
        '{"instances": [[[1, 2]], [[1], [2]]]}',
        400,
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting "
        "shape [1,2] but got: [2,1]",
    ),
    (
        "half",
        '{"instances": [1, {"x": 1}]}',
        400,
        "Expecting value/list but got object at item 1 of input list",
    ),
    (
        "half",
        '{"instances": [{"x": 1}, 1]}',
        400,
        "Expecting object but got list at item 1 of input list",
    ),
    (
        "half",
        '{"instances": [{"z": 1}]}',
        400,
        "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: JSON "
        "object: does not have named input: z",
    ),
    (
        "mixed",
        '{"instances": [{"name": "a"}]}',
        400,
        'Failed to process element: 0 of \'instances\' list. JSON object: {\n    "name": "a"\n} '
        "keys must be equal to: name,weight",
    ),
    ("mixed", '{"instances": ["a"]}', 400, "instances is a plain list, but expecting list of"),
    ("mixed", '{"inputs": ["a"]}', 400, "inputs is a plain value/list, but expecting an object"),
    (
        "mixed",
        '{"inputs": {"name": ["a"]}}',
        400,
        "Missing named input: weight in 'inputs' object.",
    ),
    ("mixed", '{"signature_name": "fail", "inputs": [11]}', 400, "assertion failed: [x must be"),
    (
        "mixed",
        '{"signature_name": "echo_string", "inputs": [{"b64": "?"}]}',
        400,
        "Unable to base64 decode",
    ),
    (
        "mixed",
        '{"signature_name": "echo_string", "instances": [["a"], [{"b64": "?"}]]}',
        400,
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Unable to "
        "base64 decode",
    ),
    (
        "mixed",
        '{"signature_name": "echo_string", "inputs": [{"b64": "aa", "c": 1}]}',
        400,
        "JSON Value: {",
    ),
    (
        "half",
        '{"signature_name": "scalar", "instances": [1]}',
        400,
        "Tensor name: n has no shape information",
    ),
    (
        "mixed",
        '{"inputs": {"name": ["a", "b"], "weight": 1}, "signature_name": ""}',
        200,
        "",
    ),
]


@pytest.mark.parametrize(("path", "body", "code", "text"), FAILURES)
def test_predict_failures(server: Server, path: str, body: str, code: int, text: str) -> None:
    answer = server.predict(path, body.encode())
    assert answer.status == code
    if code != 200:
        assert list(answer.json) == ["error"]
        assert answer.json["error"].startswith(text)


def test_what_is_tolerated(server: Server) -> None:
    text = ' \n{"instances": [2.0], "other": {}, "instances": [9]} trailing'
    assert server.predict("half", text).json == {"predictions": [4.0]}
    answer = server.http(
        "POST", "/v1/models/half:predict", '{"instances": [2.0]}', {"Content-Type": "text/plain"}
    )
    assert answer.json == {"predictions": [4.0]}


@pytest.mark.parametrize("levels", [900, 10_000, 500_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_an_error_not_a_crash(server: Server, levels: int, opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    for key in ("instances", "inputs", "signature_name"):
        body = f'{{"{key}": {opening * levels}1{closing * levels}}}'
        answer = server.predict("half", body)
        assert answer.status == 400
        assert answer.json["error"]
    assert server.predict("half", {"instances": [2.0]}).status == 200


def test_gzip_requests(server: Server) -> None:
    packed = gzip.compress(b'{"instances": [2.0]}')
    headers = {"Content-Encoding": "gzip"}
    answer = server.http("POST", "/v1/models/half:predict", packed, headers)
    assert answer.json == {"predictions": [4.0]}
    assert "Content-Encoding" not in answer.headers
    listed = {"Content-Encoding": "gzip, identity"}
    answer = server.http("POST", "/v1/models/half:predict", packed, listed)
    assert answer.json == {"predictions": [4.0]}
    for broken in (packed[:-9], b"no gzip"):
        answer = server.http("POST", "/v1/models/half:predict", broken, headers)
        assert answer.status == 400
        assert "gzip" in answer.json["error"]
    bomb = gzip.compress(b" " * 50_000_000)
    assert server.http("POST", "/v1/models/half:predict", bomb, headers).status == 429


def test_a_client_that_asks_before_it_sends_a_body_is_told_to(server: Server) -> None:
    body = b'{"instances": [2.0]}'
    head = "POST /v1/models/half:predict HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", server.rest_port), 10) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_long_paths_and_headers_are_read(server: Server) -> None:
    name = "m" * 20_000
    answer = server.http("GET", f"/v1/models/{name}", headers={"Authorization": name})
    assert answer.status == 404
    assert answer.json == {"error": f"Could not find any versions of model {name}"}
    endless = server.http("GET", f"/v1/models/{name * 10}")
    assert endless.status == 400


def test_a_body_over_the_limit_is_refused(server: Server) -> None:
    assert server.predict("half", b" " * 40_000_001).status == 429


def test_classify_and_regress(server: Server) -> None:
    body: dict[str, Any] = {
        "signature_name": "classify_labelled",
        "examples": [{"x": 2.0}, {"x": [4.0]}],
    }
    answer = server.http("POST", "/v1/models/half:classify", body)
    assert answer.json == {"results": [[["4.0", 4.0]], [["5.0", 5.0]]]}
    body["signature_name"] = "regress_x_to_y"
    answer = server.http("POST", "/v1/models/half:regress", body)
    assert answer.json == {"results": [4.0, 5.0]}
    body = {"signature_name": "classify_x_to_y", "context": {"x": 2.5}, "examples": [{}]}
    answer = server.http("POST", "/v1/models/half/versions/1:classify", body)
    assert answer.json == {"results": [[["", 3.25]]]}


EXAMPLE_FAILURES: list[tuple[str, str]] = [
    ('{"examples": [{"x": 2}]}', "Name: <unknown>"),
    ('{"examples": []}', "'examples' value is an empty array"),
    ('{"examples": 1}', "Expecting 'examples' value to be an list/array"),
    ("{}", "When method is classify, key 'examples' is expected and was not found"),
    ('{"examples": [1]}', "Example must be JSON object but got JSON Number"),
    ('{"examples": [{"x": null}]}', "Feature: x has element with unexpected JSON type: Null"),
    ('{"examples": [{"x": [[1.0]]}]}', "Feature: x has element with unexpected JSON type: Array"),
    ('{"examples": [{"x": {"a": 1}}]}', "Feature: x has element with unexpected JSON type: Object"),
    (
        '{"examples": [{"x": [1, 2.0]}]}',
        "Unexpected element type in feature: x expecting type: int64",
    ),
    (
        '{"examples": [{"x": ["a", 1]}]}',
        "Unexpected element type in feature: x expecting type: bytes",
    ),
    ('{"examples": [{"x": 9223372036854775808}]}', "Feature: x has uint64 element."),
]


@pytest.mark.parametrize(("body", "text"), EXAMPLE_FAILURES)
def test_classify_failures(server: Server, body: str, text: str) -> None:
    body = body.replace("{", '{"signature_name": "classify_x_to_y", ', 1).replace(", }", "}")
    answer = server.http("POST", "/v1/models/half:classify", body)
    assert answer.status == 400
    assert text in answer.json["error"]


def test_status(server: Server) -> None:
    def entry(version: int) -> dict[str, Any]:
        fine = {"error_code": "OK", "error_message": ""}
        return {"version": str(version), "state": "AVAILABLE", "status": fine}

    both = {"model_version_status": [entry(2), entry(1)]}
    assert server.http("GET", "/v1/models/half").json == both
    assert server.http("GET", "/v1/models/half/labels/stable").json == both
    one = server.http("GET", "/v1/models/half/versions/1")
    assert one.json == {"model_version_status": [entry(1)]}
    missing = server.http("GET", "/v1/models/m")
    assert missing.status == 404
    assert missing.json == {"error": "Could not find any versions of model m"}
    missing = server.http("GET", "/v1/models/half/versions/9")
    assert missing.json == {"error": "Could not find version 9 of model half"}


def test_metadata(server: Server) -> None:
    found = server.http("GET", "/v1/models/half/metadata").json
    assert found["model_spec"] == {"name": "half", "signature_name": "", "version": "2"}
    assert found["metadata"]["signature_def"]["signature_def"]["serving_default"] == {
        "inputs": {
            "x": {
                "name": "x:0",
                "dtype": "DT_FLOAT",
                "tensor_shape": {
                    "dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}],
                    "unknown_rank": False,
                },
            }
        },
        "outputs": {
            "y": {
                "name": "y:0",
                "dtype": "DT_FLOAT",
                "tensor_shape": {
                    "dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}],
                    "unknown_rank": False,
                },
            }
        },
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    assert server.http("GET", "/v1/models/half/labels/x/metadata").status == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/half:predict", 400, "Malformed request: GET /v1/models/half:predict"),
        ("POST", "/v1/models/half", 400, "Malformed request: POST /v1/models/half"),
        ("PUT", "/v1/models/half", 400, "Malformed request: PUT /v1/models/half"),
        ("GET", "/v1/x", 400, "Malformed request: GET /v1/x"),
        ("GET", "/v1/models/a/versions/x", 400, "Malformed request: GET /v1/models/a/versions/x"),
        ("GET", "/v1/models/half/versions/9223372036854775808", 400, None),
        ("GET", f"/v1/models/half/versions/{'9' * 5000}", 400, None),
        ("OPTIONS", "/v1/models/half", 400, "Malformed request: OPTIONS /v1/models/half"),
    ],
)
def test_routes(server: Server, method: str, path: str, status: int, error: str | None) -> None:
    answer = server.http(method, path)
    assert answer.status == status
    if error is None:
        assert answer.body == b""
    else:
        assert answer.body.decode() == json.dumps({"error": error})


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/models/half", "/metrics"])
def test_other_paths_are_not_found(server: Server, path: str) -> None:
    answer = server.http("GET", path)
    assert answer.status == 404
    assert b"404 Not Found" in answer.body


def test_metrics(server: Server) -> None:
    def value(line: str) -> float:
        page = server.http("GET", "/monitoring/prometheus/metrics")
        assert page.headers["Content-Type"].startswith("text/plain")
        found = [row for row in page.body.decode().splitlines() if row.startswith(line)]
        return float(found[0].split()[-1]) if found else 0.0

    fine = ':tensorflow:serving:request_count{model_name="half",status="OK"}'
    wrong = ':tensorflow:serving:request_count{model_name="nope",status="NOT_FOUND"}'
    malformed = ':tensorflow:serving:request_count{model_name="",status="INVALID_ARGUMENT"}'

    def latencies(api: str) -> str:
        return (
            f':tensorflow:serving:request_latency_count{{model_name="half",API="{api}",'
            'entrypoint="REST"}'
        )

    counted = [wrong, malformed, latencies("predict"), latencies("")]
    before = [value(line) for line in counted]
    fine_before = value(fine)
    server.predict("half", {"instances": [1.0]})
    server.predict("nope", {"instances": [1.0]})
    server.http("GET", "/v1/models/half")
    server.http("PUT", "/v1/models/half")
    assert [value(line) for line in counted] == [n + 1 for n in before]
    assert value(fine) == fine_before + 2
    page = server.http("GET", "/monitoring/prometheus/metrics").body.decode()
    assert "# TYPE :tensorflow:serving:request_count counter" in page
    assert "# TYPE :tensorflow:serving:request_latency histogram" in page
    bounds = [
        line.split('le="')[1].split('"')[0]
        for line in page.splitlines()
        if line.startswith(':tensorflow:serving:runtime_latency_bucket{model_name="half",API="Pr')
    ]
    assert len(bounds) == 34
    assert bounds[:3] == ["10", "18", "32.4"]
    assert bounds[-1] == "+Inf"
    assert math.isclose(float(bounds[-2]), 10 * 1.8**32, rel_tol=1e-5)


def test_no_request_spoils_the_metrics(server: Server) -> None:
    assert server.http("GET", "/v1/models/no%FFtext%0A%22").status == 404
    page = server.http("GET", "/monitoring/prometheus/metrics")
    assert page.status == 200
    assert 'model_name="no?text\\n\\"",status="NOT_FOUND"} 1\n' in page.body.decode()
    asked = server.http("GET", "/monitoring/prometheus/metrics?a=1")
    assert asked.status == 400
    assert asked.body.startswith(b"Unexpected path: /monitoring/prometheus/metrics?a=1. Should be")


def test_what_a_failing_operation_was_given_is_told_but_not_logged(server: Server) -> None:
    secret = "user-4711-secret"
    asked = {"signature_name": "number", "instances": [secret]}
    answer = server.predict("mixed", asked)
    assert answer.status == 400
    assert secret in answer.json["error"]
    with socket.create_connection(("127.0.0.1", server.rest_port), 10) as connection:
        connection.sendall(f"GET /{secret} HTTP/1.1\r\nContent-Length: {secret}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.0 400 ")
    assert server.log is not None
    text = server.log.read_text()
    assert "REST on" in text
    assert secret not in text
    assert "Traceback" not in text
    assert "Error handling request" not in text


def test_large_tensors_keep_every_number(server: Server) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(5000).astype(np.float32) * 10.0 ** rng.integers(-20, 20, 5000)
    x = x.astype(np.float32)
    answer = server.predict(
        "mixed", {"signature_name": "echo_float32", "instances": [float(v) for v in x]}
    )
    assert np.array_equal(np.array(answer.json["predictions"], np.float32), x)
