"""Intensity: exact sums, links that keep their order, probabilities that belong together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interest.test_reading import some_cases
from tests.models.harness import NUM_ACTIONS, NUM_ITEMS
from tests.models.test_ledger import small
from tfrec.interest.fitting.action_readout import ActionReadout
from tfrec.interest.fitting.calibrators import Isotonic, Platt, Temperature
from tfrec.interest.fitting.engagement import Engagement
from tfrec.interest.fitting.ordinal import OrdinalLink
from tfrec.interest.fitting.strength_link import StrengthLink
from tfrec.interest.intensity import Intensity, intensity
from tfrec.interest.reading import LedgerReader, Readings
from tfrec.interest.readouts import GradeLink, Readouts, Strong
from tfrec.interest.strength_lines import StrengthWeights, strength_lines, strength_scores
from tfrec.interest.user_side import UserSide

FACETS, ASKED = 2, 7


@pytest.fixture(scope="module")
def reader() -> LedgerReader:
    return LedgerReader(small(residual=True, dropout=0.0))


@pytest.fixture(scope="module")
def readings(reader: LedgerReader) -> Readings:
    return reader.read(some_cases())


def asked_items(users: int, seed: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, NUM_ITEMS, (users, ASKED)).astype(np.int32)


def some_readouts(seed: int = 0) -> Readouts:
    rng = np.random.default_rng(seed)
    features = FACETS + 3 + NUM_ACTIONS
    return Readouts(
        Temperature(1.2),
        Engagement(Platt(0.7, -4.0), None, 0.01, 1.0),
        StrengthLink(0.4, 1.2, np.sort(rng.normal(0, 0.3, 9))),
        GradeLink(np.array([1.0, 2.5, 3.0, 5.0]), OrdinalLink(np.array([-1.0, 0.3, 2.0]), 1.3)),
        Strong(3.0, Isotonic(np.array([-1.0, 0.0, 2.0]), np.array([0.1, 0.4, 0.8]))),
        ActionReadout(
            rng.normal(0, 0.5, (features, NUM_ACTIONS)),
            rng.normal(0, 1, NUM_ACTIONS),
            rng.normal(0, 0.3, (NUM_ITEMS, NUM_ACTIONS)).astype(np.float32),
        ),
    )


def found(reader: LedgerReader, readings: Readings, readouts: Readouts) -> Intensity:
    items = asked_items(len(readings))
    weights = StrengthWeights.of(reader.model)
    return intensity(readings, reader.catalogue, weights, readouts, items)


def test_strength_is_what_the_trained_layer_predicts(
    reader: LedgerReader, readings: Readings
) -> None:
    """NumPy against Keras, whose inputs are put together here from the model's own reading."""
    cases, model = some_cases(), reader.model
    items = asked_items(len(cases))
    tokens = reader.tokens(cases.histories, cases.request_times)
    reading = model.read(tokens)
    side = model.item_side(model.tower())
    blocks = np.asarray(side.blocks)[items]
    crowd = np.asarray(reading.conformity[:, -1])[:, None] * np.einsum(
        "nw,wnm->nm", np.asarray(reading.period[:, -1]), np.asarray(side.popularity)[:, items]
    )
    expected = model.strength.predict(
        items=items,
        habit=np.asarray(reading.habit[:, -1])[:, None],
        crowd=crowd,
        facets=np.einsum("nkd,nmkd->nmk", np.asarray(reading.facets())[:, -1], blocks),
        graded=np.einsum("nkd,nmkd->nmk", np.asarray(reading.graded())[:, -1], blocks),
        liking=np.asarray(
            model.strength.liking(tokens["items"], reading.grades, reading.habit, reading.known)
        )[:, None, -1],
    )
    weights = StrengthWeights.of(model)
    scores = strength_scores(UserSide.of(readings), reader.catalogue, weights, items)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


def test_strength_lines_sum_to_the_strength(reader: LedgerReader, readings: Readings) -> None:
    items, weights = asked_items(len(readings)), StrengthWeights.of(reader.model)
    lines = strength_lines(readings, reader.catalogue, weights, items)
    assert lines.events.shape == (*items.shape, readings.items.shape[1], FACETS)
    scores = strength_scores(UserSide.of(readings), reader.catalogue, weights, items)
    np.testing.assert_allclose(lines.total, scores, rtol=1e-4, atol=1e-4)
    padding = ~readings.real[:, None, :].repeat(ASKED, axis=1)
    assert np.abs(lines.events[padding]).max() == 0
    assert np.abs(lines.liking[padding]).max() == 0
    assert np.abs(lines.events).max() > 0.01
    assert np.abs(lines.liking).max() > 0.01


def test_silencing_an_event_takes_away_its_line(reader: LedgerReader, readings: Readings) -> None:
    items, weights = asked_items(len(readings)), StrengthWeights.of(reader.model)
    without = np.ones(readings.items.shape, np.float32)
    without[:, -1] = 0
    silenced = readings.with_gains(event_gain=without)
    both = [
        strength_scores(UserSide.of(each), reader.catalogue, weights, items)
        for each in (readings, silenced)
    ]
    lines = strength_lines(readings, reader.catalogue, weights, items)
    said = lines.events[:, :, -1].sum(axis=-1) + lines.liking[:, :, -1]
    np.testing.assert_allclose(both[0] - both[1], said, rtol=1e-3, atol=1e-4)


