"""The SavedModel, in a process without tfrec, answers what tfrec's Python answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.export.asked_requests import (
    DAY,
    START,
    Histories,
    Request,
    known,
    newest_last,
    random_request,
)
from tests.export.small_runs import TOP_K, Model
from tfrec.data.sequences import Int32, Sequences
from tfrec.evaluation.ranking import tie_order
from tfrec.interest.asking.load import LedgerRun, load_run
from tfrec.interest.disentanglement import disentangle, facet_reports, half_life_days
from tfrec.interest.distribution import Distribution, distribution
from tfrec.interest.evolution import evolve
from tfrec.interest.explanation import explain
from tfrec.interest.explanation import served as served_scores
from tfrec.interest.intensity import intensity
from tfrec.interest.reading import Readings, matrix
from tfrec.interest.strength_lines import StrengthWeights
from tfrec.interest.telling.sentences import explain_in_words
from tfrec.models.build import category_matrix, category_names
from tfrec.models.expected_popularity import fit_popularity
from tfrec.text.chunks import ChunkedEncoder
from tfrec.text.cleaning import clean
from tfrec.text.encoder import load_encoder

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def run(ledger: Model) -> LedgerRun:
    return load_run(ledger.run)


class Truth:
    """A request as Python answers it."""

    def __init__(self, run: LedgerRun, request: Request, full: bool) -> None:
        self.run, self.full = run, full
        self.histories: Histories = known(request, run.data, full)
        self.sequences: Sequences = self.histories.sequences
        latest = np.full(len(request.items), run.data.columns.timestamp.max())
        for row, some in enumerate(self.histories.columns):
            if len(some):
                latest[row] = request.times[row, some].max()
        self.now = request.now if full else latest + 1
        self.readings: Readings = run.reader.read_at(self.sequences, self.now)
        if full:
            length = self.readings.items.shape[1]
            events = newest_last(request.event_gain, self.histories, length, 1)
            self.readings = self.readings.with_gains(
                request.facet_gain, events, request.conformity_gain
            )

    @property
    def name(self) -> str:
        return "_full" if self.full else ""

    def distribution(self, top_k: int = TOP_K, removed: Any = None) -> Distribution:
        assert self.run.readouts
        seen = np.zeros((len(self.readings), self.run.data.num_items), bool)
        rows = np.repeat(np.arange(len(seen)), self.sequences.lengths)
        seen[rows, self.sequences.items()] = True
        return distribution(
            self.readings,
            self.run.reader.catalogue,
            self.run.readouts.temperature,
            top_k,
            category_matrix(self.run.data),
            removed=seen if removed is None else seen | removed,
        )


def ids(run: LedgerRun) -> list[str]:
    return run.data.items["item_id"].to_pylist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def request_(run: LedgerRun) -> Request:
    """12 users with up to 20 events, where the model reads 8; the last user has none."""
    return random_request(ids(run), run.reader.model.facets, 12, 20, gains=True)


@pytest.fixture(scope="module", params=["short", "full"])
def truth(request: pytest.FixtureRequest, run: LedgerRun, request_: Request) -> Truth:
    return Truth(run, request_, request.param == "full")


def given(truth: Truth, request: Request) -> dict[str, Any]:
    return request.full if truth.full else request.short


def some_items(run: LedgerRun, users: int, count: int, seed: int = 1) -> Int32:
    return np.random.default_rng(seed).integers(0, run.data.num_items, (users, count), np.int32)


def names(run: LedgerRun, items: Int32) -> Any:
    return np.array(ids(run), object)[items]


def test_the_requests_are_worth_asking(truth: Truth, request_: Request) -> None:
    lengths = truth.sequences.lengths
    assert lengths.max() > truth.run.reader.model.max_length
    assert lengths.min() == 0
    assert any(len(set(row)) < len(row) for row in request_.times)


def test_score(ledger: Model, truth: Truth, request_: Request) -> None:
    run, items = truth.run, some_items(truth.run, 12, 7)
    assert run.readouts
    found = ledger.served.ask(
        f"score{truth.name}", **given(truth, request_), candidate_items=names(run, items)
    )
    expected = intensity(
        truth.readings,
        run.reader.catalogue,
        StrengthWeights.of(run.reader.model),
        run.readouts,
        items,
    )
    assert expected.expected_strength is not None
    assert found["known"].all()
    np.testing.assert_allclose(found["score"], expected.score, **CLOSE)
    np.testing.assert_allclose(found["intensity"], expected.engagement_probability, **CLOSE)
    np.testing.assert_allclose(found["expected_strength"], expected.expected_strength, **CLOSE)
    every = truth.distribution(run.data.num_items)
    probability = np.zeros((12, run.data.num_items))
    for row, (some, logs) in enumerate(zip(every.items, every.log_probabilities, strict=True)):
        probability[row, some[some >= 0]] = np.exp(logs[some >= 0])
    np.testing.assert_allclose(
        found["probability"], np.take_along_axis(probability, items, axis=1), **CLOSE
    )


def test_recommend_is_the_order_of_the_runs_rankings(
    ledger: Model, truth: Truth, request_: Request
) -> None:
    run = truth.run
    removed = np.random.default_rng(2).random((12, run.data.num_items)) < 0.2
    removed[0] = True  # nothing is left for the first
    removed[1] = np.arange(run.data.num_items) > 1  # and two at most for the second
    excluded = [[*np.array(ids(run))[row], "", "no such item"] for row in removed]
    longest = max(map(len, excluded))
    excluded = [row + [""] * (longest - len(row)) for row in excluded]
    found = ledger.served.ask(
        f"recommend{truth.name}", **given(truth, request_), exclude_items=excluded
    )
    scores = truth.readings.scores(run.reader.catalogue)
    place = tie_order(run.data.num_items, run.config.training.seed)
    for row in range(12):
        gone = removed[row].copy()
        gone[truth.sequences.take(np.array([row])).items()] = True
        order = np.lexsort((place, -scores[row]))
        order = order[~gone[order]][:TOP_K]
        padding = TOP_K - len(order)
        assert found["items"][row].tolist() == [*np.array(ids(run))[order], *[""] * padding]
        np.testing.assert_allclose(found["scores"][row, : len(order)], scores[row, order], **CLOSE)
        assert (found["scores"][row, len(order) :] == np.finfo(np.float32).min).all()
    expected = truth.distribution(removed=removed)
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, **CLOSE)
    assert found["items"][0].tolist() == [""] * TOP_K


def test_distribution(ledger: Model, truth: Truth, request_: Request) -> None:
    found = ledger.served.ask(f"distribution{truth.name}", **given(truth, request_))
    expected = truth.distribution()
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, **CLOSE)
    np.testing.assert_allclose(found["tail_mass"], expected.tail_mass, **CLOSE)
    np.testing.assert_allclose(found["entropy"], expected.entropy, **CLOSE)
    np.testing.assert_allclose(found["category_probabilities"], expected.category_mass, **CLOSE)
    assert found["categories"].tolist() == [category_names(truth.run.data)] * 12
    np.testing.assert_array_equal(found["items"], names(truth.run, expected.items))


def test_explain(ledger: Model, truth: Truth, request_: Request) -> None:
    run, items = truth.run, some_items(truth.run, 12, 4)
    found = ledger.served.ask(
        f"explain{truth.name}", **given(truth, request_), candidate_items=names(run, items)
    )
    catalogue = run.reader.catalogue
    lines = truth.readings.contributions(catalogue, items)  # [B, M, 8, K], newest last
    expected = np.zeros(found["event_contributions"].shape)
    for row, columns in enumerate(truth.histories.columns):
        some = columns[-run.reader.model.max_length :]
        if len(some):
            expected[row, :, some] = lines[row, :, -len(some) :].transpose(1, 0, 2)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found["event_contributions"], expected, **CLOSE)
    readings = truth.readings
    np.testing.assert_allclose(found["quality"], readings.quality_line(catalogue, items), **CLOSE)
    crowd = readings.conformity_line(catalogue, items)
    np.testing.assert_allclose(found["conformity"], crowd, **CLOSE)
    context = readings.context_line(catalogue, items)
    assert np.abs(context).max() > 0
    np.testing.assert_allclose(found["context"], context, **CLOSE)
    served = served_scores(run.reader, readings, items)
    np.testing.assert_allclose(found["score"], served, **CLOSE)
    np.testing.assert_allclose(found["residual_error"], 0, atol=1e-4)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_explain_in_words(language: str, run: LedgerRun, request: pytest.FixtureRequest) -> None:
    """Every item at most once in a history, so that an event is all that is said of an item. The
    model that speaks Chinese has fewer facets: it says what the ledger would without them."""
    model: Model = request.getfixturevalue({"en": "ledger", "zh": "pruned"}[language])
    assert model.exported.facets is not None
    kept = model.exported.facets.kept
    facets, rng = run.reader.model.facets, np.random.default_rng(5)
    asks = random_request(ids(run), facets, 12, 8, seed=5)
    for row in range(12):
        asks.items[row] = rng.permutation(ids(run))[:8]
    asks.items[np.linspace(0, 1, 12)[:, None] > rng.random((12, 8))] = ""
    asks.actions[:] = rng.choice(run.data.meta.actions, (12, 8))
    truth, items = Truth(run, asks, True), some_items(run, 12, 6)
    asked = {"candidate_items": names(run, items)}
    full = asks.full | {"facet_gain": asks.facet_gain[:, kept]}
    found = model.served.ask("explain_full", **full, **asked)["text"]
    reports = facet_reports(run.reader, category_matrix(run.data), category_names(run.data))
    ledgers = explain(
        run.reader, run.data, truth.sequences, truth.readings, items, truth.now,
        [report.name for report in reports],
    )  # fmt: skip
    against = {"en": "You ", "zh": "您"}[language]
    said = ""
    for row in range(12):
        for column, one in enumerate(ledgers[row]):
            left = replace(
                one,
                facets=[reports[number].name for number in kept],
                contributions=one.contributions[:, kept],
            )
            sentences = [text.text for text in explain_in_words(left, language, reasons=1)]
            expected = [
                text for text in sentences if not text.startswith(against) or "历史记录" in text
            ]
            assert found[row, column] == {"en": " ", "zh": ""}[language].join(expected)
            said += found[row, column]
    for words in {
        "en": ["Because you rated ", "Because you bought ", "There are no past events"],
        "zh": ["打了", "因为您", "购买了", "您还没有历史记录"],
    }[language]:
        assert words in said
    short = model.served.ask("explain", **asks.short, **asked)["text"]
    usual = {"en": "Because you interacted with “", "zh": "有过互动"}[language]
    assert usual in " ".join(short.ravel())


def test_facets(ledger: Model, truth: Truth, request_: Request) -> None:
    found = ledger.served.ask(f"facets{truth.name}", **given(truth, request_))
    run = truth.run
    lives = half_life_days(run.reader.model)
    expected = disentangle(truth.readings, truth.distribution(), lives)
    np.testing.assert_allclose(found["user_facets"], expected.user_facets, **CLOSE)
    np.testing.assert_allclose(found["gates"], expected.gates, **CLOSE)
    np.testing.assert_allclose(found["shares"], expected.facets, **CLOSE)
    np.testing.assert_allclose(found["crowd_share"], expected.crowd, **CLOSE)
    np.testing.assert_allclose(found["half_life_days"], np.tile(lives, (12, 1)), rtol=1e-5)
    reports = facet_reports(run.reader, category_matrix(run.data), category_names(run.data))
    assert found["facet_names"].tolist() == [[report.name for report in reports]] * 12


def test_evolve(ledger: Model, truth: Truth, request_: Request) -> None:
    run = truth.run
    assert run.readouts
    if truth.full:  # gains have no place in Python's evolution
        plain = random_request(ids(run), run.reader.model.facets, 12, 20)
        truth, request_ = Truth(run, plain, True), plain
    times = START + DAY * np.random.default_rng(3).integers(-1, 14, (12, 5))
    found = ledger.served.ask(
        f"evolve{truth.name}", **given(truth, request_), checkpoint_times=times
    )
    expected = evolve(
        run.reader,
        truth.sequences,
        run.readouts.temperature,
        times,
        category_matrix(run.data),
        seen=True,
    )
    mass = expected.category_probabilities
    np.testing.assert_allclose(found["category_probabilities"], mass, **CLOSE)
    np.testing.assert_allclose(found["facet_shares"], expected.facet_shares, **CLOSE)


def test_embeddings(ledger: Model, truth: Truth, request_: Request) -> None:
    user = ledger.served.ask(f"embed_user{truth.name}", **given(truth, request_))["embedding"]
    np.testing.assert_allclose(user, truth.readings.states(), **CLOSE)
    items = ledger.served.ask("embed_items", items=[*ids(truth.run), "no such item"])
    assert items["known"].tolist() == [True] * truth.run.data.num_items + [False]
    expected = matrix(truth.run.reader.catalogue)
    np.testing.assert_allclose(items["embedding"][:-1], expected, **CLOSE)
    assert not items["embedding"][-1].any()


def test_a_text_is_placed_as_an_item_of_which_nothing_else_is_known(
    ledger: Model, run: LedgerRun
) -> None:
    model = run.reader.model
    long = "the 3th moon and " * 9
    texts = ["The 3th <b>moon</b>", "", "a comedy about 東京", long]
    found = ledger.served.ask("embed_text", texts=texts)["embedding"]
    encoder = load_encoder(run.config.text.text_encoder, run.config.text.text_max_length)
    assert ledger.exported.sizes.tokens == encoder.tokenizer.size
    read = tf.constant(clean(texts, run.config.text))
    vectors = ChunkedEncoder(encoder)(read).numpy()
    assert np.abs(vectors[3] - encoder(read)[3]).max() > 1e-3  # not its beginning alone
    vectors[1] = 0  # as `catalogue_vectors` has it
    # The catalogue with four more items, which have neither an id nor a category.
    tower, width = model.tower, model.facets * model.facet_dim
    placed = tower.said(vectors)
    blocks = np.asarray(model.items.block(placed)).reshape(4, model.facets, model.facet_dim)
    blocks = blocks * np.asarray(model.items.membership(placed))[..., None]
    table = tower()
    mine = np.asarray(model.items.block(table)).reshape(-1, model.facets, model.facet_dim)
    mine = mine * np.asarray(model.items.membership(table))[..., None]
    expected = (blocks - mine.mean(axis=0)).reshape(4, width)
    np.testing.assert_allclose(found[:, :width], expected, **CLOSE)
    line = fit_popularity(
        np.asarray(model.items.popularity), [tower.texts.numpy()], np.asarray(tower.cold) > 0
    )
    periods = slice(width, width + model.num_periods)
    np.testing.assert_allclose(found[:, periods], line.of([vectors]), **CLOSE)
    assert not found[:, periods.stop].any()
    context, others = (np.asarray(model.items.context_block(part)) for part in (placed, table))
    np.testing.assert_allclose(
        found[:, width + model.num_periods + 1 :], context - others.mean(axis=0), **CLOSE
    )
    assert np.abs(found[0] - found[2]).max() > 1e-3
