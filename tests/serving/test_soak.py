"""A condensed soak: versions come and go every second under load, and no request fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.serving.shop_model import write_shop

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"
SECONDS = 8  # of each model


def test_versions_come_and_go_without_a_failed_request(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop" / "1", seed=0)
    command = [sys.executable, str(SOAK), str(tmp_path / "shop"), f"--seconds={SECONDS}", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"\| (\w+) \| (gRPC|REST) \| (\d+) \| (\d+) \|", done.stdout)
    assert sorted(row[:2] for row in rows) == [
        (model, transport) for model in ("half_plus_two", "shop") for transport in ("REST", "gRPC")
    ]
    assert all(int(requests) > 100 and failed == "0" for _, _, requests, failed in rows)
    swaps = dict(re.findall(r"(\w+): (\d+) times in", done.stdout))
    assert min(int(swaps[model]) for model in ("half_plus_two", "shop")) >= 2
