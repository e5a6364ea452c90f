"""Settings that every test shares."""

import signal

import pytest
from hypothesis import settings

from tfrec.console import quiet_tensorflow

# Shared machines stall now and then; a slow example is no wrong example.
settings.register_profile("tfrec", deadline=None, max_examples=60)
settings.load_profile("tfrec")

quiet_tensorflow()

# A shell starts what runs in the background deaf to Ctrl-C, and children inherit that; the tests
# that press it would fail for no fault of ours.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Minutes each: begun last, one worker would wait for them alone.
LONG = (
    "test_readme.py",
    "test_resume.py",
    "test_export_command.py",
    "test_strategies.py",
    "test_pretrain.py",
    "test_check.py",
    "test_examples.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONG)))
