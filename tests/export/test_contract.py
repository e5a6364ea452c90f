"""What holds for every request, whatever is asked: signatures agree, and rows are alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from export.signatures import FULL, contract, inputs
from tests.export.asked_requests import DAY, START, UNKNOWN, random_request
from tests.export.served_model import Answer
from tests.export.small_runs import IDS, TOP_K, Model
from tfrec.run import load_data

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}
FEW = settings(max_examples=12, deadline=None)


@pytest.fixture(scope="module", params=["ledger", "sasrec", "towers"])
def model(request: pytest.FixtureRequest) -> Model:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def history(model: Model) -> dict[str, Any]:
    return random_request(IDS, model.exported.sizes.facets, 9, 13, seed=4).short


def close(found: Answer, expected: Answer) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value.dtype == object or value.dtype == bool:
            np.testing.assert_array_equal(found[name], value, name)
        else:
            np.testing.assert_allclose(found[name], value, err_msg=name, **CLOSE)


def everything(model: Model, history: dict[str, Any], candidates: list[str]) -> Answer:
    """All answers about users in one dict."""
    users = len(history["history_items"])
    own: dict[str, dict[str, Any]] = {
        "recommend": {"exclude_items": [[IDS[1]]] * users},
        "score": {"candidate_items": [candidates] * users},
        "explain": {"candidate_items": [candidates] * users},
        "evolve": {"checkpoint_times": [[START + 3 * DAY, START + 9 * DAY]] * users},
    }
    return {
        f"{name}: {key}": value
        for name in ("recommend", "score", "distribution", "embed_user", "explain", "evolve")
        if name in model.exported.signatures
        for key, value in model.served.ask(name, **history, **own.get(name, {})).items()
    }


def test_the_saved_model_is_the_contract(model: Model) -> None:
    loaded = tf.saved_model.load(str(model.folder)).signatures
    expected = contract(model.exported.sizes)
    assert set(loaded) == {*expected, "serving_default"} == set(model.exported.signatures)
    for name, signature in expected.items():
        specs = loaded[name].structured_input_signature[1]
        wanted = {
            key: (tensor.dtype, model.exported.sizes.of(tensor.shape))
            for key, tensor in inputs(signature).items()
        }
        assert {k: (v.dtype.name, v.shape.as_list()) for k, v in specs.items()} == wanted
        outputs = loaded[name].structured_outputs
        shapes = {
            key: (tensor.dtype, model.exported.sizes.of(tensor.shape))
            for key, tensor in signature.outputs.items()
        }
        assert {k: (v.dtype.name, v.shape.as_list()) for k, v in outputs.items()} == shapes
        assert all(tensor.shape[0] == "B" for tensor in inputs(signature).values())
    assert (model.folder / "assets").is_dir()


def test_inputs_of_other_sizes_are_refused_by_name(model: Model) -> None:
    """Not repeated, as TensorFlow repeats whatever has size 1."""
    loaded = tf.saved_model.load(str(model.folder)).signatures
    free = {"B": 2, "L": 3, "M": 4, "E": 2, "T": 2}
    refused = set()
    for name, signature in contract(model.exported.sizes).items():
        specs = loaded[name].structured_input_signature[1]
        names = {key: tensor.shape.split() for key, tensor in inputs(signature).items()}
        for key, dim in [(key, dim) for key, dims in names.items() for dim in dims]:
            if dim not in free or sum(dim in dims for dims in names.values()) == 1:
                continue
            given = {}
            for other, dims in names.items():
                sizes = free | ({dim: 1} if other == key else {})
                fixed = zip(dims, specs[other].shape, strict=True)
                shape = [sizes.get(named, size) for named, size in fixed]
                given[other] = tf.zeros(shape, specs[other].dtype)
            with pytest.raises(
                tf.errors.InvalidArgumentError, match=rf"{dim}\b.* must be the same.*{key} \["
            ):
                loaded[name](**given)
            refused.add((name, key, dim))
    assert {("score", "candidate_items", "B"), ("score", "history_times", "L")} <= refused


def test_signatures_agree(model: Model, history: dict[str, Any]) -> None:
    users = len(history["history_items"])
    every = [[*IDS, UNKNOWN]] * users
    scores = model.served.ask("score", **history, candidate_items=every)
    user = model.served.ask("embed_user", **history)["embedding"]
    items = model.served.ask("embed_items", items=every[0])["embedding"]
    np.testing.assert_allclose(user @ items.T, scores["score"], **CLOSE)
    assert scores["known"].tolist() == [[True] * len(IDS) + [False]] * users
    assert not scores["probability"][:, -1].any()
    np.testing.assert_allclose(scores["probability"].sum(axis=1), 1, rtol=1e-4)

    # Of the items that may come, log p is the score over T and a constant of the user.
    distribution = model.served.ask("distribution", **history)
    recommended = model.served.ask("recommend", **history, exclude_items=[[]] * users)
    np.testing.assert_array_equal(distribution["items"], recommended["items"])
    np.testing.assert_allclose(distribution["probabilities"], recommended["probabilities"], **CLOSE)
    whole = distribution["probabilities"].sum(axis=1) + distribution["tail_mass"]
    np.testing.assert_allclose(whole, 1, rtol=1e-4)
    for row, seen in enumerate(history["history_items"]):
        may_come = np.array([name not in set(seen) for name in IDS])
        score, probability = scores["score"][row, :-1], scores["probability"][row, :-1]
        assert not probability[~may_come].any()
        order = np.argsort(-score[may_come], kind="stable")[:TOP_K]
        assert recommended["items"][row].tolist() == np.array(IDS)[may_come][order].tolist()
        np.testing.assert_allclose(
            recommended["probabilities"][row], probability[may_come][order], **CLOSE
        )
        slope = np.polyfit(score[may_come], np.log(probability[may_come]), 1)[0]
        temperature = 1 / slope
        weight = np.exp((score[may_come] - score[may_come].max()) / temperature)
        np.testing.assert_allclose(probability[may_come], weight / weight.sum(), rtol=2e-3)


def test_a_row_is_answered_alone(model: Model, history: dict[str, Any]) -> None:
    """The batch changes rounding and nothing else."""
    together = everything(model, history, IDS[:5])
    for row in (0, 4, 8):
        one = {name: value[row : row + 1] for name, value in history.items()}
        close(everything(model, one, IDS[:5]), {k: v[row : row + 1] for k, v in together.items()})


def padded(
    rng: np.random.Generator, history: dict[str, Any], words: list[str]
) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """The events in the same order with other words between them, and where they stand now."""
    users, length = history["history_items"].shape
    items = np.array(rng.choice(words, (users, 2 * length)), object)
    times = rng.integers(-(2**62), 2**62, (users, 2 * length))
    place = np.sort(rng.permuted(np.tile(np.arange(2 * length), (users, 1)), axis=1)[:, :length])
    np.put_along_axis(items, place, history["history_items"], axis=1)
    np.put_along_axis(times, place, history["history_times"], axis=1)
    return {"history_items": items, "history_times": times}, place


@FEW
@given(st.integers(0, 2**32), st.lists(st.text().filter(lambda x: x not in IDS), min_size=1))
def test_what_is_not_known_counts_as_absent_wherever_it_stands(
    model: Model, seed: int, words: list[str]
) -> None:
    rng = np.random.default_rng(seed)
    history = random_request(IDS, 0, 3, int(rng.integers(0, 12)), seed).short
    longer, place = padded(rng, history, ["", *words])
    candidates = [IDS[2], words[0], IDS[0]]
    found = everything(model, longer, candidates)
    lines = found.pop("explain: event_contributions", None)
    expected = everything(model, history, candidates)
    alone = expected.pop("explain: event_contributions", None)
    close(found, expected)
    if lines is not None and alone is not None:
        moved = np.take_along_axis(lines, place[:, None, :, None], axis=2)
        np.testing.assert_allclose(moved, alone, **CLOSE)
        np.testing.assert_allclose(lines.sum(axis=2), alone.sum(axis=2), **CLOSE)


@FEW
@given(st.integers(0, 2**32))
def test_events_may_come_in_any_order(model: Model, seed: int) -> None:
    rng = np.random.default_rng(seed)
    history = random_request(IDS, 0, 2, 11, seed).short
    times = rng.permuted(np.tile(START + DAY * np.arange(11), (2, 1)), axis=1)
    order = rng.permuted(np.tile(np.arange(11), (2, 1)), axis=1)
    first = {"history_items": history["history_items"], "history_times": times}
    second = {name: np.take_along_axis(value, order, axis=1) for name, value in first.items()}
    found, expected = (everything(model, x, IDS[:3]) for x in (second, first))
    if "explain: event_contributions" in expected:
        lines = expected["explain: event_contributions"]
        expected["explain: event_contributions"] = np.take_along_axis(
            lines, order[:, None, :, None], axis=2
        )
    close(found, expected)


def test_nothing_may_be_asked(model: Model) -> None:
    """No history, no candidates, no times, no excluded items."""
    nothing: dict[str, Any] = {"history_items": [[], []], "history_times": [[], []]}
    expected = everything(model, {"history_items": [["", ""]], "history_times": [[7, 7]]}, [])
    found = everything(model, nothing, [])
    for name, value in expected.items():
        if value.size:
            close({name: found[name]}, {name: np.repeat(value, 2, axis=0)})
    assert found["score: score"].shape == (2, 0)
    empty = model.served.ask("recommend", **nothing, exclude_items=[[], []])
    assert empty["items"].shape == (2, TOP_K)
    if "evolve" in model.exported.signatures:
        times = model.served.ask("evolve", **nothing, checkpoint_times=[[], []])
        assert times["facet_shares"].shape == (2, 0, model.exported.sizes.facets)


def test_gains_act_on_lines_and_on_nothing_else(ledger: Model) -> None:
    facets = ledger.exported.sizes.facets
    plain = random_request(IDS, facets, 6, 10, seed=7)
    louder = random_request(IDS, facets, 6, 10, seed=7, gains=True)
    assert (plain.items == louder.items).all()
    assert not (plain.facet_gain == louder.facet_gain).all()
    asked = {"candidate_items": [IDS[:7]] * 6}
    before = ledger.served.ask("explain_full", **plain.full, **asked)
    after = ledger.served.ask("explain_full", **louder.full, **asked)
    lines = before["event_contributions"]
    lines = lines * louder.event_gain[:, None, :, None] * louder.facet_gain[:, None, None, :]
    np.testing.assert_allclose(after["event_contributions"], lines, **CLOSE)
    crowd = before["conformity"] * louder.conformity_gain[:, None]
    np.testing.assert_allclose(after["conformity"], crowd, **CLOSE)
    np.testing.assert_allclose(after["quality"], before["quality"], **CLOSE)
    np.testing.assert_allclose(after["context"], before["context"], **CLOSE)


def test_the_short_form_is_the_full_one_that_knows_nothing(ledger: Model) -> None:
    plain = random_request(IDS, ledger.exported.sizes.facets, 6, 10, seed=8)
    plain.actions[:] = ""
    plain.values[:] = np.nan
    plain.now[:] = 0
    assert set(plain.full) == {"history_items", "history_times", *FULL}
    asked = {"candidate_items": [IDS[:7]] * 6}
    close(
        ledger.served.ask("explain_full", **plain.full, **asked),
        ledger.served.ask("explain", **plain.short, **asked),
    )


def test_samples_are_answered(model: Model) -> None:
    for sample in model.exported.samples:
        assert len(sample.items) == len(sample.times) == len(sample.actions)
        request = {"history_items": [sample.items], "history_times": [sample.times]}
        found = model.served.ask("serving_default", **request, exclude_items=[[""]])
        assert set(found["items"][0]) <= {*IDS} - set(sample.items)
    log = load_data(model.run, model.exported.config).columns.timestamp
    assert max(max(one.times) for one in model.exported.samples) == log.max()
