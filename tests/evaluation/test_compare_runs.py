from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ranking_reference import make_cases

from tfrec.errors import UserError
from tfrec.evaluation import compare as compare_module
from tfrec.evaluation.case_metrics import CaseMetrics, load_cases, save_cases
from tfrec.evaluation.compare import compare, sign_flip_test


def run(values, name="runs/a") -> CaseMetrics:
    count = len(values)
    return CaseMetrics(
        name=name,
        split_hash="a1b2c3",
        protocol="full ranking",
        users=np.arange(count, dtype=np.int32),
        targets=np.arange(count, dtype=np.int32),
        target_offsets=np.arange(count + 1),
        metrics={"ndcg@10": np.array(values, np.float32)},
    )


def test_hand_worked():
    found = compare(run([0.5, 1, 0, 0.25]), run([0.25, 1, 0.5, 0]), seed=0)["ndcg@10"]
    # differences .25, 0, -.5, .25: mean 0 of 0.4375
    assert (found.a, found.b) == (0.4375, 0.4375)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.difference.value == 0
    assert found.relative == 0
    assert found.p_value == 1  # every flip is at least as far from 0 as 0 is


@pytest.mark.parametrize("cells", [2**23, 1])
def test_sign_flips_agree_with_every_arrangement(monkeypatch, cells):
    # With 10 cases all 1,024 arrangements can be tried; in one block or in two (8 and 2).
    monkeypatch.setattr(compare_module, "_CELLS_PER_BLOCK", cells)
    for seed in range(4):
        differences = np.random.default_rng(seed).normal(0.4, 1, 10)
        observed = abs(differences.sum())
        flipped = [
            abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product([-1, 1], repeat=10)
        ]
        exact = sum(value >= observed - 1e-12 for value in flipped) / 1024
        found = sign_flip_test(differences[:, None], seed)[0]
        assert found == pytest.approx(exact, abs=4 * (exact / 10_000) ** 0.5)


def test_sign_flips_count_equal_sums_as_reached():
    # One difference of .1 in ten cases: both signs reach it, whatever the rounding of the sums.
    differences = np.zeros((10, 2))
    differences[3] = 0.1, 0
    assert sign_flip_test(differences, 0).tolist() == [1, 1]


def test_models_that_do_not_differ_are_rarely_told_apart():
    rng = np.random.default_rng(0)
    p_values = sign_flip_test(rng.normal(size=(60, 400)), seed=1)
    assert 0.02 <= (p_values < 0.05).mean() <= 0.09  # standard deviation .011
    assert p_values.mean() == pytest.approx(0.5, abs=0.06)


def test_pairing_finds_what_separate_intervals_hide():
    base = np.random.default_rng(0).random(500)
    better, worse = run(base + 0.01), run(base, "runs/b")
    found = compare(better, worse, seed=0)["ndcg@10"]
    assert found.difference.low > 0
    assert found.p_value < 0.001
    assert found.relative == pytest.approx(0.01 / base.mean(), rel=1e-3)
    assert (found.wins, found.losses) == (500, 0)


def test_swapping_swaps_the_sign():
    rng = np.random.default_rng(0)
    a, b = run(rng.random(100)), run(rng.random(100), "runs/b")
    one, other = compare(a, b, 0)["ndcg@10"], compare(b, a, 0)["ndcg@10"]
    assert one.difference.value == -other.difference.value
    assert one.difference.low == pytest.approx(-other.difference.high)
    assert (one.wins, one.losses) == (other.losses, other.wins)
    assert one.p_value == other.p_value
    assert one == compare(a, b, 0)["ndcg@10"]


def test_relative_change_of_nothing_is_undefined():
    assert compare(run([1, 0]), run([0, 0]), 0)["ndcg@10"].relative is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split_hash": "ffffff"}, r"splits differ \(a1b2c3 and ffffff\)"),
        ({"protocol": "seen kept"}, r"protocols differ \('full ranking' and 'seen kept'\)"),
        ({"users": np.array([0, 7], np.int32)}, "case 1 is user 1 in one and user 7 in the other"),
        ({"target_offsets": np.array([0, 0, 2])}, r"case 0 \(user 0\) has another number of"),
        ({"targets": np.array([0, 9], np.int32)}, r"case 1 \(user 1\) has target item 1 in one"),
    ],
)
def test_other_cases_are_refused(change, message):
    a = run([1, 0])
    with pytest.raises(UserError, match=message) as raised:
        compare(a, replace(a, name="runs/b", **change), seed=0)
    assert str(raised.value).startswith("runs/a and runs/b cannot be compared")


def test_another_number_of_cases_is_refused():
    with pytest.raises(UserError, match="they have 2 and 3 cases"):
        compare(run([1, 0]), run([1, 0, 0]), seed=0)


def test_no_common_metric_is_refused():
    a = run([1, 0])
    with pytest.raises(UserError, match=r"no metric in common: ndcg@10 against mrr\. "):
        compare(a, replace(a, metrics={"mrr": a.metrics["ndcg@10"]}), seed=0)


def test_only_common_metrics_are_compared():
    a = run([1, 0])
    more = replace(a, metrics={"mrr": a.metrics["ndcg@10"], **a.metrics})
    assert list(compare(more, a, 0)) == list(compare(a, more, 0)) == ["ndcg@10"]


def test_saved_cases_come_back(tmp_path: Path):
    cases = make_cases([[1], [2, 3]], [[0, 4], [5]])
    per_case = {"ndcg@10": np.array([0.5, 1], np.float32), "mrr": np.zeros(2, np.float32)}
    path = tmp_path / "cases.npz"
    save_cases(path, cases, per_case, name="SASRec", split_hash="a1b2c3", protocol="full ranking")
    found = load_cases(path)
    assert (found.name, found.split_hash, found.protocol) == ("SASRec", "a1b2c3", "full ranking")
    assert found.users.tolist() == [100, 101]
    assert found.targets.tolist() == [0, 4, 5]
    assert found.target_offsets.tolist() == [0, 2, 3]
    assert {name: v.tolist() for name, v in found.metrics.items()} == {
        "ndcg@10": [0.5, 1],
        "mrr": [0, 0],
    }
    assert all(v.dtype == np.float32 for v in found.metrics.values())
    assert [p.name for p in tmp_path.iterdir()] == ["cases.npz"]
    assert compare(found, found, 0)["mrr"].ties == 2


def damaged(content: bytes):
    return lambda path: path.write_bytes(content)


def flip_bits(path: Path) -> None:
    save_cases(
        path,
        make_cases([[1]] * 50, [[0]] * 50),
        {"mrr": np.random.default_rng(0).random(50).astype(np.float32)},
        name="a",
        split_hash="a",
        protocol="a",
    )
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(bytes(content))


def other_version(path: Path) -> None:
    np.savez(path, about=np.array('{"format_version": 99}'))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: None, "does not exist"),
        (damaged(b""), "is damaged"),
        (damaged(b"PK\x03\x04 not really a zip"), "is damaged"),
        (damaged(b"user,item\n1,2\n"), "is damaged"),
        (lambda path: np.savez(path, users=np.zeros(3)), "is damaged"),
        (lambda path: np.save(path.open("wb"), np.zeros(3)), "is damaged"),
        (flip_bits, "is damaged"),
        (lambda path: path.mkdir(), "is damaged"),
        (other_version, "has format version 99, this tfrec reads 1"),
    ],
)
def test_spoilt_files_are_refused(tmp_path, spoil, message):
    path = tmp_path / "cases.npz"
    spoil(path)
    with pytest.raises(UserError, match=message) as raised:
        load_cases(path)
    assert str(path) in str(raised.value)
