"""python -m tfrec.explain as a user meets it: page, numbers, pictures, wishes, mistakes."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.worlds import arguments, train
from tfrec.data.cases import Cases
from tfrec.errors import UserError
from tfrec.evaluation.model_ranking import ModelRanker
from tfrec.explain import main
from tfrec.interest.asking.answer import answer
from tfrec.interest.asking.answer_page import page
from tfrec.interest.asking.load import LedgerRun, load_run
from tfrec.interest.asking.question import Question
from tfrec.interest.fitting.fit_readouts import fit_readouts
from tfrec.interest.readouts import READOUTS
from tfrec.interest.steering import Feedback

ITEMS, DAY = 24, 86_400


def write_world(folder: Path) -> Path:
    """40 users, 24 items of two kinds, actions and ratings; each user mostly takes one kind."""
    rng = np.random.default_rng(0)
    rows = ["user_id,item_id,timestamp,action,rating"]
    for user in range(40):
        for n in range(rng.integers(6, 14)):
            item = 2 * rng.integers(ITEMS // 2) + (rng.random() < 0.1) ^ (user % 2)
            when = 1_000_000_000 + user * 3600 + n * 2 * DAY
            rows.append(f"u{user},i{item},{when},{rng.choice(['view', 'buy'])},{n % 5 + 1}")
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    kinds = ["Space", "Love"]
    lines = ["item_id,title,kinds", *(f"i{n},The {n}th,{kinds[n % 2]}" for n in range(ITEMS))]
    (folder / "items.csv").write_text("\n".join(lines) + "\n")
    return folder / "log.csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    log = write_world(tmp_path_factory.mktemp("world"))
    run = log.parent / "run"
    done = train(
        *arguments(
            log, run, model="ledger", epochs="1", layers="1", facets="2", facet_dim="4",
            max_length="8", batch_size="40", steps_per_call="1",
            columns="strength=rating", items=str(log.parent / "items.csv"), text="title",
            categories="kinds", baselines="none",
        )
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture(scope="module")
def run(folder: Path) -> LedgerRun:
    return load_run(folder)


def explain(run: LedgerRun, *argv: str) -> subprocess.CompletedProcess[str]:
    """python -m tfrec.explain in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tfrec.explain", str(run), *argv],
        capture_output=True,
        text=True,
        check=False,
    )


def numbers(run: LedgerRun, **question: Any) -> Any:
    """What --json writes, asked in this process and read back."""
    return json.loads(json.dumps(answer(run, Question(**question)).to_json(), allow_nan=False))


