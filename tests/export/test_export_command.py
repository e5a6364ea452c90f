"""python -m export as a user meets it: what it leaves, what it says, what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from export.__main__ import main
from export.check import main as check
from export.contract import hashes, read_contract, write_contract
from export.signatures import FORMS
from export.versions import locked, versions
from tests.export.published import Published
from tests.export.small_runs import Model


def test_the_console_tells_the_story(published: Published) -> None:
    said = published.console
    version = published.models / "1"
    assert f"writing version 1 of {published.models}" in said
    assert "FAIL" not in said
    for sentence in (
        "every op is TensorFlow's or TF Text's",
        "the lines of explain add up to score",
        "an empty history gets an answer",
    ):
        assert f"ok    {sentence}" in said
    assert "loads in " in said
    assert f"{version}: {len(published.signatures)} signatures, " in said
    for name in published.signatures:
        assert f"\n{name} " in said  # with its latency
    assert f"docker compose --file {published.models / 'docker-compose.yaml'} up" in said


def test_the_folder_holds_what_the_help_says(published: Published) -> None:
    assert sorted(path.name for path in published.models.iterdir()) == [
        ".lock", "1", "batching.config", "docker-compose.yaml", "model.config",
        "monitoring.config",
    ]  # fmt: skip
    version = published.models / "1"
    assert {path.name for path in version.iterdir()} >= {
        "saved_model.pb", "variables", "assets.extra",
    }  # fmt: skip
    assert {path.name for path in (version / "assets.extra").iterdir()} == {
        "MODEL_CARD.md", "contract.json", "reliability.svg", "samples",
        "tf_serving_warmup_requests",
    }  # fmt: skip
    contract = read_contract(version)
    assert contract["files"] == hashes(version)
    assert contract["model"] == "ledger"
    sizes = published.model.exported.sizes
    assert contract["vocabulary"] == {
        "items": sizes.items, "categories": 2, "actions": 3, "facets": sizes.facets,
        "embedding": sizes.embedding, "tokens": sizes.tokens,
    }  # fmt: skip
    assert 'name: "shop"' in (published.models / "model.config").read_text()


def test_the_card_says_what_results_say(published: Published) -> None:
    card = (published.models / "1" / "assets.extra" / "MODEL_CARD.md").read_text()
    results = json.loads((published.model.run / "results.json").read_text())
    assert results["data"]["split_hash"] in card
    assert f"{results['data']['num_events']:,} events" in card
    [model] = [line for line in results["models"] if line["kind"] == "model"]
    assert f"{model['metrics']['ndcg@10']['value']:.4f}" in card
    assert f"tensorflow {tf.__version__}" in card
    assert "Licence of the data: " in card
    assert "encoder" in card  # whose texts were read


def test_every_signature_is_warmed_up_with_real_histories(published: Published) -> None:
    path = published.models / "1" / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]
    kinds = [log.WhichOneof("log_type") for log in logs]
    sent = [getattr(log, kind).request for log, kind in zip(logs, kinds, strict=True)]
    requests = {
        request.model_spec.signature_name: log for request, log in zip(sent, logs, strict=True)
    }
    assert requests.keys() == set(published.signatures)
    users = published.model.exported.samples
    history = requests["score"].predict_log.request.inputs["history_items"]
    rows = tf.make_ndarray(history)
    for row, user in zip(rows, users, strict=True):
        assert [item.decode() for item in row if item] == user.items


def test_samples_are_requests_as_clients_send_them(published: Published) -> None:
    """Read with TensorFlow Serving's own messages, and in JSON by the rules of its REST API."""
    samples = published.models / "1" / "assets.extra" / "samples"
    names = {path.name for path in (samples / "requests").iterdir()}
    assert names == {path.name for path in (samples / "answers").iterdir()}
    for name, signature in published.signatures.items():
        if name in FORMS:
            continue
        text = (samples / "requests" / f"{name}.pbtxt").read_text(encoding="utf-8")
        request = text_format.Parse(text, predict_pb2.PredictRequest())
        assert request.model_spec.name == "shop"
        inputs = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
        assert inputs.keys() == signature["inputs"].keys()
        rows = json.loads((samples / "requests" / f"{name}.rows.json").read_text("utf-8"))
        columns = json.loads((samples / "requests" / f"{name}.columns.json").read_text("utf-8"))
        assert rows["signature_name"] == columns["signature_name"] == name
        assert {len(array) for array in inputs.values()} == {len(rows["instances"])}
        answer = json.loads((samples / "answers" / f"{name}.rows.json").read_text("utf-8"))
        assert len(answer["predictions"]) == len(rows["instances"])
        for key, array in inputs.items():
            texts = np.array(columns["inputs"][key])
            if array.dtype.kind == "O":
                array = np.array([one.decode() for one in array.ravel()]).reshape(array.shape)
                assert (texts == array).all()
            else:
                np.testing.assert_allclose(texts, array, rtol=1e-6)
            assert [row[key] for row in rows["instances"]] == columns["inputs"][key] or (
                np.isnan(array).any()
            )


