"""A client's questions before anything is sent: what they refuse, how they pad, what they weigh."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2

from serving.client import AsyncClient, Client, Code, Event, ServingError, Tls, User, questions
from serving.client.records import milliseconds, moment
from serving.client.requests import (
    Served,
    Signature,
    Tensor,
    join,
    lacking,
    readable,
    split,
    wanted,
)
from serving.client.wire import GrpcWire, RestWire, Target, http_error
from serving.tensors import from_proto

NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: Event("a", datetime(2023, 1, 1)), ValueError, "Event.time .* without a time zone"),
        (lambda: Event("a", 1.5), TypeError, "Event.time must be .*, not float"),
        (lambda: Event("a", True), TypeError, "Event.time must be .*, not bool"),
        (lambda: Event("", NOW), ValueError, "Event.item is empty"),
        (lambda: Event(7, NOW), TypeError, "Event.item must be text, not int"),
        (lambda: Event("a", NOW, value="5"), TypeError, "Event.value must be a number, not str"),
        (lambda: Event("a", NOW, gain=None), TypeError, "Event.gain must be a number"),
        (lambda: User(["a"]), TypeError, r"history\[0\] must be an Event, not str"),
        (lambda: User((), now="today"), TypeError, "User.now must be"),
        (
            lambda: User((), facet_gain=[1, "x"]),
            TypeError,
            r"User.facet_gain\[1\] must be a number",
        ),
        (lambda: questions.recommend("abc"), TypeError, r"history\[0\] must be an Event"),
        (lambda: questions.recommend([], "s9"), TypeError, "exclude must be a sequence of texts"),
        (lambda: questions.score([], [b"a"]), TypeError, r"items\[0\] must be text, not bytes"),
        (lambda: questions.evolve([], [NOW, "x"]), TypeError, r"times\[1\] must be a datetime"),
        (lambda: questions.embed_items([]), ValueError, "items is empty"),
        (lambda: questions.update_user([], "a", 1), TypeError, "engaged must be True or False"),
        (lambda: Client("localhost", model="m"), ValueError, "must be host:port for gRPC"),
        (lambda: Client("ftp://a:1", model="m"), ValueError, "must be host:port for gRPC"),
        (lambda: Client("http://a/v1", model="m"), ValueError, "without a path"),
        (lambda: Client("http://a", model="m", tls=Tls()), ValueError, "is not https"),
        (lambda: Client("a:1", model=""), ValueError, "model is empty"),
        (lambda: Client("a:1", model="m", version=1, label="x"), ValueError, "both given"),
        (lambda: Client("a:1", model="m", deadline=0), ValueError, "deadline must be above 0"),
        (lambda: Client("a:1", model="m", retries=-1), ValueError, "retries must be 0 or more"),
        (lambda: Client("a:1", model="m", api_key="a b"), ValueError, "api_key must be ASCII"),
        (lambda: Client("a:1", model="m", tls=Tls("no/such")), ValueError, "no/such"),
        (lambda: Client("https://a", model="m", tls=Tls("no/such")), ValueError, "no/such"),
        (lambda: Tls(cert_file="a"), ValueError, "cert_file and key_file together"),
        (lambda: AsyncClient("a", model="m"), ValueError, "must be host:port for gRPC"),
    ],
)
def test_mistakes_are_named(make: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        make()


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))])))
def test_times_keep_their_milliseconds(time: datetime) -> None:
    stamp = milliseconds(time, "time")
    assert timedelta() <= time - moment(stamp) < timedelta(milliseconds=1)
    assert milliseconds(np.int64(stamp), "time") == stamp  # type: ignore[arg-type]


TEXT = Tensor(7, (-1, -1))
FULL = {
    "history_items": TEXT,
    "history_times": Tensor(9, (-1, -1)),
    "exclude_items": TEXT,
    "actions": TEXT,
    "values": Tensor(1, (-1, -1)),
    "now": Tensor(9, (-1,)),
    "facet_gain": Tensor(1, (-1, 3)),
    "event_gain": Tensor(1, (-1, -1)),
    "conformity_gain": Tensor(1, (-1,)),
}
SIGNATURE = Signature(FULL, {})

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)
EVENTS = st.builds(
    Event,
    item=IDS,
    time=st.integers(-(2**62), 2**62),
    action=st.sampled_from(["", "buy"]),
    value=st.one_of(st.just(math.nan), st.floats(width=32)),
    gain=st.floats(0, 2, width=32),
)
USERS = st.builds(
    User,
    history=st.lists(EVENTS, max_size=4),
    now=st.one_of(st.none(), st.integers(0, 2**62)),
    facet_gain=st.one_of(st.none(), st.lists(st.floats(0, 2, width=32), min_size=3, max_size=3)),
    conformity_gain=st.floats(0, 2, width=32),
)


@given(st.lists(st.tuples(USERS, st.lists(IDS, max_size=3)), min_size=1, max_size=4))
def test_rows_are_padded_with_what_says_nothing(asked: list[tuple[User, list[str]]]) -> None:
    made = [questions.recommend(user, exclude) for user, exclude in asked]
    inputs = join(made, "recommend_full", SIGNATURE)
    assert inputs.keys() == FULL.keys()
    length = max(len(user.history) for user, _ in asked)

    def padded(values: list[Any], fill: Any, size: int = length) -> list[Any]:
        return values + [fill] * (size - len(values))

    for row, (user, exclude) in enumerate(asked):
        events = user.history
        expected = {
            "history_items": padded([event.item.encode() for event in events], b""),
            "history_times": padded([event.time for event in events], 0),
            "actions": padded([event.action.encode() for event in events], b""),
            "values": padded([event.value for event in events], math.nan),
            "event_gain": padded([event.gain for event in events], 1.0),
            "facet_gain": list(user.facet_gain or [1.0, 1.0, 1.0]),
            "now": user.now or 0,
            "conformity_gain": user.conformity_gain,
        }
        for name, values in expected.items():
            np.testing.assert_array_equal(inputs[name][row].tolist(), values)
        items = inputs["exclude_items"][row].tolist()
        assert items == padded([item.encode() for item in exclude], b"", len(items))


@given(USERS, st.lists(IDS, max_size=3))
def test_both_forms_carry_the_same_tensors(user: User, exclude: list[str]) -> None:
    """gRPC is read with the published classes, JSON by the rules of TensorFlow Serving."""
    inputs = join([questions.recommend(user, exclude)], "recommend_full", SIGNATURE)
    target = Target("shop ü/1", version=3)
    sent = GrpcWire().ask(target, "recommend_full", inputs)
    assert sent.path == "/tensorflow.serving.PredictionService/Predict"
    assert sent.body is not None
    request = predict_pb2.PredictRequest.FromString(sent.body)
    spec = request.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (
        "shop ü/1", 3, "recommend_full",
    )  # fmt: skip
    posted = RestWire().ask(target, "recommend_full", inputs)
    assert posted.path == "/v1/models/shop%20%C3%BC%2F1/versions/3:predict"
    assert posted.body is not None
    document = json.loads(posted.body)
    assert document.keys() == {"signature_name", "inputs"}
    for name, array in inputs.items():
        np.testing.assert_array_equal(from_proto(request.inputs[name]), array)
        columns = np.array(document["inputs"][name], object).reshape(array.shape)
        if array.dtype == object:
            assert [text.encode() for text in columns.ravel()] == array.ravel().tolist()
        else:
            np.testing.assert_array_equal(columns.astype(array.dtype), array)


def test_the_short_form_is_asked_where_it_suffices() -> None:
    plain = questions.recommend([Event("a", NOW)])
    assert wanted([plain]) == "recommend"
    for user in (
        User([Event("a", NOW, action="buy")]),
        User([Event("a", NOW, value=1.0)]),
        User([Event("a", NOW, gain=0.0)]),
        User(now=NOW),
        User(facet_gain=[1.0]),
        User(conformity_gain=0.5),
    ):
        assert wanted([plain, questions.recommend(user)]) == "recommend_full"


def test_an_update_says_its_gains_in_the_short_form() -> None:
    gains = {"facet_gain": Tensor(1, (-1, 3)), "conformity_gain": Tensor(1, (-1,))}
    asked = [questions.update_user([Event("a", NOW)], "b"), questions.update_user([], "c", False)]
    inputs = join(asked, wanted(asked), Signature(FULL | gains, {}))
    assert wanted(asked) == "update_user"
    assert {name: array.tolist() for name, array in inputs.items()} == {
        "history_items": [[b"a"], [b""]],
        "history_times": [[NOW], [0]],
        "facet_gain": [[1.0] * 3] * 2,
        "conformity_gain": [1.0, 1.0],
        "item": [b"b", b"c"],
        "engaged": [True, False],
    }


def test_a_model_without_the_signature_says_what_it_has() -> None:
    served = Served("shop", 7, {"recommend": SIGNATURE, "__saved_model_init_op": SIGNATURE})
    error = lacking(served, "explain")
    assert error.code is Code.UNIMPLEMENTED
    assert error.message == ("version 7 of model shop has no signature explain; it has: recommend")
    assert "(it has recommend: ask without actions" in lacking(served, "recommend_full").message


@pytest.mark.parametrize(
    ("shape", "declared"), [((0,), (-1, 6)), ((2, 0), (-1, -1, 3)), ((2, 1, 0), (-1, -1, -1, 3))]
)
def test_dimensions_that_json_loses_come_back(
    shape: tuple[int, ...], declared: tuple[int, ...]
) -> None:
    lists = np.zeros(shape).tolist()
    found = readable(np.array(lists), Tensor(1, declared))
    assert found.ndim == len(declared)
    assert found.dtype == np.float32
    assert found.shape[: len(shape)] == shape


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (400, b'{"error": "no"}', Code.INVALID_ARGUMENT, "no"),
        (401, b'{"error": "key"}', Code.UNAUTHENTICATED, "key"),
        (429, b"", Code.RESOURCE_EXHAUSTED, "HTTP status 429"),
        (502, b"<html>bad gateway</html>", Code.UNAVAILABLE, "<html>bad gateway</html>"),
        (503, b"[1]", Code.UNAVAILABLE, "HTTP status 503"),
        (504, b'{"error": "late"}', Code.DEADLINE_EXCEEDED, "late"),
        (418, b"\xff" * 5000, Code.UNKNOWN, "�" * 1000),
    ],
)
def test_what_an_http_status_means(status: int, body: bytes, code: Code, message: str) -> None:
    error = http_error(status, body)
    assert (error.code, error.message) == (code, message)
    assert error.retryable == (code is Code.UNAVAILABLE)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_both_clients_have_every_question(client: Any) -> None:
    made = [
        name
        for name, value in inspect.getmembers(questions, inspect.isfunction)
        if not name.startswith("_") and value.__module__ == questions.__name__
    ]
    assert len(made) == 10
    for name in made:
        method = getattr(client, name)
        assert method.__doc__ == getattr(questions, name).__doc__
        arguments = list(inspect.signature(method).parameters)
        assert arguments == ["self", *inspect.signature(getattr(questions, name)).parameters]


def test_neither_client_nor_help_loads_tensorflow() -> None:
    code = (
        "import sys, serving.client; "
        "print([name for name in ('tensorflow', 'tfrec', 'export') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    started = time.perf_counter()
    helped = subprocess.run(
        [sys.executable, "-m", "serving.query", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    elapsed = time.perf_counter() - started
    bare = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    assert elapsed < 0.5 + 5 * (time.perf_counter() - bare)
    assert "python -m serving.query recommend --model_name shop" in helped.stdout


def test_an_answer_without_an_output_is_no_crash() -> None:
    with pytest.raises(ServingError, match="answers facets without 'facet_names'"):
        split([questions.facets([])], {"gates": np.ones((1, 2))})
