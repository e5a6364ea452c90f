"""Two replicas train the model that one trains; XLA and bfloat16 only change the arithmetic."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.worlds import arguments, results, train, weights, write_log


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log") / "log.csv")


def run(log: Path, name: str, **changes: str) -> Path:
    folder = log.parent / name
    options = {"dropout": "0", "epochs": "2", "baselines": "none"} | changes
    done = train(*arguments(log, folder, **options))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


@pytest.fixture(scope="module")
def alone(log: Path) -> Path:
    return run(log, "alone")


def assert_close(a: Path, b: Path, atol: float) -> None:
    left, right = weights(a), weights(b)
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_allclose(left[key], right[key], atol=atol, err_msg=key)


@pytest.mark.parametrize("loss", ["full", "sampled", "gbce"])
def test_two_replicas_train_the_model_that_one_trains(log: Path, alone: Path, loss: str) -> None:
    options = {"loss": loss, "negatives": "5"}
    one = alone if loss == "full" else run(log, f"one-{loss}", **options)
    two = run(log, f"two-{loss}", strategy="mirrored", replicas="2", **options)
    assert_close(one, two, atol=2e-4)


def test_two_replicas_train_the_ledger_that_one_trains(log: Path) -> None:
    # With every loss that is a sum over examples; the others differ from replica to replica.
    options = {"model": "ledger", "facet_dim": "4", "id_dropout": "0", "epochs": "1"}
    options |= {"deletion_loss": "0", "independence_loss": "0", "balance_loss": "0"}
    one = run(log, "ledger-one", **options)
    two = run(log, "ledger-two", strategy="mirrored", replicas="2", **options)
    # The bias of an attention's keys moves no softmax: its gradient is rounding, which Adam grows.
    assert_close(one, two, atol=2e-3)


@pytest.mark.parametrize("model", ["sasrec", "ledger"])
def test_xla_gives_the_same_weights_but_for_rounding(log: Path, model: str) -> None:
    options = {"model": model, "facet_dim": "4", "id_dropout": "0", "epochs": "1", "layers": "1"}
    plain = run(log, f"plain-{model}", xla="off", **options)
    assert_close(run(log, f"xla-{model}", xla="on", **options), plain, atol=2e-3)


def test_mixed_precision_learns_too(log: Path) -> None:
    folder = run(log, "half", mixed_precision="", epochs="8")
    scores = [epoch["validation ndcg@10"] for epoch in results(folder)["epochs"]]
    assert max(scores) > 0.8  # a random order would give about .1
    assert {array.dtype.name for array in weights(folder).values()} <= {
        "float32",
        "int32",
        "uint32",
        "int64",
    }


def test_a_ledger_learns_in_mixed_precision(log: Path) -> None:
    folder = run(log, "ledger-half", model="ledger", facet_dim="4", mixed_precision="")
    losses = [epoch["loss"] for epoch in results(folder)["epochs"]]
    assert losses[-1] < losses[0]


def test_mirrored_without_a_gpu_says_what_to_do(log: Path) -> None:
    done = train(*arguments(log, log.parent / "none", strategy="mirrored"))
    assert done.returncode == 2
    assert "--replicas 2" in done.stderr
