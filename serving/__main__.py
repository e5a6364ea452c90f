"""`python -m serving`: reads the flags, loads the models, opens the ports, drains at the end."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from serving.flags import BadFlag, Flags, parse, usage, without_effect

EXIT_REFUSED = 255


def main(arguments: Sequence[str]) -> int:
    try:
        flags, unknown = parse(arguments)
    except BadFlag as error:
        print(f"{error}\n{usage()}", end="")
        return EXIT_REFUSED
    if flags.help:
        print(usage(), end="")
        return 0
    if flags.version:
        print("TensorFlow ModelServer: local server of tfrec, interfaces of 2.20")
        print(f"TensorFlow Library: {importlib.metadata.version('tensorflow')}")
        return 0
    ignored = [argument for argument in unknown if without_effect(argument)]
    if ignored:
        print(f"without effect on this server: {' '.join(ignored)}", flush=True)
    unknown = [argument for argument in unknown if argument not in ignored]
    if unknown:
        print(f"unknown argument: {' '.join(unknown)}\n{usage()}", flush=True)
    return _serve(flags)


def _serve(flags: Flags) -> int:
    from serving.console import quiet_stderr, set_up_logging
    from serving.status import ServingError

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    set_up_logging()
    quiet_stderr()
    # gRPC's event engine would hand each request through threads of its own, which costs tenths of
    # a millisecond, the more the busier the machine is. A setting of the user's wins.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
    try:
        from serving.server import serve

        serve(flags, stop)
    except ServingError as error:
        print(f"Failed to start server. Error: {error}", flush=True)
        # Scripts look for the reason of a refusal on standard error as well.
        print(f"Failed to start server. Error: {error}", file=sys.stderr, flush=True)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    # Every request is answered. Freeing models and TensorFlow piece by piece would take seconds.
    os._exit(code)
