"""An exported model behind a real server, asked by the client, from Python and from the shell."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.client import AsyncClient, Client, Code, Event, ServingError, User, questions
from serving.query.__main__ import main
from tests.export.published import Published
from tests.export.small_runs import IDS
from tests.export.stored_answers import CLOSE, QUESTIONS, check, stored
from tests.serving.running import Server

KEY, OTHER_KEY = "a-key-of-the-test", "another-key"
DAY = 86_400_000
START = 1_000_400_000_000
HISTORY = [Event(IDS[2 * n], START + n * DAY) for n in range(5)]
ITEMS = [IDS[1], "no such item", IDS[0], IDS[12]]


class Shop(NamedTuple):
    """The server of the model, and its files."""

    server: Server
    folder: Path

    @property
    def addresses(self) -> dict[str, str]:
        return {
            "grpc": f"localhost:{self.server.port}",
            "rest": f"http://localhost:{self.server.rest_port}",
        }

    def write_keys(self, text: str, mode: int = 0o600) -> None:
        new = self.folder / "keys.new"
        new.write_text(text)
        new.chmod(mode)
        new.rename(self.folder / "keys.txt")

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()


@pytest.fixture(scope="module")
def shop(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    keys = folder / "keys.txt"
    keys.write_text(f"# of the tests\n\n{KEY}\n")
    keys.chmod(0o640)
    server = Server(
        "--model_name=shop",
        f"--model_base_path={published.models}",
        f"--api_keys_file={keys}",
        "--max_request_rows=64",
        "--max_tensor_bytes=1000000",
        "--enable_model_warmup=false",
        "--enable_grpc_healthcheck_service",
        ready=False,
        log=folder / "log.txt",
    )
    server.wait(180)
    yield Shop(server, folder)
    assert server.stop() == 0


Ask = Callable[..., Any]


@pytest.fixture(params=["grpc", "grpc asyncio", "rest", "rest asyncio"])
def ask(shop: Shop, request: pytest.FixtureRequest) -> Ask:
    """Calls a method of a client by its name; `options` are the client's."""
    kind, _, asynchronous = request.param.partition(" ")

    def blocking(method: str, *given: Any, options: Any = None) -> Any:
        options = {"model": "shop", "api_key": KEY, "deadline": 120.0, **(options or {})}
        with Client(shop.addresses[kind], **options) as client:
            return getattr(client, method)(*given)

    async def awaited(method: str, *given: Any, options: Any = None) -> Any:
        options = {"model": "shop", "api_key": KEY, "deadline": 120.0, **(options or {})}
        async with AsyncClient(shop.addresses[kind], **options) as client:
            return await getattr(client, method)(*given)

    if asynchronous:
        return lambda *given, **named: asyncio.run(awaited(*given, **named))
    return blocking


def test_a_search_is_read_with_the_history(ask: Ask) -> None:
    user = User(HISTORY, query="The 3rd moon", profile="Space")
    [one, unknown, *_] = ask("explain", user, ITEMS)
    lines = one.contributions.sum() + one.told_contributions.sum()
    assert lines + one.quality + one.conformity + one.context == pytest.approx(one.score, abs=1e-3)
    assert one.told_contributions.shape[0] == 2
    assert np.isnan(unknown.told_contributions).all()
    assert ask("score", user, ITEMS)[0].score == pytest.approx(one.score, abs=1e-4)
    assert ask("score", HISTORY, ITEMS)[0].score != pytest.approx(one.score, abs=1e-4)
    with pytest.raises(ServingError, match="ask without profile and query"):
        ask("update_user", user, IDS[3])


def test_every_question_is_answered_as_the_signature_answers(
    ask: Ask, published: Published
) -> None:
    checked = set()
    for name in published.signatures:
        short = name.removesuffix("_full")
        if short not in QUESTIONS:
            continue
        users, given, expected = stored(published, name)
        asked = [QUESTIONS[short](*pair) for pair in zip(users, given, strict=True)]
        for row, found in enumerate(ask("batch", asked)):
            outputs = {key: np.array(value[row]) for key, value in expected.items()}
            check(short, found, outputs, users[row])
        checked.add(name)
    assert checked >= QUESTIONS.keys() - {"update_user"}
    assert {f"{name}_full" for name in ("recommend", "explain", "evolve", "embed_user")} <= checked


