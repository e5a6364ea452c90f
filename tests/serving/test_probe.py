"""The probe against a real server, and every alert and panel against what the two really show."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import promql_parser
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from serving.deploy.probe import SAMPLE, SAMPLES, Probe, changed, difference, stability_index
from serving.status import Code
from tests.serving.running import Server, free_port

DEPLOY = Path(__file__).parents[2] / "serving" / "deploy"
Shown = dict[str, set[str]]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models that score differently, and one that cannot be loaded."""
    from tests.serving.shop_model import write_shop

    folder = tmp_path_factory.mktemp("probed") / "shop"
    write_shop(folder / "1", seed=1)
    write_shop(folder / "2", seed=2)
    shutil.copytree(folder / "2", folder / "3")
    (folder / "3" / "saved_model.pb").write_bytes(b"no model")
    return folder


@pytest.fixture(scope="module")
def server(versions: Path) -> Iterator[Server]:
    """Serves version 2, has failed to load 3, and has answered both well and badly."""
    files = versions.parent
    (files / "monitoring.config").write_text("prometheus_config { enable: true }")
    (files / "model.config").write_text(
        f'model_config_list {{ config {{ name: "shop" base_path: "{versions}" '
        'model_platform: "tensorflow" model_version_policy { specific { versions: 2 versions: 3 } }'
        " } }"
    )
    running = Server(
        f"--model_config_file={files / 'model.config'}",
        f"--monitoring_config_file={files / 'monitoring.config'}",
        "--max_num_load_retries=0",
        "--enable_batching",
        log=files / "log.txt",
    )
    body = (versions / "2" / SAMPLES / "requests" / SAMPLE).read_bytes()
    assert running.predict("shop", body).status == 200
    assert running.predict("shop", b"{}").status == 400
    end = time.monotonic() + 20
    while 'status="fail"' not in metrics_page(running):
        assert time.monotonic() < end, "version 3 is loaded or never tried"
        time.sleep(0.1)
    yield running
    assert running.stop() == 0


def metrics_page(server: Server) -> str:
    return server.http("GET", "/monitoring/prometheus/metrics").body.decode()


def values(page: str) -> dict[str, float]:
    lines = re.findall(r'^tfrec_probe_(\w+)\{model="shop"\} (\S+)$', page, re.MULTILINE)
    return {name: float(value) for name, value in lines}


def test_what_the_probe_sees(server: Server, versions: Path) -> None:
    probe = Probe(versions, "shop", f"http://127.0.0.1:{server.rest_port}")
    started = time.time()
    assert probe.round() == ""
    seen = values(probe.page())
    assert seen["up"] == 1
    assert started <= seen["last_success_seconds"] <= time.time()
    assert 0 < seen["request_seconds"] < 20
    assert (seen["served_version"], seen["newest_version"], seen["reference_version"]) == (2, 3, 1)
    assert seen["served_written_seconds"] == (versions / "2" / "saved_model.pb").stat().st_mtime
    assert seen["answer_difference"] < 1e-6
    # Both versions were asked the same requests when they were written: the answers are on disk.
    before, after = (stored(versions / number) for number in "12")
    assert seen["score_psi"] == pytest.approx(
        numpy_stability_index(np.ravel(before["probabilities"]), np.ravel(after["probabilities"])),
        rel=1e-3,
    )
    kept = [
        len(set(a[:10]) & set(b[:10])) for a, b in zip(before["items"], after["items"], strict=True)
    ]
    assert seen["top10_changed"] == pytest.approx(1 - np.mean(kept) / 10)
    assert seen["score_psi"] > 0
    assert seen["top10_changed"] > 0.5


def test_an_answer_that_changed_is_seen(server: Server, versions: Path, tmp_path: Path) -> None:
    copy = tmp_path / "shop"
    shutil.copytree(versions / "2", copy / "2")
    path = copy / "2" / SAMPLES / "answers" / SAMPLE
    answer = json.loads(path.read_text())
    answer["outputs"]["probabilities"][3][4] += 0.25
    path.write_text(json.dumps(answer))
    probe = Probe(copy, "shop", f"http://127.0.0.1:{server.rest_port}")
    assert probe.round() == ""
    seen = values(probe.page())
    assert seen["answer_difference"] == pytest.approx(0.25, abs=1e-6)
    assert seen["reference_version"] == 2  # nothing before it is left on disk


