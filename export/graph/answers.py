"""The answers that every model gives, one method per signature of `export.signatures`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from export.graph.calibration import engaged
from export.graph.catalogue import UNKNOWN, Catalogue
from export.graph.choice import Best, Choice, best, choose, entropy, tail_mass
from export.graph.history import Events, newest_time
from export.graph.told import Teller, Told
from tfrec.interest.readouts import Readouts

Answer = dict[str, Any]


class Strength(Protocol):
    """Expected strength of items, [B, M], of a user who was read; the numbers are not negative."""

    def __call__(self, user: Any, vectors: Any, numbers: Any) -> Any: ...


class Search(Protocol):
    """Finds recommendations without comparing all items; probes: parts of the catalogue that it
    reads."""

    probes: int

    def best(self, state: Any, seen: Any, excluded: Any) -> Best:
        """As many items as are recommended; numbers that may not come are int32 [B, ...]."""


class Log(NamedTuple):
    """What an answer takes from the log where the request says nothing.

    Attributes:
        actions: table of the action vocabulary, string -> int32.
        newest: unix milliseconds of the newest event.
    """

    actions: Any
    newest: int


class Asked(NamedTuple):
    """A request that was read.

    events: of items. user: its `state`, [B, S], times an item vector is the score. told: the events
    with what the user says, in whose order the user's are; None where nothing could be said.
    """

    events: Events
    user: Any
    told: Told | None = None


class Answers:
    """Answers requests.

    Arguments:
        user: `Events` -> the user of an `Asked`.
        catalogue: the items.
        log: see `Log`.
        readouts: what scores are calibrated to.
        strength: None where the run does not know how strong engagements are.
        facets: K; 0 where the model has none.
        top_k: items in a recommendation, 1 … I.
        keep_seen: whether items of the history may come again.

    Attributes:
        search: what finds recommendations; None: all items are compared. It is set afterwards,
            because it is made for the users that these answers read.
        teller: what reads the texts of users; None where the run reads none.
    """

    search: Search | None = None
    teller: Teller | None = None

    def __init__(
        self,
        user: Callable[[Events], Any],
        catalogue: Catalogue,
        log: Log,
        readouts: Readouts,
        strength: Strength | None,
        facets: int,
        top_k: int,
        keep_seen: bool,
    ) -> None:
        self.catalogue = catalogue
        # One graph that all signatures share.
        self._user = tf.function(user, autograph=False)
        self._log = log
        self.temperature = readouts.temperature.temperature
        self._readouts = readouts
        self._strength = strength
        self._facets = facets
        self.top_k = top_k
        self._keep_seen = keep_seen

    def ask(
        self,
        history_items: Any,
        history_times: Any,
        actions: Any = None,
        values: Any = None,
        now: Any = None,
        event_gain: Any = None,
        facet_gain: Any = None,
        conformity_gain: Any = None,
        **said: Any,
    ) -> Asked:
        """Reads a request; what it does not say is as in the short form of a signature.

        Arguments:
            said: text of every kind that the run reads, or of none, string [B].
        """
        items = self.catalogue.numbers(history_items)
        shape = tf.shape(items)
        latest = newest_time(items, history_times, self._log.newest) + 1
        events = Events(
            items=items,
            times=history_times,
            actions=tf.fill(shape, UNKNOWN)
            if actions is None
            else self._log.actions.lookup(actions),
            strengths=tf.fill(shape, float("nan")) if values is None else values,
            now=latest if now is None else tf.where(now > 0, now, latest),
            event_gain=tf.ones(shape) if event_gain is None else event_gain,
            facet_gain=tf.ones([shape[0], self._facets]) if facet_gain is None else facet_gain,
            conformity_gain=tf.ones(shape[:1]) if conformity_gain is None else conformity_gain,
        )
        if not said or self.teller is None:
            return self.read(events)
        told = self.teller.tell(events, said)
        return Asked(events, self._user(told.events), told)

    def read(self, events: Events) -> Asked:
        """Reads what is known of users at a time."""
        return Asked(events, self._user(events))

    def choice(self, asked: Asked, *removed: Any, but: Any = None) -> Choice:
        """What a user chooses from: all items but those of the history and the removed ones.

        Arguments:
            removed: numbers of items, int32 [B, ...].
            but: number of an item that may come even if it is in the history, int32 [B].
        """
        seen = self.seen(asked)
        if but is not None:
            seen = tf.where(seen == but[:, None], UNKNOWN, seen)
        return choose(asked.user.state, self.catalogue, self.temperature, [seen, *removed])

    def seen(self, asked: Asked) -> Any:
        """Numbers of items that may not come again, int32 [B, ...]; -1 for none."""
        return asked.events.items[:, :0] if self._keep_seen else asked.events.items

    def recommend(self, asked: Asked, exclude_items: Any) -> Answer:
        excluded = self.catalogue.numbers(exclude_items)
        if self.search is None:
            found = best(self.choice(asked, excluded), self.top_k)
        else:
            found = self.search.best(asked.user.state, self.seen(asked), excluded)
        return {
            "items": self.catalogue.names(found.items),
            "scores": found.scores,
            "probabilities": found.probabilities,
        }

    def score(self, asked: Asked, candidate_items: Any) -> Answer:
        numbers = self.catalogue.numbers(candidate_items)
        known = tf.cast(numbers >= 0, tf.float32)
        some = tf.maximum(numbers, 0)
        vectors = self.catalogue.vectors(numbers)
        score = tf.einsum("bs,bms->bm", asked.user.state, vectors)
        probability = tf.gather(self.choice(asked).probabilities, some, batch_dims=1)
        found = {
            "score": score,
            "probability": probability * known,
            "intensity": engaged(self._readouts.engagement, score) * known,
            "known": numbers >= 0,
        }
        if self._strength is not None:
            found["expected_strength"] = self._strength(asked.user, vectors, some) * known
        return found

    def distribution(self, asked: Asked) -> Answer:
        choice = self.choice(asked)
        head = best(choice, self.top_k)
        return {
            "items": self.catalogue.names(head.items),
            "probabilities": head.probabilities,
            "tail_mass": tail_mass(choice, head),
            "entropy": entropy(choice),
            "categories": self.categories(asked),
            "category_probabilities": tf.matmul(choice.probabilities, self.catalogue.shares),
        }

    def classify(self, asked: Asked, exclude_items: Any) -> Answer:
        found = self.recommend(asked, exclude_items)
        return {"classes": found["items"], "scores": found["probabilities"]}

    def regress(self, asked: Asked, candidate_items: Any) -> Answer:
        found = self.score(asked, candidate_items[:, None])
        return {"outputs": found["intensity"][:, 0]}

    def embed_user(self, asked: Asked) -> Answer:
        return {"embedding": asked.user.state}

    def embed_items(self, items: Any) -> Answer:
        numbers = self.catalogue.numbers(items)
        return {"embedding": self.catalogue.vectors(numbers), "known": numbers >= 0}

    def categories(self, asked: Asked) -> Any:
        """The names again for every user, string [B, C]."""
        return per_user(asked, self.catalogue.categories)


def per_user(asked: Asked, values: Any) -> Any:
    """The same values for every user: [...] -> [B, ...]."""
    values = tf.convert_to_tensor(values)
    users = tf.shape(asked.events.items)[:1]
    return tf.broadcast_to(values, tf.concat([users, tf.shape(values)], axis=0))
