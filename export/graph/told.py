"""What a user says with a request, as events among those that are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from export.graph.history import Events
from export.graph.text_vectors import TextReader
from tfrec.data.user_texts import PROFILE, UserTexts


class Told(NamedTuple):
    """A request with what the user says.

    Attributes:
        events: Q more than the request has: a profile stands before the others, a search behind
            them. Item I + q stands for text q; -1 where nothing is said.
        words: of every event, quoted, "" of items, string [B, L + Q].
        places: of the Q texts among the events.
    """

    events: Events
    words: Any
    places: list[int]

    def of_request(self, values: Any) -> Any:
        """[B, L + Q, ...] -> [B, L, ...], without the texts."""
        front = self.places.count(0)
        return values[:, front : tf.shape(values)[1] - (len(self.places) - front)]

    def of_texts(self, values: Any) -> Any:
        """[B, L + Q, ...] -> [B, Q, ...]."""
        return tf.stack([values[:, place] for place in self.places], axis=1)


class Teller:
    """Puts texts where `tfrec.interest.asking.tell` puts them.

    Arguments:
        users: what the run reads.
        texts: reads what they say.
        max_length: newest events that are read, those of texts among them.
    """

    def __init__(self, users: UserTexts, texts: TextReader, max_length: int) -> None:
        self.kinds: Sequence[str] = users.kinds
        self._users = users
        self._texts = texts
        self._max_length = max_length

    def tell(self, events: Events, said: dict[str, Any]) -> Told:
        """Adds one event of each kind.

        Arguments:
            events: of B users.
            said: text of each kind, string [B]; "" for none.
        """
        given = tf.stack([said[kind] for kind in self.kinds], axis=1)  # [B, Q]
        vectors, known = self._texts(tf.reshape(given, [-1]))
        known = tf.reshape(known, tf.shape(given))
        room = self._max_length - tf.reduce_sum(tf.cast(known, tf.int32), axis=1)
        events = _newest(events, room)
        real = events.items >= 0
        # With the request's own time in a column, there is always one to take.
        spans = _beside(tf.where(real, events.times, events.now[:, None]), events.now, False)
        times = {True: tf.reduce_min(spans, axis=1), False: tf.reduce_max(spans, axis=1)}
        words = tf.fill(tf.shape(events.items), "")
        shape = tf.shape(given)
        texts = tf.reshape(vectors, tf.concat([shape, tf.shape(vectors)[1:]], axis=0))
        texts = tf.ensure_shape(texts, [None, len(self.kinds), None])
        for number, kind in enumerate(self.kinds):
            first = kind == PROFILE
            one = Events(
                items=tf.where(known[:, number], self._users.texts.first + number, -1),
                times=times[first],
                actions=tf.fill(shape[:1], self._users.action(kind)),
                strengths=tf.fill(shape[:1], float("nan")),
                now=events.now,
                event_gain=tf.ones(shape[:1]),
                facet_gain=events.facet_gain,
                conformity_gain=events.conformity_gain,
            )
            columns = {
                name: _beside(getattr(events, name), getattr(one, name), first)
                for name in ("items", "times", "actions", "strengths", "event_gain")
            }
            events = events._replace(**columns)
            own = tf.where(known[:, number], _quoted(given[:, number]), "")
            words = _beside(words, own, first)
        places = [0 if kind == PROFILE else -1 for kind in self.kinds]
        return Told(events._replace(texts=texts), words, places)


def _newest(events: Events, room: Any) -> Events:
    """Only the newest events are known: as many as there is room for, int32 [B]."""
    known = events.items >= 0
    key = tf.where(known, tf.maximum(events.times, tf.int64.min + 1), tf.int64.min)
    place = tf.argsort(tf.argsort(key, axis=1, stable=True), axis=1)
    kept = place >= tf.shape(key)[1] - room[:, None]
    return events._replace(items=tf.where(kept, events.items, -1))


def _beside(columns: Any, one: Any, first: bool) -> Any:
    return tf.concat([one[:, None], columns] if first else [columns, one[:, None]], axis=1)


def _quoted(words: Any) -> Any:
    """On one line of some 48 characters, see `tfrec.interest.telling.wording.quoted`."""
    words = tf.strings.strip(tf.strings.regex_replace(words, r"[\s\p{C}\p{Z}]+", " "))
    words = tf.strings.regex_replace(tf.strings.regex_replace(words, "“", "‘"), "”", "’")
    long = tf.strings.length(words, unit="UTF8_CHAR") > 48
    cut = tf.strings.strip(tf.strings.substr(words, 0, 47, unit="UTF8_CHAR"))
    cut = tf.strings.join([cut, "…"])
    return tf.strings.join(["“", tf.where(long, cut, words), "”"])
