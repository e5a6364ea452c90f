"""The synthetic world against its own formula, computed a second time by explicit sums."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from tfrec.data import world
from tfrec.data.simulate import ACTIONS, layout, write_world
from tfrec.data.world_texts import TOPICS
from tfrec.errors import UserError

Arrays = dict[str, npt.NDArray[Any]]


class Made(NamedTuple):
    folder: Path
    events: Arrays
    users: Arrays
    items: Arrays
    seconds: float


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The world as it is by default."""
    folder = tmp_path_factory.mktemp("world")
    began = time.perf_counter()
    lines: list[str] = []
    write_world(folder, log=lines.append)
    seconds = time.perf_counter() - began
    assert lines[0].startswith("synthetic world: 200,000 events of 2,000 users on 1,000 items")
    truth = [dict(np.load(folder / "truth" / f"{n}.npz")) for n in ("events", "users", "items")]
    return Made(folder, *truth, seconds)


def rows_of_user(made: Made, user: int) -> npt.NDArray[np.intp]:
    return np.flatnonzero(made.events["user"] == user)


def taste_at(users: Arrays, user: int, day: float) -> npt.NDArray[np.float64]:
    """θ_u(t) by cases, for one user at one time."""
    old, new = users["taste"][user].astype(float), users["new_taste"][user].astype(float)
    kind, since = users["drift"][user], day - users["change_day"][user]
    if kind == world.STABLE or since < 0:
        return old
    if kind == world.GRADUAL:
        share = 1 - 0.5 ** (since / users["change_half_life"][user])
        return (1 - share) * old + share * new
    if kind == world.RECURRENT and day >= users["return_day"][user]:
        return old
    return new


