"""The scale of strengths, and what items get, against planted truths."""

import numpy as np
import pytest

from tfrec.data.sequences import Columns, Sequences
from tfrec.data.strengths import (
    PRIOR_EVENTS,
    StrengthScale,
    grade_values,
    item_strengths,
    strength_scale,
)

USERS, ITEMS = 300, 40


def log(strength: np.ndarray | None, item: np.ndarray | None = None, users: int = 1) -> Sequences:
    """The events cut into equal histories; other events before and between are not training."""
    count = 0 if strength is None else len(strength)
    item = np.zeros(count, np.int64) if item is None else item
    columns = Columns(
        item=item.astype(np.int32),
        timestamp=np.arange(count),
        strength=None if strength is None else strength.astype(np.float32),
    )
    starts = np.arange(users) * (count // users)
    return Sequences(np.arange(users, dtype=np.int32), starts, starts + count // users, columns)


def planted(seed: int = 0) -> tuple[Sequences, np.ndarray]:
    """Harsh users pick the good items, so that plain means of items mislead."""
    rng = np.random.default_rng(seed)
    of_item, of_user = rng.normal(0, 0.6, ITEMS), rng.normal(0, 1.0, USERS)
    of_item -= of_item.mean()
    each = 60
    user = np.repeat(np.arange(USERS), each)
    choice = np.exp(-1.5 * of_user[:, None] * of_item[None])
    choice /= choice.sum(axis=1, keepdims=True)
    item = np.concatenate([rng.choice(ITEMS, each, p=row) for row in choice])
    strength = of_item[item] + of_user[user] + rng.normal(0, 0.3, len(item))
    strength[rng.random(len(item)) < 0.1] = np.nan
    return log(strength, item, USERS), of_item


def test_grades_are_few_whole_or_half_numbers() -> None:
    def of(*values: float) -> list[float] | None:
        found = grade_values(np.array([*values, np.nan], np.float32))
        return None if found is None else found.tolist()

    assert of(5, 1, 3, 3, 0.5) == [0.5, 1, 3, 5]
    assert of(1, 1, 1) is None
    assert of(1, 2.25) is None
    assert of(*range(20)) == list(range(20))
    assert of(*range(21)) is None


@pytest.mark.parametrize("logarithmic", [False, True])
def test_training_strengths_are_standardised_as_they_are_or_in_logarithms(
    logarithmic: bool,
) -> None:
    rng = np.random.default_rng(1)
    strength = rng.exponential(100, 500) - 20 if logarithmic else rng.integers(1, 6, 500) * 1.0
    strength[::7] = np.nan
    scale = strength_scale(log(strength))
    assert scale.logarithmic == logarithmic
    z = scale.standardised(strength)
    assert np.isnan(z).tolist() == np.isnan(strength).tolist()
    assert np.nanmean(z) == pytest.approx(0, abs=1e-6)
    assert np.nanstd(z) == pytest.approx(1, abs=1e-6)
    known = ~np.isnan(z)
    level = np.sign(strength) * np.log1p(np.abs(strength)) if logarithmic else strength
    assert np.corrcoef(z[known], level[known])[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("strength", [None, np.full(4, np.nan), np.full(9, 0.1), np.zeros(0)])
def test_strengths_that_do_not_vary_have_a_scale(strength: np.ndarray | None) -> None:
    scale = strength_scale(log(strength))
    assert scale.deviation == 1
    assert np.isfinite(scale.mean)


def test_item_strengths_recover_planted_means_where_plain_means_mislead() -> None:
    train, truth = planted()
    found = item_strengths(train, ITEMS, StrengthScale(False, 0.0, 1.0))
    assert np.corrcoef(found, truth)[0, 1] > 0.99
    strength, item = train.columns.strength, train.columns.item
    plain = np.array([np.nanmean(strength[item == i]) for i in range(ITEMS)])
    assert np.corrcoef(plain, truth)[0, 1] < 0.9


def test_item_strengths_are_the_ridge_regression_on_users_and_items() -> None:
    train, _ = planted(seed=2)
    scale = strength_scale(train)
    z = scale.standardised(train.columns.strength)
    known = ~np.isnan(z)
    user = np.repeat(np.arange(USERS), train.lengths)[known]
    design = np.zeros((known.sum(), ITEMS + 1 + USERS))
    design[np.arange(len(design)), train.columns.item[known]] = 1
    design[np.arange(len(design)), ITEMS + 1 + user] = 1
    normal = design.T @ design + PRIOR_EVENTS * np.eye(design.shape[1])
    exact = np.linalg.solve(normal, design.T @ z[known])
    found = item_strengths(train, ITEMS + 1, scale)  # the last item has no events
    np.testing.assert_allclose(found, exact[: ITEMS + 1], atol=0.02)
    assert found[ITEMS] == 0


def test_items_of_a_log_without_strengths_are_all_alike() -> None:
    assert item_strengths(log(None), 5, StrengthScale(True, 0.0, 1.0)).tolist() == [0] * 5
