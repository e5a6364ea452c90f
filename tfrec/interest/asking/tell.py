"""What a user says when asked: a profile and a search, read as events of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfrec.data.sequences import Float32, Sequences, Texts
from tfrec.data.user_texts import PROFILE, QUERY, put
from tfrec.errors import UserError
from tfrec.interest.asking.question import Question

if TYPE_CHECKING:
    from tfrec.interest.asking.load import LedgerRun

_TRAIN = {PROFILE: "--user-template", QUERY: "--query-share"}


def tell(run: LedgerRun, history: Sequences, time: int, question: Question) -> Sequences:
    """One history as it is read: the profile in front, the search at the time of the request.

    Raises:
        UserError: the run does not read such texts, or one says nothing.

    Example:
        >>> told = tell(run, history, now, Question("17", query="robots"))  # doctest: +SKIP
    """
    given = {PROFILE: question.profile, QUERY: question.query}
    users = run.reader.model.user_texts
    for kind, text in given.items():
        if text is not None and (users is None or kind not in users.kinds):
            raise UserError(
                f"--{kind}: {run.folder} did not learn to read one. Train with --text-encoder and "
                f"{_TRAIN[kind]}"
            )
    times = np.array([time], np.int64)
    if users is None or (question.profile is None and question.query is None):
        return run.reader.told(history, times)

    kinds = [kind for kind, text in given.items() if text is not None]
    words = [text for text in given.values() if text is not None]
    vectors = _vectors(run, words, kinds)
    stored = -1 if question.user is None else int(users.of_user[history.users[0]])
    if question.profile is None and stored >= 0:
        words, kinds = [users.texts.words[stored], *words], [PROFILE, *kinds]
        vectors = np.concatenate([users.texts.vectors[stored : stored + 1], vectors])
    cut = history.last(run.reader.model.max_length - len(kinds))
    length = int(cut.lengths[0])
    oldest = int(cut.columns.timestamp[cut.starts[0]]) if length else time
    return put(
        cut,
        Texts(users.texts.first, vectors, words),
        owner=np.zeros(len(kinds), np.int64),
        before=np.array([0 if kind == PROFILE else length for kind in kinds]),
        text=np.arange(len(kinds)),
        action=np.array([users.action(kind) for kind in kinds]),
        times=np.array([oldest if kind == PROFILE else time for kind in kinds]),
    )


def _vectors(run: LedgerRun, words: list[str], kinds: list[str]) -> Float32:
    """As the texts of items are cleaned and read.

    Raises:
        UserError: a text says nothing.
    """
    from tfrec.text.catalogue_vectors import vectors_of
    from tfrec.text.cleaning import clean

    text = run.config.text
    cleaned = clean(words, text)
    for kind, raw, left in zip(kinds, words, cleaned, strict=True):
        if not left:
            raise UserError(f"--{kind} {raw!r} is empty, cleaned as the texts of items are")
    return vectors_of(cleaned, text, run.config.data.cache_folder)
