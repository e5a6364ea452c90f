"""The synthetic world: a log whose every cause is known.

It needs no network, and it is the only place where the true reasons of an event can be compared
with what a model says about it. `world.py` has the formula and draws the parameters; this file
lets the users choose, and writes what they did and why.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfrec.data import world
from tfrec.data.layout import LogLayout, TableLayout
from tfrec.data.sequences import Int64
from tfrec.data.world_events import ACTIONS, Choices, choose
from tfrec.data.world_texts import STRANDS_PER_TOPIC, TOPICS, item_texts
from tfrec.errors import UserError

EVENTS, ITEMS, USERS, TRUTH = "events.csv", "items.csv", "users.csv", "truth"


def layout(folder: Path) -> LogLayout:
    """How the log that `write_world` wrote into `folder` is to be read."""
    return LogLayout(
        source="synthetic",
        events=TableLayout([folder / EVENTS], columns={"context": "domain"}),
        items=TableLayout([folder / ITEMS]),
        users=TableLayout([folder / USERS]),
        text_columns=["title", "description"],
        category_column="categories",
        category_separator="|",
    )


def write_world(
    folder: Path,
    users: int = 2000,
    items: int = 1000,
    events: int = 200_000,
    seed: int = 0,
    log: Callable[[str], None] = lambda line: None,
) -> None:
    """Writes a synthetic log and the truth about it. The same arguments give the same bytes.

    events.csv   user_id, item_id, timestamp (unix seconds), action (view, click, buy),
                 strength (1..5), domain (films, books); in time order, no user takes an item twice
    items.csv    item_id, title, description, categories, domain
    users.csv    user_id, profile (a sentence about the tastes with which the user began)
    truth/       world.json (formula, constants, meaning of every array), users.npz, items.npz and
                 events.npz (the ledger, row for row as events.csv; see `Choices`)

    Raises:
        UserError: the numbers do not fit together.
    """
    _check(users, items, events)
    began = time.perf_counter()
    seeds = np.random.SeedSequence(seed)
    random = np.random.default_rng(seeds.spawn(1)[0])
    counts = world.draw_event_counts(users, items, events, random)
    all_items = world.draw_items(items, random)
    all_users = world.draw_users(counts, random)
    second, domain = world.draw_visits(counts, all_users, random)
    texts = item_texts(
        all_items.topic, all_items.strand, [world.DOMAINS[d] for d in all_items.domain], random
    )
    choices = choose(all_users, all_items, counts, second, domain, seeds)
    choices = choices.take(np.lexsort((choices.user, choices.second)))

    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRUTH).mkdir(exist_ok=True)
    _write_tables(folder, all_users, all_items, choices, texts)
    for name, arrays in (
        ("users", asdict(all_users)),
        ("items", all_items._asdict()),
        ("events", choices.columns()),
    ):
        np.savez(folder / TRUTH / f"{name}.npz", allow_pickle=False, **arrays)
    about = _about(users, items, events, seed)
    (folder / TRUTH / "world.json").write_text(json.dumps(about, indent=1, ensure_ascii=False))
    log(
        f"synthetic world: {events:,} events of {users:,} users on {items:,} items "
        f"in {time.perf_counter() - began:.1f} s -> {folder}"
    )


def _check(users: int, items: int, events: int) -> None:
    if items < 40:
        raise UserError(f"a world of {items} items is too small: give it 40 or more")
    if users < 1:
        raise UserError(f"a world of {users} users is empty: give it 1 or more")
    most = users * min(400, items // 4)
    if not 3 * users <= events <= most:
        raise UserError(
            f"{users:,} users cannot have {events:,} events on {items:,} items: between "
            f"{3 * users:,} (three each) and {most:,} (400 each, or a quarter of the items) fit"
        )


def _write_tables(
    folder: Path,
    users: world.Users,
    items: world.Items,
    choices: Choices,
    texts: tuple[list[str], list[str], list[str]],
) -> None:
    import pyarrow as pa
    import pyarrow.csv

    domains = np.array(world.DOMAINS)
    user_ids = _ids("u", np.arange(len(users.activity)))
    item_ids = _ids("i", np.arange(len(items.domain)))
    titles, descriptions, categories = texts
    events = {
        "user_id": user_ids[choices.user],
        "item_id": item_ids[choices.item],
        "timestamp": world.START + choices.second.astype(np.int64),
        "action": np.array(ACTIONS)[choices.action],
        "strength": choices.strength,
        "domain": domains[items.domain[choices.item]],
    }
    catalogue = {
        "item_id": item_ids,
        "title": titles,
        "description": descriptions,
        "categories": categories,
        "domain": domains[items.domain],
    }
    people = {"user_id": user_ids, "profile": _profiles(users)}
    for name, columns in ((EVENTS, events), (ITEMS, catalogue), (USERS, people)):
        table = pa.table({key: pa.array(column) for key, column in columns.items()})
        pa.csv.write_csv(table, folder / name)


def _ids(prefix: str, numbers: Int64) -> npt.NDArray[np.str_]:
    width = max(5, len(str(len(numbers))))
    return np.char.add(prefix, np.char.zfill((numbers + 1).astype(str), width))


def _profiles(users: world.Users) -> npt.NDArray[np.object_]:
    """One sentence per user from the tastes with which they began."""
    order = np.argsort(-users.taste, axis=1, kind="stable")
    names = np.array([topic.name for topic in TOPICS], object)
    where = np.array(["mostly films", "both films and books", "mostly books"], object)
    habit = where[np.digitize(-users.films_share, (-0.65, -0.35))]
    text = "Likes " + names[order[:, 0]] + " and " + names[order[:, 1]]
    sentences: npt.NDArray[np.object_] = (
        text + ", cares little for " + names[order[:, -1]] + "; " + habit + "."
    )
    return sentences


def _about(users: int, items: int, events: int, seed: int) -> dict[str, Any]:
    """world.json: what a reader needs to use the arrays without this code."""
    return {
        "arguments": {"users": users, "items": items, "events": events, "seed": seed},
        "documentation": [world.__doc__, world.Items.__doc__, world.Users.__doc__, Choices.__doc__],
        "topics": [topic.name for topic in TOPICS],
        "strands_per_topic": STRANDS_PER_TOPIC,
        "half_life_days": world.HALF_LIFE_DAYS.tolist(),
        "rating_share": world.RATING_SHARE.tolist(),
        "rating_cuts": world.RATING_CUTS,
        "exposure_power": world.EXPOSURE_POWER,
        "actions": ACTIONS,
        "domains": world.DOMAINS,
        "drift_kinds": ["stable", "abrupt", "gradual", "recurrent"],
        "start_unix_seconds": world.START,
    }
