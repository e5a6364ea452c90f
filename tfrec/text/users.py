"""What users say, read by the encoder of the items: profiles, and searches to learn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfrec.arrays import Array, load_arrays, save_arrays
from tfrec.console import count, say
from tfrec.data.sequences import Float32, Int64, Texts
from tfrec.data.user_texts import PROFILE, QUERY, PracticeQueries, UserTexts
from tfrec.errors import UserError
from tfrec.text.catalogue_vectors import catalogue_texts, vectors_of
from tfrec.text.cleaning import STOP_WORDS
from tfrec.text.template import columns_of

if TYPE_CHECKING:
    from tfrec.data.prepared import PreparedData
    from tfrec.text.options import TextConfig

PROFILES = "profiles.npz"
# Different searches that each item is found by in training, of up to so many words.
SEARCHES, MOST_WORDS = 4, 4


def profile_texts(data: PreparedData, config: TextConfig) -> list[str]:
    """One cleaned text per user, "" where nothing is known.

    Raises:
        UserError: the log has no such columns of users.
    """
    from tfrec.text.cleaning import clean
    from tfrec.text.template import fill

    names = columns_of(config.user_template)
    there = [name for name in data.users.column_names if name != "user_id"]
    for name in names:
        if name not in there:
            raise UserError(
                f"--user-template {config.user_template!r}: no column {name!r}; there is "
                f"{', '.join(there) or 'none: name a table of users with --users'}"
            )
    columns = {name: clean(data.users[name].cast("string").to_pylist(), config) for name in names}
    return fill(config.user_template, columns)


def user_texts(data: PreparedData, config: TextConfig, run: Path, cache: Path) -> UserTexts | None:
    """The profiles of a run's users, which stay in the run; None for a run that reads no texts of
    users.

    Arguments:
        data: the run's.
        config: which encoder, and how profiles are made of columns.
        run: the run folder.
        cache: where vectors of texts are kept between runs.

    Raises:
        UserError: the users have no such columns, or the encoder cannot be read.
    """
    if not config.user_template or (run / PROFILES).exists():
        return kept_user_texts(data, config, run)
    texts = profile_texts(data, config)
    distinct, of_user = np.unique(np.array(texts, object), return_inverse=True)
    words = distinct.tolist()
    if words[0] == "":
        words, of_user = words[1:], of_user - 1
    if not words:
        raise UserError(
            f"--user-template {config.user_template!r}: the texts of all users are empty"
        )
    vectors = vectors_of(words, config, cache)
    encoded = np.frombuffer(json.dumps(words, ensure_ascii=False).encode(), np.uint8)
    arrays: dict[str, Array] = {"vectors": vectors, "of_user": of_user, "words": encoded}
    save_arrays(run / PROFILES, arrays)
    known = int((of_user >= 0).sum())
    say(f"profiles of {count(known)} of {count(len(texts))} users, {count(len(words))} different")
    return kept_user_texts(data, config, run)


def kept_user_texts(data: PreparedData, config: TextConfig, run: Path) -> UserTexts | None:
    """What `user_texts` left in a run.

    Raises:
        UserError: the file is missing or damaged.
    """
    kinds = kinds_of(config)
    if not kinds:
        return None
    vectors: Float32 = np.zeros((0, 0), np.float32)
    of_user: Int64 = np.full(data.num_users, -1, np.int64)
    words: list[str] = []
    if PROFILE in kinds:
        names = ("vectors", "of_user", "words")
        vectors, of_user, encoded = load_arrays(run / PROFILES, names, "train the run again")
        words = json.loads(encoded.tobytes())
    actions = max(len(data.meta.actions), 1)
    return UserTexts(Texts(data.num_items, vectors, words), of_user, kinds, actions)


def kinds_of(config: TextConfig) -> list[str]:
    """What a run reads of its users."""
    return [PROFILE] * bool(config.user_template) + [QUERY] * bool(config.query_share)


def practice_queries(
    data: PreparedData, config: TextConfig, cache: Path, seed: int
) -> PracticeQueries | None:
    """Searches for each item by some words of its text; None for a run that reads no queries.

    Raises:
        UserError: there are no texts, or the encoder cannot be read.
    """
    if not config.query_share:
        return None
    generator = np.random.default_rng([seed, len("query")])
    texts = [
        search for text in catalogue_texts(data, config) for search in searches(text, generator)
    ]
    distinct, rows = np.unique(np.array(texts, object), return_inverse=True)
    words = distinct.tolist()
    vectors = vectors_of(words, config, cache)
    rows = np.where(np.array([bool(word) for word in words])[rows], rows, -1)
    return PracticeQueries(vectors, words, rows.reshape(-1, SEARCHES), config.query_share)


def searches(text: str, generator: np.random.Generator) -> list[str]:
    """Different choices of some words of a text, in their order; "" where it has none."""
    words = [word.strip(".,;:!?()[]\"'“”‘’").lower() for word in text.split()]
    words = [word for word in dict.fromkeys(words) if word and word not in _COMMON]
    if not words:
        return [""] * SEARCHES
    found = []
    for _ in range(SEARCHES):
        many = int(generator.integers(1, min(MOST_WORDS, len(words)) + 1))
        chosen = np.sort(generator.choice(len(words), many, replace=False))
        found.append(" ".join(words[place] for place in chosen.tolist()))
    return found


_COMMON = frozenset(STOP_WORDS.split())
