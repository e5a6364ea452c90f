"""A version that does not keep its word is found out, whatever the lie."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from export.check import check_version, main
from export.contract import signatures, write_contract
from export.probe.model import Array, Model, Tensors, difference
from export.probe.ops import not_served, op_names
from export.probe.rules import APPROXIMATE, EXACT, HISTORY, RULES
from export.requests import requests
from export.sample_files import write_samples
from export.warmup import write_warmup
from tests.export.small_runs import Model as Run

EXTRA = Path("assets.extra")


@pytest.fixture(scope="module")
def model(ledger: Run) -> Model:
    assert not_served(op_names(ledger.folder)) == []
    return Model(ledger.folder)


@pytest.fixture(scope="module")
def history(ledger: Run) -> Tensors:
    asked = requests(ledger.exported)["recommend"]
    return {name: asked[name] for name in HISTORY}


@pytest.fixture(scope="module")
def version(sasrec: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that python -m export writes into a version, but the card."""
    folder = tmp_path_factory.mktemp("whole") / "1"
    shutil.copytree(sasrec.folder, folder)
    write_warmup(folder, write_samples(Model(folder), folder, "shop", requests(sasrec.exported)))
    write_contract(folder, "sasrec", {})
    return folder


class Liar(Model):
    """The model, but one output of one signature is changed on its way out."""

    def __init__(
        self, model: Model, signature: str, output: str, change: Callable[[Array], Array]
    ) -> None:
        self.signatures = model.signatures
        self._model, self._lie = model, (signature, output, change)

    def ask(self, signature: str, inputs: dict[str, Array]) -> Tensors:  # type: ignore[override]
        answer = self._model.ask(signature, inputs)
        asked, output, change = self._lie
        return answer | {output: change(answer[output])} if signature == asked else answer


def by_batch(values: Array) -> Array:
    """Differs between a user alone and the same user among others."""
    return np.asarray(values + np.float32(0.001 * len(values)))


RULE = {rule.says: rule for rule in [*RULES, *EXACT, *APPROXIMATE]}
LIES = [
    ("serving_default is recommend", "serving_default", "scores", lambda a: a * 0.99),
    ("recommend goes down the scores of score", "score", "score", lambda a: a + 0.01),
    ("recommend goes down the scores of score", "recommend", "items", lambda a: a[:, ::-1]),
    ("the lines of explain add up to score", "explain", "quality", lambda a: a + 0.001),
    ("the lines of explain add up to score", "explain", "score", lambda a: a + 0.001),
    ("embed_user times embed_items is score", "embed_user", "embedding", lambda a: a * 1.01),
    ("embed_user times embed_items is score", "embed_items", "embedding", lambda a: a * 1.01),
    ("distribution is softmax(score / T)", "distribution", "probabilities", lambda a: a**1.1),
    ("distribution is softmax(score / T)", "score", "score", lambda a: a + a**3),
    ("distribution is softmax(score / T)", "score", "probability", lambda a: a * 1.01),
    ("distribution adds up to 1", "distribution", "tail_mass", lambda a: a + 0.001),
    ("classify is recommend, asked with tf.Examples", "classify", "scores", lambda a: a * 1.01),
    ("classify is recommend, asked with tf.Examples", "classify", "classes", lambda a: a[:, ::-1]),
    ("regress is the intensity of score", "regress", "outputs", lambda a: a + 0.001),
    (
        "update_user loses the logarithm of score's probability",
        "update_user",
        "log_loss",
        lambda a: a * 1.01,
    ),
    (
        "update_user loses the logarithm of score's probability",
        "update_user",
        "facet_gain",
        lambda a: a * 1.01,
    ),
    ("a _full twin with nothing asked is its short form", "facets_full", "gates", lambda a: a + 1),
    ("a _told twin that is told nothing is its _full twin", "score_told", "score", lambda a: a + 1),
    ("a user alone, padded, is answered as in a batch", "recommend", "scores", by_batch),
    ("unknown candidates are flagged and get 0", "score", "known", np.ones_like),
    ("unknown candidates are flagged and get 0", "score", "intensity", lambda a: a + 0.1),
    ("an empty history gets an answer", "recommend", "scores", lambda a: a * np.nan),
    ("recommend is the head of distribution", "recommend", "probabilities", lambda a: a * 1.01),
    ("recommend is the head of distribution", "distribution", "items", lambda a: a[:, ::-1]),
    ("what comes when the best are excluded is no better", "recommend", "scores", np.negative),
    ("recommend is most of the head of distribution", "recommend", "items", lambda a: a * 2),
    ("recommend is most of the head of distribution", "score", "probability", np.sqrt),
]


def test_every_rule_is_lied_to() -> None:
    assert {says for says, *_ in LIES} == set(RULE)


@pytest.mark.parametrize(("says", "signature", "output", "change"), LIES)
def test_a_lie_is_found_by_its_rule(
    model: Model,
    history: Tensors,
    says: str,
    signature: str,
    output: str,
    change: Callable[[Array], Array],
) -> None:
    assert RULE[says].worst(model, history) < 1e-5
    assert RULE[says].worst(Liar(model, signature, output, change), history) > 1e-4


