"""The two clients: the same methods, blocking and with asyncio."""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from serving.client import questions
from serving.client.asking import Call, Model, Steps
from serving.client.connections import AsyncConnection, Tls, connect, connect_async, is_http
from serving.client.questions import Answer, Question
from serving.client.wire import GrpcWire, RestWire, Target
from serving.status import ServingError

P = ParamSpec("P")
Method = TypeVar("Method", bound=Callable[..., object])


def _described(method: Method, make: Callable[..., object]) -> Method:
    """Gives a method the name, text and arguments of a function, behind `self`."""
    functools.update_wrapper(method, make)
    made = inspect.signature(make)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    returned = str(made.return_annotation).removeprefix("Question[").removesuffix("]")
    method.__signature__ = made.replace(  # type: ignore[attr-defined]
        parameters=[itself, *made.parameters.values()], return_annotation=returned
    )
    return method


def _blocking(make: Callable[P, Question[Answer]]) -> Callable[Concatenate[Client, P], Answer]:
    """A function that makes a question -> a method that asks it."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        return self.ask(make(*args, **kwargs))

    return _described(method, make)


def _awaited(
    make: Callable[P, Question[Answer]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Answer]]:
    """The same for asyncio."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        return await self.ask(make(*args, **kwargs))

    return _described(method, make)


class Client:
    """Asks a served model, blocking. Threads may share one; close it, or use it in a `with`.

    Every question raises ServingError when the request fails: `error.code` is gRPC's,
    `error.retryable` says whether a later try may succeed. A wrong argument raises ValueError or
    TypeError before anything is sent.

    Arguments:
        server: "host:port" or "unix:/path" of the gRPC interface; "http://host:port" or
            "https://…" of the REST interface.
        model: under which name it is served.
        version: its number. label: or its label. Neither: the newest.
        deadline: seconds for a question, with all its tries.
        retries: further tries, after growing random pauses, when the server cannot be reached or
            says that it is not ready. Nothing else is tried again.
        api_key: sent as x-api-key.
        tls: files for TLS; with one, gRPC is encrypted. https:// is encrypted in any case.

    Example:
        >>> with Client("localhost:8500", model="shop") as client:       # doctest: +SKIP
        ...     client.recommend([Event("s3", 1_700_000_000_000)])[0]
        Recommendation(item='s4', score=2.57, probability=0.31)
    """

    def __init__(
        self,
        server: str,
        *,
        model: str,
        version: int | None = None,
        label: str | None = None,
        deadline: float = 5.0,
        retries: int = 3,
        api_key: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._model = _model(server, Target(model, version, label), deadline, retries, tls)
        self._connection = connect(server, tls, _headers(api_key))

    recommend = _blocking(questions.recommend)
    score = _blocking(questions.score)
    explain = _blocking(questions.explain)
    distribution = _blocking(questions.distribution)
    facets = _blocking(questions.facets)
    evolve = _blocking(questions.evolve)
    update_user = _blocking(questions.update_user)
    embed_user = _blocking(questions.embed_user)
    embed_items = _blocking(questions.embed_items)
    embed_text = _blocking(questions.embed_text)

    def ask(self, question: Question[Answer]) -> Answer:
        """The answer to one of `serving.client.questions`."""
        return self.batch([question])[0]

    def batch(self, asked: Sequence[Question[Answer]]) -> list[Answer]:
        """The answers to questions of one kind, all in one request."""
        return self._drive(self._model.ask(asked))

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _drive(self, steps: Steps[Answer]) -> Answer:
        brought: bytes | None = None
        failed: ServingError | None = None
        while True:
            try:
                step = steps.send(brought) if failed is None else steps.throw(failed)
            except StopIteration as stop:
                answer: Answer = stop.value
                return answer
            brought = failed = None
            try:
                if isinstance(step, Call):
                    brought = self._connection.send(*step)
                else:
                    time.sleep(step.seconds)
            except ServingError as error:
                failed = error


class AsyncClient:
    """Asks a served model with asyncio: the methods of `Client`, to be awaited, in one event loop.

    Example:
        >>> async with AsyncClient("localhost:8500", model="shop") as client:  # doctest: +SKIP
        ...     await client.recommend([Event("s3", 1_700_000_000_000)])
    """

    def __init__(
        self,
        server: str,
        *,
        model: str,
        version: int | None = None,
        label: str | None = None,
        deadline: float = 5.0,
        retries: int = 3,
        api_key: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._model = _model(server, Target(model, version, label), deadline, retries, tls)
        # A connection belongs to the event loop in which it is made, and none may run yet.
        self._connect = functools.partial(connect_async, server, tls, _headers(api_key))
        self._connection: AsyncConnection | None = None

    recommend = _awaited(questions.recommend)
    score = _awaited(questions.score)
    explain = _awaited(questions.explain)
    distribution = _awaited(questions.distribution)
    facets = _awaited(questions.facets)
    evolve = _awaited(questions.evolve)
    update_user = _awaited(questions.update_user)
    embed_user = _awaited(questions.embed_user)
    embed_items = _awaited(questions.embed_items)
    embed_text = _awaited(questions.embed_text)

    async def ask(self, question: Question[Answer]) -> Answer:
        """The answer to one of `serving.client.questions`."""
        return (await self.batch([question]))[0]

    async def batch(self, asked: Sequence[Question[Answer]]) -> list[Answer]:
        """The answers to questions of one kind, all in one request."""
        return await self._drive(self._model.ask(asked))

    async def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def _drive(self, steps: Steps[Answer]) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        brought: bytes | None = None
        failed: ServingError | None = None
        while True:
            try:
                step = steps.send(brought) if failed is None else steps.throw(failed)
            except StopIteration as stop:
                answer: Answer = stop.value
                return answer
            brought = failed = None
            try:
                if isinstance(step, Call):
                    brought = await self._connection.send(*step)
                else:
                    await asyncio.sleep(step.seconds)
            except ServingError as error:
                failed = error


def _model(server: str, target: Target, deadline: float, retries: int, tls: Tls | None) -> Model:
    """The model behind an address, once the arguments make sense."""
    if not target.model:
        raise ValueError("model is empty; name the served model")
    if target.version is not None and target.label is not None:
        raise ValueError("version and label are both given; a label stands for a version")
    if deadline <= 0:
        raise ValueError(f"deadline must be above 0 seconds, not {deadline}")
    if retries < 0:
        raise ValueError(f"retries must be 0 or more, not {retries}")
    if is_http(server):
        parts = urlsplit(server)
        if not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(f"server {server!r} must be http://host:port, without a path")
        if parts.scheme == "http" and tls is not None:
            raise ValueError(f"tls is given, but server {server!r} is not https://")
        return Model(RestWire(), target, deadline, retries)
    if not re.fullmatch(r"(unix:.+|[^/\s]+:\d+)", server):
        raise ValueError(
            f"server {server!r} must be host:port for gRPC, or http://host:port for REST"
        )
    return Model(GrpcWire(), target, deadline, retries)


def _headers(api_key: str | None) -> dict[str, str]:
    if api_key is None:
        return {}
    if not api_key or not all("!" <= letter <= "~" for letter in api_key):
        raise ValueError("api_key must be ASCII without spaces")  # the key itself stays unsaid
    return {"x-api-key": api_key}
