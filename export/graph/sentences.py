"""The strongest lines of a ledger in words: the sentences of `tfrec.interest.telling`.

Of the history one sentence is made, about the event that speaks most for the item. Python takes all
events with an item together and also tells what speaks against; where every item stands once in
the history, the sentences are the same.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from export.graph.history import Events
from export.options import Language
from tfrec.data.user_texts import PROFILE
from tfrec.interest.ledger_lines import Event
from tfrec.interest.telling.sentences import TEMPLATES
from tfrec.interest.telling.wording import FIRST_TIME, JUST_NOW, UNITS, deed, facet_name

# What stands for the item and for its value while a wording is cut into pieces.
_NAME, _VALUE = "\0", 12345.0


class Lines(NamedTuple):
    """The lines of M items: of events [B, M, L, K], the others [B, M]."""

    events: Any
    quality: Any
    conformity: Any
    context: Any


class Sentences:
    """Puts lines into words.

    Arguments:
        titles: of the items, quoted, by number, string [I].
        actions: the action vocabulary.
        facets: K names.
        language: of the words around them.
        kinds: of what users say; their actions are numbered behind the vocabulary.
    """

    def __init__(
        self,
        titles: Any,
        actions: Sequence[str],
        facets: Sequence[str],
        language: Language,
        kinds: Sequence[str] = (),
    ) -> None:
        self._titles = titles
        self._language = language
        self._templates = TEMPLATES[language]
        self._between = "" if language == "zh" else " "
        self._facets = tf.constant([facet_name(name) for name in facets], tf.string)
        # The last one is of an event whose action is not known.
        vocabulary = [*(actions or [""]), *kinds]
        pieces = [_pieces(action, language) for action in [*vocabulary, ""]]
        # How old a profile is says nothing.
        self._ageless = vocabulary.index(PROFILE) if PROFILE in kinds else -2
        self._deeds = [tf.constant(column, tf.string) for column in zip(*pieces, strict=True)]

    def tell(self, events: Events, candidates: Any, lines: Lines, words: Any = None) -> Any:
        """string [B, M]; "" where the candidate, int32 [B, M], is -1.

        Arguments:
            words: of events that are no items, "" of the others, string [B, L]; None: all are.
        """
        whole = tf.reduce_sum(tf.abs(lines.events), axis=[2, 3]) + sum(
            tf.abs(line) for line in lines[1:]
        )
        title = tf.gather(self._titles, tf.maximum(candidates, 0))
        value, sentence = self._of_history(events, lines.events, whole, title, words)
        told = [(value, sentence)]
        for kind in ("conformity", "quality", "context"):
            line = getattr(lines, kind)
            parts = {"title": title, "share": tf.strings.as_string(_percent(line, whole))}
            there = tf.where(
                line > 0,
                _filled(self._templates[f"{kind}+"], parts),
                _filled(self._templates[f"{kind}-"], parts),
            )
            told.append((line, tf.where(_percent(line, whole) > 0, there, "")))
        values = tf.stack([tf.abs(line) for line, _ in told], axis=-1)
        order = tf.argsort(values, axis=-1, direction="DESCENDING", stable=True)
        words = tf.gather(tf.stack([text for _, text in told], axis=-1), order, batch_dims=2)

        empty = tf.logical_not(tf.reduce_any(events.items >= 0, axis=1))[:, None]
        first = tf.where(
            empty,
            _filled(self._templates["no history"], {"title": title}),
            tf.where(sentence == "", _filled(self._templates["nothing for"], {"title": title}), ""),
        )
        words = tf.concat([first[..., None], words], axis=-1)
        spaced = tf.where(words == "", "", tf.strings.join([self._between, words]))
        text = tf.strings.strip(tf.strings.reduce_join(spaced, axis=-1))
        return tf.where(candidates >= 0, text, "")

    def _of_history(
        self, events: Events, lines: Any, whole: Any, title: Any, words: Any
    ) -> tuple[Any, Any]:
        """What the strongest event adds, and the sentence about it; "" where none speaks for it."""
        # One event in front that says nothing: there is always one to take.
        padded = tf.pad(lines, [[0, 0], [0, 0], [1, 0], [0, 0]])
        strongest = tf.argmax(tf.reduce_sum(padded, axis=-1), axis=-1, output_type=tf.int32)
        rows = tf.gather(padded, strongest, batch_dims=2)  # [B, M, K]
        value = tf.reduce_sum(rows, axis=-1)

        def of_event(column: Any) -> Any:
            return tf.gather(tf.pad(column, [[0, 0], [1, 0]]), strongest, batch_dims=1)

        now = tf.broadcast_to(events.now[:, None], tf.shape(value))
        ago = age(of_event(events.times), now, self._language)
        numbers = tf.clip_by_value(of_event(events.items), 0, self._titles.shape[0] - 1)
        item = tf.gather(self._titles, numbers)
        if words is not None:
            # What is not there was said by nobody.
            before = tf.concat([tf.fill([tf.shape(words)[0], 1], ""), words], axis=1)
            own = tf.gather(before, strongest, batch_dims=1)
            item = tf.where(own == "", item, own)
            ago = tf.where(of_event(events.actions) == self._ageless, "", ago)
        did = self._deed(item, of_event(events.actions), of_event(events.strengths))
        when = tf.where(ago == "", "", _filled(self._templates["once"], {"age": ago}))
        if self._templates["once"].startswith(" "):  # "rated it 5, 3 days ago"
            digit = tf.strings.regex_full_match(did, r"(?s).*\p{Nd}")
            when = tf.where(tf.logical_and(digit, when != ""), tf.strings.join([",", when]), when)
        sentence = _filled(
            self._templates["for"],
            {
                "deeds": did,
                "when": when,
                "share": tf.strings.as_string(_percent(value, whole)),
                "facet": self._facet(rows),
                "title": title,
            },
        )
        speaks = tf.logical_and(value > 0, _percent(value, whole) > 0)
        return value, tf.where(speaks, sentence, "")

    def _deed(self, item: Any, action: Any, strength: Any) -> Any:
        """What was done with an item, string of the shape of `item`."""
        place = tf.where(action < 0, len(self._deeds[0]) - 1, action)
        before, after, before_value, after_value = (tf.gather(d, place) for d in self._deeds)
        number = tf.strings.as_string(strength, shortest=True)
        valued = tf.where(
            before_value == "", after, tf.strings.join([before_value, number, after_value])
        )
        end = tf.where(tf.math.is_nan(strength), after, valued)
        return tf.strings.join([before, item, end])

    def _facet(self, rows: Any) -> Any:
        """The facet that carries the line [B, M, K] of an event, if one does and has a name."""
        facet = tf.argmax(rows, axis=-1)
        whole = tf.reduce_sum(tf.abs(rows), axis=-1)
        part = tf.math.divide_no_nan(tf.reduce_max(rows, axis=-1), whole)
        name = tf.gather(self._facets, facet)
        said = tf.where(
            part >= 0.95,
            _filled(self._templates["facet"], {"name": name}),
            _filled(self._templates["mostly"], {"name": name}),
        )
        return tf.where(tf.logical_or(name == "", part <= 0.5), "", said)


def age(times: Any, now: Any, language: Language) -> Any:
    """How long ago, see `tfrec.interest.telling.wording.age`; int64 [...] -> string [...]."""
    passed = now - times
    found = tf.fill(tf.shape(passed), JUST_NOW[language])
    for least, length, unit, chinese in reversed(UNITS):
        count = tf.maximum(tf.cast(tf.cast(passed, tf.float64) / length, tf.int64), 1)
        number = tf.strings.as_string(count)
        if language == "zh":
            words = tf.strings.join([number, f"{chinese}前"])
        else:
            words = tf.strings.join([number, f" {unit}", tf.where(count > 1, "s", ""), " ago"])
        found = tf.where(passed >= int(least), words, found)
    return tf.where(tf.minimum(times, now) < int(FIRST_TIME), "", found)


def _pieces(action: str, language: Language) -> tuple[str, str, str, str]:
    """A deed's wording before the item and after it; then after it with a value, cut at the value:
    both "" where values are not told."""
    before, after = deed(Event("", "", action, None, 0), _NAME, language).split(_NAME)
    valued = deed(Event("", "", action, _VALUE, 0), _NAME, language).split(_NAME)[1]
    if f"{_VALUE:g}" not in valued:
        return before, after, "", ""
    before_value, after_value = valued.split(f"{_VALUE:g}")
    return before, after, before_value, after_value


def _percent(value: Any, whole: Any) -> Any:
    return tf.cast(tf.round(100.0 * tf.math.divide_no_nan(tf.abs(value), whole)), tf.int32)


def _filled(template: str, parts: dict[str, Any]) -> Any:
    """The template with strings [...] in its places."""
    pieces: list[Any] = []
    for literal, name, _, _ in string.Formatter().parse(template):
        pieces.append(literal)
        if name is not None:
            pieces.append(parts[name])
    return tf.strings.join(pieces)
