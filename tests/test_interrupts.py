"""Signals wait for the end of an import, and then mean what they always do."""

import signal
import threading

import pytest

from export.stopping import tidy_on_sigterm
from tfrec.interrupts import interrupts_wait


def interrupted_by(number: signal.Signals, done: list[str]) -> None:
    with interrupts_wait():
        signal.raise_signal(number)
        done.append("the rest of the block")
    done.append("what follows")


def test_ctrl_c_waits_and_then_comes() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_by(signal.SIGINT, done)
    assert done == ["the rest of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_waits_where_it_is_handled(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []
    with tidy_on_sigterm(), pytest.raises(SystemExit, match="143"):
        interrupted_by(signal.SIGTERM, done)
    assert done == ["the rest of the block"]
    assert capsys.readouterr().err == "terminated\n"
    with interrupts_wait():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # it kills, as ever


def test_an_error_of_the_block_does_not_lose_the_signal() -> None:
    def broken() -> None:
        with interrupts_wait():
            signal.raise_signal(signal.SIGINT)
            raise ImportError

    with pytest.raises(KeyboardInterrupt):
        broken()


def test_other_threads_import_as_they_are() -> None:
    done: list[str] = []

    def work() -> None:
        with interrupts_wait():
            done.append("imported")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["imported"]