def test_the_command_prints_a_page_draws_and_writes_numbers(folder: Path, tmp_path: Path) -> None:
    picture, written = tmp_path / "why.png", tmp_path / "why.json"
    done = explain(
        folder, "--user", "u3", "--top", "2", "--crowd", "0", "--plot", str(picture),
        "--json", str(written),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("User u3: ")
    parts = ("How much", "What overall", "Which parts", "Why", "Since when", "After the wishes")
    for part in parts:
        assert f"\n{part}" in done.stdout
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 100

    from matplotlib.image import imread

    for drawn in (picture, tmp_path / "why-evolution.png"):
        assert f"picture: {drawn}" in lines
        pixels = imread(drawn)
        assert min(pixels.shape[:2]) > 200
        assert np.ptp(pixels) > 0.5  # something is drawn
    found = json.loads(written.read_text())
    assert found["user"] == "u3"
    assert [one["title"] in done.stdout for one in found["explanation"]] == [True, True]


def test_json_alone_is_json_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--user", "u3", "--item", "i5", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["item"] for one in found["explanation"]] == ["i5"]
    assert found["feedback"] is None  # nothing was wished for


def test_lines_sum_to_the_score_that_ranks(run: LedgerRun) -> None:
    found = numbers(run, user="u3", top=4)
    row = run.data.users["user_id"].to_pylist().index("u3")
    history = run.data.sequences().take(np.array([row]))
    time = np.array([found["request_time"]])
    cases = Cases(history, np.zeros(1, np.int32), np.array([0, 1]), time)
    served = ModelRanker(run.reader.model).score(cases)[0]
    ids = run.data.items["item_id"].to_pylist()
    for one in found["explanation"]:
        lines = one["quality"] + one["conformity"] + one["context"]
        lines += sum(sum(event["contributions"]) for event in one["events"])
        assert lines == pytest.approx(one["score"], abs=1e-4)
        assert one["score"] == pytest.approx(served[ids.index(one["item"])], rel=1e-4, abs=1e-4)
    seen = {ids[item] for item in history.items()}
    ranked = [ids[n] for n in np.argsort(-served) if ids[n] not in seen]
    assert [one["item"] for one in found["explanation"]] == ranked[:4]
    assert [one["rank"] for one in found["explanation"]] == [1, 2, 3, 4]


def test_sentences_are_traceable_to_lines(run: LedgerRun) -> None:
    for one in numbers(run, user="u8", top=3)["explanation"]:
        whole = abs(one["quality"]) + abs(one["conformity"]) + abs(one["context"])
        whole += sum(abs(c) for event in one["events"] for c in event["contributions"])
        scalars = {name: one[name] for name in ("quality", "conformity", "context")}
        assert one["sentences"]
        for sentence in one["sentences"]:
            total = 0.0
            for line in sentence["lines"]:
                if line["kind"] == "event":
                    expected = one["events"][line["event"]]["contributions"][line["facet"]]
                else:
                    expected = scalars[line["kind"]]
                assert line["value"] == pytest.approx(expected, abs=1e-9)
                total += line["value"]
            assert sentence["value"] == pytest.approx(total, abs=1e-9)
            share = round(100 * abs(total) / whole)
            assert f"({share} %" in sentence["text"] or "Nothing in your" in sentence["text"]


def test_the_strongest_event_has_both_changes(run: LedgerRun) -> None:
    [one] = numbers(run, user="u8", items=["i4"])["explanation"]
    strongest = one["strongest_event"]
    sizes = [abs(event["value"]) for event in one["events"]]
    assert abs(strongest["line"]) == pytest.approx(max(sizes))
    assert strongest["frozen"] == pytest.approx(-strongest["line"], abs=1e-4)
    assert strongest["reencoded"] != strongest["frozen"]


def test_shares_and_masses_are_wholes(run: LedgerRun) -> None:
    found = numbers(run, user="u8")
    assert sum(found["disentanglement"]["shares"].values()) == pytest.approx(1)
    masses = found["distribution"]["categories"]
    assert set(masses) == {"Space", "Love"}
    assert sum(masses.values()) == pytest.approx(1)
    assert found["distribution"]["as_many_equal_items"] <= ITEMS


def test_evolution_ends_at_the_request_and_sums_to_wholes(run: LedgerRun) -> None:
    found = numbers(run, user="u8")
    evolution = found["evolution"]
    assert evolution["times"][0] == found["from"]
    assert evolution["times"][-1] == found["request_time"]
    assert evolution["events"][0] == 0
    assert evolution["events"][-1] == found["events"]
    for name in ("categories", "shares"):
        np.testing.assert_allclose(np.sum(list(evolution[name].values()), axis=0), 1)
    assert numbers(run, user="u8", at="1999-01-01")["evolution"] is None


def test_read_outs_say_how_much(run: LedgerRun) -> None:
    """With read-outs scores have probabilities; without, they are left out."""
    bare = answer(replace(run, readouts=None), Question("u8"))
    assert [one.intensity for one in bare.explained] == [None] * 5
    assert bare.to_json()["distribution"]["temperature"] == 1
    assert "P(taken)" not in page(bare)

    readouts = fit_readouts(run.reader.model, run.split)
    full = answer(replace(run, readouts=readouts), Question("u8"))
    found = full.to_json()
    scores = np.array([one.ledger.score for one in full.explained])
    much = [one["intensity"] for one in found["explanation"]]
    expected = readouts.engagement.apply(scores)
    np.testing.assert_allclose([one["probability"] for one in much], expected, rtol=1e-4)
    for one in much:
        assert set(one["actions"]) == {"view", "buy"}
        assert sum(one["actions"].values()) == pytest.approx(one["probability"])
        assert 1 <= one["strength"] <= 5
    assert found["distribution"]["temperature"] == readouts.temperature.temperature
    assert "P(taken)" in page(full)


def test_read_outs_of_a_run_are_found(run: LedgerRun, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / READOUTS).unlink(missing_ok=True)
    assert load_run(tmp_path / "run").readouts is None
    fit_readouts(run.reader.model, run.split).save(tmp_path / "run")
    assert load_run(tmp_path / "run").readouts is not None


@pytest.mark.parametrize("wish", ["crowd", "history", "facet", "forget"])
def test_a_wish_moves_every_score_by_gain_minus_one_times_its_lines(
    run: LedgerRun, wish: str
) -> None:
    plain = numbers(run, user="u3", items=[f"i{n}" for n in range(ITEMS)])["explanation"]
    facet = plain[0]["facets"][1]["name"]
    forgotten = plain[0]["events"][0]["item"]
    feedback = {
        "crowd": Feedback(crowd=0.25),
        "history": Feedback(history=0.0),
        "facet": Feedback(more_facets={facet: 3.0}),
        "forget": Feedback(forget=[forgotten]),
    }[wish]
    after = numbers(run, user="u3", top=ITEMS, feedback=feedback)["feedback"]["after"]
    assert len(after) > 3
    scores = [moved["after"] for moved in after]
    assert scores == sorted(scores, reverse=True)
    by_item = {one["item"]: one for one in plain}
    for moved in after:
        one = by_item[moved["item"]]
        expected = {
            "crowd": (0.25 - 1) * one["conformity"],
            "history": -sum(e["value"] for e in one["events"]),
            "facet": (3 - 1) * sum(event["contributions"][1] for event in one["events"]),
            "forget": -sum(e["value"] for e in one["events"] if e["item"] == forgotten),
        }[wish]
        assert moved["before"] == pytest.approx(one["score"], abs=1e-5)
        assert moved["rank_before"] == one["rank"]
        assert moved["promised"] == pytest.approx(expected, abs=1e-5)
        assert moved["after"] - moved["before"] == pytest.approx(expected, abs=1e-4)


def test_a_blocked_category_does_not_come(run: LedgerRun) -> None:
    after = numbers(run, user="u3", top=ITEMS, blocked=["Love"])["feedback"]["after"]
    assert after
    assert all(int(moved["item"][1:]) % 2 == 0 for moved in after)
    assert all(moved["promised"] == 0 for moved in after)


def test_a_calibrated_list_has_the_history_s_categories(run: LedgerRun) -> None:
    plain = [one["item"] for one in numbers(run, user="u3", top=6)["explanation"]]
    by_strength = {
        strength: numbers(run, user="u3", top=6, calibrate=strength)["calibrated"]
        for strength in (0.0, 0.5, 1.0)
    }
    assert {one["item"] for one in by_strength[0.0]["list"]} == set(plain)
    assert [one["rank_before"] for one in by_strength[0.0]["list"]] == [1, 2, 3, 4, 5, 6]
    found = by_strength[1.0]
    divergences = [by_strength[s]["divergence"]["after"] for s in (0.0, 0.5, 1.0)]
    assert divergences == sorted(divergences, reverse=True)
    kinds = ["Space" if int(one["item"][1:]) % 2 == 0 else "Love" for one in found["list"]]
    for name, shares in found["categories"].items():
        assert shares["after"] == pytest.approx(kinds.count(name) / 6)
        assert abs(shares["after"] - shares["history"]) < 1 / 6
    blocked = numbers(run, user="u3", top=6, calibrate=1.0, blocked=["Love"])["calibrated"]
    assert all(int(one["item"][1:]) % 2 == 0 for one in blocked["list"])
    for language in ("en", "zh"):
        question = Question("u3", language=language, calibrate=0.5)
        assert "λ = 0.5" in page(answer(run, question))


def test_the_history_comes_again_only_where_rankings_keep_it(run: LedgerRun) -> None:
    evaluation = replace(run.config.evaluation, keep_seen=True)
    keeping = replace(run, config=replace(run.config, evaluation=evaluation))
    seen = {event["item"] for event in numbers(run, user="u3")["explanation"][0]["events"]}
    listed = {
        keep: {one["item"] for one in numbers(given, user="u3", top=ITEMS)["explanation"]}
        for keep, given in ((False, run), (True, keeping))
    }
    assert seen
    assert not seen & listed[False]
    assert listed[True] == listed[False] | seen
    short = numbers(run, user="u3")["distribution"]["entropy"]
    assert short != numbers(keeping, user="u3")["distribution"]["entropy"]


def test_only_what_happened_before_the_request_is_known(run: LedgerRun) -> None:
    full = numbers(run, user="u5", items=["i4"])
    times = [event["time"] for event in full["explanation"][0]["events"]]
    third = times[3]
    early = numbers(run, user="u5", items=["i4"], at=str(third))
    assert early["request_time"] == third
    assert early["to"] < third <= full["to"]
    newest_before = max(time for time in times if time < third)
    assert early["to"] == newest_before
    none = numbers(run, user="u5", items=["i4"], at="1999-01-01")
    assert none["events"] == 0
    assert none["explanation"][0]["events"] == []
    assert none["explanation"][0]["strongest_event"] is None
    assert "no past events" in none["explanation"][0]["sentences"][0]["text"]


def test_both_languages_have_a_page(run: LedgerRun) -> None:
    wish = Feedback(crowd=0.0)
    english = page(answer(run, Question("u5", feedback=wish)))
    chinese = page(answer(run, Question("u5", language="zh", feedback=wish)))
    assert "强度" in chinese
    assert "用户u5" in chinese
    assert not any(word in chinese for word in ("score", "facet ×", "Why", "history"))
    assert len(chinese.splitlines()) > 20
    assert not any("\u4e00" <= character <= "\u9fff" for character in english)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question("u99"), "user 'u99' is not in the log; it has 'u9'"),
        (Question("u3", ["i40"]), "item 'i40' is not in the log; it has 'i4'"),
        (Question("u3", feedback=Feedback(more_facets={"lastin": 2})), "'lastin' is not one of"),
        (Question("u3", feedback=Feedback(forget=["i999"])), "not in the history; did you mean"),
        (Question("u3", feedback=Feedback(crowd=-1)), "crowd: the factor must be at least 0"),
        (Question("u3", blocked=["Lov"]), "did you mean 'Love'"),
        (Question("u3", feedback=Feedback(history=-1)), "history: the factor must be at least 0"),
        (Question("u3", calibrate=1.5), "--calibrate 1.5 must be from 0 to 1"),
        (Question("u3", at="soon"), "--at 'soon' is not a time"),
    ],
)
def test_what_is_not_known_is_named(run: LedgerRun, question: Question, message: str) -> None:
    with pytest.raises(UserError, match=message):
        answer(run, question)


