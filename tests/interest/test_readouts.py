"""Fitted read-outs: against truths that were planted, and from the file that stores them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import expit, softmax

from tests.interest.test_intensity import some_readouts
from tests.models.harness import LENGTH, NUM_ACTIONS, NUM_ITEMS
from tests.models.test_ledger import small
from tfrec.data.cases import Cases
from tfrec.data.options import SplitConfig
from tfrec.data.prepared import Meta, PreparedData
from tfrec.data.sequences import Columns, Sequences
from tfrec.data.split_labels import TEST, VALIDATION
from tfrec.data.splits import Split, make_split
from tfrec.errors import UserError
from tfrec.evaluation.calibration import expected_calibration_error
from tfrec.interest import reading
from tfrec.interest.fitting.action_readout import fit_actions, item_rates, multinomial_loss
from tfrec.interest.fitting.calibrators import blockwise_nll, fit_temperature
from tfrec.interest.fitting.engagement import fit_engagement, next_event_blocks, sample_pairs
from tfrec.interest.fitting.fit_readouts import fit_readouts, strong_threshold
from tfrec.interest.fitting.held_out import held_out
from tfrec.interest.fitting.strength_link import fit_strength_link
from tfrec.interest.reading import LedgerReader
from tfrec.interest.readouts import READOUTS, Readouts

DAY = 86_400_000


def world(users: int = 150, events: int = 9, seed: int = 0) -> PreparedData:
    """Users with random items, actions, grades 1 … 5, some of them missing."""
    rng = np.random.default_rng(seed)
    count = users * events
    strength = rng.integers(1, 6, count).astype(np.float32)
    strength[rng.random(count) < 0.1] = np.nan
    columns = Columns(
        item=rng.integers(0, NUM_ITEMS, count).astype(np.int32),
        timestamp=np.tile(np.arange(events) * DAY, users) + 1_700_000_000_000,
        action=rng.integers(0, NUM_ACTIONS, count).astype(np.int16),
        strength=strength,
    )
    meta = Meta("made", count, users, NUM_ITEMS, actions=["view", "click", "buy"])
    return PreparedData(Path("made"), meta, np.arange(users + 1) * events, columns)


def changed(split: Split, label: int) -> Split:
    """The same split with other strengths and actions of the events with this label."""
    columns = split.data.columns
    chosen = split.label == label
    strength, action = columns.strength.copy(), columns.action.copy()
    strength[chosen] = 6 - strength[chosen]
    action[chosen] = (action[chosen] + 1) % NUM_ACTIONS
    data = replace(split.data, columns=replace(columns, strength=strength, action=action))
    return Split(data, split.config, split.seed, split.label)


# Held-out events


@pytest.mark.parametrize("removed", [True, False])
@pytest.mark.parametrize(
    "protocol", ["leave-one-out", "global-time", "per-user-time", "cold-items", "intervened"]
)
def test_targets_keep_their_strength_and_action(protocol: str, removed: bool) -> None:
    data = world(users=40)
    split = make_split(data, SplitConfig(split=protocol), seed=0)
    held = held_out(split, "test", seen_removed=removed)
    first: dict[tuple[int, int], int] = {}
    for user in range(data.num_users):
        for row in range(data.user_offsets[user], data.user_offsets[user + 1]):
            if split.label[row] == TEST:
                first.setdefault((user, int(data.columns.item[row])), row)
    owners = held.cases.histories.users[held.cases.target_cases()].tolist()
    rows = [first[pair] for pair in zip(owners, held.cases.targets.tolist(), strict=True)]
    assert len(rows) > 0
    np.testing.assert_array_equal(held.strengths, data.columns.strength[rows])
    np.testing.assert_array_equal(held.actions, data.columns.action[rows])


def test_taking_cases_takes_their_events_along() -> None:
    held = held_out(make_split(world(40), SplitConfig(split="per-user-time"), 0), "validation")
    order = np.array([7, 2, 21])
    taken = held.take(order)
    parts = [held.take(slice(int(n), int(n) + 1)) for n in order]
    np.testing.assert_array_equal(
        taken.strengths, np.concatenate([part.strengths for part in parts])
    )
    np.testing.assert_array_equal(
        taken.cases.targets, np.concatenate([part.cases.targets for part in parts])
    )
    assert len(taken.actions) == len(taken.cases.targets)


# Engagement


def asked(scores: np.ndarray, taken: np.ndarray, seen: np.ndarray, seed: int) -> Cases:
    """Cases whose histories are `seen` and whose targets are `taken`, in random order."""
    rng = np.random.default_rng(seed)
    items = [rng.permutation(np.flatnonzero(row)).astype(np.int32) for row in seen]
    targets = [rng.permutation(np.flatnonzero(row)).astype(np.int32) for row in taken]
    stops = np.cumsum([len(row) for row in items])
    columns = Columns(np.concatenate(items), np.zeros(int(stops[-1]), np.int64))
    starts = np.concatenate([[0], stops[:-1]]).astype(np.int64)
    histories = Sequences(np.arange(len(scores), dtype=np.int32), starts, stops, columns)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in targets])]).astype(np.int64)
    return Cases(histories, np.concatenate(targets), offsets, np.zeros(len(scores), np.int64))


def planted(slope: float, offset: float, users: int, items: int) -> tuple[np.ndarray, ...]:
    """Scores, the truth σ(slope·s + offset), what was taken, and what was seen before."""
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 2, (users, items)).astype(np.float32)
    truth = expit(slope * scores + offset)
    seen = rng.random(scores.shape) < 0.1
    taken = (rng.random(scores.shape) < truth) & ~seen
    some = taken.any(axis=1)
    return scores[some], truth[some], taken[some], seen[some]


@pytest.mark.parametrize(("offset", "curve"), [(-7.0, False), (-4.5, True)])
def test_engagement_recovers_a_planted_probability(offset: float, curve: bool) -> None:
    """Though only one negative in hundreds was looked at."""
    scores, _, taken, seen = planted(0.8, offset, 400, 700)
    cases = asked(scores, taken, seen, 0)
    fitted = fit_engagement(lambda block: scores[block], cases, scores.shape[1], seed=0)
    assert (fitted.isotonic is not None) == curve
    assert fitted.platt.slope == pytest.approx(0.8, rel=0.12)
    # Cases without any target are not asked, so the rate among those asked is what it is.
    rate = taken[~seen].mean()
    assert fitted.prior == pytest.approx(rate, rel=1e-9)
    found = fitted.apply(scores[~seen])
    assert found.mean() == pytest.approx(rate, rel=0.05)
    assert expected_calibration_error(found, taken[~seen]) < 0.1 * rate
    assert fitted.events_per_case == pytest.approx(taken.sum() / len(taken))


def test_another_prior_moves_the_mean_there() -> None:
    """Keep every taken pair and a tenth of the others: the probability for that list fits it."""
    scores, _, taken, seen = planted(0.8, -4.5, 400, 700)
    fitted = fit_engagement(
        lambda block: scores[block], asked(scores, taken, seen, 0), scores.shape[1], seed=0
    )
    kept = ~seen & (taken | (np.random.default_rng(3).random(seen.shape) < 0.1))
    found = fitted.apply(scores[kept], prior=float(taken[kept].mean()))
    assert expected_calibration_error(found, taken[kept]) < 0.02
    assert expected_calibration_error(fitted.apply(scores[kept]), taken[kept]) > 0.05


def test_pairs_are_all_positives_and_some_unseen_others() -> None:
    scores, _, taken, seen = planted(0.8, -6.0, 100, 300)
    numbered = np.arange(scores.size, dtype=np.float32).reshape(scores.shape)
    cases = asked(scores, taken, seen, 0)
    pairs = sample_pairs(lambda block: numbered[block], cases, 300, np.random.default_rng(0))
    chosen = pairs.scores.astype(np.int64)
    assert sorted(chosen[pairs.taken]) == np.flatnonzero(taken).tolist()
    others = chosen[~pairs.taken]
    assert len(set(others.tolist())) == len(others)
    assert not (taken | seen).ravel()[others].any()
    assert len(others) == pytest.approx(20 * taken.sum(), rel=0.15)


def test_seen_items_count_where_rankings_keep_them() -> None:
    scores, _, taken, seen = planted(0.8, -6.0, 100, 300)
    again = taken | seen  # everything is taken again
    cases = asked(scores, again, seen, 0)
    fitted = fit_engagement(lambda block: scores[block], cases, 300, 0, keep_seen=True)
    assert fitted.prior == pytest.approx(again.mean(), rel=1e-9)
    assert fitted.apply(scores).mean() == pytest.approx(again.mean(), rel=0.05)


def test_temperature_is_that_of_the_next_event_among_unseen_items() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 3, (3000, 40)).astype(np.float32)
    seen = rng.random(scores.shape) < 0.2
    scores[seen] += 4  # what was taken before fits well
    chances = softmax(np.where(seen, -np.inf, scores / 2.0), axis=1)
    drawn = (chances.cumsum(axis=1) > rng.random((3000, 1))).argmax(axis=1)
    cases = asked(scores, np.eye(40, dtype=bool)[drawn], seen, 0)
    fitted = {
        keep: fit_temperature(
            blockwise_nll(lambda keep=keep: next_event_blocks(lambda b: scores[b], cases, 40, keep))
        ).temperature
        for keep in (True, False)
    }
    assert fitted[False] == pytest.approx(2.0, rel=0.04)
    assert abs(fitted[True] - 2.0) > 0.2


# Strengths


def test_strength_link_averages_what_was_drawn() -> None:
    """log(1 + y) normal around a line: E[1 + y] = exp(mean + variance / 2)."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=20_000)
    strengths = np.exp(3.0 + 0.5 * z + 0.4 * rng.normal(size=len(z))) - 1
    link = fit_strength_link(z, strengths)
    at = np.array([-1.0, 0.0, 1.0])
    np.testing.assert_allclose(link.expected(at), np.exp(3.0 + 0.5 * at + 0.08) - 1, rtol=0.02)
    low, high = link.interval(z, 0.8)
    assert np.mean((strengths >= low) & (strengths <= high)) == pytest.approx(0.8, abs=0.01)