def test_the_command_serves_its_metrics(server: Server, versions: Path) -> None:
    port = free_port()
    command = [sys.executable, str(DEPLOY / "probe.py"), f"--models={versions}", "--every=0.2"]
    command += [f"--server=http://127.0.0.1:{server.rest_port}", f"--port={port}"]
    # Isolated: in a container it has Python and nothing else.
    command[1:1] = ["-I", "-S"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            page, end = "", time.monotonic() + 20
            while 'tfrec_probe_up{model="shop"} 1' not in page:
                assert time.monotonic() < end, page
                time.sleep(0.05)
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", None, 5) as got:
                        page = got.read().decode()
                except OSError:
                    continue
        finally:
            process.terminate()
    assert values(page)["served_version"] == 2


def run_probe(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving.deploy.probe", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_server_that_is_away(versions: Path) -> None:
    done = run_probe("--once", f"--models={versions}", f"--server=http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert values(done.stdout) == {"up": 0}
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--models=/no/such/folder"], "is no folder"),
        (["--models=.", "--server=localhost:8501"], "takes http://HOST:PORT"),
        (["--models=.", "--every=0"], "above 0"),
    ],
)
def test_mistakes(flags: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from serving.deploy.probe import main

    with pytest.raises(SystemExit) as stopped:
        main(flags)
    assert stopped.value.code == 2
    assert text in capsys.readouterr().err


def numpy_stability_index(reference: Any, now: Any) -> float:
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    shares = []
    for sample in (reference, now):
        counts = np.bincount(np.searchsorted(edges, sample, side="right"), minlength=10) + 0.5
        shares.append(counts / counts.sum())
    p, q = shares
    return float(np.sum((q - p) * np.log(q / p)))


numbers = st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=60)


@given(numbers, numbers)
def test_the_stability_index_is_that_of_numpy(reference: list[float], now: list[float]) -> None:
    found = stability_index(reference, now)
    # Two ways to interpolate a quantile differ in the last bit, which may move a tie.
    if len(set(reference)) == len(reference) and not set(reference) & set(now):
        assert found == pytest.approx(numpy_stability_index(reference, now), abs=1e-9)
    assert found >= 0
    assert stability_index(reference, reference) == 0


def test_differences() -> None:
    assert difference([[1.0, 2.0]], [[1.0]]) == float("inf")
    assert changed([["a", "b", ""]], [["b", "a", ""]]) == 0


def stored(version: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((version / SAMPLES / "answers" / SAMPLE).read_text())
    return found["outputs"]


@pytest.fixture(scope="module")
def shown(server: Server, versions: Path) -> Shown:
    """Every metric that Prometheus can scrape -> its labels."""
    probe = Probe(versions, "shop", f"http://127.0.0.1:{server.rest_port}")
    probe.round()
    found: Shown = {"up": {"job", "instance"}}
    for name, labels in re.findall(
        r"^([\w:]+)\{([^\n]*)\} ", metrics_page(server) + probe.page(), re.MULTILINE
    ):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def queries() -> Iterator[tuple[str, str]]:
    """(where it stands, PromQL) of every alert and every panel."""
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "tfrec.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "5m").replace("$model", ".*")
            yield panel["title"], text


@pytest.mark.parametrize(("title", "query"), list(queries()))
def test_queries_name_what_is_really_shown(title: str, query: str, shown: Shown) -> None:
    selectors: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            selectors.append(node)
        return True

    promql_parser.walk(promql_parser.parse(query), visit)
    assert selectors
    for selector in selectors:
        assert selector.name in shown, f"{title}: nobody shows {selector.name}"
        for matcher in selector.matchers.matchers:
            assert matcher.name in shown[selector.name], f"{title}: no label {matcher.name}"
            if matcher.name == "status" and "request_count" in selector.name:
                assert set(matcher.value.split("|")) <= {code.name for code in Code}
    for labels in re.findall(r"\bby \(([^)]*)\)", query):
        known = set().union(*(shown[selector.name] for selector in selectors))
        assert set(re.split(r",\s*", labels)) <= known, title


def test_alerts_say_what_they_can_fill_in(shown: Shown) -> None:
    """A label in a summary must survive the expression's aggregation."""
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
            kept = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
            for labels in kept:
                assert used <= set(re.split(r",\s*", labels)), rule["alert"]
            if not kept:
                names = re.findall(r"[a-z:][\w:]*", rule["expr"])
                assert used <= set().union(*(shown.get(name, set()) for name in names))
            assert rule["labels"]["severity"] in ("page", "ticket")