def test_embeddings_multiply_to_the_score(ask: Ask) -> None:
    user, items = ask("embed_user", HISTORY), ask("embed_items", ITEMS)
    assert items.items == ITEMS
    assert items.known.tolist() == [True, False, True, True]
    scores = [one.score for one in ask("score", HISTORY, ITEMS)]
    products = np.where(items.known, items.vectors @ user, np.nan)
    np.testing.assert_allclose(products, scores, rtol=1e-3, atol=1e-4)


def test_lists_end_where_nothing_more_may_come(ask: Ask) -> None:
    assert len(ask("recommend", HISTORY, [IDS[1]])) == len(IDS) - len(HISTORY) - 1
    assert ask("recommend", HISTORY, IDS) == []
    assert ask("score", HISTORY, []) == []


def test_gains_weigh_events_facets_and_the_crowd(ask: Ask) -> None:
    [one] = ask("explain", HISTORY, ITEMS[:1])
    facets = one.contributions.shape[1]
    gains = {"event": np.arange(5) / 2, "facet": 0.5 + np.arange(facets)}
    events = [
        Event(event.item, event.time, gain=float(gain))
        for event, gain in zip(HISTORY, gains["event"], strict=True)
    ]
    user = User(events, facet_gain=gains["facet"].tolist(), conformity_gain=0.25)
    [other] = ask("explain", user, ITEMS[:1])
    lines = one.contributions * gains["event"][:, None] * gains["facet"]
    np.testing.assert_allclose(other.contributions, lines, **CLOSE)
    np.testing.assert_allclose(other.conformity, 0.25 * one.conformity, **CLOSE)
    total = lines.sum() + other.quality + other.conformity + other.context
    np.testing.assert_allclose(other.score, total, atol=1e-3)
    with pytest.raises(ValueError, match=f"facet_gain has 1 numbers, the model takes {facets}"):
        ask("score", User(events, facet_gain=[2.0]), ITEMS)


def test_a_batch_is_its_questions_one_by_one(ask: Ask) -> None:
    users = [
        HISTORY,
        [],
        User(HISTORY[:2], now=START + 30 * DAY),
        User(HISTORY[1:], conformity_gain=0.0),
        [Event("no such item", START, value=3.0)],
    ]
    asked = [questions.explain(user, ITEMS[: n + 1]) for n, user in enumerate(users)]
    together = ask("batch", asked)
    for question, answers in zip(asked, together, strict=True):
        alone = ask("ask", question)
        assert len(alone) == len(answers)
        for one, other in zip(alone, answers, strict=True):
            assert (one.item, one.known, one.text) == (other.item, other.known, other.text)
            np.testing.assert_allclose(one.score, other.score, **CLOSE)
            np.testing.assert_allclose(one.contributions, other.contributions, **CLOSE)
    assert ask("batch", []) == []
    with pytest.raises(ValueError, match="one kind, not explain, facets"):
        ask("batch", [asked[0], questions.facets([])])


