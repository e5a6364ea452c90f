from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
from small_logs import cases, random_log, sequences

from tfrec.evaluation.baselines import EASE, DecayedEASE, tune
from tfrec.evaluation.baselines.baseline import Memo
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.ranking import rank

TRAIN = sequences([[0, 1, 2], [3]])


@dataclass(eq=False)
class Hill:
    """Ranks the target better, the closer x and y are to 3 and "c"."""

    name: ClassVar[str] = "hill"
    GRID: ClassVar[dict] = {"x": (1, 2, 3, 4, 5), "y": ("a", "b", "c", "d")}
    x: int = 2
    y: str = "b"
    fits: ClassVar[list] = []
    _num_items: int = field(init=False, repr=False)

    def fit(self, train, num_items, memo=None):
        self.fits.append((self.x, self.y))
        self._num_items = num_items

    def score(self, asked):
        scores = np.arange(self._num_items, dtype=np.float32)
        distance = abs(self.x - 3) + abs("abcd".index(self.y) - 2)
        scores[0] = self._num_items - distance - 0.5  # item 0 is the target
        return np.tile(scores, (len(asked), 1))

    def needed_bytes(self, train, num_items):
        return 0


def test_climbs_one_hyperparameter_after_another_and_tries_nothing_twice():
    Hill.fits.clear()
    start, seen = Hill(x=1, y="d"), []
    tuned = tune(start, TRAIN, cases([[], [5]]), 20, progress=seen.append)
    assert (tuned.baseline.x, tuned.baseline.y) == (3, "c")
    assert (start.x, start.y) == (1, "d")
    assert Hill.fits == [(1, "d"), (2, "d"), (3, "d"), (4, "d"), (3, "c"), (3, "b")]
    assert [trial.settings["x"] for trial in tuned.trials] == [x for x, _ in Hill.fits]
    assert seen == tuned.trials
    assert tuned.finished
    best = max(tuned.trials, key=lambda trial: trial.ndcg)
    assert best.settings == {"x": 3, "y": "c"}


def test_reported_ndcg_is_that_of_the_returned_baseline():
    train = sequences(random_log(60, 15, 10))
    validation = cases([[1, 2], [5, 6], [9]], targets=[3, 7, 10])
    tuned = tune(EASE(), train, validation, 15)
    ndcg = accuracy(rank(tuned.baseline, validation, 15, 10), validation, [10])["ndcg@10"].mean()
    assert max(trial.ndcg for trial in tuned.trials) == pytest.approx(ndcg)
    assert len(tuned.trials) >= 3


def test_without_budget_the_default_is_fitted_and_the_result_says_so():
    tuned = tune(Hill(), TRAIN, cases([[]]), 20, budget_seconds=0.0)
    assert not tuned.finished
    assert [trial.settings for trial in tuned.trials] == [{"x": 2, "y": "b"}]


def test_without_validation_cases_the_default_is_fitted():
    tuned = tune(Hill(), TRAIN, cases([]), 20)
    assert tuned.trials == []
    assert tuned.baseline.score(cases([[]])).shape == (1, 20)


def test_selects_on_a_sample_of_many_cases(monkeypatch):
    monkeypatch.setattr("tfrec.evaluation.baselines.tuning.MAX_CASES", 3)
    sizes = []
    monkeypatch.setattr(
        Hill,
        "score",
        lambda self, asked: sizes.append(len(asked)) or np.zeros((len(asked), 20), np.float32),
    )
    tune(Hill(), TRAIN, cases([[]] * 9), 20)
    assert set(sizes) == {3}


def test_shared_work_changes_no_result():
    train = sequences(random_log(60, 15, 10))
    asked, memo = cases(random_log(5, 15, 10, seed=1)), Memo()
    for settings in (
        {"order_share": 0.5},
        {"order_share": 0.5, "half_life": 5.0},
        {"order_share": 0.5, "half_life": 5.0, "regularization": 30.0},
        {"order_share": 0.0, "half_life": 5.0},
        {"order_share": 0.0, "half_life": 1.0},
    ):
        shared, alone = DecayedEASE(**settings), DecayedEASE(**settings)
        shared.fit(train, 15, memo)
        alone.fit(train, 15)
        np.testing.assert_array_equal(shared.score(asked), alone.score(asked))
