"""What a user wants overall: against plain loops, and with nothing in it that was blocked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from tests.interest.test_reading import some_cases
from tests.models.harness import NUM_ITEMS
from tests.models.test_ledger import small
from tfrec.interest import distribution as module
from tfrec.interest.distribution import OTHER_LINES, distribution
from tfrec.interest.fitting.calibrators import Temperature
from tfrec.interest.reading import Catalogue, LedgerReader, Readings

USERS = 12
SHARES = np.random.default_rng(5).dirichlet(np.ones(4), NUM_ITEMS)
SHARES[7] = 0  # an item without a category


@pytest.fixture(scope="module")
def read() -> tuple[Readings, Catalogue]:
    reader = LedgerReader(small(residual=True, dropout=0.0))
    return reader.read(some_cases(USERS)), reader.catalogue


@pytest.fixture(scope="module", params=["with context", "without"])
def parts(request: pytest.FixtureRequest, read) -> tuple[Readings, Catalogue]:
    readings, catalogue = read
    if request.param == "with context":
        return readings, catalogue
    return replace(readings, context=None), replace(catalogue, context=None)


@pytest.fixture(scope="module")
def readings(parts) -> Readings:
    return parts[0]


@pytest.fixture(scope="module")
def catalogue(parts) -> Catalogue:
    return parts[1]


def loop_lines(readings: Readings, catalogue: Catalogue, user: int) -> np.ndarray:
    """Every line of every item of one user from the event lines, [I, K + 3]."""
    one = readings.take(slice(user, user + 1))
    items = np.arange(NUM_ITEMS, dtype=np.int32)[None]
    facets = one.contributions(catalogue, items)[0].sum(axis=1)
    others = [
        one.quality_line(catalogue, items)[0],
        one.conformity_line(catalogue, items)[0],
        one.context_line(catalogue, items)[0],
    ]
    return np.concatenate([facets, np.stack(others, axis=1)], axis=1)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 3.0])
def test_every_number_equals_a_plain_loop(readings, catalogue, temperature):
    blocked = np.zeros(NUM_ITEMS, np.bool_)
    blocked[[2, 11]] = True
    found = distribution(
        readings, catalogue, Temperature(temperature), 6, SHARES, blocked, seen=True
    )
    scores = readings.scores(catalogue)
    for user in range(USERS):
        history = set(readings.items[user].tolist()) - {-1}
        left = [i for i in range(NUM_ITEMS) if not blocked[i] and i not in history]
        logs = dict(
            zip(left, log_softmax(scores[user, left].astype(float) / temperature), strict=True)
        )
        p = {item: np.exp(value) for item, value in logs.items()}
        best = sorted(left, key=lambda item: -logs[item])
        assert found.items[user].tolist() == best[:6]
        np.testing.assert_allclose(
            found.log_probabilities[user], [logs[i] for i in best[:6]], atol=1e-5
        )
        assert found.entropy[user] == pytest.approx(-sum(p[i] * logs[i] for i in left), abs=1e-5)
        assert found.tail_mass[user] == pytest.approx(sum(p[i] for i in best[6:]), abs=1e-6)
        for c in range(4):
            expected = sum(p[i] * SHARES[i, c] for i in left)
            assert found.category_mass[user, c] == pytest.approx(expected, abs=1e-6)
        lines = loop_lines(readings, catalogue, user)
        for n in range(lines.shape[1]):
            assert found.line_mass[user, n] == pytest.approx(
                sum(p[i] * lines[i, n] for i in left), abs=1e-4
            )
            assert found.line_weight[user, n] == pytest.approx(
                sum(p[i] * abs(lines[i, n]) for i in left), abs=1e-4
            )


def test_the_mass_of_all_lines_is_free_energy_plus_entropy(readings, catalogue):
    """E_p[s] = T (log Σ exp(s/T) - H(p)): what a softmax is, so the lines leave nothing out."""
    temperature = 1.7
    found = distribution(readings, catalogue, Temperature(temperature), 1)
    scores = readings.scores(catalogue).astype(np.float64) / temperature
    free = np.log(np.exp(scores).sum(axis=1))
    np.testing.assert_allclose(
        found.line_mass.sum(axis=1), temperature * (free - found.entropy), atol=1e-4
    )


def test_shares_are_parts_of_one(readings, catalogue):
    found = distribution(readings, catalogue, Temperature(1.0), 3)
    facets = readings.gates.shape[1]
    assert found.line_shares.shape == (USERS, facets + len(OTHER_LINES))
    assert found.facet_mass.shape == found.facet_shares.shape == (USERS, facets)
    np.testing.assert_allclose(found.line_shares.sum(axis=1), 1)
    known = readings.real.any(axis=1)
    assert not known.all()
    np.testing.assert_allclose(found.facet_shares.sum(axis=1), known.astype(float))
    np.testing.assert_allclose(
        found.facet_shares[known],
        found.line_weight[known, :facets] / found.line_weight[known, :facets].sum(1)[:, None],
    )


def test_a_cold_distribution_takes_what_its_only_facet_speaks_for(readings, catalogue):
    """Cold enough, M_f of a user with one facet left is the largest line of that facet."""
    gain = np.zeros(readings.gates.shape[1], np.float32)
    gain[1] = 1
    alone = readings.with_gains(facet_gain=gain, conformity_gain=0.0)
    alone = replace(alone, context=None if alone.context is None else 0 * alone.context)
    flat = replace(catalogue, quality=0 * catalogue.quality)
    found = distribution(alone, flat, Temperature(1e-4), 1)
    everything = np.broadcast_to(np.arange(NUM_ITEMS, dtype=np.int32), (USERS, NUM_ITEMS))
    best = alone.facet_scores(catalogue, everything)[:, :, 1].max(axis=1)
    known = readings.real.any(axis=1)
    np.testing.assert_allclose(found.facet_mass[known, 1], best[known], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.facet_mass[:, 0], 0, atol=1e-6)


@given(
    st.integers(0, 10_000),
    st.floats(0.05, 20),
    st.integers(1, NUM_ITEMS),
    st.floats(0, 1),
)
@settings(max_examples=40)
def test_what_may_not_come_has_no_probability(readings, catalogue, seed, temperature, k, density):
    rng = np.random.default_rng(seed)
    blocked = rng.random(NUM_ITEMS) < density / 2
    removed = rng.random((USERS, NUM_ITEMS)) < density
    gone = blocked | removed
    found = distribution(readings, catalogue, Temperature(temperature), k, SHARES, blocked, removed)
    left = NUM_ITEMS - gone.sum(axis=1)
    np.testing.assert_array_equal((found.items >= 0).sum(axis=1), np.minimum(left, k))
    for user, item in zip(*np.nonzero(found.items >= 0), strict=True):
        assert not gone[user, found.items[user, item]]
    assert (found.probabilities[found.items < 0] == 0).all()
    total = found.probabilities.sum(axis=1) + found.tail_mass
    np.testing.assert_allclose(total, left > 0)
    assert (np.diff(found.probabilities, axis=1) <= 0).all()
    assert all(len(set(row)) == len(row) for row in [r[r >= 0].tolist() for r in found.items])
    assert (found.entropy <= np.log(np.maximum(left, 1)) + 1e-9).all()
    category_only_gone = SHARES[~gone[0]].sum(axis=0) == 0
    assert (found.category_mass[0][category_only_gone] == 0).all()


def test_a_user_who_gets_nothing_has_a_row_of_nothing(readings, catalogue):
    removed = np.zeros((USERS, NUM_ITEMS), np.bool_)
    removed[3] = True
    found = distribution(readings, catalogue, Temperature(1.0), 4, SHARES, removed=removed)
    assert found.items[3].tolist() == [-1] * 4
    for number in (found.probabilities, found.category_mass, found.line_mass, found.line_shares):
        assert (number[3] == 0).all()
    assert found.entropy[3] == 0
    assert found.tail_mass[3] == 0
    others = np.arange(USERS) != 3
    plain = distribution(readings, catalogue, Temperature(1.0), 4, SHARES)
    np.testing.assert_array_equal(found.items[others], plain.items[others])


def test_full_histories_are_removed_beyond_what_the_model_reads(readings, catalogue):
    histories = some_cases(USERS).histories
    assert histories.lengths.max() > readings.items.shape[1]
    found = distribution(readings, catalogue, Temperature(1.0), NUM_ITEMS, removed=histories)
    for user in range(USERS):
        shown = set(found.items[user].tolist()) - {-1}
        assert shown == set(range(NUM_ITEMS)) - set(histories.take(slice(user, user + 1)).items())


def test_blocks_of_users_change_nothing(readings, catalogue, monkeypatch):
    histories = some_cases(USERS).histories
    arguments = (readings, catalogue, Temperature(1.3), 5, SHARES)
    whole = distribution(*arguments, removed=histories)
    monkeypatch.setattr(module, "_CELLS_PER_BLOCK", 5 * NUM_ITEMS)
    pieces = distribution(*arguments, removed=histories)
    np.testing.assert_array_equal(pieces.items, whole.items)
    np.testing.assert_allclose(pieces.line_mass, whole.line_mass, atol=1e-5)
    np.testing.assert_allclose(pieces.entropy, whole.entropy, atol=1e-5)


def test_of_equal_items_the_first_comes_first(readings, catalogue):
    empty = readings.take(slice(0, 1)).with_gains(conformity_gain=0.0)
    empty = replace(empty, context=None if empty.context is None else 0 * empty.context)
    flat = replace(catalogue, quality=0 * catalogue.quality)
    found = distribution(empty, flat, Temperature(1.0), 4)
    assert found.items.tolist() == [[0, 1, 2, 3]]
    assert found.entropy == pytest.approx([np.log(NUM_ITEMS)])
    assert found.category_mass.shape == (1, 0)


def test_mistakes_are_named(readings, catalogue):
    def run(k=3, **options):
        return distribution(readings, catalogue, Temperature(1.0), k, **options)

    with pytest.raises(ValueError, match=r"top_k must be 1 … 23"):
        run(0)
    with pytest.raises(ValueError, match=r"top_k must be 1 … 23"):
        run(NUM_ITEMS + 1)
    with pytest.raises(ValueError, match=r"blocked must be bool \(23,\), got int64 \(2,\)"):
        run(blocked=np.array([1, 2]))
    with pytest.raises(ValueError, match=r"removed must be bool \(12, 23\)"):
        run(removed=np.zeros((2, NUM_ITEMS), np.bool_))
    with pytest.raises(ValueError, match="removed must hold 12 sequences, got 3"):
        run(removed=some_cases(3).histories)
    with pytest.raises(ValueError, match=r"item_categories must be \[23, C\]"):
        run(item_categories=np.zeros((2, 4)))
