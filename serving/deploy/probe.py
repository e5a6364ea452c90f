"""Metrics that a model server does not export: its model's age, and whether it answers as before.

TensorFlow Serving counts requests and times them. Which version it serves, when that was written
and what it answers it does not export. This probe asks a server, at an interval, the `recommend`
requests that an export stores in every version, and shows for Prometheus:

    tfrec_probe_up                       1 if the last round went well
    tfrec_probe_last_success_seconds     when a round last went well, unix time
    tfrec_probe_request_seconds          how long the answer to one stored request took
    tfrec_probe_served_version           the highest version that the server has available
    tfrec_probe_newest_version           the highest version in the folder
    tfrec_probe_served_written_seconds   when the served version was written, unix time
    tfrec_probe_answer_difference        largest difference between the probabilities answered now
                                         and those stored with the version: about 0
    tfrec_probe_reference_version        the version before the served one; itself where none is
    tfrec_probe_score_psi                population stability index of the probabilities against
                                         what the reference answered to the same requests
    tfrec_probe_top10_changed            share of the reference's ten first items that are no longer
                                         among the ten first

It needs nothing but Python's standard library, so that this file can be mounted into any image.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import statistics
import sys
import threading
import time
import urllib.error
import urllib.request
from bisect import bisect_right
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SAMPLES = Path("assets.extra") / "samples"
SAMPLE = "recommend.columns.json"
BINS = 10
TOP = 10
TIMEOUT = 30.0
EXAMPLES = """\
examples:
  python -m serving.deploy.probe --models models/shop --once
  python -m serving.deploy.probe --models models/shop --server http://localhost:8501 &
  curl http://localhost:9109/metrics
