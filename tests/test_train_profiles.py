"""Training on profiles and searches: they tell a taste that no event has shown yet."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.worlds import arguments
from tfrec.data.cases import Cases
from tfrec.errors import UserError
from tfrec.evaluation.intervals import intervals
from tfrec.evaluation.metrics import accuracy
from tfrec.evaluation.model_ranking import ModelRanker
from tfrec.explain import main as explain
from tfrec.interest.asking.answer import Answer, answer
from tfrec.interest.asking.load import LedgerRun, load_run
from tfrec.interest.asking.question import Question
from tfrec.text.scratch import make_scratch
from tfrec.train import main

USERS, ITEMS, DAY = 80, 24, 86_400
TASTES = ("space", "music")


def write_world(folder: Path) -> Path:
    """Users who take the items of one kind, say so, and are as many as those of the other."""
    rng = np.random.default_rng(0)
    rows = ["user_id,item_id,timestamp"]
    for user in range(USERS):
        items = 2 * rng.permutation(ITEMS // 2)[:6] + user % 2
        rows += [f"u{user},i{item},{10**9 + user + n * DAY}" for n, item in enumerate(items)]
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    titles = [f"{TASTES[n % 2]} {word}" for n, word in enumerate("abcdefghijklmnopqrstuvwx")]
    lines = ["item_id,title", *(f"i{n},{title}" for n, title in enumerate(titles))]
    (folder / "items.csv").write_text("\n".join(lines) + "\n")
    says = [f"u{user},{TASTES[user % 2] if user % 10 else ''}" for user in range(USERS)]
    (folder / "users.csv").write_text("\n".join(["user_id,likes", *says]) + "\n")
    make_scratch("tiny", [*titles, "likes"], folder / "bert")
    return folder


def trained(world: Path, name: str, **changes: str) -> LedgerRun:
    given = {
        "model": "ledger",
        "epochs": "6",
        "layers": "1",
        "facets": "1",
        "facet_dim": "8",
        "max_length": "8",
        "deletion_loss": "0",
        "batch_size": "8",
        "baselines": "none",
        "items": str(world / "items.csv"),
        "users": str(world / "users.csv"),
        "text": "title",
        "text_encoder": str(world / "bert"),
        "text_max_length": "8",
    }
    assert main(arguments(world / "log.csv", world / name, **(given | changes))) == 0
    return load_run(world / name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("profiles"))


@pytest.fixture(scope="module")
def run(world: Path) -> LedgerRun:
    return trained(world, "told", user_template="{likes}", query_share="0.3")


def first_of_everybody(run: LedgerRun) -> Cases:
    """Every user before any event, and the item that is held out of training."""
    cases = run.split.cases("test")
    histories = dataclasses.replace(cases.histories, stops=cases.histories.starts)
    return dataclasses.replace(cases, histories=histories)


def ndcg(run: LedgerRun, cases: Cases) -> NDArray[np.float64]:
    ranking = ModelRanker(run.reader.model).rank(cases, 10, seed=0)
    return accuracy(ranking, cases, [10])["ndcg@10"]


def test_a_profile_tells_what_a_user_of_no_events_wants(
    run: LedgerRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the same ledger that is told nothing."""
    cases = first_of_everybody(run)
    users = run.reader.model.user_texts
    assert users is not None
    told = ndcg(run, cases)
    monkeypatch.setattr(run.reader.model, "user_texts", None)
    gain = (told - ndcg(run, cases))[users.of_user[cases.histories.users] >= 0]
    assert intervals({"gain": gain}, seed=0)["gain"].low > 0.05


def best(found: Answer) -> list[str]:
    return [one.ledger.title.split()[0] for one in found.explained]


def test_a_search_and_a_profile_have_lines_of_their_own(run: LedgerRun) -> None:
    for taste in TASTES:
        new = answer(run, Question(None, profile=taste, top=6))
        assert best(new).count(taste) >= 5
        [event] = new.explained[0].ledger.events
        assert (event.title, event.action) == (taste, "profile")
        assert best(answer(run, Question(None, query=taste, top=6))).count(taste) >= 5
        # Also of a user who takes the ones of space and has no profile.
        everything = [f"i{n}" for n in range(ITEMS)]
        searched = answer(run, Question("u10", items=everything, query=taste))
        lines = {one.ledger.title: one.ledger.per_event()[-1] for one in searched.explained}
        assert [event.action for event in searched.explained[0].ledger.events[-2:]] == ["", "query"]
        fitting = [line for title, line in lines.items() if title.startswith(taste)]
        others = [line for title, line in lines.items() if not title.startswith(taste)]
        assert np.mean(fitting) > np.mean(others) + 0.05
        assert max(abs(one.ledger.residual_error) for one in searched.explained) < 1e-4
        reasons = [s.text for one in searched.explained for s in one.sentences]
        assert any(f"searched for “{taste}” just now" in reason for reason in reasons)
    both = answer(run, Question("u1", query="space", top=2))
    assert [event.action for event in both.explained[0].ledger.events][::7] == ["profile", "query"]
    # Asked of nobody in particular, the same texts say the same.
    assert (
        answer(run, Question("u1", at="1", profile="space")).to_json()["explanation"]
        == (answer(run, Question(None, at="1", profile="space")).to_json()["explanation"])
    )


def test_the_command_answers_a_search(run: LedgerRun, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [str(run.folder), "--user", "u3", "--query", "<b>space</b>", "--json", "-"]
    assert explain(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["explanation"][0]["events"][-1]["action"] == "query"
    assert found["events"] == 6


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question("u1", query=" "), "--query ' ' is empty"),
        (Question("u1", query="<b></b>"), "--query '<b></b>' is empty"),
        (Question("nobody", query="x"), "nobody"),
    ],
)
def test_what_cannot_be_asked_is_named(run: LedgerRun, question: Question, message: str) -> None:
    with pytest.raises(UserError, match=message):
        answer(run, question)


def test_options_that_make_no_sense_are_named(
    world: Path, run: LedgerRun, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(world / "log.csv")
    items = ["--items", str(world / "items.csv"), "--text", "title"]
    encoder = [*items, "--text-encoder", str(world / "bert"), "--cache", str(world / "cache")]
    for argv, message in (
        (["--query-share", "0.1"], "need an encoder"),
        ([*encoder, "--query-share", "2"], "expected between 0 and 1"),
        ([*encoder, "--user-template", "likes"], "--user-template 'likes': no column in it"),
        ([*encoder, "--user-template", "{likes}"], "name a table of users with --users"),
        ([*encoder, "--query-share", "0.1", "--text-tuning", "full"], "--text-tuning does not go"),
    ):
        assert main(["--data", log, "--out", str(world / "refused"), *argv]) == 2
        assert message in capsys.readouterr().err
    assert explain([str(run.folder)]) == 2
    assert "whom to ask about" in capsys.readouterr().err
