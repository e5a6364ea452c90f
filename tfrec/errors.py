"""The one exception for mistakes that a user can correct, and how a command ends."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT


class UserError(Exception):
    """Something in the input or the options is wrong and the user can put it right.

    The message says what was wrong, where (file, line, field, shape) and what to do.
    Commands print it on one line without a stack trace and exit with code 2.

    Example:
        >>> raise UserError("ratings.csv has no column 'user': it has uid, sku, ts. "
        ...                 "Name them with --columns user=uid,item=sku,timestamp=ts")
        Traceback (most recent call last):
        tfrec.errors.UserError: ratings.csv has no column 'user': ...
    """


class Interrupted(Exception):
    """Work stopped on a signal after everything was saved. `signal_number` is SIGINT or SIGTERM."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class Command(Protocol):
    """What `command` makes: arguments default to the process's own."""

    def __call__(self, argv: Sequence[str] | None = None) -> int: ...


def command(main: Callable[[Sequence[str]], int]) -> Command:
    """Turns `main(argv) -> exit code` into a command that never shows a user a stack trace.

    Exit codes: 0 done, 2 user error (as argparse), 128 + signal when stopped, 1 for a defect in
    tfrec, which keeps its stack trace because it is ours to repair.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        try:
            return main(sys.argv[1:] if argv is None else argv)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return EXIT_USER_ERROR
        except Interrupted as stop:
            print(str(stop), file=sys.stderr)
            _forget_interrupt()
            return 128 + stop.signal_number
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            _forget_interrupt()
            return EXIT_INTERRUPTED
        except BrokenPipeError:
            # The reader of our output went away (`| head`): not an error of ours, and Python's
            # own flush at exit must not raise it again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    return run


def _forget_interrupt() -> None:
    """Lets a process that was interrupted within `exec` of a text return its own exit code.

    `python -m` kills itself with SIGINT at its end, whatever was caught since, where Ctrl-C came
    while such a text ran; named tuples and data classes are made by one, so imports are full of
    them. The mark that it goes by is wiped by the next text that runs.
    """
    exec("")
