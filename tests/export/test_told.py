"""What a user says with a request is read by the SavedModel as tfrec's Python reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.signatures import ASKED_WITH_TEXTS, TOLD_SUFFIX
from tests.export.asked_requests import Histories, Request, known, random_request
from tests.export.small_runs import IDS, TOP_K, Model
from tfrec.data.user_texts import PROFILE, QUERY, of_items
from tfrec.interest.asking.load import LedgerRun, load_run
from tfrec.interest.asking.question import Question
from tfrec.interest.asking.tell import tell
from tfrec.interest.explanation import explain
from tfrec.interest.telling.sentences import explain_in_words

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}
USERS, LENGTH, CANDIDATES = 6, 12, IDS[:5]
PROFILES = ["Space", "", "The <b>song</b> of “love”", "", "Love", ""]
KINDS = (PROFILE, QUERY)
QUERIES = ["", "moon", "the 3rd   moon " + "and so on " * 8, "", "song", "Space"]


@pytest.fixture(scope="module")
def run(ledger: Model) -> LedgerRun:
    return load_run(ledger.run)


@pytest.fixture(scope="module")
def request_(ledger: Model) -> Request:
    """Up to 12 events, where the model reads 8; all of them before the request."""
    return random_request(IDS, ledger.exported.sizes.facets, USERS, LENGTH, seed=5)


def said(profiles: list[str], queries: list[str]) -> dict[str, Any]:
    return {"profile": np.array(profiles, object), "query": np.array(queries, object)}


@pytest.fixture(scope="module")
def answers(ledger: Model, request_: Request) -> dict[str, dict[str, Any]]:
    """What the SavedModel says to everything."""
    own: dict[str, dict[str, Any]] = {
        "recommend": {"exclude_items": [[""]] * USERS},
        "score": {"candidate_items": [CANDIDATES] * USERS},
        "explain": {"candidate_items": [CANDIDATES] * USERS},
    }
    texts = said(PROFILES, QUERIES)
    return {
        name: ledger.served.ask(name + TOLD_SUFFIX, **request_.full, **texts, **own.get(name, {}))
        for name in ASKED_WITH_TEXTS
    }


def test_it_answers_as_python_does(
    run: LedgerRun, request_: Request, answers: dict[str, dict[str, Any]]
) -> None:
    found = answers["explain"]
    histories: Histories = known(request_, run.data, full=True)
    catalogue = run.data.items["item_id"].to_pylist()
    items = np.array([[catalogue.index(name) for name in CANDIDATES]], np.int32)
    facets = [""] * run.reader.model.facets
    for user in range(USERS):
        question = Question(None, profile=PROFILES[user] or None, query=QUERIES[user] or None)
        now = request_.now[user : user + 1]
        told = tell(run, histories.sequences.take(np.array([user])), int(now[0]), question)
        readings = run.reader.read_at(told, now)
        [ledgers] = explain(run.reader, run.data, told, readings, items, now, facets)
        events = ledgers[0].events
        texts = np.array([event.action in KINDS for event in events], bool)
        assert texts.sum() == bool(PROFILES[user]) + bool(QUERIES[user])
        columns = histories.columns[user]
        columns = columns[len(columns) - of_items(told).num_events :]
        for place, ledger in enumerate(ledgers):
            assert found["score"][user, place] == pytest.approx(ledger.score, rel=1e-4, abs=1e-4)
            by_event = dict(zip([e.action for e in events], ledger.contributions, strict=True))
            of_texts = found["told_contributions"][user, place]
            for kind, lines in zip(KINDS, of_texts, strict=True):
                expected = by_event.get(kind, np.zeros_like(lines))
                np.testing.assert_allclose(lines, expected, **CLOSE)
            lines = found["event_contributions"][user, place]
            np.testing.assert_allclose(lines[columns], ledger.contributions[~texts], **CLOSE)
            assert lines.sum() == pytest.approx(lines[columns].sum(), abs=1e-4)
            text = found["text"][user, place]
            for sentence in explain_in_words(ledger, "en"):
                if sentence.text.startswith("Because you searched") and "you searched" in text:
                    assert sentence.text.split(" (")[0] in text


def test_signatures_agree_and_texts_are_no_items(
    request_: Request, answers: dict[str, dict[str, Any]]
) -> None:
    found = answers["explain"]
    lines = found["event_contributions"].sum(axis=(2, 3)) + found["told_contributions"].sum((2, 3))
    lines += found["quality"] + found["conformity"] + found["context"]
    np.testing.assert_allclose(lines, found["score"], **CLOSE)
    np.testing.assert_allclose(answers["score"]["score"], found["score"], **CLOSE)
    assert np.abs(found["told_contributions"][0, :, 0]).max() > 1e-3
    assert not found["told_contributions"][3].any()
    best = answers["recommend"]["items"]
    np.testing.assert_array_equal(answers["distribution"]["items"], best)
    for row, seen in enumerate(request_.items):
        assert len(set(best[row])) == TOP_K
        assert not set(best[row]) & set(seen)


def test_saying_nothing_changes_nothing(ledger: Model, request_: Request) -> None:
    silence = said([""] * USERS, [" "] * USERS)
    asked = {"candidate_items": [CANDIDATES] * USERS}
    told = ledger.served.ask("explain_told", **request_.full, **asked, **silence)
    full = ledger.served.ask("explain_full", **request_.full, **asked)
    assert not told.pop("told_contributions").any()
    for name, value in full.items():
        if value.dtype.kind == "f":  # two graphs may round in other places
            np.testing.assert_allclose(told[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(told[name], value, name)


def test_a_user_is_answered_alone(
    ledger: Model, request_: Request, answers: dict[str, dict[str, Any]]
) -> None:
    texts = said(PROFILES, QUERIES)
    row = slice(2, 3)
    one = {name: value[row] for name, value in (request_.full | texts).items()}
    found = ledger.served.ask("score_told", **one, candidate_items=[CANDIDATES])
    np.testing.assert_allclose(found["score"], answers["score"]["score"][row], **CLOSE)