"""


class ProbeError(Exception):
    """A round could not be finished; the text says why."""


def main(argv: Sequence[str] | None = None) -> int:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(
        prog="python -m serving.deploy.probe",
        description="\n".join(lines),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", type=Path, required=True, help="folder of the versions")
    parser.add_argument("--model", help="name on the server (default: the folder's)")
    parser.add_argument(
        "--server", default="http://localhost:8501", help="REST address (default %(default)s)"
    )
    parser.add_argument("--every", type=float, default=60, help="seconds (default 60)")
    parser.add_argument("--host", default="127.0.0.1", help="to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=9109, help="to listen on (default 9109)")
    parser.add_argument(
        "--once", action="store_true", help="one round: print the metrics and end, 1 if it failed"
    )
    flags = parser.parse_args(argv)
    if not flags.server.startswith(("http://", "https://")):
        parser.error(f"--server takes http://HOST:PORT, not {flags.server!r}")
    if not flags.models.is_dir():
        parser.error(f"--models {flags.models} is no folder: it is where the versions 1, 2 … are")
    if flags.every <= 0:
        parser.error(f"--every takes seconds above 0, not {flags.every:g}")
    probe = Probe(flags.models, flags.model or flags.models.resolve().name, flags.server)
    if flags.once:
        problem = probe.round()
        print(probe.page(), end="")
        return _report(problem)
    return _serve(probe, flags.host, flags.port, flags.every)


class Probe:
    """Asks one model, and remembers what it saw.

    Arguments:
        models: folder of the versions, as the server reads it.
        model: name on the server.
        server: its REST address.
    """

    def __init__(self, models: Path, model: str, server: str) -> None:
        self._models, self._model = models, model
        self._url = f"{server.rstrip('/')}/v1/models/{model}"
        self._values: dict[str, float] = {"up": 0}

    def round(self) -> str:
        """Asks once. Returns what went wrong; "" if nothing did."""
        try:
            values = self._look()
        except (ProbeError, OSError) as error:
            # The last good values stay readable only by what up and last_success say of them.
            kept = {k: v for k, v in self._values.items() if k == "last_success_seconds"}
            self._values = {"up": 0, **kept}
            return str(error)
        self._values = {"up": 1, "last_success_seconds": time.time(), **values}
        return ""

    def page(self) -> str:
        """What Prometheus reads."""
        name = self._model.replace("\\", "\\\\").replace('"', '\\"')
        return "".join(
            f'# TYPE tfrec_probe_{key} gauge\ntfrec_probe_{key}{{model="{name}"}} {value!r}\n'
            for key, value in self._values.items()
        )

    def _look(self) -> dict[str, float]:
        served = self._served_version()
        folders = self._versions()
        values: dict[str, float] = {"served_version": served}
        if folders:
            values["newest_version"] = max(folders)
        if served not in folders:
            return values  # deleted since it was loaded: nothing to compare with
        values["served_written_seconds"] = (folders[served] / "saved_model.pb").stat().st_mtime
        request, answer = _sample(folders[served])
        started = time.perf_counter()
        now = self._ask(request, served)
        values["request_seconds"] = time.perf_counter() - started
        values["answer_difference"] = difference(answer["probabilities"], now["probabilities"])
        reference = max((number for number in folders if number < served), default=served)
        if reference != served:
            request, answer = _sample(folders[reference])
            now = self._ask(request, served)
        values["reference_version"] = reference
        before, after = _flat(answer["probabilities"]), _flat(now["probabilities"])
        values["score_psi"] = stability_index(before, after)
        values["top10_changed"] = changed(answer["items"], now["items"])
        return values

    def _served_version(self) -> int:
        entries = self._json(self._url).get("model_version_status", [])
        available = [int(e["version"]) for e in entries if e["state"] == "AVAILABLE"]
        if not available:
            raise ProbeError(f"{self._url} has no version that is available")
        return max(available)

    def _versions(self) -> dict[int, Path]:
        """The versions that a server could load; dot-folders of unfinished exports are none."""
        return {
            int(path.name): path
            for path in self._models.iterdir()
            if path.name.isdigit() and (path / "saved_model.pb").is_file()
        }

    def _ask(self, request: bytes, version: int) -> dict[str, Any]:
        found = self._json(f"{self._url}/versions/{version}:predict", request)
        try:
            outputs: dict[str, Any] = found["outputs"]
            outputs["probabilities"], outputs["items"]
        except (KeyError, TypeError):
            raise ProbeError(f"{self._url} answers without probabilities and items") from None
        return outputs

    def _json(self, url: str, body: bytes | None = None) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(url, body, TIMEOUT) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise ProbeError(f"{url} answers {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise ProbeError(f"{url} cannot be reached: {error}") from None
        except ValueError:
            raise ProbeError(f"{url} does not answer with JSON") from None


def difference(stored: Sequence[Sequence[float]], now: Sequence[Sequence[float]]) -> float:
    """The largest absolute difference; infinite where the shapes differ.

    Example:
        >>> difference([[0.5, 0.25]], [[0.5, 0.5]])
        0.25
    """
    before, after = _flat(stored), _flat(now)
    if [len(row) for row in stored] != [len(row) for row in now]:
        return math.inf
    return max((abs(a - b) for a, b in zip(before, after, strict=True)), default=0.0)


def stability_index(reference: Sequence[float], now: Sequence[float]) -> float:
    """Population stability index: Σ (q − p) ln(q / p) over ten bins of equal reference share.

    Below 0.1 is usually read as stable, above 0.25 as shifted. Half an observation is added to
    every bin, so that an empty one does not make it infinite.

    Example:
        >>> stability_index(range(100), range(100))
        0.0
    """
    edges = statistics.quantiles(reference, n=BINS, method="inclusive")
    before, after = _shares(reference, edges), _shares(now, edges)
    return sum((q - p) * math.log(q / p) for p, q in zip(before, after, strict=True))


def changed(stored: Sequence[Sequence[str]], now: Sequence[Sequence[str]]) -> float:
    """Which share of the first ten items is gone, over all users.

    Example:
        >>> changed([["a", "b"]], [["b", "c"]])
        0.5
    """
    first = [[item for item in row[:TOP] if item] for row in stored]
    kept = sum(len(set(a) & set(b[:TOP])) for a, b in zip(first, now, strict=False))
    return 1 - kept / max(1, sum(map(len, first)))


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = [0.5] * BINS
    for value in values:
        counts[bisect_right(edges, value)] += 1
    return [count / sum(counts) for count in counts]


def _flat(rows: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in rows for value in row]


def _sample(version: Path) -> tuple[bytes, dict[str, Any]]:
    """A stored request, and what the version answered to it when it was exported."""
    folder = version / SAMPLES
    try:
        request = (folder / "requests" / SAMPLE).read_bytes()
        answer = json.loads((folder / "answers" / SAMPLE).read_text(encoding="utf-8"))
        return request, answer["outputs"]
    except (OSError, ValueError, KeyError) as error:
        raise ProbeError(f"{folder} has no stored sample {SAMPLE}: {error}") from None


def _report(problem: str) -> int:
    if problem:
        print(f"probe: {problem}", file=sys.stderr, flush=True)
    return 1 if problem else 0


def _serve(probe: Probe, host: str, port: int, every: float) -> int:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/metrics"
            body = probe.page().encode() if known else b"see /metrics\n"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A line per scrape helps nobody."""

    try:
        server = ThreadingHTTPServer((host, port), Page)
    except OSError as error:
        print(f"error: cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        return 2
    threading.Thread(target=server.serve_forever, daemon=True).start()
    said = ""
    try:
        while True:
            problem = probe.round()
            if problem != said:
                _report(problem)
            said = problem
            time.sleep(every)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
