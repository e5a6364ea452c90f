"""Every example runs as its first lines say, and what it prints can be true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
# A line of a table: a name, then numbers of four decimals.
ROW = re.compile(r"^(\S.*?)((?: +-?(?:\d+\.\d{4}|nan|inf))+)$", re.MULTILINE)


def example(name: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """python examples/<name>.py in a process of its own."""
    return subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *argv],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small world and one ledger for all examples."""
    folder = tmp_path_factory.mktemp("examples")
    done = example("world", "--quick", "--folder", str(folder))
    assert done.returncode == 0, done.stderr
    return folder / "quick" / "run"


def rows(name: str, run: Path) -> dict[str, list[float]]:
    """What an example prints on the small run: the numbers of every line of its tables."""
    done = example(name, "--quick", "--run", str(run))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "test events" in done.stdout  # the protocol
    found = {
        name: [float(x) for x in numbers.split()]
        for name, numbers in ROW.findall(done.stdout)
        if " epoch " not in name  # a line of the training, not of a table
    }
    assert found
    return found


def test_intensity(run: Path) -> None:
    found = rows("intensity", run)
    for plain, ledger, mean in found.values():
        # Grades go from 1 to 5, so that nobody can be further off than log 3.
        assert 0 < plain < 1.1
        assert 0 < ledger < 1.1
        assert plain < 1.5 * mean
    assert set(found) == {"MSE of log1p(y)", "MAE of log1p(y)"}


def test_distribution(run: Path) -> None:
    found = rows("distribution", run)
    assert len(found) == 6
    for name, numbers in found.items():
        plain, ledger, popularity = numbers
        if name == "NLL (nats)":
            # Not below the entropy of the world by much, not above a uniform guess by much.
            assert all(2.0 < nll < 5.0 for nll in numbers)
        else:
            assert 0 < plain <= 1
            assert 0 < ledger <= 1
            assert 0 < popularity <= 1
    precision, recall = found["precision@10"], found["recall@10"]
    for f1, one, other in zip(found["f1@10"], precision, recall, strict=True):
        # The mean of harmonic means lies between 0 and the mean of arithmetic ones.
        assert 0 < f1 <= (one + other) / 2


def test_disentanglement(run: Path) -> None:
    found = rows("disentanglement", run)
    for name in ("hit_rate@10", "ndcg@10"):
        assert all(0 < value <= 1 for value in found[name])
    parts = {name: numbers for name, numbers in found.items() if ": " in name}
    for side, count in (("plain", 3), ("ledger", 4)):
        shares, popularity, turned = zip(
            *(numbers for name, numbers in parts.items() if name.startswith(side)), strict=True
        )
        assert len(shares) == count
        assert sum(shares) == pytest.approx(1, abs=1e-3)
        assert all(-1 <= value <= 1 for value in popularity)
        assert all(value >= 0 for value in turned)
    # A mean knows no order, and facets with half-lives do.
    assert all(parts[name][2] < 1e-3 for name in parts if name.startswith("plain"))
    assert parts["ledger: momentary facets"][2] > 0.01


def test_explanation(run: Path) -> None:
    found = rows("explanation", run)
    for name in ("hit_rate@10", "ndcg@10", "wrong sign", "before", "after"):
        assert all(0 <= value <= 1 for value in found[name]), name
    assert all(-1 <= value <= 1 for value in found["rank correlation"])


def test_evolution(run: Path) -> None:
    found = rows("evolution", run)
    assert len(found) == 18
    for name, (online, frozen, ledger, common) in found.items():
        if name.startswith("log-loss"):
            # log 8 is the loss of a guess without any knowledge.
            assert all(1.0 < loss < 3.0 for loss in (online, frozen, ledger, common))
        else:
            assert all(0 <= part <= 1 for part in (online, frozen, ledger, common))
    first = found["log-loss, slice 1"]
    assert first[0] == first[1]  # before the first update there is no difference
    assert found["log-loss, slice 8"][0] != found["log-loss, slice 8"][1]


@pytest.mark.parametrize(
    ("argv", "message"),
    [(("--run", "nowhere"), "nowhere is not a run folder"), (("--run",), "expected one argument")],
)
def test_a_mistake_is_one_clear_line(argv: tuple[str, ...], message: str) -> None:
    done = example("intensity", *argv)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_every_example_is_in_the_table_and_says_what_it_takes() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name in ("intensity", "distribution", "disentanglement", "explanation", "evolution"):
        assert f"[{name}.py]({name}.py)" in page
        source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        assert f"python examples/{name}.py" in source
        assert f"python examples/{name}.py" in page
    done = example("evolution", "--help")
    assert done.returncode == 0
    for flag in ("--quick", "--folder", "--run"):
        assert flag in done.stdout