def test_refusals(ask: Ask) -> None:
    cases: list[tuple[dict[str, Any], Code, str]] = [
        ({"model": "nobody"}, Code.NOT_FOUND, "Servable not found"),
        ({"version": 9}, Code.NOT_FOUND, "Servable not found"),
        ({"label": "stable"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label"),
        ({"api_key": None}, Code.UNAUTHENTICATED, "wants an API key"),
        ({"api_key": "wrong"}, Code.UNAUTHENTICATED, "not valid"),
    ]
    for options, code, text in cases:
        with pytest.raises(ServingError, match=text) as failed:
            ask("facets", HISTORY, options=options)
        assert failed.value.code is code
    assert ask("facets", HISTORY, options={"version": 1}).facets
    missing = questions.Question("dream", {"items": np.array([b"a"], object)}, lambda found: found)
    with pytest.raises(ServingError, match="version 1 of model shop has no signature dream; it"):
        ask("ask", missing)


def test_limits(ask: Ask) -> None:
    assert len(ask("batch", [questions.facets([])] * 64)) == 64
    for method, given, text in (
        ("batch", [questions.facets([])] * 65, "has 65 rows; this server takes 64 at most"),
        ("embed_items", IDS * 3, "Input items has 72 rows"),
        ("recommend", HISTORY, "exclude_items is larger than 1000000 bytes"),
    ):
        more = [["x"] * 20_000] if method == "recommend" else []
        with pytest.raises(ServingError, match=text) as failed:
            ask(method, given, *more)
        assert failed.value.code is Code.INVALID_ARGUMENT


def test_many_threads_and_tasks_share_one_client(shop: Shop) -> None:
    histories = [HISTORY[:n] for n in range(6)] * 5

    async def gathered(address: str) -> list[Any]:
        async with AsyncClient(address, model="shop", api_key=KEY, deadline=120) as client:
            return await asyncio.gather(*(client.score(one, ITEMS[:1]) for one in histories))

    answers = []
    for address in shop.addresses.values():
        with (
            Client(address, model="shop", api_key=KEY, deadline=120) as client,
            ThreadPoolExecutor(8) as pool,
        ):
            answers.append(list(pool.map(client.score, histories, repeat(ITEMS[:1]))))
        answers.append(asyncio.run(gathered(address)))
    scores = np.array([[one[0].score for one in found] for found in answers])
    np.testing.assert_allclose(scores, np.tile(scores[0, :6], (4, 5)), **CLOSE)
    assert len(set(scores[0, :6])) == 6


def test_keys_open_both_ports_and_health_stays_open(shop: Shop) -> None:
    server, body = shop.server, {"signature_name": "embed_items", "inputs": [IDS[0]]}
    path = "/v1/models/shop:predict"
    for headers in ({"X-API-Key": KEY}, {"Authorization": f"bearer {KEY}"}):
        assert server.http("POST", path, body, headers).status == 200
    for headers in ({}, {"X-API-Key": KEY + "x"}, {"Authorization": f"Basic {KEY}"}):
        refused = server.http("POST", path, body, headers)
        assert refused.status == 401
        assert refused.headers["Content-Type"] == "application/json"
        assert refused.json.keys() == {"error"}
    assert server.http("GET", "/v1/models/shop/metadata").status == 401
    assert server.http("GET", "/v1/models/shop").status == 200
    health = health_pb2_grpc.HealthStub(server.channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == 1
    with pytest.raises(grpc.RpcError) as failed:
        server.channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")(b"")
    assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED
    call = server.channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
    with pytest.raises(grpc.RpcError) as failed:
        call(b"", metadata=[("authorization", f"Bearer {KEY}")])
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # it was read


def test_keys_change_while_the_server_runs(shop: Shop) -> None:
    def accepted() -> list[bool]:
        return [
            shop.server.http("GET", "/v1/models/shop/metadata", headers={"x-api-key": key}).status
            == 200
            for key in (KEY, OTHER_KEY)
        ]

    assert accepted() == [True, False]
    shop.write_keys(f"{KEY}\n{OTHER_KEY}\n")
    assert accepted() == [True, True]
    shop.write_keys("# nothing\n")
    assert accepted() == [True, True]
    shop.write_keys(f"{OTHER_KEY}\n", mode=0o644)
    assert accepted() == [True, True]
    shop.write_keys(f"{KEY}\n")
    assert accepted() == [True, False]
    assert shop.log.count("the API keys stay as they were") == 2


def test_contents_of_requests_and_keys_stay_out_of_every_log(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "user-4711-secret"
    caplog.set_level(logging.DEBUG)
    events = [Event(secret, START, action=secret)]
    for address in shop.addresses.values():
        with Client(address, model="shop", api_key=KEY, deadline=120) as client:
            client.recommend(events, [secret])
            assert not client.score(events, [secret])[0].known
        for options in ({"model": "nobody", "api_key": KEY}, {"model": "shop", "api_key": secret}):
            with Client(address, **options) as client, pytest.raises(ServingError):
                client.recommend(events)
    server, headers = shop.server, {"x-api-key": KEY}
    for body in (
        f'{{"inputs": {{"{secret}": 1}}}}',
        f"{secret}",
        f'{{"signature_name": "{secret}"}}',
    ):
        assert server.http("POST", "/v1/models/shop:predict", body, headers).status == 400
    for raw in (
        f"{secret}\r\n\r\n",
        f"GET /{secret} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\n{secret}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.rest_port), 5) as connection:
            connection.sendall(raw.encode())
            connection.recv(1000)
    call = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError):
        call(b"\xff" + secret.encode(), metadata=[("x-api-key", KEY)])
    time.sleep(0.2)
    assert secret not in shop.log
    assert KEY not in shop.log
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name != "asyncio")
    assert secret not in ours
    assert KEY not in ours


def query(shop: Shop, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m serving.query` as a user runs it."""
    key = shop.folder / "key.txt"
    key.write_text(f"{KEY}\n")
    flags = ["--model_name=shop", f"--api_key_file={key}", "--deadline=120"]
    return subprocess.run(
        [sys.executable, "-m", "serving.query", *arguments, *flags],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )


def test_a_question_from_the_shell(shop: Shop, tmp_path: Path) -> None:
    rows = "\n".join(f'{{"item": {json.dumps(e.item)}, "time": {e.time}}}' for e in HISTORY)
    picture = tmp_path / "why.png"
    flags = ["--history=@-", f"--items={IDS[12]},x", f"--plot={picture}"]
    done = query(shop, "explain", f"--server={shop.addresses['grpc']}", *flags, stdin=rows)
    assert (done.returncode, done.stderr) == (0, "")
    with Client(shop.addresses["grpc"], model="shop", api_key=KEY, deadline=120) as client:
        [one] = client.explain(HISTORY, [IDS[12]])
    assert done.stdout.startswith(f"{IDS[12]}: {one.text}\nline ")
    assert f"{one.score:+.4f}" in done.stdout
    assert "x: not in the catalogue" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


SHELL = f"{IDS[8]}@2001-09-09T02:00:00Z,{IDS[9]}@{START}"


@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_every_question_has_a_table_json_and_most_a_picture(
    shop: Shop, kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key = tmp_path / "key.txt"
    key.write_text(f"# mine\n{KEY}\n")
    flags = [f"--server={shop.addresses[kind]}", "--model_name=shop", f"--api_key_file={key}"]
    flags += ["--deadline=120"]
    history, items = f"--history={SHELL}", f"--items={IDS[11]},nobody"
    for asked, expected, drawn in (
        (["recommend", history, f"--exclude={IDS[13]}"], "probability", True),
        (["score", history, items], "not in the catalogue", True),
        (["explain", history, items, "--conformity_gain=0"], "conformity", True),
        (["distribution", history], "all others", True),
        (["facets", history, "--now=2002-01-01T00:00:00+01:00"], "the crowd", True),
        (["evolve", history, f"--times={START},2001-12-01T00:00:00Z"], "2001-12-01 00:00", True),
        (["embed_user", history], "user", False),
        (["embed_items", items], "not in the catalogue", False),
        (["embed_text", "--texts=a moon, a song"], "text", False),
    ):
        picture = tmp_path / f"{asked[0]}.svg"
        drawn = drawn and kind == "grpc"  # the same answers either way
        assert main([*asked, *flags, *([f"--plot={picture}"] if drawn else [])]) == 0
        assert expected in capsys.readouterr().out
        assert picture.exists() == drawn
        assert main([*asked, *flags, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)  # NaN is no JSON and would not be read
        assert printed
    assert len(printed) == 1


def test_exit_codes(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [f"--server={shop.addresses['grpc']}", "--model_name=shop"]
    assert main(["facets", *flags]) == 1
    assert "error: UNAUTHENTICATED: " in capsys.readouterr().err
    assert main(["facets", "--server=localhost:1", "--model_name=shop"]) == 1
    assert "error: UNAVAILABLE: " in capsys.readouterr().err
    assert main(["embed_items", *flags, "--items=a", "--plot=x.png"]) == 2
    assert "no picture" in capsys.readouterr().err
