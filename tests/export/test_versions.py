"""A version is whole or absent: kills, full disks, two at a time."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.versions import locked, new_version, remove_older, versions
from tfrec.errors import UserError

FILES = 6

# Publishes version after version, each of FILES files that say their version's number, and keeps
# two of them.
PUBLISHER = f"""
import sys
from pathlib import Path
from export.versions import locked, new_version, remove_older
models = Path(sys.argv[1])
print("ready", flush=True)
for _ in range(int(sys.argv[2])):
    with locked(models):
        with new_version(models) as draft:
            (draft.folder / "variables").mkdir()
            for n in range({FILES}):
                path = draft.folder / ("variables" if n % 2 else ".") / str(n)
                path.write_bytes(b"%d\\n" % draft.number * 50_000)
        remove_older(models, 2)
"""


def publisher(models: Path, count: int, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", before + PUBLISHER, str(models), str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def must_be_whole(models: Path) -> None:
    for number, folder in versions(models).items():
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert len(files) == FILES, number
        for path in files:
            assert path.read_bytes() == b"%d\n" % number * 50_000


def test_a_kill_at_any_moment_leaves_whole_versions(tmp_path: Path) -> None:
    models = tmp_path / "shop"
    rng = random.Random(0)
    process = publisher(models, 5)
    assert process.stdout is not None
    process.stdout.readline()
    started = time.monotonic()
    process.wait()
    one = (time.monotonic() - started) / 5
    newest, killed_inside = 5, 0
    for _ in range(20):
        process = publisher(models, 1000)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 3 * one))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        must_be_whole(models)
        found = versions(models)
        assert max(found, default=0) >= newest
        newest = max(found, default=0)
        killed_inside += any(models.glob("*.part"))
    assert newest > 8
    assert killed_inside > 3  # otherwise nothing was tried
    process = publisher(models, 1)
    assert process.communicate()[1] == ""
    assert list(versions(models)) == [newest, newest + 1]
    assert sorted(path.name for path in models.iterdir()) == sorted(
        [".lock", str(newest), str(newest + 1)]
    )


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from export.versions import locked, new_version\nmodels = Path(sys.argv[1])\n"
        "with locked(models), new_version(models) as draft:\n"
        "    (draft.folder / 'half').write_text('a')\n    print('half', flush=True)\n"
        "    time.sleep(60)\n"
    )
    models = tmp_path / "some" / "shop"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(models)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGINT)
    assert process.wait() != 0
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_harms_nothing(tmp_path: Path) -> None:
    """Files that may not grow fail as on a full disk; the limit needs no rights and no mount."""
    models = tmp_path / "shop"
    assert publisher(models, 1).communicate()[1] == ""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    errors = publisher(models, 1, before=limit).communicate()[1].splitlines()
    assert "UserError: cannot write a version into" in errors[-1]
    assert "File too large; make room" in errors[-1]
    must_be_whole(models)
    assert sorted(path.name for path in models.iterdir()) == [".lock", "1"]


def test_two_at_a_time_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "shop"):
        with (
            pytest.raises(UserError, match="another process is exporting into"),
            locked(tmp_path / "shop"),
        ):
            pytest.fail("two exports write at once")
        with new_version(tmp_path / "shop") as draft:
            (draft.folder / "a").touch()
    with locked(tmp_path / "shop"), new_version(tmp_path / "shop") as draft:
        assert draft.number == 2


@given(st.sets(st.integers(1, 2**40) | st.text("abc0123.-_", min_size=1, max_size=6), max_size=6))
def test_the_next_number_is_above_every_other(
    tmp_path_factory: pytest.TempPathFactory, names: set[int | str]
) -> None:
    models = tmp_path_factory.mktemp("models")
    numbers = {0}
    for name in {str(name) for name in names} - {".", ".."}:
        (models / name).mkdir()
        if all(c in "0123456789" for c in name):
            numbers.add(int(name))
    with new_version(models) as draft:
        assert draft.number == max(numbers) + 1
        assert not draft.folder.name.isdigit()
    assert (models / str(max(numbers) + 1)).is_dir()


def test_an_error_takes_the_draft_back(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    with pytest.raises(FileNotFoundError), new_version(tmp_path) as draft:
        (tmp_path.parent / "nowhere").read_bytes()
    assert list(versions(tmp_path)) == [1]
    assert not draft.folder.exists()


def test_the_newest_stay(tmp_path: Path) -> None:
    for name in ("9", "10", "0011", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    assert remove_older(tmp_path, 2) == [9]
    assert list(versions(tmp_path)) == [10, 11]
    assert remove_older(tmp_path, 1) == [10]
    assert sorted(os.listdir(tmp_path)) == ["0011", "notes"]
    assert remove_older(tmp_path, 5) == []


@pytest.mark.parametrize("place", ["file", "file/below", "n" * 300])
def test_where_nothing_can_be_written_it_says_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot write a version into .* check the path"),
        locked(tmp_path / place),
    ):
        pass
    assert (tmp_path / "file").is_file()
