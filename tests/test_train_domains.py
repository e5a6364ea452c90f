"""A run over two logs says how every domain is served, and whom."""

from pathlib import Path

import pytest

from tests.training.worlds import arguments, write_log
from tfrec.data.__main__ import main as data_main
from tfrec.data.options import SplitConfig
from tfrec.data.prepared import PreparedData
from tfrec.data.splits import make_split
from tfrec.evaluation.options import EvaluationConfig
from tfrec.evaluation.results import Results
from tfrec.evaluation.run_evaluation import RESULTS, evaluate_run
from tfrec.models.build import build_model
from tfrec.models.options import ModelConfig
from tfrec.run import RunConfig
from tfrec.train import main, publish

NEW_TO_FILMS = 12  # users whose only film is the last thing they take


def two_logs(folder: Path) -> list[str]:
    """The even items of a log as books, the odd ones as films, both prepared."""
    header, *lines = write_log(folder / "log.csv").read_text().split()
    events = [(user, int(item[1:]), int(time)) for user, item, time in map(_cells, lines)]
    rows: dict[str, list[str]] = {"books": [header], "films": [header]}
    for user, item, time in events:
        domain = "films" if item % 2 else "books"
        if domain == "films" and int(user[1:]) < NEW_TO_FILMS:
            continue
        rows[domain].append(f"{user},{domain}{item},{time}")
    rows["films"] += [f"u{n},films{2 * n + 1},1100000000" for n in range(NEW_TO_FILMS)]
    for domain, of_domain in rows.items():
        log = folder / f"{domain}.csv"
        log.write_text("\n".join(of_domain) + "\n")
        assert data_main(["prepare", "--data", str(log), "-o", str(folder / domain)]) == 0
    return [f"{domain}={folder / domain}" for domain in rows]


def _cells(line: str) -> tuple[str, str, str]:
    user, item, time = line.split(",")
    return user, item, time


def test_a_run_on_a_joined_log_is_measured_by_domain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both, run = tmp_path / "both", tmp_path / "run"
    assert data_main(["join", *two_logs(tmp_path), "-o", str(both)]) == 0
    data = PreparedData.open(both)
    split = make_split(data, SplitConfig(), seed=0)
    config = RunConfig(
        model=ModelConfig(model="sasrec", dim=8, layers=1, max_length=20),
        evaluation=EvaluationConfig(baselines=["popularity"]),
    )
    # Untrained: what is tested are the numbers, not the learning.
    model = build_model(config.model, data, split.train())
    found = evaluate_run(model, "SASRec", {}, data, split, "test", config.evaluation, 0, run, [])
    publish(found, config, run)
    console = capsys.readouterr().out
    names = [
        "domain, ranked within it",
        "history in books, ranked within it",
        "history in films, ranked within it",
    ]
    assert {line.name for line in found.models} == {"SASRec", "Popularity"}
    for line in Results.load(run / RESULTS).models:
        assert [name for name in line.slices if "within" in name] == names
        whole, _, films = (line.slices[name] for name in names)
        assert [row.label for row in whole] == ["books", "films"]
        assert sum(row.cases for row in whole) == found.cases
        # Among half of the items no target comes later than among all of them.
        within = sum(row.cases * row.metrics["hit_rate@5"].value for row in whole)
        assert within >= found.cases * line.metrics["hit_rate@5"].value - 1e-6
        cold = {row.label: row.cases for row in films}
        assert cold["none, some elsewhere"] == NEW_TO_FILMS
    for name in names:
        assert f"NDCG@10 by {name}" in console
        assert f"NDCG@10 by {name}" in (run / "report.html").read_text()


def test_a_domain_nobody_is_asked_about_is_said_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for domain, start in (("books", 1_000_000_000), ("films", 1_200_000_000)):
        lines = [f"u{u},{domain}{n},{start + n}" for u in range(9) for n in range(4)]
        log = tmp_path / f"{domain}.csv"
        log.write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
        data_main(["prepare", "--data", str(log), "-o", str(tmp_path / domain)])
    logs = [f"{domain}={tmp_path / domain}" for domain in ("books", "films")]
    assert data_main(["join", *logs, "-o", str(tmp_path / "both")]) == 0
    small = {"model": "sasrec", "epochs": "1", "layers": "1", "baselines": "none"}
    assert main(arguments(tmp_path / "both", tmp_path / "run", **small)) == 0
    told = capsys.readouterr().out
    unasked = "no test case has a target in the domain books"
    assert told.index(unasked) < told.index("epoch   1")
    assert "films, 9 cases" in told
    assert "books, " not in told
