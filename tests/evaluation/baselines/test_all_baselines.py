"""What holds for every baseline, and the run over all of them."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_logs import HOUR_MS, cases, logs, random_log, sequences

from tfrec.errors import UserError
from tfrec.evaluation.baselines import all_baselines, run_baselines, settings_of
from tfrec.evaluation.baselines.memory import available_bytes, shortage
from tfrec.evaluation.ranking import rank

NUM_ITEMS = 14  # items 12 and 13 never occur in training
NAMES = list(all_baselines())


@pytest.fixture(scope="module")
def fitted():
    train = sequences(random_log(50, 12, 9, repeats=True))
    models = all_baselines()
    for model in models.values():
        model.fit(train, NUM_ITEMS)
    return models


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_on_the_grid(name):
    baseline = all_baselines()[name]
    assert all(getattr(baseline, key) in values for key, values in baseline.GRID.items())
    assert set(baseline.GRID) <= set(settings_of(baseline))


@settings(max_examples=30, deadline=None)
@given(logs(NUM_ITEMS, max_users=7), st.integers(1, 6), st.integers(-5, 50))
def test_scores_are_finite_and_do_not_depend_on_the_batch(fitted, histories, size, hour):
    asked = cases(histories, request_times=[hour * HOUR_MS] * len(histories))
    for model in fitted.values():
        whole = model.score(asked)
        assert whole.dtype == np.float32
        assert whole.shape == (len(histories), NUM_ITEMS)
        assert np.isfinite(whole).all()
        pieces = [asked.take(slice(n, n + size)) for n in range(0, len(asked), size)]
        parts = np.concatenate([model.score(piece) for piece in pieces])
        np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_fit_forgets_the_first(name):
    first, second = sequences(random_log(50, 12, 9)), sequences(random_log(50, 12, 9, seed=8))
    twice, once = all_baselines()[name], all_baselines()[name]
    twice.fit(first, NUM_ITEMS)
    twice.fit(second, NUM_ITEMS)
    once.fit(second, NUM_ITEMS)
    asked = cases([[1, 2], []], request_times=[9 * HOUR_MS] * 2)
    np.testing.assert_array_equal(twice.score(asked), once.score(asked))


@pytest.mark.parametrize("name", NAMES)
def test_training_sequences_may_all_be_empty(name):
    model = all_baselines()[name]
    model.fit(sequences([[], []]), NUM_ITEMS)
    assert np.isfinite(model.score(cases([[3], []]))).all()


def test_run_tunes_and_yields_each_in_order():
    train = sequences(random_log(80, 12, 9))
    validation = cases([[1, 2], [5, 6], [9]], targets=[3, 7, 10])
    lines = []
    runs = list(run_baselines(train, validation, NUM_ITEMS, log=lines.append))
    assert [run.name for run in runs] == [model.name for model in all_baselines().values()]
    assert [line.split(":")[0] for line in lines] == [run.name for run in runs]
    for run in runs:
        assert run.skipped is None
        assert run.settings == settings_of(run.scorer)
        assert rank(run.scorer, validation, NUM_ITEMS, 10).top_items.shape == (3, 10)
        best = max(run.trials, key=lambda trial: trial.ndcg)
        assert best.settings == run.settings


def test_names_choose_and_unknown_ones_are_named():
    train, none = sequences([[0, 1], [1, 0]]), cases([])
    runs = run_baselines(train, none, 3, names=["ease", "popularity"], seed=4)
    assert [run.name for run in runs] == ["Popularity", "EASE"]
    with pytest.raises(UserError, match=r"unknown baseline 'slim'.*popularity"):
        run_baselines(train, none, 3, names=["slim"])
    assert settings_of(all_baselines(seed=4)["biased-mf"])["seed"] == 4


def test_what_does_not_fit_is_skipped_with_the_reason(monkeypatch):
    monkeypatch.setattr("tfrec.evaluation.baselines.run.available_bytes", lambda: 20 * 10**9)
    lines = []
    train = sequences([[0, 61_999], [1, 0]])
    runs = run_baselines(train, cases([]), 62_000, names=["popularity", "ease"], log=lines.append)
    popularity, ease = runs
    assert popularity.skipped is None
    assert ease.scorer is None
    assert ease.skipped == "needs about 46.1 GB for 62,000 items, 20 GB are free"
    assert lines[-1] == f"EASE: skipped, {ease.skipped}"


def test_running_out_of_memory_all_the_same_is_no_crash(monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr("tfrec.evaluation.baselines.ease.invert", fail)
    (run,) = run_baselines(sequences([[0, 1]]), cases([]), 3, names=["ease"])
    assert run.skipped == "ran out of memory with 3 items"


def test_memory_is_known_here_and_unknown_memory_skips_nothing():
    assert available_bytes() > 10**6
    assert shortage(10**15, 10, None) is None
    assert shortage(10, 10, 100) is None
    assert "needs about" in shortage(90, 10, 100)


def test_importing_the_baselines_loads_no_scipy():
    code = (
        "import sys, tfrec.evaluation.baselines as b; b.all_baselines(); "
        "sys.exit(any(name.split('.')[0] in ('scipy', 'tensorflow') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_hyperparameters_survive_replace():
    for model in all_baselines().values():
        assert settings_of(replace(model)) == settings_of(model)