def recency(made: Made, user: int, half_life: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """η_u Σ_s 2^(-(t - t_s) / h_k) sim_k(i_s, i) before each event of a user, [n, K, I]."""
    rows = rows_of_user(made, user)
    day = made.events["second"][rows] / world.DAY
    vectors = made.items["vector"].reshape(len(made.items["domain"]), len(TOPICS), -1).astype(float)
    age = day[:, None] - day
    out = np.zeros((len(rows), len(TOPICS), len(vectors)))
    for k, h in enumerate(half_life):
        weight = np.tril(0.5 ** (np.maximum(age, 0) / h), -1)
        similar = vectors[made.events["item"][rows], k] @ vectors[:, k].T  # sim_k(i_s, every i)
        out[:, k] = made.users["excitation"][user] * weight @ similar
    return out


def steady(made: Made, user: int) -> npt.NDArray[np.float64]:
    """a_u + κ_u log pop_i(t) + Σ_k θ_uk(t) topic_ik at each event of a user, [n, I]."""
    days = made.events["second"][rows_of_user(made, user)] / world.DAY
    popularity = made.items["log_popularity"][np.minimum(days // 7, world.WEEKS - 1).astype(int)]
    taste = np.array([taste_at(made.users, user, day) for day in days])
    level = made.users["activity"][user] + made.users["conformity"][user] * popularity
    total: npt.NDArray[np.float64] = level + taste @ made.items["topic"].T
    return total


def shown(made: Made, user: int) -> npt.NDArray[np.float64]:
    """log e of every item at each event of a user, -inf where it could not be taken, [n, I]."""
    rows = rows_of_user(made, user)
    week = np.minimum(made.events["second"][rows] / world.DAY // 7, world.WEEKS - 1).astype(int)
    out = made.items["log_propensity"][week].astype(float)
    taken = made.events["item"][rows]
    for place, item in enumerate(taken):
        out[place, made.items["domain"] != made.items["domain"][item]] = -np.inf
        out[place + 1 :, item] = -np.inf
    return out


def test_made_in_time(made: Made) -> None:
    assert made.seconds < 30


def test_ledger_sums_to_the_log_rate(made: Made) -> None:
    events = made.events
    lines = events["activity"] + events["conformity"]
    lines = lines + events["facets"].sum(axis=1) + events["recency"].sum(axis=1)
    assert np.abs(lines - events["log_rate"]).max() < 1e-4
    assert (events["recency"] >= 0).all()
    # Every cause matters.
    for line in (events["activity"], events["conformity"], events["facets"].sum(axis=1)):
        assert line.std() > 0.5


def test_log_rate_and_probability_follow_the_formula(made: Made) -> None:
    busiest = int(np.bincount(made.events["user"]).argmax())
    of_each_kind = [int(np.flatnonzero(made.users["drift"] == kind)[3]) for kind in range(4)]
    for user in (busiest, *of_each_kind):
        rows = rows_of_user(made, user)
        item, each = made.events["item"][rows], np.arange(len(rows))
        echo = recency(made, user, world.HALF_LIFE_DAYS)
        rate = steady(made, user) + echo.sum(axis=1)
        assert made.events["log_rate"][rows] == pytest.approx(rate[each, item], abs=2e-3)
        assert made.events["recency"][rows] == pytest.approx(echo[each, :, item], abs=2e-3)
        weight = rate + shown(made, user)
        log_sum = np.log(np.exp(weight - 50).sum(axis=1)) + 50
        probability = np.exp(weight[each, item] - log_sum)
        assert made.events["probability"][rows] == pytest.approx(probability, rel=0.01, abs=1e-6)
        rank = (weight > weight[each, item, None]).sum(axis=1)
        assert (made.events["rank"][rows] == rank).mean() > 0.99


def test_planted_half_lives_are_the_likeliest(made: Made) -> None:
    users = np.random.default_rng(0).choice(len(made.users["drift"]), 30, replace=False)
    factors = (0.5, 1.0, 2.0)
    likelihood = np.zeros((len(TOPICS), len(factors)))
    for user in users:
        item = made.events["item"][rows_of_user(made, user)]
        each = np.arange(len(item))
        base = steady(made, user) + shown(made, user)
        scaled = [recency(made, user, world.HALF_LIFE_DAYS * factor) for factor in factors]
        for k in range(len(TOPICS)):
            for column, other in enumerate(scaled):
                logit = base + scaled[1].sum(axis=1) - scaled[1][:, k] + other[:, k]
                top = logit.max(axis=1)
                log_sum = np.log(np.exp(logit - top[:, None]).sum(axis=1)) + top
                likelihood[k, column] += (logit[each, item] - log_sum).sum()
    assert (likelihood.argmax(axis=1) == 1).all(), likelihood


def test_conformists_choose_what_is_popular(made: Made) -> None:
    events = made.events
    log_popularity = events["conformity"] / made.users["conformity"][events["user"]]
    chosen = np.bincount(events["user"], log_popularity) / np.bincount(events["user"])
    assert np.corrcoef(made.users["conformity"], chosen)[0, 1] > 0.5


def test_taste_shows_in_what_is_chosen_before_and_after_its_change(made: Made) -> None:
    user, day = made.events["user"], made.events["second"] / world.DAY
    users = made.users
    drifting = users["drift"][user] == world.ABRUPT
    after = day >= users["change_day"][user]
    topic = made.items["topic"][made.events["item"]]
    for part, right, wrong in (
        (drifting & ~after, "taste", "new_taste"),
        (drifting & after, "new_taste", "taste"),
    ):
        assert part.sum() > 5000
        fits = (topic * users[right][user]).sum(axis=1)[part].mean()
        would_have = (topic * users[wrong][user]).sum(axis=1)[part].mean()
        assert fits > would_have + 0.5


def test_what_is_liked_is_graded_higher_and_bought_more(made: Made) -> None:
    events = made.events
    assert set(events["strength"]) == {1, 2, 3, 4, 5}
    assert np.corrcoef(events["liking"], events["strength"])[0, 1] > 0.5
    bought = events["action"] == ACTIONS.index("buy")
    share = [bought[events["strength"] == strength].mean() for strength in range(1, 6)]
    assert share[0] == 0
    assert (np.diff(share) >= 0).all()
    assert share[4] > 0.7
    expected = made.users["leniency"][events["user"]] + made.items["quality"][events["item"]]
    expected = expected + events["facets"] @ world.RATING_SHARE
    assert events["liking"] == pytest.approx(expected, abs=1e-4)


def test_log_is_realistic(made: Made) -> None:
    events, items = made.events, made.items
    pairs = events["user"].astype(np.int64) * len(items["domain"]) + events["item"]
    assert len(np.unique(pairs)) == 200_000
    assert (np.diff(events["second"]) >= 0).all()
    assert events["second"].max() - events["second"].min() > 300 * world.DAY
    lengths = np.bincount(events["user"])
    assert lengths.min() >= 20
    assert lengths.max() >= 200
    assert lengths.max() <= 400
    sold = np.sort(np.bincount(events["item"], minlength=1000))[::-1]
    assert sold[:100].sum() > 0.3 * sold.sum()
    assert (sold > 0).all()
    day = events["second"] / world.DAY
    assert (day >= items["release_day"][events["item"]] - 7).all()
    assert np.isfinite(events["log_propensity"]).all()
    # Most people are at home in both domains.
    films = np.bincount(events["user"], items["domain"][events["item"]] == 0) / lengths
    assert ((films > 0.1) & (films < 0.9)).mean() > 0.6


def test_order_matters(made: Made) -> None:
    """Leave-one-out: what went together lately says much more than the crowd or the whole past."""
    order = np.lexsort((made.events["second"], made.events["user"]))
    user, item = made.events["user"][order], made.events["item"][order]
    ends = np.cumsum(np.bincount(user))
    last = np.zeros(len(user), bool)
    last[ends - 1] = True
    from_end = (ends[user] - 1) - np.arange(len(user))
    history = np.zeros((len(ends), 1000))
    recent = np.zeros((len(ends), 1000))
    history[user[~last], item[~last]] = 1
    recent[user[~last], item[~last]] = 0.5 ** (from_end[~last] / 5)
    inverse = np.linalg.inv(history.T @ history + 300 * np.eye(1000))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)

    def hit_rate(scores: npt.NDArray[np.float64]) -> float:
        scores = np.where(history > 0, -np.inf, scores)
        target = scores[np.arange(len(ends)), item[last]]
        return float(((scores > target[:, None]).sum(axis=1) < 10).mean())

    popularity = hit_rate(np.broadcast_to(history.sum(axis=0), history.shape))
    whole_past = hit_rate(history @ weights)
    lately = hit_rate(recent @ weights)
    best = float((made.events["rank"][order][last] < 10).mean())
    assert whole_past > 1.5 * popularity
    assert lately > 1.5 * whole_past
    assert best > 1.2 * lately


def test_texts_speak_of_the_topics(made: Made) -> None:
    with (made.folder / "items.csv").open(encoding="utf-8", newline="") as file:
        catalogue = list(csv.DictReader(file))
    titles = [row["title"] for row in catalogue]
    assert len(set(titles)) == len(titles) == 1000
    openings = {row["description"][:12] for row in catalogue}
    assert len(openings) > 200
    for row, topic, strand in zip(
        catalogue, made.items["topic"], made.items["strand"], strict=True
    ):
        first = int(topic.argmax())
        text = f"{row['title']} {row['description']}".lower()
        words = TOPICS[first].strands[strand[first]]
        assert sum(word.lower() in text for word in words) >= 2
        named = row["categories"].split("|")
        assert named[0] == TOPICS[first].name
        large = {TOPICS[k].name for k in np.flatnonzero(topic >= 0.25)}
        assert set(named) == large | {TOPICS[first].name}
        assert "{" not in text
        assert not any(f" a {vowel}" in text for vowel in "aeio")


def test_tables_agree_with_the_truth(made: Made) -> None:
    where = layout(made.folder)
    with where.events.paths[0].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200_000
    context = where.events.columns["context"]
    assert {"user_id", "item_id", "timestamp", "action", "strength", context} == set(rows[0])
    for number in (0, 77_777, 199_999):
        row, truth = rows[number], {name: made.events[name][number] for name in made.events}
        assert row["user_id"] == f"u{truth['user'] + 1:05d}"
        assert row["item_id"] == f"i{truth['item'] + 1:05d}"
        assert int(row["timestamp"]) == world.START + truth["second"]
        assert row["action"] == ACTIONS[truth["action"]]
        assert int(row["strength"]) == truth["strength"]
        assert row[context] == world.DOMAINS[made.items["domain"][truth["item"]]]
    assert where.items is not None
    assert where.users is not None
    with where.items.paths[0].open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert {"item_id", *where.text_columns, where.category_column} <= set(header)
    with where.users.paths[0].open(encoding="utf-8", newline="") as file:
        people = list(csv.DictReader(file))
    favourite = TOPICS[int(made.users["taste"][0].argmax())].name
    assert people[0]["profile"].startswith(f"Likes {favourite} and ")
    about = json.loads((made.folder / "truth" / "world.json").read_text(encoding="utf-8"))
    assert about["half_life_days"] == world.HALF_LIFE_DAYS.tolist()
    assert "log λ_ui(t)" in about["documentation"][0]


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    size = {"users": 1050, "items": 60, "events": 8000}
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        write_world(tmp_path / name, **size, seed=seed)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    one, other = files(tmp_path / "one"), files(tmp_path / "other")
    assert one["events.csv"] != other["events.csv"]
    assert one["events.csv"].count(b"\n") == 8001


@pytest.mark.parametrize(
    ("users", "items", "events"), [(1, 40, 3), (1, 40, 10), (7, 41, 69), (3, 5000, 1200)]
)
def test_worlds_of_extreme_sizes(tmp_path: Path, users: int, items: int, events: int) -> None:
    write_world(tmp_path, users=users, items=items, events=events, seed=1)
    truth = np.load(tmp_path / "truth" / "events.npz")
    assert len(truth["item"]) == events
    assert np.isfinite(truth["log_rate"]).all()
    assert np.isfinite(truth["log_propensity"]).all()
    assert (truth["probability"] > 0).all()
    assert set(truth["user"]) == set(range(users))


@pytest.mark.parametrize(
    ("users", "items", "events", "message"),
    [
        (10, 39, 100, "of 39 items is too small"),
        (0, 100, 100, "of 0 users is empty"),
        (10, 100, 29, "10 users cannot have 29 events on 100 items: between 30"),
        (10, 100, 251, "and 250"),
    ],
)
def test_numbers_that_do_not_fit(
    tmp_path: Path, users: int, items: int, events: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        write_world(tmp_path, users=users, items=items, events=events)
