"""What a client does when a server fails: tries again where that may help, and keeps its deadline.

The servers are real and fail as they are told to; both transports, blocking and with asyncio.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serving.client import AsyncClient, Client, Code, Question, ServingError
from serving.client.asking import Model, Pause
from serving.client.wire import GrpcWire, Target
from tests.serving.unreliable import FOREVER, Place, Plan, place, unreliable

KINDS = pytest.mark.parametrize("kind", ["grpc", "rest"])
Ask = Callable[..., list[float]]


def double(x: float) -> Question[list[float]]:
    return Question("double", {"x": np.array([x], np.float32)}, lambda found: found["y"].tolist())


def blocking(where: Place, x: float, **options: Any) -> list[float]:
    with Client(where.address, model="double", **options) as client:
        return client.ask(double(x))


def with_asyncio(where: Place, x: float, **options: Any) -> list[float]:
    async def ask() -> list[float]:
        async with AsyncClient(where.address, model="double", **options) as client:
            return await client.ask(double(x))

    return asyncio.run(ask())


WAYS = pytest.mark.parametrize("ask", [blocking, with_asyncio])


@KINDS
@WAYS
def test_a_server_that_is_not_ready_is_asked_again(kind: str, ask: Ask) -> None:
    plan, where = Plan(Code.UNAVAILABLE, failures=2), place(kind)
    with unreliable(kind, plan, where):
        assert ask(where, 3.0) == [6.0]
    assert len(plan.asked) == 3


@KINDS
@WAYS
@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED, Code.INTERNAL])
def test_nothing_else_is_tried_twice(kind: str, ask: Ask, code: Code) -> None:
    plan, where = Plan(code, failures=1), place(kind)
    with unreliable(kind, plan, where), pytest.raises(ServingError) as failed:
        ask(where, 3.0)
    assert failed.value.code is code
    assert failed.value.message == f"told to say {code.name}"
    assert not failed.value.retryable
    assert len(plan.asked) == 1


@KINDS
@WAYS
def test_tries_end(kind: str, ask: Ask) -> None:
    plan, where = Plan(Code.UNAVAILABLE, failures=FOREVER), place(kind)
    with unreliable(kind, plan, where), pytest.raises(ServingError) as failed:
        ask(where, 3.0, retries=2)
    assert failed.value.code is Code.UNAVAILABLE
    assert failed.value.retryable
    assert len(plan.asked) == 3


@KINDS
@WAYS
def test_a_server_that_starts_late_is_reached(kind: str, ask: Ask) -> None:
    plan, where = Plan(None, failures=0), place(kind)
    started = unreliable(kind, plan, where)
    later = threading.Timer(0.4, started.__enter__)
    later.start()
    try:
        assert ask(where, 3.0, retries=100, deadline=20) == [6.0]
    finally:
        later.join()
        started.__exit__(None, None, None)


@KINDS
@WAYS
def test_no_server_is_said_so_at_once(kind: str, ask: Ask) -> None:
    started = time.monotonic()
    with pytest.raises(ServingError, match=r"refused|connect") as failed:
        ask(place(kind), 3.0, retries=0)
    assert failed.value.code is Code.UNAVAILABLE
    assert time.monotonic() - started < 4


@KINDS
@WAYS
def test_the_deadline_ends_a_question_without_answer(kind: str, ask: Ask) -> None:
    plan, where = Plan(None, failures=FOREVER), place(kind)
    with unreliable(kind, plan, where):
        started = time.monotonic()
        with pytest.raises(ServingError) as failed:
            ask(where, 3.0, deadline=0.5)
        assert 0.4 < time.monotonic() - started < 3
        assert failed.value.code is Code.DEADLINE_EXCEEDED
    assert len(plan.asked) == 1


@KINDS
@WAYS
def test_the_deadline_holds_over_all_tries(kind: str, ask: Ask) -> None:
    plan, where = Plan(Code.UNAVAILABLE, failures=FOREVER), place(kind)
    with unreliable(kind, plan, where):
        started = time.monotonic()
        with pytest.raises(ServingError):
            ask(where, 3.0, deadline=0.6, retries=FOREVER)
        assert time.monotonic() - started < 3
    assert len(plan.asked) > 1


@WAYS
def test_an_answer_that_trickles_does_not_outlast_the_deadline(ask: Ask) -> None:
    where, over = place("rest"), threading.Event()
    listener = socket.create_server(("127.0.0.1", where.port))

    def trickle() -> None:
        connection, _ = listener.accept()
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not over.wait(0.05):
            try:
                connection.sendall(b"[")
            except OSError:
                break
        connection.close()

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        started = time.monotonic()
        with pytest.raises(ServingError) as failed:
            ask(where, 3.0, deadline=0.5)
        assert time.monotonic() - started < 3
        assert failed.value.code is Code.DEADLINE_EXCEEDED
    finally:
        over.set()
        thread.join()
        listener.close()


def pauses() -> list[float]:
    """Those of a question whose tries all fail, out of its steps, without waiting."""
    steps = Model(GrpcWire(), Target("m"), 60.0, retries=6).ask([double(1.0)])
    step, found = next(steps), []
    try:
        while True:
            if isinstance(step, Pause):
                found.append(step.seconds)
                step = steps.send(None)
            else:
                step = steps.throw(ServingError(Code.UNAVAILABLE, "busy"))
    except ServingError:
        return found


def test_pauses_grow_and_are_random() -> None:
    found = np.array([pauses() for _ in range(300)])
    longest = np.array([0.1, 0.2, 0.4, 0.8, 1.6, 2.0])
    assert (found <= longest).all()
    np.testing.assert_allclose(found.mean(axis=0), longest / 2, rtol=0.2)
    np.testing.assert_allclose(found.std(axis=0), longest / 12**0.5, rtol=0.2)


@KINDS
def test_the_signatures_are_learnt_once_and_again_after_a_failure(kind: str) -> None:
    plan, where = Plan(Code.INVALID_ARGUMENT, failures=0), place(kind)
    with unreliable(kind, plan, where), Client(where.address, model="double") as client:
        assert [client.ask(double(x)) for x in (1.0, 2.0, 3.0)] == [[2.0], [4.0], [6.0]]
        assert plan.described == 1
        triple = Question("triple", double(1.0).inputs, double(1.0).decode)
        with pytest.raises(ServingError, match="model double has no signature triple; it has: dou"):
            client.ask(triple)
        assert plan.described == 2  # a version that came since might have had it
        plan.failures = 4
        with pytest.raises(ServingError):
            client.ask(double(1.0))
        assert client.ask(double(1.0)) == [2.0]
        assert plan.described == 3


@KINDS
@WAYS
def test_an_api_key_is_sent(kind: str, ask: Ask) -> None:
    plan, where = Plan(None, failures=0), place(kind)
    with unreliable(kind, plan, where):
        ask(where, 3.0, api_key="abc")
    assert plan.headers[0]["x-api-key"] == "abc"


@WAYS
def test_what_is_no_model_server_is_said_so(ask: Ask) -> None:
    where = place("rest")
    listener = socket.create_server(("127.0.0.1", where.port))

    def answer() -> None:
        connection, _ = listener.accept()
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(ServingError, match="is this a model server") as failed:
        ask(where, 3.0)
    assert failed.value.code is Code.INTERNAL
    thread.join()
    listener.close()