def test_users_may_be_taken_and_joined(readings: Readings) -> None:
    users = UserSide.of(readings)
    parts = [users.take(slice(0, 3)), users.take(np.arange(3, len(users)))]
    joined = UserSide.concatenate(parts)
    np.testing.assert_array_equal(joined.facets, users.facets)
    np.testing.assert_array_equal(joined.habit, users.habit)
    assert (joined.context is None) == (users.context is None)


def test_the_score_is_the_one_that_ranks(reader: LedgerReader, readings: Readings) -> None:
    answer = found(reader, readings, some_readouts())
    scores = readings.scores(reader.catalogue)
    expected = np.take_along_axis(scores, asked_items(len(readings)), axis=1)
    np.testing.assert_allclose(answer.score, expected, rtol=1e-4, atol=1e-4)


def test_probabilities_belong_together(reader: LedgerReader, readings: Readings) -> None:
    answer, readouts = found(reader, readings, some_readouts()), some_readouts()
    assert answer.grade_probabilities is not None
    assert answer.action_probabilities is not None
    np.testing.assert_allclose(answer.grade_probabilities.sum(axis=-1), 1, atol=1e-9)
    values = readouts.grades.values
    np.testing.assert_allclose(
        answer.grade_probabilities @ values, answer.expected_strength, atol=1e-9
    )
    np.testing.assert_allclose(
        answer.action_probabilities.sum(axis=-1), answer.engagement_probability, atol=1e-12
    )
    assert answer.action_probabilities.min() >= 0


def test_without_strengths_and_actions_there_is_engagement_alone(
    reader: LedgerReader, readings: Readings
) -> None:
    bare = Readouts(Temperature(1.0), Engagement(Platt(1.0, 0.0), None, 0.1, 1.0))
    answer = found(reader, readings, bare)
    assert answer.engagement_probability.shape == (len(readings), ASKED)
    for name in ("strength_score", "expected_strength", "strong_probability",
                 "grade_probabilities", "action_probabilities"):  # fmt: skip
        assert getattr(answer, name) is None


def test_strengths_that_are_no_grades_have_the_link_of_counts(
    reader: LedgerReader, readings: Readings
) -> None:
    readouts = replace(some_readouts(), grades=None)
    answer = found(reader, readings, readouts)
    assert answer.grade_probabilities is None
    z = np.asarray(answer.strength_score, np.float64)
    logged = 1.2 + 0.4 * z[..., None] + readouts.strength.errors
    plain = np.where(logged >= 0, np.exp(np.abs(logged)) - 1, 1 - np.exp(np.abs(logged)))
    np.testing.assert_allclose(answer.expected_strength, plain.mean(axis=-1), rtol=1e-9)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 5), st.floats(-8, 8))
@settings(deadline=None, max_examples=40)
def test_no_link_turns_the_order_around(seed: int, scale: float, offset: float) -> None:
    """Whatever was fitted: a higher sum never reads as less, and visibly higher reads as more."""
    rng = np.random.default_rng(seed)
    sums = np.sort(rng.normal(0, 3, 40))
    knots = rng.integers(1, 6)
    curve = Isotonic(
        np.sort(rng.normal(0, 2, knots)) + np.arange(knots),
        (np.arange(knots) + rng.uniform(0.1, 0.9, knots)) / knots,
    )
    grades = GradeLink(
        np.cumsum(rng.integers(1, 4, 5)) / 2 - 2,
        OrdinalLink(np.cumsum(rng.uniform(0.1, 2, 4)) - 2, scale),
    )
    links = [
        Engagement(Platt(scale, offset), None, 0.01, 1.0).apply(sums),
        Engagement(Platt(scale, offset), curve, 0.01, 1.0).apply(sums),
        Engagement(Platt(scale, offset), curve, 0.01, 1.0).apply(sums, prior=0.3),
        StrengthLink(scale, offset, np.sort(rng.normal(0, 1, 7))).expected(sums),
        grades.expected(sums),
        curve.apply(sums),
    ]
    visible = np.diff(sums) > 0.01
    for found in links:
        assert np.isfinite(found).all()
        assert (np.diff(found) >= 0).all()
        inner = visible & (np.abs(sums[1:]) * scale < 5) & (np.abs(sums[:-1]) * scale < 5)
        assert (np.diff(found)[inner] > 0).all()


def test_items_must_belong_to_the_users(reader: LedgerReader, readings: Readings) -> None:
    weights = StrengthWeights.of(reader.model)
    with pytest.raises(ValueError, match=r"items must be \[40, M\], got \(3, 2\)"):
        intensity(readings, reader.catalogue, weights, some_readouts(), np.zeros((3, 2), np.int32))