def test_strengths_below_zero_and_useless_predictions_have_a_link() -> None:
    strengths = np.array([-3.0, 2.0, -1.0, 4.0])
    link = fit_strength_link(np.array([1.0, -1.0, 1.0, -1.0]), strengths)  # the wrong way round
    assert link.slope == pytest.approx(1e-3)
    assert link.expected(np.zeros(1))[0] == pytest.approx(strengths.mean(), rel=0.01)
    assert np.isfinite(link.expected(np.array([-1e9, 1e9]))).all()


def test_strong_is_the_upper_fifth_of_the_scale() -> None:
    nothing = np.zeros(1, np.float32)
    assert strong_threshold(nothing, np.arange(1.0, 6.0)) == pytest.approx(4.0)
    assert strong_threshold(nothing, np.arange(1.0, 11.0)) == pytest.approx(8.0)
    assert strong_threshold(nothing, np.array([-1.0, 1.0])) == pytest.approx(0.6)
    dwell = np.array([*range(101), np.nan], np.float32)
    assert strong_threshold(dwell, None) == pytest.approx(80.0)


# Actions


def test_item_rates_against_counting() -> None:
    train = make_split(world(), SplitConfig(), 0).train()
    rows = train.event_rows()
    pairs = Counter(zip(train.columns.item[rows].tolist(), train.columns.action[rows].tolist(),
                        strict=True))  # fmt: skip
    typical = [sum(n for (_, a), n in pairs.items() if a == k) + 1 for k in range(NUM_ACTIONS)]
    typical = [n / sum(typical) for n in typical]
    found = item_rates(train, NUM_ITEMS, NUM_ACTIONS)
    for item in range(NUM_ITEMS):
        events = sum(pairs[item, k] for k in range(NUM_ACTIONS))
        for k in range(NUM_ACTIONS):
            rate = (pairs[item, k] + 10 * typical[k]) / (events + 10)
            assert found[item, k] == pytest.approx(np.log(rate / typical[k]), abs=1e-5)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_multinomial_gradient(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, x = rng.normal(size=(4, 3)), rng.normal(size=(9, 3))
    targets = rng.dirichlet(np.ones(3), 9)
    expected = approx_fprime(
        weights.ravel(), lambda w: multinomial_loss(w.reshape(4, 3), x, targets)[0], 1e-6
    )
    np.testing.assert_allclose(multinomial_loss(weights, x, targets)[1], expected, atol=1e-5)


def test_actions_recover_planted_chances() -> None:
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(20_000, 4)) * [1, 5, 0.1, 1] + [0, 3, 0, 0]).astype(np.float32)
    features[:, 3] = 1.0  # says nothing
    coefficients = rng.normal(0, 0.7, (4, 3)) / np.array([[1], [5], [0.1], [1]])
    truth = softmax(features @ coefficients, axis=1)
    actions = (truth.cumsum(axis=1) > rng.random((len(truth), 1))).argmax(axis=1)
    fitted = fit_actions(features, actions, np.zeros((2, 3), np.float32))
    np.testing.assert_allclose(fitted.given_engaged(features), truth, atol=0.03)


