"""python -m export.check: does a finished export keep its word, in a process that knows only it?"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from export.contract import hashes, read_contract
from export.stopping import tidy_on_sigterm
from export.versions import versions
from tfrec.console import quiet_tensorflow, say, seconds
from tfrec.errors import UserError, command

EXIT_FAILED = 1
EXAMPLES = """\
examples:
  python -m export.check models/shop      the newest version
  python -m export.check models/shop/3    this one

A process that can import neither tfrec nor export loads the SavedModel, replays the stored samples
and warm-up records, and tests what must hold between the signatures.
With --ops every kind of op that the version needs of its server is listed too.
exit codes: 0 all checks pass, 1 one fails, 2 there is nothing to check
"""

# Isolated from the working folder and from PYTHONPATH, and with this project out of reach even
# where it is installed. The probe's own files are found by their place.
_FRESH = """
import gc, importlib.abc, importlib.util, json, os, pathlib, sys, threading

def leave_with_the_asking_process():
    os.read(0, 1)
    os._exit(1)

threading.Thread(target=leave_with_the_asking_process, daemon=True).start()

class Stranger(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tfrec", "export", "serving"):
            raise ModuleNotFoundError(f"{name} is out of reach here", name=name)

sys.meta_path.insert(0, Stranger())
probe = pathlib.Path(sys.argv[1])
spec = importlib.util.spec_from_file_location(
    "probe", probe / "__init__.py", submodule_search_locations=[str(probe)]
)
sys.modules["probe"] = importlib.util.module_from_spec(spec)
gc.disable()  # see tfrec.console
from probe.inspect_version import inspect_version
gc.freeze()
gc.enable()
print(json.dumps(inspect_version(pathlib.Path(sys.argv[2]))))
gc.freeze()
"""


class Finding(NamedTuple):
    """One check: what must hold, whether it does, and a number or a reason."""

    what: str
    holds: bool
    detail: str


class Report(NamedTuple):
    """What a check found.

    Attributes:
        findings: in the order of the checks.
        ops: names of every op of the graphs.
        load_seconds, first_answer_seconds: of the fresh process; None where it did not load.
        latency: signature -> milliseconds for one user, {"p50": …, "p99": …}.
    """

    findings: list[Finding]
    ops: Sequence[str] = ()
    load_seconds: float | None = None
    first_answer_seconds: float | None = None
    latency: dict[str, dict[str, float]] = {}  # noqa: RUF012

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(finding.holds for finding in self.findings)


def check_version(folder: Path) -> Report:
    """Checks the version in `folder`, which takes about as long as importing TensorFlow twice.

    Raises:
        UserError: it is no version that python -m export wrote.
    """
    findings = [_files(folder)]
    done = _in_fresh_process(folder)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Report([*findings, Finding("the process that asks it lives on", False, reason)])
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    findings += [Finding(*finding) for finding in report.pop("findings")]
    return Report(findings, **report)


def _files(folder: Path) -> Finding:
    promised, found = read_contract(folder)["files"], hashes(folder)
    odd = [name for name in sorted(promised | found) if promised.get(name) != found.get(name)]
    detail = f"other than they were: {', '.join(odd)}" if odd else f"{len(found)} files"
    return Finding("the files are those of contract.json", not odd, detail)


def _in_fresh_process(folder: Path) -> subprocess.CompletedProcess[str]:
    quiet_tensorflow()
    probe = Path(__file__).parent / "probe"
    # Nothing is ever written here: that process ends when the pipe does, so however this one ends,
    # be it killed or stopped while the other is being born, none is left behind.
    lifeline, held = os.pipe()
    try:
        return subprocess.run(
            [sys.executable, "-I", "-c", _FRESH, str(probe), str(folder.resolve())],
            stdin=lifeline,
            capture_output=True,
            text=True,
            check=False,
            cwd=os.path.sep,
            start_new_session=True,  # Ctrl-C is for this process, which then ends that one
        )
    finally:
        os.close(held)
        os.close(lifeline)


def print_report(report: Report) -> None:
    """The checks, then the times."""
    width = max(len(finding.what) for finding in report.findings)
    for finding in report.findings:
        state = "ok  " if finding.holds else "FAIL"
        say(f"{state}  {finding.what:<{width}}  {finding.detail}")
    if report.load_seconds is None or report.first_answer_seconds is None:
        return
    say(
        f"\nloads in {seconds(report.load_seconds)}, first answer after another "
        f"{seconds(report.first_answer_seconds)}"
    )
    say(f"\n{'one user, milliseconds':<24}{'p50':>8}{'p99':>8}")
    for name, times in report.latency.items():
        say(f"{name:<24}{times['p50']:>8.2f}{times['p99']:>8.2f}")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m export.check",
        description="Checks a version that python -m export wrote, as a stranger would meet it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "folder", metavar="MODEL_DIR", type=Path, help="a model folder, or one of its versions"
    )
    made.add_argument("--ops", action="store_true", help="also list every op of the graphs")
    return made


@command
def main(argv: Sequence[str]) -> int:
    flags = parser().parse_args(argv)
    try:
        folder = _version(flags.folder)
        with tidy_on_sigterm():
            report = check_version(folder)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from None
    say(str(folder))
    print_report(report)
    if flags.ops:
        say(f"\n{len(report.ops)} kinds of op: {', '.join(report.ops)}")
    failed = sum(not finding.holds for finding in report.findings)
    if failed:
        say(f"\n{failed} of {len(report.findings)} checks failed: do not serve this version")
        return EXIT_FAILED
    say(f"\nall {len(report.findings)} checks hold")
    return 0


def _version(folder: Path) -> Path:
    """The folder itself, or the newest version in it."""
    if (folder / "saved_model.pb").exists():
        return folder
    found = list(versions(folder).values())
    if not found:
        raise UserError(
            f"{folder} is neither a version nor a folder with versions; make one with "
            f"python -m export RUN {folder}"
        )
    return found[-1]


if __name__ == "__main__":
    raise SystemExit(main())
