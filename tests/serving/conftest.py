"""The SavedModels and the one server that most tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.running import Server


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """half/1 and half/2 (y = x/2 + 2 and + 3), mixed/1; made once."""
    from tests.serving.saved_models import half_plus, mixed

    folder = tmp_path_factory.mktemp("saved")
    half_plus(folder / "half" / "1")
    half_plus(folder / "half" / "2", addend=3.0)
    mixed(folder / "mixed" / "1")
    return folder


CONFIG = """
model_config_list {{
  config {{ name: "half" base_path: "{0}/half" model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
    version_labels {{ key: "stable" value: 1 }} }}
  config {{ name: "mixed" base_path: "{0}/mixed" model_platform: "tensorflow" }}
}}
"""


@pytest.fixture(scope="session")
def server(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Both models, metrics, health and reflection. Tests must leave its models alone."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "models.txt").write_text(CONFIG.format(saved))
    (folder / "monitoring.txt").write_text("prometheus_config { enable: true }")
    running = Server(
        f"--model_config_file={folder / 'models.txt'}",
        f"--monitoring_config_file={folder / 'monitoring.txt'}",
        "--allow_version_labels_for_unavailable_models",
        "--enable_grpc_healthcheck_service",
        "--enable_grpc_reflection",
        "--max_num_load_retries=0",
        "--max_message_bytes=40000000",
        "--no_such_flag=1",
        "--prefer_tflite_model=true",
        log=folder / "log.txt",
    )
    yield running
    assert running.stop() == 0