def test_an_action_that_never_occurs_stays_possible() -> None:
    features = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    fitted = fit_actions(features, np.zeros(50, np.int64), np.zeros((2, 3), np.float32))
    found = fitted.given_engaged(features)
    assert found[:, 0].min() > 0.9
    assert found.min() > 1e-4


# All together


@pytest.fixture(scope="module")
def split() -> Split:
    return make_split(world(), SplitConfig(), seed=0)


@pytest.fixture(scope="module")
def ledger() -> Iterator[Any]:
    """A ledger whose forward pass is compiled once for all fits."""
    reader = LedgerReader(small(dropout=0.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "LedgerReader", lambda model: reader)
        yield reader.model


@pytest.fixture(scope="module")
def fitted(ledger: Any, split: Split) -> Readouts:
    return fit_readouts(ledger, split, seed=0)


def arrays(readouts: Readouts, folder: Path) -> dict[str, np.ndarray]:
    readouts.save(folder)
    with np.load(folder / READOUTS) as saved:
        return {name: saved[name] for name in saved.files}


def test_validation_alone_is_fitted_on(
    ledger: Any, split: Split, fitted: Readouts, tmp_path: Path
) -> None:
    before = arrays(fitted, tmp_path)
    other_test = arrays(fit_readouts(ledger, changed(split, TEST)), tmp_path)
    for name, array in before.items():
        np.testing.assert_array_equal(other_test[name], array, err_msg=name)
    other_validation = arrays(fit_readouts(ledger, changed(split, VALIDATION)), tmp_path)
    for name in ("grades/ordinal_thresholds", "actions/intercept", "strength/line"):
        assert not np.array_equal(other_validation[name], before[name])


def test_everything_that_the_log_has_is_fitted(split: Split, fitted: Readouts) -> None:
    held = held_out(split, "validation")
    assert fitted.grades is not None
    assert fitted.strong is not None
    assert fitted.actions is not None
    assert fitted.grades.values.tolist() == [1, 2, 3, 4, 5]
    assert fitted.strong.threshold == 4.0
    assert fitted.engagement.events_per_case == len(held.cases.targets) / len(held)
    assert fitted.actions.coefficients.shape == (2 + 3 + NUM_ACTIONS, NUM_ACTIONS)


def test_a_model_without_a_ledger_has_temperature_and_engagement(split: Split) -> None:
    from tfrec.models.sasrec import SASRec

    model = SASRec(NUM_ITEMS, 8, 1, 1, LENGTH, 0.0)
    model.build()
    readouts = fit_readouts(model, split)
    assert readouts.strength is None
    assert readouts.actions is None
    assert readouts.engagement.apply(np.zeros(3)).shape == (3,)


# The file


@pytest.mark.parametrize("left_out", [(), ("grades", "actions"), ("strength", "grades", "strong")])
def test_what_was_saved_is_loaded(tmp_path: Path, left_out: tuple[str, ...]) -> None:
    readouts = replace(some_readouts(), **dict.fromkeys(left_out))
    readouts.save(tmp_path)
    loaded = Readouts.load(tmp_path)
    for name in left_out:
        assert getattr(loaded, name) is None
    first, second = (arrays(each, tmp_path) for each in (readouts, loaded))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)
    assert [path.name for path in tmp_path.iterdir()] == [READOUTS]


def test_a_failed_write_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_readouts(seed=0).save(tmp_path)
    before = (tmp_path / READOUTS).read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match=r"cannot write .*No space left"):
        some_readouts(seed=1).save(tmp_path)
    assert (tmp_path / READOUTS).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [READOUTS]


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no readouts\.npz.*--resume"):
        Readouts.load(tmp_path)
    some_readouts().save(tmp_path)
    path = tmp_path / READOUTS
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        Readouts.load(tmp_path)
    about = np.frombuffer(b'{"format_version": 99}', np.uint8)
    np.savez(path, about=about)
    with pytest.raises(UserError, match="version 99"):
        Readouts.load(tmp_path)