def test_a_model_without_explanations_may_not_take_its_place(
    published: Published, sasrec: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(published.models.rglob("*"))
    assert main([str(sasrec.run), str(published.models)]) == 2
    said = capsys.readouterr().err
    assert f"clients of {published.models / '1'} would break: " in said
    assert "the signature explain is gone" in said
    assert sorted(published.models.rglob("*")) == before


def test_the_next_version_takes_the_place_of_the_last(
    sasrec: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another kind of model, in a folder with two versions and what a killed export left."""
    for name in ("1", "2"):
        shutil.copytree(sasrec.folder, tmp_path / name)
        (tmp_path / name / "assets.extra").mkdir()
        write_contract(tmp_path / name, "sasrec", {})
    (tmp_path / "model.config").write_text("model_config_list {}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "export", str(sasrec.run), str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (tmp_path / "3.part" / "saved_model.pb").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "3.part").is_dir()
    assert list(versions(tmp_path)) == [1, 2]

    assert main([str(sasrec.run), str(tmp_path), "--keep", "2", "--top-k", "4"]) == 0
    said = capsys.readouterr().out
    assert f"deleted: {tmp_path / '1'}\n" in said
    assert "kept as they are, though others would be written now: model.config" in said
    assert list(versions(tmp_path)) == [2, 3]
    assert not list(tmp_path.glob("*.part"))
    items = read_contract(tmp_path / "3")["signatures"]["recommend"]["outputs"]["items"]
    assert items["shape"] == [-1, 4]


def test_two_towers_pass_the_check_too(
    towers: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(towers.run), str(tmp_path)]) == 0
    assert f"{tmp_path / '1'}: 8 signatures" in capsys.readouterr().out


def test_a_version_that_fails_its_check_is_not_published(
    sasrec: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An op that no server has finds its way into the graph while it is written."""

    def write_contract_of_another(folder: Path, *rest: Any) -> None:
        graph = (folder / "saved_model.pb").read_bytes()
        (folder / "saved_model.pb").write_bytes(graph.replace(b"TopKV2", b"ScaNN!"))
        write_contract(folder, *rest)

    monkeypatch.setattr("export.contract.write_contract", write_contract_of_another)
    assert main([str(sasrec.run), str(tmp_path / "models")]) == 1
    said = capsys.readouterr().out
    assert "FAIL  every op is TensorFlow's or TF Text's  the server lacks ScaNN!" in said
    assert "is not published" in said
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_a_signal_leaves_nothing_behind(
    sasrec: Model, tmp_path: Path, number: signal.Signals, word: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "export", str(sasrec.run), str(tmp_path / "new" / "shop")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("writing version 1")
    time.sleep(1)
    process.send_signal(number)
    assert process.communicate()[1].endswith(f"{word}\n")
    assert process.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []


# Exports once for each of the steps that are named, from which on no file may have more bytes: they
# fail as on a full disk, and the limit needs no rights and no mount.
FULL_DISK = """
import importlib, os, resource, sys
from export.__main__ import main
run, models, *steps = sys.argv[1:]
none = resource.getrlimit(resource.RLIMIT_FSIZE)
for step in steps:
    name, function, most = step.split(":")
    module = importlib.import_module(name)
    real = getattr(module, function)
    def full(*given, real=real, most=int(most)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, none[1]))
        return real(*given)
    setattr(module, function, full)
    code = main([run, models])
    resource.setrlimit(resource.RLIMIT_FSIZE, none)
    setattr(module, function, real)
    print(step, code, *sorted(os.listdir(models)), file=sys.stderr)
"""


def test_a_full_disk_is_one_clear_line_whenever_it_is_full(sasrec: Model, tmp_path: Path) -> None:
    (tmp_path / "4").mkdir()
    shutil.copytree(sasrec.folder, tmp_path / "4", dirs_exist_ok=True)
    (tmp_path / "4" / "assets.extra").mkdir()
    write_contract(tmp_path / "4", "sasrec", {})
    steps = [
        "export.saved_model:save_run:20000",
        "export.sample_files:write_samples:50",
        "export.warmup:write_warmup:50",
        "export.reliability:draw_reliability:50",
        "export.contract:write_contract:50",
        "export.configs:write_configs:50",
    ]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(sasrec.run), str(tmp_path), *steps],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 2 * len(steps), done.stderr
    for step, said, after in zip(steps, lines[::2], lines[1::2], strict=True):
        assert said.startswith("error: cannot write "), step
        assert said.endswith(
            ": File too large; make room and export again. Earlier versions are untouched"
        )
        assert after == f"{step} 2 .lock 4"
    assert read_contract(tmp_path / "4")["files"] == hashes(tmp_path / "4")


def test_a_folder_at_work_is_refused(
    sasrec: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path):
        assert main([str(sasrec.run), str(tmp_path)]) == 2
    assert "another process is exporting into" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "results.json").unlink(), "the run is not finished"),
        (lambda run: (run / "results.json").write_text("{"), "results.json is damaged"),
        (lambda run: (run / "readouts.npz").unlink(), "the run is not finished"),
        (lambda run: (run / "readouts.npz").write_text("PK"), "readouts.npz is damaged"),
        (
            lambda run: (run / "checkpoints" / "best.npz").write_bytes(b"PK\3\4"),
            "best.npz is damaged",
        ),
        (lambda run: (run / "checkpoints" / "best.npz").unlink(), "no trained weights yet"),
        (lambda run: _without_numbers(run / "checkpoints" / "best.npz"), "are not finite"),
        (lambda run: (run / "data.json").write_text("{"), "data.json says where"),
        (lambda run: (run / "config.yaml").unlink(), "is not a run folder"),
    ],
)
def test_a_run_that_cannot_be_exported_is_named(
    sasrec: Model,
    tmp_path: Path,
    damage: object,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    shutil.copytree(sasrec.run, run)
    assert callable(damage)
    damage(run)
    assert main([str(run), str(tmp_path / "models")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert message in said
    assert os.listdir(tmp_path) == ["run"]


def _without_numbers(path: Path) -> None:
    """As a training leaves it that ran away."""
    with np.load(path) as saved:
        arrays = dict(saved)
    widest = max((name for name in arrays if arrays[name].ndim == 2), key=lambda n: arrays[n].size)
    arrays[widest][:] = np.nan
    np.savez(path, **arrays)


def test_vectors_of_other_texts_are_named(
    ledger: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(ledger.run, run)
    np.save(run / "text_vectors.npy", np.load(run / "text_vectors.npy")[:-1])
    assert main([str(run), str(tmp_path / "models")]) == 2
    assert "but the run has 24 items: it is of another run" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["run"]


def test_a_folder_that_tensorflow_cannot_name_is_refused(
    sasrec: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = os.fsdecode(os.fsencode(tmp_path / "m") + b"\xff")
    assert main([str(sasrec.run), named]) == 2
    assert "is no UTF-8" in capsys.readouterr().err
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", "0"], "--keep 0 must be at least 1"),
        (["--top-k", "0"], "--top-k 0 must be at least 1"),
        (["--name", "a/b"], "--name 'a/b' must be letters"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    sasrec: Model,
    tmp_path: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(sasrec.run), str(tmp_path / "models"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_nothing_to_check_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check([str(tmp_path)]) == 2
    assert "is neither a version nor a folder with versions" in capsys.readouterr().err
    assert check([str(tmp_path / ("n" * 300))]) == 2
    assert "File name too long" in capsys.readouterr().err
