"""How a question is asked: the model's signatures learnt once, then tries until the deadline.

Nothing here waits or sends. The steps come out of a generator, and whoever drives it, with threads
or with asyncio, sends back what a step brought.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from serving.client.questions import Answer, Question
from serving.client.requests import Served, join, lacking, split, wanted
from serving.client.wire import Message, Target, Wire
from serving.status import Code, ServingError

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class Call(NamedTuple):
    """To be sent; brings the body of the answer, or throws the ServingError back in."""

    message: Message
    timeout: float


class Pause(NamedTuple):
    """To be waited for; brings nothing."""

    seconds: float


Steps = Generator[Call | Pause, Any, Answer]


class Model:
    """A served model.

    Arguments:
        wire: how requests become bytes.
        target: which model and version.
        deadline: seconds for a question, with all its tries.
        retries: further tries of what failed because the server could not be reached.
    """

    def __init__(self, wire: Wire, target: Target, deadline: float, retries: int) -> None:
        self._wire = wire
        self._target = target
        self._deadline = deadline
        self._retries = retries
        self._served: Served | None = None

    def ask(self, questions: Sequence[Question[Answer]]) -> Steps[list[Answer]]:
        """Steps to the answers, in the order of the questions.

        Raises:
            ServingError: the request failed. ValueError: the questions cannot go together.
        """
        if not questions:
            return []
        end = time.monotonic() + self._deadline
        name = wanted(questions)
        served = self._served
        if served is None or name not in served.signatures:
            # A version that came since may have what the one before lacked.
            body = yield from self._send(self._wire.ask_metadata(self._target), end)
            served = self._served = self._wire.read_metadata(body)
        if name not in served.signatures:
            raise lacking(served, name)
        signature = served.signatures[name]
        inputs = join(questions, name, signature)
        try:
            body = yield from self._send(self._wire.ask(self._target, name, inputs), end)
            return split(questions, self._wire.read(body, signature))
        except ServingError:
            self._served = None  # the model may have changed: learn it anew before the next one
            raise

    def _send(self, message: Message, end: float) -> Steps[bytes]:
        for attempt in itertools.count():
            left = end - time.monotonic()
            if left <= 0:
                raise ServingError(Code.DEADLINE_EXCEEDED, f"no answer in {self._deadline:g} s")
            try:
                return (yield Call(message, left))  # type: ignore[no-any-return]
            except ServingError as error:
                # Full jitter: clients that failed together do not come back together.
                pause = random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))
                too_late = time.monotonic() + pause >= end
                if not error.retryable or attempt >= self._retries or too_late:
                    raise
            yield Pause(pause)
        raise AssertionError("unreachable")