def test_an_item_beyond_what_is_read_cannot_be_forgotten(run: LedgerRun) -> None:
    lengths = run.data.sequences().lengths
    user = int(lengths.argmax())
    history = run.data.sequences().take(np.array([user])).items()
    old = sorted(set(history[:-8].tolist()) - set(history[-8:].tolist()))
    assert old
    [name, item] = (
        run.data.users["user_id"][user].as_py(), run.data.items["item_id"][old[0]].as_py()
    )  # fmt: skip
    with pytest.raises(UserError, match="older than the newest 8 events"):
        answer(run, Question(name, feedback=Feedback(forget=[item])))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--more", "lasting"], "--more 'lasting' must be FACET=GAIN"),
        (["--top", "0"], "--top 0 must be at least 1"),
        (["--plot", "why.gif"], "must end in .png or .svg"),
    ],
)
def test_a_mistake_is_one_clear_line(
    folder: Path, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--user", "u3", *argv]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_other_folders_and_models_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--user", "u3"]) == 2
    assert "is not a run folder" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text(
        (folder / "config.yaml").read_text().replace("model: ledger", "model: sasrec")
    )
    assert main([str(tmp_path), "--user", "u3"]) == 2
    assert "holds the model sasrec; only the ledger explains itself" in capsys.readouterr().err
