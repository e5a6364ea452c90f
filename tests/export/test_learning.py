"""What an event teaches, against NumPy: the loss from the lines of explain, its slope measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from export.graph.learning import FARTHEST, PULL, RATE
from tests.export.asked_requests import UNKNOWN, Request, random_request
from tests.export.small_runs import IDS, Model
from tfrec.interest.asking.load import load_run

Float64 = NDArray[np.float64]
STEP = 1e-4


@pytest.fixture(scope="module")
def temperature(ledger: Model) -> float:
    readouts = load_run(ledger.run).readouts
    assert readouts
    return float(readouts.temperature.temperature)


class Reference:
    """One user's choice among all items as a function of log gains, from the lines of explain."""

    def __init__(self, ledger: Model, request: Request, row: int, temperature: float) -> None:
        one = {name: value[row : row + 1] for name, value in request.full.items()}
        found = ledger.served.ask("explain_full", **one, candidate_items=[IDS])
        facets = found["event_contributions"][0].astype(np.float64).sum(axis=1)  # [I, K]
        crowd = found["conformity"][0].astype(np.float64)
        self.lines = np.column_stack([facets, crowd])  # with the request's gains inside
        self.rest = found["score"][0].astype(np.float64) - self.lines.sum(axis=1)
        self.temperature = temperature
        self.seen = np.isin(IDS, request.items[row].tolist())

    def loss(self, more: Float64, item: str, engaged: bool) -> float:
        """At log gains that are higher by `more`, [K + 1]."""
        number = IDS.index(item)
        score = (self.rest + self.lines @ np.exp(more)) / self.temperature
        score[self.seen & (np.arange(len(IDS)) != number)] = -np.inf
        weight = np.exp(score - score.max())
        p = weight[number] / weight.sum()
        return float(-np.log(p) if engaged else -np.log1p(-p))

    def slope(self, item: str, engaged: bool) -> Float64:
        size = self.lines.shape[1]
        ahead, behind = (
            [self.loss(sign * STEP * row, item, engaged) for row in np.eye(size)]
            for sign in (1, -1)
        )
        return (np.array(ahead) - np.array(behind)) / (2 * STEP)


def updated(ledger: Model, request: Request, items: list[str], engaged: list[bool]) -> Any:
    return ledger.served.ask("update_user_full", **request.full, item=items, engaged=engaged)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_a_step_is_the_proximal_one_down_the_slope_of_the_loss(
    ledger: Model, temperature: float, seed: int
) -> None:
    facets = ledger.exported.sizes.facets
    request = random_request(IDS, facets, 6, 10, seed, gains=True)
    rng = np.random.default_rng(seed)
    items, engaged = rng.choice(IDS, 6).tolist(), (rng.random(6) < 0.5).tolist()
    items[0] = next((name for name in request.items[0] if name in IDS), items[0])  # once more
    found = updated(ledger, request, items, engaged)
    assert found["known"].all()
    for row in range(6):
        reference = Reference(ledger, request, row, temperature)
        loss = reference.loss(np.zeros(facets + 1), items[row], engaged[row])
        np.testing.assert_allclose(found["log_loss"][row], loss, rtol=1e-4, atol=1e-5)
        before = np.append(request.facet_gain[row], request.conformity_gain[row])
        after = np.append(found["facet_gain"][row], found["conformity_gain"][row])
        moved = np.clip(RATE * reference.slope(items[row], engaged[row]), -FARTHEST, FARTHEST)
        with np.errstate(divide="ignore"):
            expected = np.exp((np.log(before) - moved) / (1 + RATE * PULL))
        np.testing.assert_allclose(after, expected, rtol=1e-4)
        assert not after[before == 0].any()


def test_what_is_taken_again_and_again_is_expected(ledger: Model) -> None:
    """The state goes back in as it came out; who refuses the same item goes the other way."""
    facets = ledger.exported.sizes.facets
    request = random_request(IDS, facets, 2, 8, seed=3)
    request.items[:] = IDS[:8]
    item = IDS[10]
    state = {"facet_gain": request.facet_gain, "conformity_gain": request.conformity_gain}
    for _ in range(15):
        found = ledger.served.ask(
            "update_user", **request.short, **state, item=[item] * 2, engaged=[True, False]
        )
        state = {name: found[name] for name in state}
    gains = np.column_stack([state["facet_gain"], state["conformity_gain"]]).astype(np.float64)
    moved = np.abs(gains[1] - 1) > 1e-6
    assert moved.any()
    assert ((gains[0] > 1) == (gains[1] < 1))[moved].all()
    asked = {**request.short, "item": [item] * 2, "engaged": [True, True]}
    ones = {name: np.ones_like(value) for name, value in state.items()}
    before = ledger.served.ask("update_user", **asked, **ones)["log_loss"]
    after = ledger.served.ask("update_user", **asked, **state)["log_loss"]
    assert after[0] < before[0]
    assert after[1] >= before[1] - 1e-6  # refusals say so little that float32 hardly sees it


def test_without_evidence_gains_return_to_one(ledger: Model) -> None:
    """A user without events has no lines that an event could speak about."""
    facets = ledger.exported.sizes.facets
    found = ledger.served.ask(
        "update_user",
        history_items=[[], []],
        history_times=[[], []],
        facet_gain=[[4.0] * facets, [0.0] * facets],
        conformity_gain=[0.0, 0.0],
        item=[IDS[3], IDS[4]],
        engaged=[True, True],
    )
    np.testing.assert_allclose(found["facet_gain"][0], 4 ** (1 / (1 + RATE * PULL)), rtol=1e-6)
    assert not found["facet_gain"][1].any()
    assert not found["conformity_gain"].any()


def test_an_unknown_item_teaches_nothing(ledger: Model) -> None:
    request = random_request(IDS, ledger.exported.sizes.facets, 3, 8, seed=5, gains=True)
    found = updated(ledger, request, [UNKNOWN, "", IDS[0]], [True, False, True])
    assert found["known"].tolist() == [False, False, True]
    assert not found["log_loss"][:2].any()
    np.testing.assert_array_equal(found["facet_gain"][:2], request.facet_gain[:2])
    np.testing.assert_array_equal(found["conformity_gain"][:2], request.conformity_gain[:2])