def test_the_command_finds_files_answers_and_warm_up_that_were_changed(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(version, tmp_path / "1")
    answers = tmp_path / "1" / EXTRA / "samples" / "answers"
    text = (answers / "score.pbtxt").read_text()
    (answers / "score.pbtxt").write_text(text.replace("float_val: 0", "float_val: 1", 1))
    rows = json.loads((answers / "embed_user.rows.json").read_text())
    rows["predictions"][0][0] += 0.01
    (answers / "embed_user.rows.json").write_text(json.dumps(rows))
    records = tmp_path / "1" / EXTRA / "tf_serving_warmup_requests"
    records.write_bytes(records.read_bytes()[:-7])
    assert main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(tmp_path / "1")
    failed = {line[6:].split("  ")[0] for line in lines if line.startswith("FAIL")}
    assert failed == {
        "the files are those of contract.json",
        "the gRPC samples are answered as before",
        "the REST samples are answered as before",
        "the warm-up records are answered",
    }
    names = signatures(version)
    rules = [rule for rule in [*RULES, *EXACT] if all(name in names for name in rule.needs)]
    held = {line[6:].split("  ")[0] for line in lines if line.startswith("ok  ")}
    assert held == {"every op is TensorFlow's or TF Text's", *(rule.says for rule in rules)}
    assert lines[-1].startswith("4 of ")


def test_an_op_that_no_stock_server_links_fails_the_check(version: Path, tmp_path: Path) -> None:
    shutil.copytree(version, tmp_path / "1")
    graph = (version / "saved_model.pb").read_bytes()
    assert b"TopKV2" in graph
    (tmp_path / "1" / "saved_model.pb").write_bytes(graph.replace(b"TopKV2", b"ScaNN!"))
    write_contract(tmp_path / "1", "sasrec", {})
    report = check_version(tmp_path / "1")
    assert not report.passed
    assert [finding.holds for finding in report.findings] == [True, False]
    assert report.findings[-1].detail == "the server lacks ScaNN!"
    assert report.load_seconds is None


def test_every_op_is_listed_when_asked_for(
    version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(version), "--ops"]) == 0
    names = op_names(version)
    assert {"TopKV2", "MatMul"} <= set(names)
    assert f"\n{len(names)} kinds of op: {', '.join(names)}\n" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_process_that_asks_too(version: Path, number: signal.Signals) -> None:
    checking = subprocess.Popen(
        [sys.executable, "-m", "export.check", version], stderr=subprocess.PIPE, text=True
    )
    found = ""
    while not found:
        assert checking.poll() is None
        listed = ["pgrep", "--parent", str(checking.pid)]
        found = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
    checking.send_signal(number)  # often while the other process is being born
    tidy = number == signal.SIGTERM
    assert checking.communicate()[1] == ("terminated\n" if tidy else "")
    assert checking.returncode == (128 + number if tidy else -number)
    until = time.monotonic() + 60
    while runs(int(found)):
        assert time.monotonic() < until, "it asks on"
        time.sleep(0.05)


def runs(process: int) -> bool:
    """Whether it is there, other than as the record that its parent has not asked for yet."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def test_ops_are_found_in_functions_too(tmp_path: Path) -> None:
    module = tf.Module()
    inner = tf.function(lambda x: tf.py_function(lambda y: y, [x], tf.float32))
    module.call = tf.function(lambda x: inner(x) + 1, input_signature=[tf.TensorSpec([2])])
    tf.saved_model.save(module, str(tmp_path))
    names = op_names(tmp_path)
    assert "AddV2" in names
    assert not [name for name in names if name.startswith("__inference")]
    assert not_served(names) == ["EagerPyFunc"]
    text = "WordpieceTokenizeWithOffsets"  # TF Text's, which stock servers link
    assert not_served(["MatMul", text, "NoSuchOp"]) == ["NoSuchOp"]


def test_a_model_that_cannot_be_loaded_says_why(version: Path, tmp_path: Path) -> None:
    shutil.copytree(version, tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "variables")
    report = check_version(tmp_path / "1")
    assert [finding.holds for finding in report.findings] == [False, True, False]
    assert "variables" in report.findings[0].detail
    assert "variables" in report.findings[-1].detail


@pytest.mark.parametrize(
    ("found", "expected", "worst"),
    [
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([np.inf, 1.0], [np.inf, 1.0], 0.0),
        ([np.nan], [1.0], np.inf),
        ([1.0], [np.inf], np.inf),
        ([200.0], [202.0], 2 / 202),
        ([0.5], [0.25], 0.25),
        ([1.0, 2.0], [1.0], np.inf),
        ([], [], 0.0),
    ],
)
def test_a_difference_is_relative_above_one(
    found: list[float], expected: list[float], worst: float
) -> None:
    measured = difference(np.array(found, np.float32), np.array(expected, np.float32))
    assert measured == pytest.approx(worst, rel=1e-6)


def test_texts_are_the_same_or_not() -> None:
    assert difference(np.array([b"a"], object), np.array([b"a"], object)) == 0
    assert difference(np.array([b"a"], object), np.array([b"b"], object)) == np.inf
    assert difference(np.array([b"a"], object), np.array([1.0])) == np.inf
