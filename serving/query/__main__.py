"""`python -m serving.query`: reads the command line, asks, prints and draws."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from serving.query.options import parser

if TYPE_CHECKING:
    from serving.client import Tls, User

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser().parse_args(arguments)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its last words come as errors, once
    from serving.status import ServingError

    try:
        print(_answer(flags))
    except ServingError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        exec("")  # else `python -m`, interrupted while an import ran one, ends by the signal
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _answer(flags: argparse.Namespace) -> str:
    """What to print. Draws, too, where that is asked for."""
    from serving.client import Client
    from serving.query import inputs
    from serving.query.kinds import KINDS
    from serving.query.tables import plain

    kind = KINDS[flags.question]
    if flags.plot and kind.draw is None:
        raise inputs.BadInput(f"--plot: there is no picture of {flags.question}")
    user = _user(flags) if "history" in flags else None
    # Its lines are those of the user's events and words.
    about = [user] if flags.question == "explain" and user else []
    question = kind.ask(*_arguments(flags, user))
    with Client(
        flags.server,
        model=flags.model_name,
        version=flags.version,
        label=flags.label,
        deadline=flags.deadline,
        api_key=inputs.api_key(flags.api_key_file),
        tls=_tls(flags),
    ) as client:
        answer = client.ask(question)
    if flags.plot and kind.draw is not None:
        try:
            kind.draw(answer, *about, flags.plot)
        except OSError as error:
            raise inputs.BadInput(f"cannot write {flags.plot}: {error.strerror}") from None
    if flags.json:
        return json.dumps(plain(answer), ensure_ascii=False, indent=1)
    return kind.tell(answer, *about)


def _user(flags: argparse.Namespace) -> User:
    from serving.client import User
    from serving.query import inputs

    return User(
        history=inputs.events(flags.history),
        now=None if flags.now is None else inputs.time(flags.now, "--now"),
        facet_gain=flags.facet_gain and inputs.numbers(flags.facet_gain, "--facet_gain"),
        conformity_gain=flags.conformity_gain,
        profile=flags.profile,
        query=flags.query,
    )


def _arguments(flags: argparse.Namespace, user: User | None) -> list[Any]:
    """What the question is made of: the user, where it is about one, and its own list."""
    from serving.query import inputs

    given: list[Any] = [] if user is None else [user]
    if "exclude" in flags:
        given.append(inputs.words(flags.exclude))
    if "items" in flags:
        given.append(inputs.words(flags.items))
    if "item" in flags:
        given += [flags.item, not flags.ignored]
    if "times" in flags:
        given.append([inputs.time(word, "--times") for word in inputs.words(flags.times)])
    if "texts" in flags:
        given.append(inputs.texts(flags.texts))
    return given


def _tls(flags: argparse.Namespace) -> Tls | None:
    from serving.client import Tls
    from serving.query.inputs import BadInput

    files = (flags.ca_file, flags.cert_file, flags.key_file)
    for path in filter(None, files):
        if not path.is_file():
            raise BadInput(f"{path} is no file")
    return Tls(*files) if flags.tls or any(files) else None


if __name__ == "__main__":
    sys.exit(main())
